"""Runs one cell: workflow events while it runs, tracing around it, run-time failures as results, secrets taken out.

`arun` streams into the workflow's Context. `run` never writes to a Context's stream, because it may be on any thread.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypedDict, Unpack

from llama_index.core.async_utils import asyncio_run
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.workflow import Context, Event

from ci_integrations._adapters.outcome import attempted, cache_key
from ci_integrations._adapters.redaction import LiveRedactor
from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow, Step, adrive, drive
from ci_integrations._telemetry import calling
from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter, OutputEvent, OutputHandler
from ci_integrations.llamaindex._sessions import Session
from ci_integrations.llamaindex.events import (
    ChartCreated,
    CodeExecutionEndEvent,
    CodeExecutionFinished,
    CodeExecutionStarted,
    CodeExecutionStartEvent,
    CodeOutput,
)
from ci_integrations.results.result import ExecutionResult

_log = logging.getLogger(__name__)
_dispatcher = get_dispatcher(__name__)
_REPLACED = frozenset({"state_lost", "restored", "not_restored", "context_restarted"})
"""Types of sandbox events after which the variables of earlier cells are gone."""


class RunOptions(TypedDict, total=False):
    """Options of the interpreter's `run` that a cell is given."""

    timeout: float | None
    context: object
    tool_call_id: str | None


def limits(timeout: float | None) -> RunOptions:
    """Returns the options for `timeout` seconds a cell; None leaves it to the interpreter's `execution_timeout`."""
    return {} if timeout is None else {"timeout": timeout}


CALLS = "code_interpreter_calls"
"""Where a Context's store keeps the calls of the model's last message, written by `CodeInterpreterAgentMixin`."""

Prepare = Callable[[AnyInterpreter], Flow[None]]
"""Does what must come before the cell, as steps."""


def run(session: Session[CodeInterpreter], code: str, **options: Unpack[RunOptions]) -> ExecutionResult:
    """Runs `code` and waits: see `cell`."""
    # Since workflows 2 a Context's stream refuses writers from another thread: only `on_output` hears a blocking call.
    return drive(cell(session, code, **options))


async def arun(
    session: Session[AsyncCodeInterpreter], code: str, *, ctx: Context | None = None, **options: Unpack[RunOptions]
) -> ExecutionResult:
    """Runs `code` as `run` does, awaited. Cancelling it interrupts the kernel."""
    return await adrive(cell(session, code, ctx=ctx, **options))


def cell(
    session: Session[AnyInterpreter],
    code: str,
    *,
    ctx: Context | None = None,
    on_output: OutputHandler | None = None,
    prepare: Prepare | None = None,
    **options: Unpack[RunOptions],
) -> Flow[ExecutionResult]:
    """Runs `code`. A run-time failure, such as a lost sandbox, is a result too.

    `ctx` gets started, output, chart and finished events. Tracing gets start and end events; the end also when the
    caller is cancelled or misconfigured. Raises what `is_run_time_failure` does not take for one, such as
    `ConfigurationError`.
    """
    live = _Live(session, ctx, on_output)

    def work(interpreter: AnyInterpreter) -> Flow[ExecutionResult]:
        if prepare is not None:
            yield from prepare(interpreter)
        with calling("code_interpreter", _bare(options.get("tool_call_id")), session.key):
            result: ExecutionResult = yield partial(interpreter.run, code, on_output=live.handler, **options)
        return result

    # Before anything else: who cancels the run at this event must find a call that can be cancelled.
    live.write(lambda: CodeExecutionStarted(code=session.redactor.text(code), session_id=session.key))
    _trace(lambda: CodeExecutionStartEvent(session_id=session.key, code_length=len(code)))
    ended: ExecutionResult | None = None
    # An asynchronous call may be cancelled here, and a tracer must not be left with an open execution.
    try:
        result = yield from attempted(lambda: session.interpreter, work, lambda: (code, "python"))
        yield from settled(live.rest)
        ended = session.redactor.result(result)
    finally:
        _trace(lambda: _end_event(session.key, ended))
    live.write_result(ended)
    return ended


