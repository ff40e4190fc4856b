"""What the extractor remembers in one kernel: its marker, figures already reported, figures still to report.

`STATE` is the only mutable global of this package. Nothing here imports a plotting library.
"""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any
from weakref import WeakKeyDictionary

VERSION = "1.4"


class State:
    """One kernel's memory. `marker` and `pid` tell the host whether this is still the same process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Fresh, as after a fork: a new marker, this process' id, nothing reported."""
        self.marker: str = secrets.token_hex(8)
        self.pid: int = os.getpid()
        self.version = VERSION
        self.shell: Any = None
        self.full = False
        self.cell = 0
        self.figures = 0
        self.reported: WeakKeyDictionary[Any, tuple[int, str]] = WeakKeyDictionary()
        self.ids: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self.pending: list[Any] = []
        self.published = 0
        self.last: tuple[Any, dict[str, Any] | None] | None = None
        self.files: dict[str, tuple[int, int]] = {}
        self.filed = 0

    def figure_id(self, figure: Any) -> str:
        """The figure's own name, stable for its life in this kernel."""
        if figure not in self.ids:
            self.figures += 1
            self.ids[figure] = f"{self.marker[:6]}-{self.figures}"
        return self.ids[figure]


STATE = State()


def version_of(module: str) -> str:
    return str(getattr(sys.modules.get(module), "__version__", ""))
