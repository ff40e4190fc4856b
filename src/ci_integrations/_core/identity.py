"""Turns a session into plain JSON and back, so that another process can go on with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ci_integrations._core.state import KernelState, SessionState
from ci_integrations._names import HOME

if TYPE_CHECKING:
    from e2b_code_interpreter import Context

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
