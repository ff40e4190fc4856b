"""How a cell runs: once, within its limit, and with the truth about what happened to it."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ci_integrations._core.failures import (
    BEFORE_THE_START,
    KERNEL_DEATH,
    KernelWasDeadError,
    StreamEndedError,
    classify,
)
from ci_integrations._core.flow import Flow
from ci_integrations._core.kernels import GRACE, PATIENCE, PROBE, PROBE_SECONDS, WHO, _process
from ci_integrations._core.options import check_envs
from ci_integrations._core.output import CellOutput, OutputHandler, status, with_addresses
from ci_integrations._core.repair import Attempt, Recovering
from ci_integrations._core.state import KernelState
from ci_integrations._errors import ConfigurationError
from ci_integrations._telemetry import content, span
from ci_integrations.errors import QueueTimeoutError
from ci_integrations.results.model import ExecutionError, SandboxEvent
from ci_integrations.results.result import ExecutionResult

logger = logging.getLogger("ci_integrations")

SDK_MARGIN = 10
"""Seconds beyond our own limit at which the SDK gives up; a safety net for a stream that we could not close."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of `run`."""

    code: str
    language: str | None = None
    context: Any = None
    envs: Mapping[str, str] | None = None
    timeout: float | None = None
    on_output: OutputHandler | None = None
    tool_call_id: str | None = None
    replayable: bool = False

    def __post_init__(self) -> None:
        if self.language is not None and not isinstance(self.language, str):
            raise ConfigurationError(f'language= is a name such as "python", not {self.language!r}')
        if self.context is not None and self.language:
            raise ConfigurationError("give context= or language=, not both: a context has its language")
        if self.on_output is not None and not callable(self.on_output):
            raise ConfigurationError(f"on_output= is a function that takes an OutputEvent, not {self.on_output!r}")
        check_envs(self.envs)


