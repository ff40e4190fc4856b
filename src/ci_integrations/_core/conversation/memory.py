"""Holds what a session knows of the conversation that it serves. It is data only; the rules stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_integrations._core.conversation.naming import Conversation

FORMER = 100
"""Sandboxes that a session remembers to have left."""


@dataclass
class Memory:
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
