"""Runs a cell: once, within its limit, and with a true account of what happened to it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from ci_integrations._core.conversation.seen import Seen
from ci_integrations._core.failures import KERNEL_DEATH, StreamEndedError
from ci_integrations._core.flow import AnyCall, Flow
from ci_integrations._core.hidden.languages import check_plain
from ci_integrations._core.kernels import GRACE, PATIENCE, SOON, Glimpse
from ci_integrations._core.live_cell import BACKLOG, LiveCell
from ci_integrations._core.notices import CANCELLED, DEATHS, INTERRUPTED, too_slow
from ci_integrations._core.options import check_envs
from ci_integrations._core.output import CellOutput, OutputHandler, signed_address
from ci_integrations._core.placing.branches import with_news
from ci_integrations._core.placing.choosing import Placing
from ci_integrations._core.repair import CellCall
from ci_integrations._core.state import Doubt, KernelState, Ran
from ci_integrations._core.uploads import came_from
from ci_integrations._core.variables import is_blank
from ci_integrations._core.workspace import Workspace
from ci_integrations._errors import ConfigurationError
from ci_integrations._names import language_name
from ci_integrations._telemetry import content, span
from ci_integrations.errors import QueueTimeoutError
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    from e2b_code_interpreter import Context

logger = logging.getLogger("ci_integrations")

LONGEST_LOOK = 15.0
"""Seconds in which a kernel is asked what became of a cell that it gave no sign of, within the cell's own limit."""

LENDINGS = 3
"""How often a call's variables are set in a kernel that dies again and again, before the call gives up."""

SDK_MARGIN = 10
"""Seconds beyond our own limit at which the SDK gives up; a safety net for a stream that we could not close."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Holds one call of `run`. Raises ConfigurationError for arguments that cannot be meant."""

    code: str
    language: str | None = None
    context: Context | None = None
    envs: Mapping[str, str] | None = None
    timeout: float | None = None
    on_output: OutputHandler | None = None
    tool_call_id: str | None = None
    replayable: bool = False
    seen: Seen | None = None
    """What a tool call sees of its conversation, which then decides about the kernel."""

    def __post_init__(self) -> None:
        if self.language is not None and not isinstance(self.language, str):
            raise ConfigurationError(f'language= is a name such as "python", not {self.language!r}')
        if self.context is not None and self.language:
            raise ConfigurationError("give context= or language=, not both: a context has its language")
        if self.on_output is not None and not callable(self.on_output):
            raise ConfigurationError(f"on_output= is a function that takes an OutputEvent, not {self.on_output!r}")
        check_envs(self.envs)


