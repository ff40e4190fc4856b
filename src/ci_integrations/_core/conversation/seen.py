"""Describes what one tool call sees of its conversation. The adapters gather it; only this room decides by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Is what an earlier answer says of where it came from: input, not proof."""

    sandbox_id: str
    context_id: str | None = None
    kernel_id: str | None = None
    """Names the kernel's process; None for an answer that ran no cell, or that an older version wrote."""
    count: int = 0
    """The cell's number in that kernel."""
    signature: str = ""

    @classmethod
    def of(cls, artifact: object) -> Trace | None:
        """Returns where the artifact of a message came from; None for what is none of ours, or says nothing of it."""
        if not isinstance(artifact, Mapping) or not isinstance(artifact.get("sandbox_id"), str):
            return None
        kernel = artifact.get("kernel")
        kernel = kernel if isinstance(kernel, Mapping) else {}
        count, context_id = kernel.get("count"), artifact.get("context_id")
        return cls(
            sandbox_id=artifact["sandbox_id"],
            context_id=context_id if isinstance(context_id, str) else None,
            kernel_id=str(kernel["id"]) if kernel.get("id") else None,
            count=count if isinstance(count, int) else 0,
            signature=str(kernel.get("signature") or ""),
        )


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Holds what one call sees: which agent asks, in which run, and what the messages before it say."""

    run: str = ""
    """The agent's own run, ids included (langgraph's `checkpoint_ns` without the call); "" for the root agent."""
    path: str = ""
    """The agents' names on the way to it, without ids; "" for the root agent."""
    point: str = ""
    """Names the state of the graph from which the run was started: runs that are started together have the same."""
    asked_by: str | None = None
    """The id of the model's message that asked for this call; None where no message is seen, or it has no id."""
    messages: frozenset[str] = NOTHING
    """Ids of all messages that are seen."""
    traces: tuple[Trace, ...] = ()
    """What earlier answers say, in the order of the messages."""
    shows_state: bool = False
    """False where no state is seen at all: functional agents, loops of one's own."""
    is_summary: bool = False
    """True when the first message stands for earlier ones."""
    is_root: bool = True
    one_kernel: bool = False
    """True when the application itself names the session: all its calls then share the default kernel."""

    def sandbox(self) -> str | None:
        """Returns the sandbox that the newest answer names."""
        return self.traces[-1].sandbox_id if self.traces else None


def traces_of(artifacts: Iterable[object]) -> tuple[Trace, ...]:
    """Returns what the artifacts of messages say of where they came from, without those that say nothing."""
    return tuple(trace for artifact in artifacts if (trace := Trace.of(artifact)) is not None)
