"""One cell, run and told: workflow events on the way, instrumentation around it, run-time failures as results.

`arun` streams into the workflow Context; `run` never touches a Context's stream, because it may be on any thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.workflow import Event

from ci_integrations.errors import QueueTimeoutError, SandboxError
from ci_integrations.llamaindex._sessions import Session
from ci_integrations.llamaindex.events import (
    ChartCreated,
    CodeExecutionEndEvent,
    CodeExecutionFinished,
    CodeExecutionStarted,
    CodeExecutionStartEvent,
    CodeOutput,
)
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult

OnOutput = Callable[[Any], Any]

_log = logging.getLogger(__name__)
_dispatcher = get_dispatcher(__name__)
_REPLACED = frozenset({"state_lost", "restored", "not_restored", "context_restarted"})


def run(session: Session, code: str, *, on_output: OnOutput | None = None, **options: Any) -> ExecutionResult:
    """Run `code` and wait. Never raises for what happens at run time: a lost sandbox is a result too."""
    with _instrumented(session, code) as finish:
        try:
            result: ExecutionResult = session.interpreter.run(code, on_output=on_output, **options)
        except (SandboxError, QueueTimeoutError) as error:
            result = failed(code, error)
        return finish(result)


async def arun(
    session: Session, code: str, *, ctx: Any = None, on_output: OnOutput | None = None, **options: Any
) -> ExecutionResult:
    """The same, awaited; `ctx` gets started, output, chart and finished events. Cancelling interrupts the kernel."""
    stream = _Stream(ctx)
    stream.write(CodeExecutionStarted(code=code, session_id=session.key))

    def tell(event: Any) -> None:
        stream.write(CodeOutput(stream=event.kind, text=event.text, session_id=session.key))
        if on_output is not None:
            on_output(event)

    with _instrumented(session, code) as finish:
        try:
            result: ExecutionResult = await session.interpreter.run(code, on_output=tell, **options)
        except (SandboxError, QueueTimeoutError) as error:
            result = failed(code, error)
        finish(result)
    stream.write_result(result, session.key)
    return result


def failed(code: str, error: Exception) -> ExecutionResult:
    """What was received before `error`, with the error in it."""
    received: ExecutionResult = getattr(error, "result", None) or ExecutionResult(code=code)
    named = received.error or ExecutionError(name=type(error).__name__, value=str(error))
    return received.model_copy(update={"error": named, "incomplete": True})


class _Stream:
    """A Context's event stream; silent without a running workflow."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx

    def write(self, event: Event) -> None:
        if self._ctx is None:
            return
        try:
            self._ctx.write_event_to_stream(event)
        except Exception as error:  # noqa: BLE001 - a Context outside of a run has no stream; the cell must run anyway
            _log.debug("no event stream in this Context: %s", error)
            self._ctx = None

    def write_result(self, result: ExecutionResult, session_id: str) -> None:
        for chart in result.charts:
            self.write(ChartCreated(artifact=chart.model_dump(mode="json"), session_id=session_id))
        self.write(CodeExecutionFinished(result=result.model_dump(mode="json"), session_id=session_id))


@contextmanager
def _instrumented(session: Session, code: str) -> Iterator[Callable[[ExecutionResult], ExecutionResult]]:
    """Start and end events for tracing; the end is told even when the caller is cancelled or misconfigured."""
    _dispatcher.event(CodeExecutionStartEvent(session_id=session.key, code_length=len(code)))
    end = CodeExecutionEndEvent(session_id=session.key, incomplete=True)

    def finish(result: ExecutionResult) -> ExecutionResult:
        nonlocal end
        end = _end_event(session.key, result)
        return result

    try:
        yield finish
    finally:
        _dispatcher.event(end)


def _end_event(session_id: str, result: ExecutionResult) -> CodeExecutionEndEvent:
    return CodeExecutionEndEvent(
        session_id=session_id,
        sandbox_id=result.sandbox_id,
        duration=result.duration,
        error=result.error.name if result.error else None,
        incomplete=result.incomplete,
        recreated=any(event.type in _REPLACED for event in result.events),
        n_artifacts=len(result.artifacts),
        n_charts=len(result.charts),
    )
