"""Runs inside the kernel and turns what a cell draws into data (schema ci.chart/1).

Pure Python, standard library only; plotting libraries are used when the user's code has imported them, never before.
Locally it is a package of `ci_integrations`; in the cloud its files are written to `REMOTE_DIR` and imported as
`_ci_extractor`. In both cases it is reachable as `sys.modules["_ci_extractor"]` and leaves no name in the user's
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
REMOTE_DIR = f"/tmp/.ci_extractor/{VERSION}"  # noqa: S108 - a place in the sandbox, outside the user's directory

__all__ = ["NAME", "REMOTE_DIR", "STATE", "VERSION", "install", "source_files"]


def install(shell: Shell, *, full: bool = True) -> None:
    """Hooks this kernel's `shell` (an IPython InteractiveShell). Calling it again is harmless, also to raise `full`."""
    from . import kernel

    sys.modules[NAME] = sys.modules[__name__]
    kernel.install(shell, full=full)


def source_files() -> dict[str, str]:
    """Returns what to write into a cloud kernel's file system: path to text, all below `REMOTE_DIR`."""
    from pathlib import Path

    folder = Path(__file__).parent
    paths = sorted(folder.rglob("*.py"))
    return {f"{REMOTE_DIR}/{NAME}/{path.relative_to(folder)}": path.read_text("utf-8") for path in paths}
