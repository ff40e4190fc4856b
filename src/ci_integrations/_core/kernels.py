"""Prepares, probes, interrupts and restarts the kernels of one sandbox, and notices when one is a new process.

A kernel that dies is replaced by the server without a word. What gives it away is its execution count, which starts
again at 1, and its process id, which our hidden cell asks for. Both are the sandbox's own word: they decide what is
said, never whether code is run again.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING

from ci_integrations._core import service
from ci_integrations._core.client import SandboxClient
from ci_integrations._core.failures import KERNEL_DEATH, Failure, classify
from ci_integrations._core.flow import Flow
from ci_integrations._core.hidden.languages import is_plain, setting
from ci_integrations._core.hidden.shipping import EXTRACTOR
from ci_integrations._core.notices import INTERRUPTED, kernel_restarted
from ci_integrations._core.state import Doubt, KernelState, SessionState
from ci_integrations.errors import QueueTimeoutError

if TYPE_CHECKING:
    from e2b_code_interpreter import Context, Execution

logger = logging.getLogger("ci_integrations")

GRACE = 0.6
"""Seconds that an interrupted cell has to end: `subprocess.run` takes a quarter of one."""

SOON = 0.25
"""Seconds in which a kernel that nothing occupies runs an empty cell, and a stream whose kernel is gone ends."""

PATIENCE = 0.8
"""Seconds that one call has while a cell is being stopped and its caller waits for the answer."""

FIRST_SECONDS = 10.0
"""Seconds in which a kernel of which nothing is known runs our first hidden cell."""

RESTART_SECONDS = 15.0
"""Seconds that a restart has when nobody waits for an answer: E2B's server takes 3 to 5."""

PROBES: dict[Doubt, tuple[float, ...]] = {
    # E2B's server loses the answer to a cell that the kernel dropped because the cell before it failed. Such a probe
    # hangs, and the next one is answered at once: so the first is given up early.
    Doubt.NONE: (FIRST_SECONDS,),
    Doubt.UNANSWERED: (1.5, 5.0, 10.0),
    # A probe that is cut makes the server interrupt the kernel, which can kill one that is just starting.
    Doubt.STARTING: (6.0,),
}
"""Seconds that each hidden cell has before a user's cell, by what is not known of the kernel."""

_SHORTEST = 0.05
_PAUSE = 0.2
"""Seconds between two looks at a kernel that says it is being restarted."""

_UNCLEAR = {Failure.SLOW, Failure.UNREACHABLE, Failure.CUT}

_SAID = re.compile(r'\{"ci_kernel": \[(\d+), (\d+)\], "failed": (.*)\}')


@dataclass(frozen=True)
class Glimpse:
    """Holds what a hidden cell has seen of a kernel."""

    process: tuple[int, int] | None
    """Its process id and user id in the sandbox."""
    count: int | None
    """The number that the next cell will have."""


