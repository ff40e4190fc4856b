"""Runs inside the kernel and turns what a cell draws into data (schema ci.chart/1).

Pure Python, standard library only; plotting libraries are used when the user's code has imported them, never before.
Locally it is a package of `ci_integrations`; in the cloud its files are written into the sandbox and imported
as `_ci_extractor`. In both cases it is reachable as `sys.modules["_ci_extractor"]` and leaves no name in the user's
namespace, writes nothing and raises nothing.

    install(shell, full=True)      everything: charts, tables, saved and closed figures, files
    install(shell, full=False)     only what displayed objects say: formatters beside the PNG
    STATE.marker, STATE.pid        tell one kernel process from another
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .state import STATE, VERSION

if TYPE_CHECKING:
    from .foreign import Shell


NAME = "_ci_extractor"

__all__ = ["NAME", "STATE", "VERSION", "install"]


def install(shell: Shell, *, full: bool = True) -> None:
    """Hooks this kernel's `shell` (an IPython InteractiveShell). Calling it again is harmless, also to raise `full`."""
    from . import kernel

    sys.modules[NAME] = sys.modules[__name__]
    kernel.install(shell, full=full)