def settled(step: Step) -> Flow[None]:
    """Does a step that may be asynchronous on either face: a user's handler, a Context's store."""
    waiting = yield step
    # `adrive` has awaited it, and gives its value back; `drive` has not.
    if inspect.isawaitable(waiting):
        asyncio_run(_all([waiting]))


def _bare(kept_as: str | None) -> str | None:
    """Returns the id that the model gave a call, from the name under which its result is kept: see `cache_key`."""
    parts = (kept_as or "").split("/")
    return parts[1] if len(parts) == 3 else kept_as


async def call_id(ctx: Context | None, code: str) -> str | None:
    """Returns the id of the call that runs `code`; None where the agent did not keep it, or two calls have one code."""
    if ctx is None:
        return None
    # LlamaIndex does not hand the call's id to its tool, so the call is found by its code.
    keys = await ctx.store.get(CALLS, default=None)
    ending = str(cache_key("", code)).rpartition("/")[2]
    found = [key for key in keys or () if str(key).endswith(ending)]
    return found[0] if len(found) == 1 else None


class _Live:
    """Hands on what a running cell gives: to the Context's stream and to the user's handler, without secrets."""

    def __init__(self, session: Session[AnyInterpreter], ctx: Context | None, on_output: OutputHandler | None) -> None:
        self._session_id = session.key
        self._redactor = LiveRedactor(session.redactor)
        self._ctx = ctx
        self._on_output = on_output

    def tell(self, event: OutputEvent) -> Awaitable[None] | None:
        """Hands on one event. What it returns has to be awaited: a slow handler then holds the output back."""
        return self._hand_on(self._redactor.events(event))

    def rest(self) -> Awaitable[None] | None:
        """Hands on what was held back because it could have been the beginning of a secret."""
        return self._hand_on(self._redactor.rest())

    @property
    def handler(self) -> OutputHandler | None:
        """What the interpreter is given; None where nobody listens, so that no event is made for nobody."""
        return self.tell if self._ctx is not None or self._on_output is not None else None

    def write(self, event: Callable[[], Event]) -> None:
        """Writes to the Context's stream. Without a running workflow there is none, and no event is made."""
        if self._ctx is None:
            return
        try:
            self._ctx.write_event_to_stream(event())
        except Exception as error:  # noqa: BLE001 - a Context outside of a run has no stream; the cell must run anyway
            _log.debug("no event stream in this Context: %s", error)
            self._ctx = None

    def write_result(self, result: ExecutionResult) -> None:
        """Writes the events that come after a cell."""
        if self._ctx is None:
            return
        raw = result.model_dump(mode="json")
        for artifact in raw["artifacts"]:
            if artifact["kind"] == "chart":
                self.write(partial(ChartCreated, artifact=artifact, session_id=self._session_id))
        self.write(partial(CodeExecutionFinished, result=raw, session_id=self._session_id))

    def _hand_on(self, events: Iterator[OutputEvent]) -> Awaitable[None] | None:
        waiting: list[Awaitable[None]] = []
        for event in events:
            self.write(partial(CodeOutput, stream=event.kind, text=event.text, session_id=self._session_id))
            answer = self._on_output(event) if self._on_output is not None else None
            if inspect.isawaitable(answer):
                waiting.append(answer)
        return _all(waiting) if waiting else None


async def _all(waiting: list[Awaitable[None]]) -> None:
    for one in waiting:
        await one


def _trace(event: Callable[[], BaseEvent]) -> None:
    """Sends an event to the handlers of tracing. Without one no event is made, which costs more than this look."""
    teller = _dispatcher
    while all(isinstance(handler, NullEventHandler) for handler in teller.event_handlers):
        if not teller.propagate:
            return
        teller = teller.parent
    _dispatcher.event(event())


def _end_event(session_id: str, result: ExecutionResult | None) -> CodeExecutionEndEvent:
    if result is None:
        return CodeExecutionEndEvent(session_id=session_id, incomplete=True)
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
