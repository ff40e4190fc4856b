"""Finds the files that a cell wrote, with size, sha256 and MIME type: in its working directory and the temporary one.

Two looks are compared, at the cell's begin and at its end, so that what came before the cell (uploads, commands) is not
taken for the cell's. What changed between two cells is reported apart. The search is bounded in files, entries, depth
and bytes that are hashed; what it left out is counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import mimetypes
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .state import STATE, Look

if TYPE_CHECKING:
    from .foreign import Bundle


FILES_MIME = "application/vnd.ci-files.v1+json"
MAX_FILES = 100
"""Files reported for one cell; further ones are counted."""
MAX_ENTRIES = 5000
"""Entries of folders looked at after one cell."""
MAX_DEPTH = 30
"""Folders below the working directory."""
MAX_HASHED = 64 * 1024 * 1024
"""Bytes; a larger file is reported without its hash."""
_SKIPPED = re.compile(r"\..*|node_modules|__pycache__|site-packages|venv|env")
_SKIPPED_IN_TMP = re.compile(r"\..*|tmp[a-z0-9_]{8}|(?:matplotlib|pip)-.*")
"""Names that libraries give to what they leave among the temporary files."""


class Watch:
    """Watches the cells of one kernel, each from `start` to `written`. What it knows is in `STATE`: a fork has none."""

    def start(self) -> None:
        """Begins with a cell."""
        now = _look(_roots())
        if STATE.look is not None:
            # In the working directory only: what others leave among the temporary files is nobody's news.
            STATE.between |= {path: None for path in now.changed(STATE.look) if _is_below(path, now.roots[0])}
        STATE.look = now

    def written(self) -> Bundle | None:
        """Returns what to report of the cell that ends; None when there is nothing new."""
        before = STATE.look or Look()
        now = STATE.look = _look(_roots(before.roots))
        by_cell = sorted(now.changed(before))
        between = sorted(path for path in {*STATE.between} - {*by_cell} if path in now.files)
        # Whoever wrote between this cell and the next one is alive now.
        background, STATE.background, STATE.between = STATE.background, _has_background(), {}
        told = [*((path, None) for path in by_cell), *((path, background) for path in between)]
        folders, STATE.folders = (now.folders if now.folders != STATE.folders else 0), now.folders
        if not told and not folders:
            return None
        listed = [_entry(path, now.files[path][1], between=among) for path, among in told[:MAX_FILES]]
        return {"files": listed, "more": len(told) - len(listed), "folders": folders}


def _roots(earlier: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns the folders to look into, none below another: the earlier ones, the current one, the temporary files'."""
    roots: list[str] = []
    for root in (*earlier, str(Path.cwd()), tempfile.gettempdir()):
        if not any(_is_below(root, other) or _is_below(other, root) for other in roots):
            roots.append(root)
    return tuple(roots)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _look(roots: tuple[str, ...]) -> Look:
    """Looks at the regular files below `roots`. Follows no links; leaves out hidden files and folders of packages."""
    look = Look(roots, at=time.time_ns())
    for root in roots:
        _search(root, look)
    return look


def _search(root: str, look: Look) -> None:
    skipped = _SKIPPED_IN_TMP if root == tempfile.gettempdir() else _SKIPPED
    stack, seen = [(root, 0)], 0
    while stack:
        folder, depth = stack.pop()
        if seen > MAX_ENTRIES or depth > MAX_DEPTH:
            look.folders += 1
            continue
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MAX_ENTRIES:
                        look.folders += 1
                        break
                    if skipped.fullmatch(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        stack.append((entry.path, depth + 1))
                    elif entry.is_file(follow_symlinks=False):
                        stat = entry.stat(follow_symlinks=False)
                        look.files[entry.path] = stat.st_ctime_ns, stat.st_size
        except OSError:
            continue


def _has_background() -> bool:
    """Returns True when a thread or a process that a cell has started goes on after it."""
    with contextlib.suppress(OSError):  # /proc may be missing, and a process may end while we look
        return _goes_on()
    return False


def _goes_on() -> bool:
    if {thread.ident for thread in threading.enumerate()} - STATE.threads:
        return True
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - names are enough
        children = Path(f"/proc/self/task/{task}/children").read_text("ascii").split()
        if any(_runs(child) for child in children):
            return True
    return False


def _runs(process: str) -> bool:
    """Returns False for a process that has ended and that nobody has waited for."""
    return Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] != "Z"


def _entry(path: str, size: int, *, between: bool | None) -> Bundle:
    """Returns what is reported of one file.

    `between`: it changed between two cells; True where something in the background went on then.
    """
    mime = mimetypes.guess_type(path)[0] or "application/octet-stream"
    entry = {"path": path, "size": size, "sha256": _sha256(path) if size <= MAX_HASHED else None, "mime": mime}
    return entry if between is None else {**entry, "between": "background" if between else "outside"}


def _sha256(path: str) -> str | None:
    """Returns the hash of a file, or None when it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.sha256(file.read(MAX_HASHED)).hexdigest()
    except OSError:
        return None