class Cells:
    """Runs the cells of one session."""

    def __init__(self, workspace: Workspace, placing: Placing) -> None:
        self.state, self.client, self.placing = workspace.state, workspace.client, placing
        self.lifecycle, self.repair = workspace.lifecycle, workspace.repair
        self.carrier, self.kernels = workspace.carrier, workspace.kernels

    def run(self, request: Request) -> Flow[ExecutionResult]:
        """Runs one cell when its kernel's turn has come. See `CodeInterpreter.run`."""
        state = self.state
        state.check_usable()
        kernel = yield from self._kernel(request)
        try:
            if not (yield partial(self.client.face.acquire, kernel.lock, state.options.queue_timeout)):
                raise QueueTimeoutError(
                    f"other cells held this session for {state.options.queue_timeout} s; nothing ran"
                )
            try:
                with state.in_use():
                    return (yield from self._once(kernel, request))
            finally:
                kernel.lock.release()
        finally:
            kernel.users -= 1

    def _kernel(self, request: Request) -> Flow[KernelState]:
        """Returns the kernel that the cell runs in, as one more user of it."""
        chooses = request.seen is not None and request.context is None and language_name(request.language) == "python"
        if request.seen is not None and chooses:
            return (yield from self.placing.kernel_for(request.seen, request.on_output))
        kernel = self.state.kernel(request.language, request.context)
        kernel.users += 1
        return kernel

    def _once(self, kernel: KernelState, request: Request) -> Flow[ExecutionResult]:
        """Runs the cell, unless its tool call was answered before: then it gets the same answer."""
        known = self.state.cached_result(request.tool_call_id, request.code)
        if known is not None:
            return known.model_copy(update={"remembered": True})
        with span("run", session=self.state.id, language=kernel.language) as said:
            result = yield from self._run(kernel, request)
            if request.seen is not None:
                result = with_news(self.placing, request.seen, kernel, result)
            said["outcome"] = result.error.name if result.error else "ok"
            said.update(content(code=request.code, stdout=result.stdout, stderr=result.stderr, text=result.text or ""))
            said["recovered"] = any(event.type == "state_lost" for event in result.events)
            said["bytes"] = len(result.stdout.encode()) + len(result.stderr.encode())
        self.state.cache_result(request.tool_call_id, result)
        return result

    def _run(self, kernel: KernelState, request: Request) -> Flow[ExecutionResult]:
        began = time.monotonic()
        cell = CellCall(
            kernel=kernel,
            result=partial(self._cut_short, kernel, request),
            tool_call_id=request.tool_call_id,
            on_output=request.on_output,
        )
        for attempt in self.repair.attempts(partial(CellOutput, began=began), limit=request.timeout, cell=cell):
            try:
                yield from self.ready(kernel, request)
                yield from self._lend(kernel, request)
                attempt.sent = True
                return (yield from self._execute(kernel, request, attempt.received))
            except Exception as error:  # noqa: BLE001 - what is not a sandbox's failure is raised again
                result = yield from self.repair.recover(error, attempt)
            if result is not None:  # it was built before the repair, which takes its time too
                return result.model_copy(update={"duration": time.monotonic() - began})
        raise AssertionError("the last attempt ends with a result or an error")

    def ready(self, kernel: KernelState, request: Request) -> Flow[None]:
        """Makes sure that the sandbox is open, its lease covers this cell, and the kernel is prepared and answers."""
        yield from self.lifecycle.open(request.on_output)
        yield from self.lifecycle.renew_lease(request.timeout)
        yield from self.carrier.ready(kernel)

    def _lend(self, kernel: KernelState, request: Request) -> Flow[None]:
        """Sets the variables of this call, where the server cannot do that well. Raises TimeoutError."""
        if not request.envs or self.kernels.is_ours():
            return
        if kernel.language != "python":
            check_plain(kernel.language, request.envs)
            return
        for _ in range(LENDINGS):
            if (yield from self.kernels.lend(kernel, request.envs)):
                return
            yield from self.carrier.ready(kernel)
        raise TimeoutError("the kernel did not take this call's variables")

    def _execute(self, kernel: KernelState, request: Request, received: CellOutput) -> Flow[ExecutionResult]:
        """Runs the cell in one attempt. Raises what the SDK raises."""
        cell = self.client.face.start_cell(self._sdk_call(kernel, request), received, request.on_output)
        kernel.busy = self.state.has_state = True
        try:
            if not (yield from self._ended(cell, request.timeout)):
                return (yield from self._too_slow(cell, kernel, request, received))
        except GeneratorExit:  # the driver is gone: no step can be done any more
            raise
        except BaseException:  # cancelled or interrupted: the kernel is to be usable afterwards
            cell.mute()
            yield from self.client.shielded(partial(self.stop, cell, kernel, received))
            unread = self._result(kernel, request, received, incomplete=True)
            cut = ExecutionError(name="Cancelled", value=CANCELLED)
            told = unread.model_copy(update={"error": cut}) if request.tool_call_id else unread
            self.state.cache_result(request.tool_call_id, told)
            # The caller is gone and will not read this result: the next one tells its events.
            kernel.pending_events = list(unread.events)
            raise
        finally:
            kernel.busy = False
        execution = cell.execution()
        received.execution_count = execution.execution_count
        if _is_death(received) and (yield from self._is_believed(kernel, received)):
            return (yield from self._died(kernel, request, received))
        if not (received.anything or received.execution_count):
            raise StreamEndedError("the answer ended before it began")
        yield from self._look_after_a_jump(kernel, received.execution_count)
        return (yield from self._finished(kernel, request, received))

    def _is_believed(self, kernel: KernelState, received: CellOutput) -> Flow[bool]:
        """Returns whether an error that reads like the server's own is taken for it.

        On our own kernels it is: the server gives a traceback to whatever comes from code. Elsewhere code can raise the
        same, so that a death of a cell that had started is one only when the kernel's process is gone.
        """
        named = received.error is not None and received.error.name == "ContextRestarting"
        if self.kernels.is_ours() or not (named and _had_started(received)):
            return True
        return (yield from self.kernels.has_ended(kernel))

    def _look_after_a_jump(self, kernel: KernelState, count: int | None) -> Flow[None]:
        """Asks a kernel in which somebody else has run cells which process it is: theirs may have taken ours away.

        Whether its count is higher than ours says nothing then.
        """
        if kernel.process is None or kernel.count is None or count is None or count <= kernel.count + 1:
            return
        yield from self.client.quietly(self.kernels.look(kernel, PATIENCE, "the kernel had died before this code ran"))

    def _ended(self, cell: LiveCell, timeout: float | None) -> Flow[bool]:
        """Waits for the cell's end. Without a limit of its own, its sandbox is kept alive meanwhile."""
        if timeout is not None:
            return bool((yield partial(cell.wait, timeout)))
        while not (yield partial(cell.wait, self.state.options.sandbox_timeout / 3)):
            yield from self.client.quietly(self.lifecycle.renew_lease(None))
        return True

    def _sdk_call(self, kernel: KernelState, request: Request) -> AnyCall:
        where: dict[str, object] = {"context": kernel.context} if kernel.context else {"language": request.language}
        return partial(
            self.client.sandbox.run_code,
            request.code,
            **where,
            envs=self._envs_for_server(kernel, request),
            timeout=0 if request.timeout is None else request.timeout + SDK_MARGIN,
        )

    def _envs_for_server(self, kernel: KernelState, request: Request) -> dict[str, str] | None:
        """Returns the variables that the server is to set: see `_lend` for the others."""
        by_server = kernel.language != "python" or self.kernels.is_ours()
        return dict(request.envs) if request.envs and by_server else None

    def _finished(self, kernel: KernelState, request: Request, received: CellOutput) -> Flow[ExecutionResult]:
        """Returns the result of a cell whose stream came to its end. Notices a kernel that was replaced meanwhile."""
        restarted = self.kernels.is_new_process(kernel, received.execution_count)
        if restarted and (yield from self.kernels.has_ended(kernel)):
            self.kernels.lost(kernel, "the kernel had died before this code ran")
        kernel.count, kernel.last_code = received.execution_count, request.code
        if received.error is None:
            kernel.journal.append(request.code)
            kernel.replayable += [request.code] if request.replayable else []
        return self._result(kernel, request, received)

    def _died(self, kernel: KernelState, request: Request, received: CellOutput) -> Flow[ExecutionResult]:
        """Returns the result of a cell in whose kernel's place the server answered. It is not run again.

        The kernel is asked what happened, as long as the cell's own limit allows: that decides what is said, no more.
        """
        error = received.error
        if error is None:
            raise AssertionError("a death is told by an error")
        started = _had_started(received)
        if started and error.name == "ContextRestarting":
            self.kernels.lost(kernel, "the kernel died while this code ran")
            return self._result(kernel, request, received, incomplete=True)
        before = copy(kernel)
        kernel.doubt = Doubt.STARTING
        limit = LONGEST_LOOK if request.timeout is None else request.timeout
        spent = time.monotonic() - (received.began or time.monotonic())
        within = max(PATIENCE, min(limit - spent, LONGEST_LOOK))
        why, seen = "the kernel died before or while this code ran", None
        try:
            seen = yield from self.kernels.look(kernel, within, why)
        except Exception as failure:  # noqa: BLE001 - the sandbox has a trouble of its own: the next call's matter
            logger.debug("session %s: %s", self.state.id, failure)
        if seen is None and (yield from self.kernels.has_ended(before)):
            self.kernels.lost(kernel, why)
        if not started:
            said = type(error)(name=error.name, value=DEATHS[_what_happened(before, seen, request.code)], traceback="")
            return self._cut_short(kernel, request, received, said)
        return self._result(kernel, request, received, incomplete=True)

    def _too_slow(
        self, cell: LiveCell, kernel: KernelState, request: Request, received: CellOutput
    ) -> Flow[ExecutionResult]:
        """Stops a cell that has reached its limit, and keeps the kernel if it can be kept."""
        yield from self.client.tell(request.on_output, "interrupted")
        left = yield from self.stop(cell, kernel, received)
        received.error = None  # the KeyboardInterrupt is ours, not the code's
        if left == "kept":
            kernel.pending_events.append(INTERRUPTED)
        return self._cut_short(kernel, request, received, too_slow(request.timeout, left))

    def stop(
        self, cell: LiveCell, kernel: KernelState, received: CellOutput
    ) -> Flow[Literal["kept", "restarted", "unknown"]]:
        """Ends a running cell, and say what is left: the variables, a fresh kernel, or nobody knows.

        From the mildest to the harshest: SIGINT, closing the stream (the server interrupts the kernel then), and the
        end of the kernel's process. The answer does not wait until a fresh kernel runs: the next call does.
        """
        if (yield from self.kernels.signal(kernel)) and (yield partial(cell.wait, GRACE, BACKLOG)):
            # Of a flood, memory may end before the limit is reached.
            if _is_death(received) and (yield from self._is_believed(kernel, received)):
                self.kernels.lost(kernel, "the kernel died while this code ran")
                return "restarted"
            if cell.succeeded():
                return "kept"
        yield cell.close
        # Asked also where the stream could not be closed: it may hang on its way, and the kernel be idle. Of a flood an
        # answer would wait behind the output.
        if not cell.flowing and (yield from self.kernels.answers(kernel)):
            return "kept"
        if not (yield from self.kernels.force(kernel)):
            kernel.doubt, kernel.end_untold = Doubt.STARTING, True
            return "unknown"
        self.kernels.lost(kernel, "the code did not react to an interrupt, so its kernel was restarted")
        if not cell.flowing:
            yield partial(cell.wait, SOON)
        return "restarted"

    def _cut_short(
        self, kernel: KernelState, request: Request, received: CellOutput, error: ExecutionError
    ) -> ExecutionResult:
        return self._result(kernel, request, received, error=error, incomplete=True)

    def _result(self, kernel: KernelState, request: Request, received: CellOutput, **known: object) -> ExecutionResult:
        """Returns what the cell gave, with the events that were waiting for a result to tell them."""
        state = self.state
        events, kernel.pending_events, state.pending_events = tuple(kernel.pending_events), [], []
        commanded, state.commanded = state.commanded, False
        return received.result(
            address=self._address,
            origin=partial(came_from, state.uploads, commanded=commanded),
            code=request.code,
            language=kernel.language,
            events=events,
            backend=state.backend,
            sandbox_id=state.sandbox_id,
            context_id=getattr(kernel.context, "id", None),
            kernel=self.placing.stamp(kernel, self._number(kernel, request, received)),
            template_id=state.template_id,
            **known,
        )

    def _address(self, path: str) -> str | None:
        """Returns the download address of a file, which works as long as its sandbox, also without the session."""
        address = signed_address(self.client.sandbox, path)
        self.state.lent = self.state.lent or address is not None
        return address

    def _number(self, kernel: KernelState, request: Request, received: CellOutput) -> int:
        """Returns the cell's number in its kernel, which is not said for one that was stopped, and notes the cell."""
        if received.execution_count is None:
            kernel.uncounted += 1
            number = (kernel.count or 0) + kernel.uncounted
        else:
            kernel.uncounted, number = 0, received.execution_count
        asked_by = request.seen.asked_by if request.seen is not None else None
        kernel.ran.append(Ran(number, asked_by, request.code))
        return number


def _is_death(received: CellOutput) -> bool:
    """Returns True when the server wrote the cell's error. An exception that code raised has a traceback."""
    error = received.error
    return error is not None and error.name in KERNEL_DEATH and not error.traceback


def _had_started(received: CellOutput) -> bool:
    """Returns True when the kernel gave a sign that it had taken the cell."""
    return received.output or received.execution_count is not None


def _what_happened(
    before: KernelState, seen: Glimpse | None, code: str
) -> Literal["ran", "lost", "not run", "unknown"]:
    """Returns what became of a cell without a sign that it started, from what its kernel was and what it is now.

    That is a key of `DEATHS`.
    The number that a kernel gives to its next cell says how many it ran. Only a Python kernel says which process it is.
    """
    if seen is None or seen.count is None or seen.process is None or before.process is None or is_blank(code):
        return "unknown"
    if seen.process != before.process:
        return "ran" if seen.count > 1 else "unknown"
    if before.count is None:
        return "unknown"
    return "lost" if seen.count > before.count + (not before.last_was_blank()) else "not run"
