"""Decides which kernel of a conversation's sandbox a call gets. This is the one place where that is decided.

State belongs to the messages that speak of it. The order: the kernel of the newest answer that is seen; that of the
same run of the same agent; that of an agent on the same path which saw one of these messages; that of the path, only
after a summary or where no state is seen; otherwise a new kernel, or the sandbox's own where nobody has it yet. Of runs
that were started together from one history the first keeps the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.conversation.naming import keyed
from ci_integrations._core.conversation.seen import Seen, Trace
from ci_integrations._core.flow import Flow
from ci_integrations._core.kernels import Kernels
from ci_integrations._core.output import OutputHandler
from ci_integrations._core.state import KernelState, SessionState
from ci_integrations._core.workspace import Workspace

MOST_KERNELS = 8
"""Further kernels that one conversation may have at a time. The one used least recently gives way."""


class Placing:
    """Chooses the kernels of one session's calls, and signs what answers say of them."""

    def __init__(self, state: SessionState, client: SandboxClient, kernels: Kernels, workspace: Workspace) -> None:
        self.state, self.client, self.kernels, self.workspace = state, client, kernels, workspace

    def kernel_for(self, seen: Seen, on_output: OutputHandler | None) -> Flow[KernelState]:
        """Returns the kernel of a Python cell that sees this much of its conversation. `on_output` hears of a start."""
        state, memory = self.state, self.state.memory
        sandbox_id = seen.sandbox()
        if sandbox_id is not None:
            memory.name({"sandbox_id": sandbox_id}, state.sandbox_id)
        if not self.client.is_open or memory.named is not None:
            yield from self.workspace.using(_nothing, repeatable=True, on_output=on_output)
        if seen.one_kernel:
            return state.kernel(None, None)
        with memory.choosing:
            kernel = self._chosen(seen)
            if kernel is not None:
                return self._given(kernel, seen)
        # Calls of one message come together: the first makes the kernel, the others find it.
        yield partial(self.client.face.acquire, memory.making, None)
        try:
            kernel = self._chosen(seen) or (yield from self._another())
            return self._given(kernel, seen)
        finally:
            memory.making.release()

    def kernel_id(self, kernel: KernelState) -> str | None:
        """Returns the name of a kernel's process, the same in every worker; None where its process is not known."""
        if kernel.process is None or self.state.sandbox_id is None:
            return None
        return keyed(self.client.key, "kernel", self.state.sandbox_id, _context_id(kernel), kernel.process[0])

    def stamp(self, kernel: KernelState, count: int) -> dict[str, object] | None:
        """Returns what an answer says of the kernel that it came from, signed together with the conversation's name."""
        name = self.kernel_id(kernel)
        if name is None or self.state.sandbox_id is None:
            return None
        self.state.memory.kernels[name] = kernel
        trace = Trace(
            sandbox_id=self.state.sandbox_id, context_id=_context_id(kernel), kernel_id=name, count=count, signature=""
        )
        return {"id": name, "count": count, "signature": self._signature(trace)}

    def newest(self, seen: Seen) -> Trace | None:
        """Returns the newest answer of this conversation that ran a cell, forged ones left out."""
        return next((trace for trace in reversed(seen.traces) if self._is_ours(trace)), None)

    def last_count(self, seen: Seen, name: str | None) -> int:
        """Returns the largest number of a cell of that kernel that the messages show."""
        of_kernel = sorted((t for t in seen.traces if t.kernel_id == name), key=lambda t: -t.count)
        return next((trace.count for trace in of_kernel if self._is_ours(trace)), 0)

    def _is_ours(self, trace: Trace) -> bool:
        return trace.kernel_id is not None and trace.signature == self._signature(trace)

    def _signature(self, trace: Trace) -> str:
        conversation = self.state.memory.conversation
        named = [conversation.application, conversation.thread] if conversation is not None else None
        where = (trace.sandbox_id, trace.context_id, trace.kernel_id, trace.count)
        return keyed(self.client.key, "answer", named, *where)

    def _chosen(self, seen: Seen) -> KernelState | None:
        memory, newest = self.state.memory, self.newest(seen)
        kernel = self._of(newest) if newest is not None else None
        if kernel is not None and newest is not None and not self._is_taken(kernel, seen):
            return kernel
        if seen.run in memory.runs:
            return memory.runs[seen.run]
        if kernel is None and (found := next(self._by_path(seen), None)) is not None:
            return found
        return self.state.kernel(None, None) if self._may_have_own(seen) else None

    def _may_have_own(self, seen: Seen) -> bool:
        """Returns True for an agent that gets the sandbox's own kernel, which has the setup and the tables.

        That is the first one that comes. In a sandbox that another process has made it is the root agent, or one that
        sees no state: whoever has messages of its own might meet another's variables there.
        """
        memory = self.state.memory
        if memory.owner is not None:
            return seen.is_root and memory.owner == seen.path
        return seen.is_root or not seen.shows_state or not memory.joined

    def _of(self, trace: Trace) -> KernelState | None:
        """Returns the kernel that an answer came from; None when its sandbox is not ours any more."""
        state = self.state
        known = state.memory.kernels.get(trace.kernel_id or "")
        if known is not None or trace.sandbox_id != state.sandbox_id:
            return known
        if trace.context_id is None:
            kernel = state.kernel(None, None)
        else:
            from e2b_code_interpreter import Context

            kernel = state.kernel(None, Context(trace.context_id, "python", ""))
            kernel.sandbox_id = state.sandbox_id
        if kernel.process is not None and self.kernel_id(kernel) != trace.kernel_id:
            kernel.forget()  # another worker has met another process of it: it is asked again
        return kernel

    def _is_taken(self, kernel: KernelState, seen: Seen) -> bool:
        """Returns True for a kernel with which another run, started from the same history, has gone on."""
        holder = kernel.holder
        if not seen.run or holder is None or holder[:2] != (seen.path, seen.point) or holder[2] == seen.run:
            return False
        return kernel.users > 0 or (kernel.count or 0) > self.last_count(seen, self.kernel_id(kernel))

    def _by_path(self, seen: Seen) -> Iterator[KernelState]:
        paths = self.state.memory.paths
        kernel = paths.get(seen.path)
        if kernel is None:
            return
        knows = not seen.is_root and not seen.messages.isdisjoint(self.state.memory.met.get(seen.path, ()))
        if knows or seen.is_summary or not seen.shows_state:
            yield kernel

    def _given(self, kernel: KernelState, seen: Seen) -> KernelState:
        memory = self.state.memory
        if kernel.context is None and memory.owner is None:
            memory.owner = seen.path
        if not self._is_taken(kernel, seen):
            kernel.holder = (seen.path, seen.point, seen.run)
        kernel.users += 1
        memory.note(seen, kernel)
        return kernel

    def _another(self) -> Flow[KernelState]:
        """Makes a further kernel in the sandbox, furnished as its own is."""
        state = self.state
        for old in self._superfluous():
            yield from self.client.quietly(self.workspace.remove_context(old.context))
            state.memory.drop(old)
        context = yield from self.workspace.create_context(None, None)
        kernel = state.kernel(None, context)
        kernel.sandbox_id, kernel.tables = state.sandbox_id, dict(state.options.dataframes or {})
        if state.options.setup_code:
            run = partial(self.client.sandbox.run_code, state.options.setup_code, context=context, timeout=0)
            yield from self.client.call(run, within=state.options.execution_timeout)
        return kernel

    def _superfluous(self) -> list[KernelState]:
        made = [k for k in self.state.memory.recent if k.context is not None and not k.stale and not k.users]
        return made[: max(0, len(made) - MOST_KERNELS + 1)]


def _context_id(kernel: KernelState) -> str | None:
    return getattr(kernel.context, "id", None)


def _nothing() -> Flow[None]:
    yield from ()
