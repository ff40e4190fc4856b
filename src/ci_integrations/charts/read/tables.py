"""Reads tables and lists of files from what a kernel sent, bounded."""

from __future__ import annotations

import posixpath
from typing import TypeGuard

from ci_integrations._json import plain, text
from ci_integrations.charts.read.bounds import TROUBLE, bounded
from ci_integrations.charts.read.plain import Json, as_map, at, maps

MAX_ROWS = 1000
"""Rows of one table."""
MAX_COLUMNS = 500
"""Columns of one table."""
MAX_FILES = 1000
"""Entries in one list of files."""
MAX_PATH = 4096
"""Characters of one path."""
_SHOWN_ROWS = 20
"""Rows of a table's Markdown."""


def table_from_mime(payload: object) -> Json | None:
    """Returns the fields of a `TableArtifact` (columns, rows, shape, index, markdown, note); None for anything else."""
    try:
        return _table(payload) if isinstance(payload, dict) and bounded(payload) else None
    except TROUBLE:
        return None


def _table(payload: Json) -> Json:
    """The fields of a table. Raises when its shape is not right, and on nonsense."""
    columns, rows = _listed(payload["columns"], MAX_COLUMNS), _listed(payload["rows"], MAX_ROWS)
    height, width = _listed(payload["shape"], 2)
    if not (_is_count(height) and _is_count(width)):
        raise ValueError("a shape is two counts")
    heads = [{"name": text(str(c["name"]))[:2000], "dtype": text(str(c["dtype"]))[:200]} for c in map(as_map, columns)]
    cells = [[plain(cell) for cell, _ in zip(_listed(row, MAX_COLUMNS), columns, strict=True)] for row in rows]
    index = payload.get("index")
    found: Json = {
        "columns": heads, "rows": cells, "shape": (height, width),
        "index": index if _is_count(index) and index <= len(columns) else 0,
    }  # fmt: skip
    if isinstance(payload.get("note"), str):
        found["note"] = text(str(payload["note"]))[:2000]
    from ci_integrations.charts.export.tables import table_markdown

    # The Markdown is for a model, which reads the first rows only.
    found["markdown"] = table_markdown([head["name"] for head in heads], cells[:_SHOWN_ROWS], height)
    return found


def _listed(value: object, most: int) -> list[object]:
    """The list itself. Raises `ValueError` when it is none or has more than `most` items."""
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("no list, or too long a one")
    return value


def _is_count(value: object) -> TypeGuard[int]:
    """True for a number of rows, columns or bytes."""
    # Up to 2 ** 53, above which JSON numbers are no longer exact everywhere.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def files_from_mime(payload: object) -> list[Json] | None:
    """Returns the fields of `FileArtifact`s: path, name, size, sha256, mime.

    Entries whose path is not absolute and normal are left out. None when the payload is no list of files.
    """
    entries = at(payload, "files")
    if not isinstance(entries, list) or len(entries) > MAX_FILES:
        return None
    return list(filter(None, map(_file, maps(entries))))


def _file(entry: Json) -> Json | None:
    """The fields of one file, or None when its path is not plain."""
    path = entry.get("path")
    if not isinstance(path, str) or not _is_plain(path):
        return None
    size, digest, mime = entry.get("size"), entry.get("sha256"), entry.get("mime")
    return {
        "path": text(path),
        "name": text(posixpath.basename(path)),
        "size": size if _is_count(size) else None,
        "sha256": digest if isinstance(digest, str) and len(digest) == 64 and digest.isalnum() else None,
        "mime": text(mime)[:200] if isinstance(mime, str) else None,
    }


def _is_plain(path: str) -> bool:
    """True for an absolute path that cannot be written more simply."""
    fits = len(path) <= MAX_PATH and "\0" not in path and path.startswith("/")
    return fits and posixpath.normpath(path) == path
