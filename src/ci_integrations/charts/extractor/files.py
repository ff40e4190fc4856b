"""Finds the files that a cell wrote below its working directory: path, size, sha256 and MIME type.

The search is bounded in files, entries, depth and bytes that are hashed.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .state import STATE

if TYPE_CHECKING:
    from .foreign import Bundle


FILES_MIME = "application/vnd.ci-files.v1+json"
MAX_FILES = 100
"""Files reported for one cell."""
MAX_ENTRIES = 5000
"""Entries of folders looked at after one cell."""
MAX_DEPTH = 5
"""Folders below the working directory."""
MAX_HASHED = 64 * 1024 * 1024
"""Bytes; a larger file is reported without its hash."""
_SKIPPED = {"node_modules", "__pycache__", "site-packages", "venv", "env"}
_SLACK = 20_000_000
"""Nanoseconds: the file system's clock may lag behind ours by a tick."""


class Watch:
    """Watches one cell, from `start` to `written`, by the files' change times, which no copy can fake."""

    def __init__(self) -> None:
        self.began = 0

    def start(self) -> None:
        """Begins with a cell."""
        self.began = time.time_ns() - _SLACK

    def written(self) -> list[Bundle]:
        """Returns each file that changed since `start` and was not reported in this state before."""
        found: list[Bundle] = []
        for path, stat in _walk(str(Path.cwd())):
            state = (stat.st_ctime_ns, stat.st_size)
            if stat.st_ctime_ns < self.began or STATE.files.get(path) == state:
                continue
            STATE.files[path] = state
            found.append(_entry(path, stat.st_size))
            if len(found) >= MAX_FILES:
                break
        return found


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yields regular files below `root`. Follows no links; leaves out hidden files and folders of packages."""
    stack, seen = [(root, 0)], 0
    while stack:
        folder, depth = stack.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > MAX_ENTRIES:
                return
            if entry.name.startswith(".") or entry.name in _SKIPPED:
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH:
                    stack.append((entry.path, depth + 1))
            elif entry.is_file(follow_symlinks=False):
                yield entry.path, entry.stat(follow_symlinks=False)


def _entry(path: str, size: int) -> Bundle:
    """Returns what is reported of one file."""
    mime = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return {"path": path, "size": size, "sha256": _sha256(path) if size <= MAX_HASHED else None, "mime": mime}


def _sha256(path: str) -> str | None:
    """Returns the hash of a file, or None when it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.sha256(file.read(MAX_HASHED)).hexdigest()
    except OSError:
        return None
