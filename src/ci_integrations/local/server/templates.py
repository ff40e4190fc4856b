"""Which templates this server knows: the two built-in names, and those of the user's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_integrations.local.server.http import HttpError

BUILT_IN = ("code-interpreter-v1", "base")


@dataclass(frozen=True, kw_only=True)
class Template:
    """A name for a way to make sandboxes."""

    envs: Mapping[str, str] = field(default_factory=dict)


class Templates:
    """By name."""

    def __init__(self, configured: Mapping[str, Template] | None = None) -> None:
        self._known = {name: Template() for name in BUILT_IN} | dict(configured or {})

    def get(self, name: str) -> Template:
        """HttpError 404 that lists the known ones."""
        if name not in self._known:
            known = ", ".join(sorted(self._known))
            raise HttpError(404, f"template '{name}' not found; this server knows: {known}")
        return self._known[name]
