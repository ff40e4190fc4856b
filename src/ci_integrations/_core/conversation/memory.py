"""Holds what a session knows of the conversation that it serves. It is data only; the rules stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from ci_integrations._core.conversation.naming import Conversation
from ci_integrations._core.conversation.seen import Seen
from ci_integrations._core.locks import FairLock

K = TypeVar("K")
"""A kernel, by whatever it is known: this room holds it and asks nothing of it."""

MET = 2000
"""Ids of messages that are remembered for each path."""
RUNS = 500
"""Runs, paths and names whose kernel is remembered."""
FORMER = 100
"""Sandboxes that a session remembers to have left."""


@dataclass
class Memory(Generic[K]):
    """Holds whose session this is, and which sandboxes its messages spoke of."""

    conversation: Conversation | None = None
    """Whose session this is, where an adapter knows; None for an interpreter that the application itself uses."""
    named: Mapping[str, object] | None = None
    """The session that a message or a graph's state names: an identity, or its `sandbox_id` alone. Its sandbox is
    looked at before anybody connects to it."""
    refused: str | None = None
    """The sandbox that the history names and that is another conversation's; told with the first own one."""
    former: dict[str, None] = field(default_factory=dict)
    """Sandboxes that this session had and lost, or was told of and did not take; the newest is last."""

    kernels: dict[str, K] = field(default_factory=dict)
    """The kernels by every name that they had: a restarted one has a new name."""
    runs: dict[str, K] = field(default_factory=dict)
    """The kernel of each run of an agent."""
    paths: dict[str, K] = field(default_factory=dict)
    """The kernel that an agent on this path had last."""
    met: dict[str, dict[str, None]] = field(default_factory=dict)
    """Ids of the messages that agents on this path saw."""
    recent: dict[K, None] = field(default_factory=dict)
    """All kernels that were given out, the most recently used last."""
    owner: str | None = None
    """The path of the agent that has the sandbox's own kernel."""
    joined: bool = False
    """True in a sandbox that another process of the conversation has made."""
    choosing: Lock = field(default_factory=Lock)
    """Held while a kernel is chosen, which takes no step."""
    making: FairLock = field(default_factory=FairLock)
    """Held while a kernel is made."""

    def note(self, seen: Seen, kernel: K) -> None:
        """Notes that a call that saw this much was given `kernel`."""
        self.runs[seen.run] = self.paths[seen.path] = kernel
        self.recent.pop(kernel, None)
        self.recent[kernel] = None
        met = self.met.setdefault(seen.path, {})
        if not seen.is_root:
            met.update(dict.fromkeys(seen.messages))
        for kept, most in ((met, MET), (self.runs, RUNS), (self.paths, RUNS), (self.kernels, RUNS)):
            while len(kept) > most:
                kept.pop(next(iter(kept)))

    def drop(self, kernel: K) -> None:
        """Forgets a kernel that was removed."""
        self.recent.pop(kernel, None)
        for known in (self.kernels, self.runs, self.paths):
            for name in [name for name, one in known.items() if one is kernel]:
                del known[name]

    def name(self, identity: Mapping[str, object], current: str | None) -> bool:
        """Notes which sandbox the conversation names. False where it is `current`, or one that was left: no news."""
        sandbox_id = identity.get("sandbox_id")
        if not isinstance(sandbox_id, str) or not sandbox_id or sandbox_id == current or sandbox_id in self.former:
            return False
        self.named = identity
        return True

    def part_with(self, sandbox_id: str | None) -> None:
        """Notes that this session has nothing to do with a sandbox any more: it will not come back to it."""
        if sandbox_id is not None:
            self.former[sandbox_id] = None
        while len(self.former) > FORMER:
            del self.former[next(iter(self.former))]
