"""Finds and ends sandboxes that outlived the process that made them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ci_integrations._core.client import TAG
from ci_integrations._core.exit import check_fork

logger = logging.getLogger("ci_integrations")


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Describes a sandbox of this library that still exists."""

    sandbox_id: str
    state: str
    session_id: str | None
    host: str | None
    pid: int | None


def list_leftovers(session_id: str | None = None, **access: Any) -> list[Leftover]:
    """Returns the sandboxes that carry this library's tags, of all sessions or of one.

    `access` says which service: `api_key=`, `api_url=` ... as the SDK takes them. Raises ForkedSessionError in a
    process that was forked from one that had used the SDK.
    """
    check_fork()
    from e2b import SandboxQuery
    from e2b_code_interpreter import Sandbox

    wanted = {TAG: "1"} | ({f"{TAG}_session": session_id} if session_id else {})
    pages = Sandbox.list(query=SandboxQuery(metadata=wanted), **access)
    found: list[Leftover] = []
    while pages.has_next:
        found += [_leftover(info) for info in pages.next_items()]
    return found


def reap(session_id: str | None = None, **access: Any) -> list[Leftover]:
    """Kills what `list_leftovers` finds, and returns those that were killed. Living owners' sandboxes are included."""
    from e2b_code_interpreter import Sandbox

    found = list_leftovers(session_id, **access)
    return [leftover for leftover in found if Sandbox.kill(leftover.sandbox_id, **access)]


def _leftover(info: Any) -> Leftover:
    tags = info.metadata or {}
    pid = str(tags.get(f"{TAG}_pid", ""))
    return Leftover(
        sandbox_id=info.sandbox_id,
        state=str(getattr(info.state, "value", info.state)),
        session_id=tags.get(f"{TAG}_session"),
        host=tags.get(f"{TAG}_host"),
        pid=int(pid) if pid.isdecimal() else None,
    )
