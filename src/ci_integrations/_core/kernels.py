"""Prepares, probes, interrupts and restarts the kernels of one sandbox, and notices when one is a new process.

A kernel that dies is replaced by the server without a word. What gives it away is its execution count, which starts
again at 1, and its process id, which our hidden first cell asks for.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import TYPE_CHECKING

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.flow import Flow
from ci_integrations._core.notices import kernel_restarted
from ci_integrations._core.state import KernelState, SessionState

if TYPE_CHECKING:
    from e2b_code_interpreter import Context, Execution

logger = logging.getLogger("ci_integrations")

WHO = 'print([__import__("os").getpid(), __import__("os").getuid()])'
"""A hidden cell that prints which process the kernel is."""

# A cell that says nothing of the user's must not be counted either: the extractor takes it back where it is loaded.
FORGET = (
    '(getattr(__import__("sys").modules.get("_ci_extractor"), "forget_cell", None)'
    ' or (lambda shell: setattr(shell, "execution_count", shell.execution_count - 1)))(get_ipython())'
)
"""A line that takes the cell it stands in out of the execution count."""

PROBE = f"{WHO}\n{FORGET}"
"""A hidden cell that prints the same and leaves the execution count where it was."""

PROBE_SECONDS = 10

GRACE = 0.4
"""Seconds that an interrupted cell has to end."""

PATIENCE = 0.8
"""Seconds that one call has while a cell is being stopped."""


class Kernels:
    """Does everything with a session's kernels except running cells in them."""

    def __init__(self, state: SessionState, client: SandboxClient) -> None:
        self.state, self.client = state, client

    def prepare(self, kernel: KernelState) -> Flow[None]:
        """Makes a lost context again, and run our hidden first cell in a Python kernel.

        That cell says the process id and loads the chart extractor. An error in it costs the charts' data, no more.
        """
        sandbox = self.client.sandbox
        if kernel.stale and kernel.context is not None:
            again = partial(sandbox.create_code_context, kernel.context.cwd, kernel.language)
            kernel.context, kernel.stale = (yield from self.client.call(again)), False
        if kernel.language == "python":
            execution = yield from self.hidden(kernel, (yield from self._first_code()))
            if execution.error is not None:
                why = f"{execution.error.name}: {execution.error.value}"
                logger.warning("session %s: charts come without data: %s", self.state.id, why)
                execution = yield from self.hidden(kernel, PROBE)
            kernel.process = _process("".join(execution.logs.stdout))
        kernel.prepared = self.state.generation

    def hidden(self, kernel: KernelState, code: str, seconds: float = PROBE_SECONDS) -> Flow[Execution]:
        """Runs a cell of our own, which no result tells of."""
        run = partial(self.client.sandbox.run_code, code, context=kernel.context, timeout=seconds)
        return self.client.call(run, within=seconds)

    def _first_code(self) -> Flow[str]:
        """Returns the hidden cell. The extractor's source is written into a sandbox without it before, once."""
        state = self.state
        if not state.options.inject_extractor:
            return PROBE
        from ci_integrations.charts import extractor
        from ci_integrations.frames import shipping

        ours = state.backend == "local" and state.options.template != "jupyter"  # a kernel that has the extractor
        if not ours and state.injected != state.sandbox_id:
            sources = {**extractor.source_files(), **shipping.source_files(extractor.REMOTE_DIR)}
            files = [{"path": path, "data": text} for path, text in sources.items()]
            yield from self.client.call(self.client.sandbox.files.write_files, files)
            state.injected = state.sandbox_id
        return f"{extractor.bootstrap_code()}\n{WHO}"

    def signal(self, kernel: KernelState) -> Flow[bool]:
        """Sends SIGINT to the kernel's process. False when its process id is not known or the call failed."""
        if kernel.process is None:
            return False
        pid, uid = kernel.process
        # A kernel that runs as root can be signalled by root only; another one by the sandbox's default user.
        user = "root" if uid == 0 else None
        send = partial(self.client.sandbox.commands.run, f"kill -INT {pid}", user=user, timeout=PATIENCE)
        return (yield from self.client.quietly(self.client.call(send, within=PATIENCE)))

    def answers(self, kernel: KernelState, within: float) -> Flow[bool]:
        """Returns True when the kernel runs an empty cell within so many seconds: nothing else occupies it."""
        probe = partial(self.client.sandbox.run_code, "", context=kernel.context, timeout=PATIENCE)
        return (yield from self.client.quietly(self.client.call(probe, within=within)))

    def restart(self, kernel: KernelState) -> Flow[None]:
        """Starts a fresh kernel under the same context id."""
        context = kernel.context or (yield from self._default_context(kernel.language))
        yield from self.client.call(self.client.sandbox.restart_code_context, context, within=PATIENCE)

    def _default_context(self, language: str) -> Flow[Context]:
        contexts = yield from self.client.call(self.client.sandbox.list_code_contexts, within=PATIENCE)
        return next(context for context in contexts if context.language == language)

    def is_same(self, kernel: KernelState) -> Flow[bool]:
        """Returns whether this kernel's process is the one that ran the earlier cells."""
        code = PROBE if kernel.language == "python" else ""
        where: dict[str, object] = {"context": kernel.context} if kernel.context else {"language": kernel.language}
        probe = partial(self.client.sandbox.run_code, code, **where, timeout=PROBE_SECONDS)
        call = partial(self.client.face.call, probe, within=PROBE_SECONDS)
        execution: Execution = yield from self.client.retrying(call)
        return not self.is_new_process(kernel, execution.execution_count)

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
        event = kernel_restarted(kernel.language, kernel.variables(), why, kind)
        kernel.forget()
        kernel.pending_events.append(event)


def _process(text: str) -> tuple[int, int] | None:
    """Returns process and user id from what the hidden cell printed. It comes from a sandbox: all else is ignored."""
    try:
        pid, uid = json.loads(text.strip() or "null")
    except (ValueError, TypeError):
        return None
    # Not 1, which is the sandbox's init, and nothing that `kill` would take for a group.
    fine = isinstance(pid, int) and isinstance(uid, int) and 1 < pid < 2**31
    return (pid, uid) if fine else None