class Kernels:
    """Does everything with a session's kernels except running cells in them."""

    def __init__(self, state: SessionState, client: SandboxClient) -> None:
        self.state, self.client = state, client

    def settle(self, kernel: KernelState) -> Flow[None]:
        """Makes sure that the kernel runs cells, and notes what is lost if it is another one than before.

        A kernel without doubt that was prepared costs no call. One that does not answer is restarted, and replaced by a
        fresh context when that does not help. Raises QueueTimeoutError when that takes longer than `queue_timeout`.
        """
        if kernel.doubt is Doubt.NONE:
            if kernel.prepared == self.state.generation:
                return
            if kernel.language != "python":  # nothing is hidden there: its first cell is the user's
                yield from self._renew_context(kernel)
                yield from self._set_variables(kernel)
                kernel.prepared = self.state.generation
                return
        queue = self.state.options.queue_timeout
        give_up = math.inf if queue is None else time.monotonic() + queue
        for seconds in PROBES[kernel.doubt]:
            if (yield from self.look(kernel, self._within(seconds, give_up))) is not None:
                return
        if kernel.doubt is Doubt.NONE:
            raise TimeoutError("the kernel did not run a first cell in time")
        for restart in (self.restart, self.restart, self._new_context):
            done = yield from self.client.quietly(restart(kernel, self._within(RESTART_SECONDS, give_up)))
            again = "it gave no answer"
            if done and (yield from self.look(kernel, self._within(FIRST_SECONDS, give_up), again)) is not None:
                return
        raise TimeoutError("the kernel could not be brought back")

    def _set_variables(self, kernel: KernelState) -> Flow[None]:
        """Sets the sandbox's variables in a kernel of another language, where the server would break its first cell."""
        envs = self.state.options.envs or {}
        if self.is_ours() or all(map(is_plain, envs.values())):
            return
        for _ in range(2):  # the first is the one that the server breaks
            execution = yield from self.hidden(kernel, setting(kernel.language, envs), FIRST_SECONDS)
            if execution.error is None:
                return

    @staticmethod
    def _within(seconds: float, give_up: float) -> float:
        left = give_up - time.monotonic()
        if left <= 0:
            raise QueueTimeoutError("the kernel was not ready in time after a restart; nothing ran")
        return min(seconds, left)

    def look(self, kernel: KernelState, within: float, why: str = "it had died") -> Flow[Glimpse | None]:
        """Runs the hidden cell, which also prepares the kernel. None when no answer came in so many seconds.

        A kernel that turns out to be another one has lost its variables; `why` tells the model how that came.
        """
        give_up, failed, unsaid = time.monotonic() + within, False, 0
        while (left := give_up - time.monotonic()) > 0:
            execution = yield from self._first_cell(kernel, left, unsaid)
            if execution is None:
                return None
            if _is_dying(kernel, execution):
                kernel.doubt = Doubt.STARTING
                yield from self.client.sleep(_PAUSE)
            elif execution.error is None or failed:
                return (yield from self._take(kernel, execution, why))
            else:  # an interrupt for an earlier cell, or what E2B's server puts before a context's first cell
                failed, unsaid = True, unsaid + _did_not_begin(execution)
        return None

    def _first_cell(self, kernel: KernelState, within: float, unsaid: int) -> Flow[Execution | None]:
        """Runs the hidden first cell once. None: no answer, from a kernel in doubt. Raises what the SDK raises.

        `unsaid`: how many such cells just before it failed before they could take themselves out of the history.
        """
        try:
            yield from self._renew_context(kernel)
            code = (yield from self._first_code(unsaid)) if kernel.language == "python" else ""
            return (yield from self.hidden(kernel, code, within))
        except Exception as error:
            rule = classify(error)
            if kernel.doubt is Doubt.NONE or rule is None or rule.failure not in _UNCLEAR:
                raise
            logger.debug("session %s: a kernel gives no answer: %s", self.state.id, error)
            return None

    def _renew_context(self, kernel: KernelState) -> Flow[None]:
        """Makes a context again that was lost with its sandbox."""
        if kernel.stale and kernel.context is not None:
            again = partial(self.client.sandbox.create_code_context, kernel.context.cwd, kernel.language)
            kernel.context, kernel.stale = (yield from self.client.call(again)), False

    def _run(self, kernel: KernelState, code: str, within: float) -> partial[Execution]:
        where: dict[str, object] = {"context": kernel.context} if kernel.context else {"language": kernel.language}
        # The SDK gives up at twice its timeout: a request that went on would hold the kernel's turn at the server.
        return partial(self.client.sandbox.run_code, code, **where, timeout=max(within / 2, _SHORTEST))

    def hidden(self, kernel: KernelState, code: str, seconds: float) -> Flow[Execution]:
        """Runs a cell of our own, which no result tells of. See `forgotten`."""
        return self.client.call(self._run(kernel, code, seconds), within=seconds)

    def _take(self, kernel: KernelState, execution: Execution, why: str) -> Flow[Glimpse]:
        """Notes what the hidden cell has seen, and what is lost when the kernel is another one than before."""
        said = _SAID.search("".join(execution.logs.stdout)) if kernel.language == "python" else None
        failed = json.loads(said[3]) if said else execution.error and f"{execution.error.name}: {execution.error.value}"
        if failed:
            logger.warning("session %s: charts come without data: %s", self.state.id, failed)
        seen = Glimpse(_process(int(said[1]), int(said[2])) if said else None, execution.execution_count)
        if self.is_another(kernel, seen):
            if not (yield from self.has_ended(kernel)):  # it is the same, whatever it says of itself
                seen = Glimpse(kernel.process, seen.count)
            else:
                self.lost(kernel, why)
        elif kernel.end_untold:
            kernel.pending_events.append(INTERRUPTED)
        kernel.prepared, kernel.process, kernel.doubt = self.state.generation, seen.process, Doubt.NONE
        kernel.end_untold = False
        if seen.process is not None and self._is_root(seen.process[1]):
            self.state.root_kernels = self.state.sandbox_id
        return seen

    def _first_code(self, unsaid: int) -> Flow[str]:
        """Returns the hidden cell. The extractor's source is written into a sandbox without it before, once."""
        state = self.state
        # What E2B's server itself sets is wrong for a value with a quote, and gone after a kernel's death.
        envs = {} if self.is_ours() else state.options.envs
        if not state.options.inject_extractor:
            return hidden_cell(None, envs, unsaid)
        if not self.is_ours() and state.injected != state.sandbox_id:
            yield from self.client.call(self.client.sandbox.files.write_files, EXTRACTOR.files)
            state.injected = state.sandbox_id
        return hidden_cell(EXTRACTOR.folder, envs, unsaid)

    def is_ours(self) -> bool:
        """Returns True for kernels of the local server, which has the extractor and sets variables without a cell.

        Also where this process's server is used by its address, as any service of E2B's kind.
        """
        address = self.state.options.create_options.get("api_url")
        local = self.state.backend == "local" or service.local_connection_at(str(address or "")) is not None
        return local and (self.state.template_id or self.state.options.template) != "jupyter"

    def lend(self, kernel: KernelState, envs: Mapping[str, str]) -> Flow[bool]:
        """Sets variables for the next cell of a Python kernel. False: the kernel was not ready for that after all.

        E2B's server would write them before the cell, as they are: a quote breaks the cell, a cell magic is none any
        more, the lines of a traceback are others, and the traceback shows the values.
        """
        execution = yield from self.hidden(kernel, lending(envs), FIRST_SECONDS)
        if _is_dying(kernel, execution):
            kernel.doubt = Doubt.STARTING
        return execution.error is None and kernel.doubt is Doubt.NONE

    def signal(self, kernel: KernelState, name: str = "INT") -> Flow[bool]:
        """Sends a signal to the kernel's process. False when its process id is not known or the call failed."""
        if kernel.process is None:
            return False
        pid, uid = kernel.process
        # A kernel that runs as root can be signalled by root only; another one by the sandbox's default user.
        user = "root" if self._is_root(uid) else None
        command = f"kill -{name} {pid}"
        if name == "KILL":  # with the programs that its cell has started, where the kernel leads a group of its own
            command = f"kill -KILL -- -{pid} 2>/dev/null || {command}"
        send = partial(self.client.sandbox.commands.run, command, user=user, timeout=PATIENCE)
        return (yield from self.client.quietly(self.client.call(send, within=PATIENCE)))

    def _is_root(self, uid: int) -> bool:
        """Returns True for kernels of another user than commands'. The local server's own have one with them."""
        return uid == 0 and not self.is_ours()

    def answers(self, kernel: KernelState) -> Flow[bool]:
        """Returns True when the kernel runs an empty cell at once: it is the one of before, and nothing occupies it."""
        for _ in range(2):  # the server may have lost the answer to the first: see PROBES
            try:
                execution = yield from self.client.call(self._run(kernel, "", SOON), within=SOON)
            except Exception as error:  # noqa: BLE001 - no answer, whatever the reason
                logger.debug("session %s: %s", self.state.id, error)
            else:
                fresh = self.is_new_process(kernel, execution.execution_count)
                return not (fresh or _is_dying(kernel, execution))
        return False

    def force(self, kernel: KernelState) -> Flow[bool]:
        """Takes the kernel's process away, so that its cell is certainly stopped. False when no answer said so.

        By SIGKILL, which is done at once, while a restart by E2B's server takes seconds. The server starts a fresh
        kernel by itself: the next cell waits for it. Without a process id there is only the restart.
        """
        if (yield from self.signal(kernel, "KILL")):
            return True
        return (yield from self.client.quietly(self.restart(kernel, PATIENCE)))

    def restart(self, kernel: KernelState, within: float = RESTART_SECONDS) -> Flow[None]:
        """Starts a fresh kernel under the same context id."""
        context = kernel.context or (yield from self._default_context(kernel.language))
        yield from self.client.call(self.client.sandbox.restart_code_context, context, within=within)

    def _new_context(self, kernel: KernelState, within: float) -> Flow[None]:
        """Puts a fresh context in the place of one that does not come back."""
        cwd = kernel.context.cwd if kernel.context else None
        make = partial(self.client.sandbox.create_code_context, cwd, kernel.language)
        made = yield from self.client.call(make, within=within)
        kernel.stands_in = kernel.stands_in or kernel.context is None
        self.lost(kernel, "it did not come back, so a fresh one was started")
        kernel.context, kernel.doubt = made, Doubt.STARTING

    def _default_context(self, language: str) -> Flow[Context]:
        contexts = yield from self.client.call(self.client.sandbox.list_code_contexts, within=PATIENCE)
        return next(context for context in contexts if context.language == language)

    def has_ended(self, kernel: KernelState) -> Flow[bool]:
        """Returns whether the kernel's process is gone, by what the sandbox's file service finds under /proc.

        What a cell printed, counted or raised only makes us ask: code can say all of that. True where no process id is
        known; False, and a doubt that the next cell looks into, where there is no answer.
        """
        if kernel.process is None:
            return True
        look = partial(self.client.sandbox.files.exists, f"/proc/{kernel.process[0]}")
        try:
            return not (yield from self.client.call(look, within=FIRST_SECONDS))
        except Exception as error:  # noqa: BLE001 - the sandbox has a trouble of its own: the next call's matter
            logger.debug("session %s: is a kernel's process there? %s", self.state.id, error)
            kernel.doubt = Doubt.UNANSWERED
            return False

    def is_same(self, kernel: KernelState) -> Flow[bool]:
        """Returns whether this kernel's process is the one that ran the earlier cells."""
        code = hidden_cell(None) if kernel.language == "python" else ""
        call = partial(self.client.face.call, self._run(kernel, code, FIRST_SECONDS), within=FIRST_SECONDS)
        execution: Execution = yield from self.client.retrying(call)
        return not self.is_another(kernel, Glimpse(None, execution.execution_count))

    @classmethod
    def is_another(cls, kernel: KernelState, seen: Glimpse) -> bool:
        """Returns True when what was seen is not the process that ran the last cell."""
        if kernel.process is not None and seen.process is not None:
            return kernel.process != seen.process
        return cls.is_new_process(kernel, seen.count)

    @staticmethod
    def is_new_process(kernel: KernelState, count: int | None) -> bool:
        """Returns True when the execution count says that this kernel is not the one that ran the last cell."""
        if kernel.count is None or count is None or count > kernel.count:
            return False
        # A cell without a statement is not counted: then the same count is the same kernel's.
        return count < kernel.count or not kernel.last_was_blank()

    @staticmethod
    def lost(kernel: KernelState, why: str, kind: str = "context_restarted") -> None:
        """Notes that the kernel's variables are gone. The next result says so."""
        event = kernel_restarted(kernel.language, kernel.variables(), why, kind, kernel.unnamed)
        kernel.forget()
        kernel.doubt = Doubt.STARTING
        kernel.pending_events.append(event)