class Running(Recovering):
    """Cells."""

    def run(self, request: Request) -> Flow[ExecutionResult]:
        """Run one cell and say what happened. See `CodeInterpreter.run`."""
        session = self.session
        session.check_usable()
        kernel = session.kernel(request.language, request.context)
        if not (yield partial(self.face.acquire, kernel.lock, session.options.queue_timeout)):
            raise QueueTimeoutError(f"other cells held this session for {session.options.queue_timeout} s; nothing ran")
        try:
            with session.in_use():
                return (yield from self._once(kernel, request))
        finally:
            kernel.lock.release()

    def _once(self, kernel: KernelState, request: Request) -> Flow[ExecutionResult]:
        """A tool call that was answered before gets the same answer."""
        known = self.session.cached_result(request.tool_call_id, request.code)
        if known is not None:
            return known
        with span("run", session=self.session.id, language=kernel.language) as said:
            result = yield from self._run(kernel, request)
            said["outcome"] = result.error.name if result.error else "ok"
            said.update(content(code=request.code, stdout=result.stdout, stderr=result.stderr, text=result.text or ""))
            said["recovered"] = any(event.type == "state_lost" for event in result.events)
            said["bytes"] = len(result.stdout.encode()) + len(result.stderr.encode())
        self.session.last_result = result
        self.session.cache_result(request.tool_call_id, result)
        return result

    def _run(self, kernel: KernelState, request: Request) -> Flow[ExecutionResult]:
        began, may_have_run = time.monotonic(), False
        policy = self.session.options.recovery
        for number in itertools.count(1):
            received = CellOutput()
            attempt = Attempt(
                number=number,
                generation=self.session.generation,
                received=received,
                give_up=began + (request.timeout or 0.0) + policy.deadline,
                may_have_run=may_have_run,
                tool_call_id=request.tool_call_id,
                kernel=kernel,
                on_output=request.on_output,
                result=partial(self._result, kernel, request, received, incomplete=True),
            )
            try:
                yield from self.ready(kernel, request)
                attempt.sent = True
                result = yield from self._execute(kernel, request, received)
            except Exception as error:  # noqa: BLE001 - what is not a sandbox's failure is raised again
                rule = classify(error)
                if rule is None:
                    raise self.with_result(error, attempt) from error.__cause__
                ended = yield from self.recover(rule, error, attempt)
                if ended is None:
                    may_have_run = attempt.may_have_run
                    continue
                result = ended
            return result.model_copy(update={"duration": time.monotonic() - began})
        raise AssertionError

    def ready(self, kernel: KernelState, request: Request) -> Flow[None]:
        """A sandbox that lives long enough, and a kernel that we know."""
        yield from self.open(request.on_output)
        yield from self.renew_lease(request.timeout)
        if kernel.prepared != self.session.generation:
            yield from self.prepare(kernel)

    def prepare(self, kernel: KernelState) -> Flow[None]:
        """Our hidden first cell in a Python kernel: its process id, and the chart extractor."""
        if kernel.stale:
            context = partial(self.sandbox.create_code_context, kernel.context.cwd, kernel.language)
            kernel.context, kernel.stale = (yield from self.call(context)), False
        if kernel.language == "python":
            execution = yield from self._hidden(kernel, (yield from self._first_code()))
            if execution.error is not None:
                why = f"{execution.error.name}: {execution.error.value}"
                logger.warning("session %s: charts come without data: %s", self.session.id, why)
                execution = yield from self._hidden(kernel, PROBE)
            kernel.process = _process("".join(execution.logs.stdout))
        kernel.prepared = self.session.generation

    def _hidden(self, kernel: KernelState, code: str) -> Flow[Any]:
        run = partial(self.sandbox.run_code, code, context=kernel.context, timeout=PROBE_SECONDS)
        return self.call(run, timeout=PROBE_SECONDS)

    def _first_code(self) -> Flow[str]:
        """The hidden cell. It switches the extractor on; in the cloud its source is written there once per sandbox."""
        session = self.session
        if not session.options.inject_extractor:
            return PROBE
        from ci_integrations.charts import extractor

        if session.backend != "local" and session.injected != session.sandbox_id:
            files = [{"path": path, "data": text} for path, text in extractor.source_files().items()]
            yield from self.call(self.sandbox.files.write_files, files)
            session.injected = session.sandbox_id
        return f"{extractor.bootstrap_code()}\n{WHO}"

    def _execute(self, kernel: KernelState, request: Request, received: CellOutput) -> Flow[ExecutionResult]:
        """One attempt. Raises what the SDK raises."""
        cell = self.face.start_cell(self._sdk_call(kernel, request), received, request.on_output)
        kernel.busy = self.session.has_state = True
        try:
            if not (yield from self._ended(cell, request.timeout)):
                return (yield from self._too_slow(cell, kernel, request, received))
        except GeneratorExit:
            raise
        except BaseException:
            cell.mute()
            yield from self.shielded(partial(self.stop, cell, kernel))
            self.session.last_result = self._result(kernel, request, received, incomplete=True)
            kernel.pending_events = list(
                self.session.last_result.events
            )  # the caller has left: the next one hears of it
            raise
        finally:
            kernel.busy = False
        execution = cell.execution()
        received.execution_count = execution.execution_count
        if received.execution_count is None and not received.output:
            raise _without_a_start(received)
        return self._finished(kernel, request, received)

    def _ended(self, cell: Any, timeout: float | None) -> Flow[bool]:
        """Wait for the cell's end. Without a limit of its own its sandbox is kept alive meanwhile."""
        if timeout is not None:
            return bool((yield partial(cell.wait, timeout)))
        while not (yield partial(cell.wait, self.session.options.sandbox_timeout / 3)):
            yield from self.quietly(self.renew_lease(None))
        return True

    def _sdk_call(self, kernel: KernelState, request: Request) -> Callable[..., Any]:
        where: dict[str, Any] = {"context": kernel.context} if kernel.context else {"language": request.language}
        return partial(
            self.sandbox.run_code,
            request.code,
            **where,
            envs=dict(request.envs) if request.envs else None,
            timeout=0 if request.timeout is None else request.timeout + SDK_MARGIN,
        )

    def _finished(self, kernel: KernelState, request: Request, received: CellOutput) -> ExecutionResult:
        """The result of a cell whose stream came to its end; notices a kernel that was replaced meanwhile."""
        if received.error is not None and received.error.name in KERNEL_DEATH:
            self.kernel_lost(kernel, "the kernel died while this code ran")
            return self._result(kernel, request, received, incomplete=True)
        if self.is_new_process(kernel, received.execution_count):
            self.kernel_lost(kernel, "the kernel had died before this code ran")
        kernel.count, kernel.last_code = received.execution_count, request.code
        if received.error is None:
            kernel.journal.append(request.code)
            kernel.replayable += [request.code] if request.replayable else []
        return self._result(kernel, request, received)

    def _too_slow(
        self, cell: Any, kernel: KernelState, request: Request, received: CellOutput
    ) -> Flow[ExecutionResult]:
        """The limit is reached: stop the cell, keep the kernel if it can be kept."""
        yield partial(self.face.tell, request.on_output, status("interrupted"))
        left = yield from self.stop(cell, kernel)
        received.error = None
        if left == "kept":
            kernel.pending_events.append(_INTERRUPTED)
        error = ExecutionError(
            name="ExecutionTimeout",
            value=f"the code ran longer than {request.timeout:g} s and was {_LEFT[left]}",
        )
        return self._result(kernel, request, received, error=error, incomplete=True)

    def stop(self, cell: Any, kernel: KernelState) -> Flow[Literal["kept", "restarted", "unknown"]]:
        """End a running cell, and say what is left: the variables, a fresh kernel, or nobody knows."""
        signalled = yield from self.signal(kernel)
        if signalled and (yield partial(cell.wait, GRACE)):
            return "kept"
        yield cell.close
        if (yield from self.answers(kernel, GRACE if signalled else PATIENCE)):
            return "kept"
        if not (yield from self.quietly(self.restart(kernel))):
            return "unknown"
        self.kernel_lost(kernel, "the code did not react to an interrupt, so its kernel was restarted")
        yield partial(cell.wait, GRACE)
        return "restarted"

    def signal(self, kernel: KernelState) -> Flow[bool]:
        """SIGINT to the kernel's process. False when its process id is not known or the call failed."""
        if kernel.process is None:
            return False
        pid, uid = kernel.process
        user = "root" if uid == 0 else None
        send = partial(self.sandbox.commands.run, f"kill -INT {pid}", user=user, timeout=PATIENCE)
        return (yield from self.quietly(self.call(send, timeout=PATIENCE)))

    def answers(self, kernel: KernelState, within: float) -> Flow[bool]:
        """True when the kernel runs a cell without delay."""
        probe = partial(self.sandbox.run_code, "", context=kernel.context, timeout=PATIENCE)
        return (yield from self.quietly(self.call(probe, timeout=within)))

    def restart(self, kernel: KernelState) -> Flow[None]:
        """A fresh kernel under the same context id."""
        context = kernel.context or (yield from self._default_context(kernel.language))
        yield from self.call(self.sandbox.restart_code_context, context, timeout=PATIENCE)

    def _default_context(self, language: str) -> Flow[Any]:
        contexts = yield from self.call(self.sandbox.list_code_contexts, timeout=PATIENCE)
        return next(context for context in contexts if context.language == language)

    def _result(self, kernel: KernelState, request: Request, received: CellOutput, **known: Any) -> ExecutionResult:
        session = self.session
        events, kernel.pending_events, self.session.pending_events = tuple(kernel.pending_events), [], []
        result = received.result(
            code=request.code,
            language=kernel.language,
            events=events,
            backend=session.backend,
            sandbox_id=session.sandbox_id,
            context_id=getattr(kernel.context, "id", None),
            template_id=session.template_id,
            **known,
        )
        return with_addresses(result, self.sandbox) if result.files else result


_LEFT = {
    "kept": "stopped; variables from before are kept",
    "restarted": "stopped; variables are gone, files are kept",
    "unknown": "told to stop, but its kernel gave no answer: it is not known what is left of the variables",
}

_INTERRUPTED = SandboxEvent(
    type="interrupted", message="The code was interrupted at its time limit; the variables from before are still there."
)


def _without_a_start(received: CellOutput) -> Exception:
    """The stream ended, but the kernel never said that it had taken the cell."""
    if received.error is not None and received.error.name in BEFORE_THE_START:
        return KernelWasDeadError(received.error.value)
    return StreamEndedError("the answer ended before it began")
