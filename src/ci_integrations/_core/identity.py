"""A session as plain JSON and back, so that another process can go on with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ci_integrations._core.state import KernelState

IDENTITY = "ci_integrations/session@1"


MAX_NAMES = 200
"""Variable names that an identity carries."""


def take_identity(session: Any, identity: Mapping[str, Any]) -> None:
    """Make `session` the one that `identity` describes. Unknown or malformed parts are left out."""
    session.sandbox_id = identity.get("sandbox_id") or None
    session.id = str(identity.get("session_id") or session.id)
    session.template_id = identity.get("template_id")
    session.generation = int(identity.get("generation") or 0)
    session.born = time.monotonic() if session.sandbox_id else 0.0
    session.has_state = session.sandbox_id is not None
    for known in identity.get("kernels") or ():
        kernel = session.kernel(known.get("language"), _context(known))
        kernel.count, kernel.last_code = known.get("count"), "" if known.get("blank") else "1"
        kernel.inherited = tuple(known.get("variables") or ())


def _kernel_identity(kernel: KernelState) -> dict[str, Any]:
    return {
        "language": kernel.language,
        "context_id": getattr(kernel.context, "id", None),
        "cwd": getattr(kernel.context, "cwd", None),
        "count": kernel.count,
        "blank": kernel.last_was_blank(),
        "variables": list(kernel.variables()[:MAX_NAMES]),
    }


def _context(known: Mapping[str, Any]) -> Any:
    if not known.get("context_id"):
        return None
    from e2b_code_interpreter import Context

    return Context(known["context_id"], known.get("language") or "python", known.get("cwd") or "/home/user")
