"""The files that a cell wrote under its working directory: path, size, sha256 and MIME type, bounded on all sides."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .state import STATE

FILES_MIME = "application/vnd.ci-files.v1+json"
MAX_FILES = 100
MAX_ENTRIES = 5000
MAX_DEPTH = 5
MAX_HASHED = 64 * 1024 * 1024
"""Bytes; a larger file is reported without its hash."""
_SKIPPED = {"node_modules", "__pycache__", "site-packages", "venv", "env"}
_SLACK = 20_000_000
"""Nanoseconds: the file system's clock may lag behind ours by a tick."""


class Watch:
    """Between `start` and `written`: one cell. Files are told by their change time, which no copy can fake."""

    def __init__(self) -> None:
        self.began = 0

    def start(self) -> None:
        self.began = time.time_ns() - _SLACK

    def written(self) -> list[dict[str, Any]]:
        """Each file changed since `start` and not reported in this state before."""
        found: list[dict[str, Any]] = []
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
    """Regular files below `root`, no links followed, hidden ones and package folders left aside."""
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


def _entry(path: str, size: int) -> dict[str, Any]:
    mime = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return {"path": path, "size": size, "sha256": _sha256(path) if size <= MAX_HASHED else None, "mime": mime}


def _sha256(path: str) -> str | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.sha256(file.read(MAX_HASHED)).hexdigest()
    except OSError:
        return None
