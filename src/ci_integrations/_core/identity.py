"""Lets another process go on with a session: as plain JSON and back, or by finding the conversation's own sandbox."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.conversation.naming import CONVERSATION, MADE_HERE
from ci_integrations._core.failures import Failure, classify
from ci_integrations._core.flow import Flow
from ci_integrations._core.state import KernelState, SessionState
from ci_integrations._names import HOME

if TYPE_CHECKING:
    from e2b_code_interpreter import Context

logger = logging.getLogger("ci_integrations")

IDENTITY = "ci_integrations/session@1"
"""The schema's name and version, in each identity."""

MAX_NAMES = 200
"""Variable names that an identity carries of each kernel."""

Identity = dict[str, Any]
"""A session as plain JSON: its sandbox, its kernels, and which variables they have."""


def identity_of(state: SessionState) -> Identity:
    """Returns the session as plain JSON."""
    state.lent = True
    return {
        "schema": IDENTITY,
        "session_id": state.id,
        "sandbox_id": state.sandbox_id,
        "context_id": None,
        "backend": state.backend,
        "template_id": state.template_id,
        "generation": state.generation,
        "root_kernels": state.root_kernels is not None and state.root_kernels == state.sandbox_id,
        "kernels": [_kernel_identity(kernel) for kernel in state.kernels.values()],
    }


def take_identity(state: SessionState, identity: Mapping[str, Any]) -> None:
    """Makes `state` the session that `identity` describes. Unknown or malformed parts are left out."""
    state.sandbox_id = identity.get("sandbox_id") or None
    state.id = str(identity.get("session_id") or state.id)
    state.template_id = identity.get("template_id")
    state.generation = int(identity.get("generation") or 0)
    state.born = time.monotonic() if state.sandbox_id else 0.0
    state.root_kernels = state.sandbox_id if identity.get("root_kernels") else None
    state.has_state = state.lent = state.sandbox_id is not None
    take_kernels(state, identity)


def take_kernels(state: SessionState, identity: Mapping[str, Any]) -> None:
    """Makes the kernels of `identity` those of the session. Malformed ones are left out."""
    for known in identity.get("kernels") or ():
        context = _context(known)
        kernel = state.kernel(known.get("language"), None if known.get("default") else context)
        kernel.context, kernel.stands_in = context, bool(known.get("default"))
        # The code itself stays at home: what counts is whether the kernel counted its last cell.
        kernel.count, kernel.last_code = known.get("count"), "" if known.get("blank") else "1"
        kernel.inherited = tuple(known.get("variables") or ())
        kernel.unnamed = int(known.get("more_variables") or 0)


def _kernel_identity(kernel: KernelState) -> Identity:
    names = kernel.variables()
    return {
        "language": kernel.language,
        "context_id": getattr(kernel.context, "id", None),
        "cwd": getattr(kernel.context, "cwd", None),
        "default": kernel.stands_in,
        "count": kernel.count,
        "blank": kernel.last_was_blank(),
        "variables": list(names[:MAX_NAMES]),
        "more_variables": kernel.unnamed + max(0, len(names) - MAX_NAMES),
    }


def _context(known: Mapping[str, Any]) -> Context | None:
    if not known.get("context_id"):
        return None
    from e2b_code_interpreter import Context

    return Context(known["context_id"], known.get("language") or "python", known.get("cwd") or HOME)


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