def _is_dying(kernel: KernelState, execution: Execution) -> bool:
    """Returns True when the server says that the kernel is being restarted, or ends its answer without a word."""
    if execution.error is not None:
        return execution.error.name in KERNEL_DEATH
    return execution.execution_count is None and kernel.language == "python"


def _did_not_begin(execution: Execution) -> bool:
    """Returns True for a hidden cell of which no line ran: what the server had put before it is an error."""
    error = execution.error
    return error is not None and error.name != "KeyboardInterrupt" and not _SAID.search("".join(execution.logs.stdout))


@cache
def _in_kernel() -> str:
    return resources.files("ci_integrations._core.hidden").joinpath("in_kernel.py").read_text("utf-8")


def hidden_cell(folder: str | None, envs: Mapping[str, str] | None = None, failed_before: int = 0) -> str:
    """Returns the hidden cell.

    `folder`: where the extractor's source lies in the sandbox; None: it is not wanted. `envs`: the sandbox's variables.
    `failed_before`: how many hidden cells just before failed, and are to be forgotten with it.
    """
    return _call_in_kernel("main", folder, dict(envs or {}), failed_before)


def _call_in_kernel(function: str, *arguments: object) -> str:
    values = "".join(f", {argument!r}" for argument in arguments)
    return f'exec({_in_kernel()!r}, {{"call": {function!r}, "arguments": (get_ipython(){values},)}})'


def forgotten(code: str) -> str:
    """Returns a hidden cell that runs `code` and takes itself out of the count and the history."""
    return f"{code}\n{_call_in_kernel('forget_cell')}"


def lending(envs: Mapping[str, str]) -> str:
    """Returns a hidden cell that sets variables for the next cell alone."""
    return _call_in_kernel("lend", dict(envs))


def _process(pid: int, uid: int) -> tuple[int, int] | None:
    """Returns process and user id as the hidden cell said them. It comes from a sandbox: what cannot be is ignored."""
    # Not 1, which is the sandbox's init, and nothing that `kill` would take for a group.
    return (pid, uid) if 1 < pid < 2**31 else None
