"""The levels of isolation, and which of them works here."""

from __future__ import annotations

from typing import Any, Protocol

from ci_integrations.local.sandbox import namespaces


class ProbeFailed(Exception):
    """A level does not work here; the message says which step failed and what mends it."""


class Inside(Protocol):
    def serve(self, channel: Any) -> None: ...


class Level(Protocol):
    """The zygote's side of a level."""

    def fork(self, message: dict[str, Any]) -> tuple[int, int]: ...
    def enter(self) -> Inside: ...
    def reap(self) -> None: ...


def prepare(config: dict[str, Any]) -> Level:
    return namespaces.Namespaces(config)
