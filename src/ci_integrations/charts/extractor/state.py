"""Holds what the extractor remembers in one kernel: its marker, figures already reported, figures still to report.

`STATE` is the only mutable global of this package. Nothing here imports a plotting library.
"""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from .foreign import Figure, Payload, Shell


VERSION = "1.5"
"""A part of the folder in a cloud sandbox, so that the files of two versions never mix there."""

_SLACK = 20_000_000
"""Nanoseconds: the file system's clock may lag behind ours by a tick."""

Stamp = tuple[int, int]
"""When a file changed, in nanoseconds, which no copy can fake; and its size."""


@dataclass
class Look:
    """What one look at the folders has seen."""

    roots: tuple[str, ...] = ()
    files: dict[str, Stamp] = field(default_factory=dict)
    folders: int = 0
    """Folders that were not looked into, because they are too many or too deep."""
    at: int = 0
    """When it began, in nanoseconds."""

    def changed(self, before: Look) -> list[str]:
        """Returns the files that are not as they were at the look before."""
        return [path for path, stamp in self.files.items() if self._is_new(path, stamp, before)]

    def _is_new(self, path: str, stamp: Stamp, before: Look) -> bool:
        if path in before.files:
            return before.files[path] != stamp
        seen = not before.folders and any(path.startswith(f"{root.rstrip('/')}/") for root in before.roots)
        return seen or stamp[0] >= before.at - _SLACK


@dataclass
class Pending:
    """A figure that was saved or closed and is reported at the end of the cell, unless it is shown until then."""

    figure: Figure
    payload: Payload
    digest: str
    png: bytes | None = None


class State:
    """One kernel's memory. `marker` and `pid` tell the host whether this is still the same process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything, as after a fork: a new marker, this process' id, nothing reported."""
        self.marker: str = secrets.token_hex(8)
        self.pid: int = os.getpid()
        self.version = VERSION
        self.shell: Shell = None
        self.full = False
        self.cell = 0
        self.figures = 0
        self.reported: WeakKeyDictionary[Figure, tuple[int, str]] = WeakKeyDictionary()
        self.ids: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()
        self.pending: list[Pending] = []
        self.published = 0
        self.last: tuple[Figure, Payload | None] | None = None
        self.look: Look | None = None
        self.between: dict[str, None] = {}
        self.background = False
        self.folders = 0
        self.threads: set[int | None] = set()
        self.unseen = False
        self.filed = 0

    def figure_id(self, figure: Figure) -> str:
        """Returns the figure's own name, which stays the same as long as the figure lives."""
        if figure not in self.ids:
            self.figures += 1
            self.ids[figure] = f"{self.marker[:6]}-{self.figures}"
        return self.ids[figure]


STATE = State()


def version_of(module: str) -> str:
    """Returns the version of a module that is imported already, empty when it is not or has none."""
    return str(getattr(sys.modules.get(module), "__version__", ""))
