"""Finds the sandbox of a conversation, and checks that one which somebody names is this conversation's own."""

from __future__ import annotations

import hmac
import logging
from typing import Literal

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.conversation.naming import CONVERSATION, MADE_HERE
from ci_integrations._core.failures import Failure, classify
from ci_integrations._core.flow import Flow

logger = logging.getLogger("ci_integrations")


Whose = Literal["ours", "gone", "foreign"]
"""Whose sandbox it is that a conversation's messages or state name."""


def whose(client: SandboxClient, sandbox_id: str) -> Flow[Whose]:
    """Returns whether a sandbox that somebody names is this conversation's own. Nothing connects to it.

    Connecting would resume or prolong it, which is felt by whoever it belongs to. Without a thread's name only
    sandboxes of this process are taken.
    """
    state, access = client.state, (yield from client.access())
    if state.memory.conversation is None:
        return "ours"  # the application itself named it
    wanted = client.conversation_tags()
    if not wanted and sandbox_id not in MADE_HERE:
        logger.warning("session %s: refused a sandbox that the history of a run without a thread_id names", state.id)
        return "foreign"
    try:
        info = yield from client.control(client.face.sandbox_class().get_info, sandbox_id, **access)
    except Exception as error:
        rule = classify(error)
        if rule is None or rule.failure not in (Failure.GONE, Failure.CALLER):
            raise
        return "gone"
    if not wanted or _names(info.metadata, wanted[CONVERSATION]):
        return "ours"
    logger.warning("session %s: refused the sandbox of another conversation, which the history names", state.id)
    return "foreign"


def find(client: SandboxClient) -> Flow[str | None]:
    """Returns the eldest sandbox of this conversation, whoever made it. None: there is none.

    Two workers that make one at the same time both take the eldest. What other sessions of this process have made is
    theirs: two tools of one agent do not share a sandbox.
    """
    state = client.state
    wanted = client.conversation_tags()
    if not wanted:
        return None
    from e2b import SandboxQuery

    access = yield from client.access()
    listing = client.face.sandbox_class().list(query=SandboxQuery(metadata=wanted), **access)
    infos = yield from client.control(listing.next_items)
    theirs = {*MADE_HERE, *state.memory.former} - {state.sandbox_id}
    ours = [info for info in infos if info.sandbox_id not in theirs and _names(info.metadata, wanted[CONVERSATION])]
    eldest = min(ours, key=lambda info: (info.started_at, info.sandbox_id), default=None)
    return eldest.sandbox_id if eldest is not None else None


def _names(metadata: dict[str, str] | None, tag: str) -> bool:
    found = str((metadata or {}).get(CONVERSATION) or "")
    return hmac.compare_digest(found.encode(), tag.encode())
