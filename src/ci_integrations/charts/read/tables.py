"""Reads tables and lists of files from what a kernel sent, bounded."""

from __future__ import annotations

import posixpath

from ci_integrations._json import plain, text
from ci_integrations.charts.read.bounds import TROUBLE, bounded
from ci_integrations.charts.read.plain import Json, maps

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


def _table(payload: Json) -> Json | None:
    """The fields of a table whose shape is right; None otherwise. Raises on nonsense."""
    columns, rows, shape, index = payload["columns"], payload["rows"], payload["shape"], payload.get("index", 0)
    if not isinstance(columns, list) or not isinstance(rows, list):
        return None
    if len(columns) > MAX_COLUMNS or len(rows) > MAX_ROWS:
        return None
    if any(not isinstance(row, list) or len(row) != len(columns) for row in rows):
        return None
    if not isinstance(shape, list) or len(shape) != 2 or not all(_is_count(v) for v in shape):
        return None
    names, cells = [text(str(c["name"]))[:2000] for c in columns], [list(map(plain, row)) for row in rows]
    found: Json = {
        "columns": [{"name": n, "dtype": text(str(c["dtype"]))[:200]} for n, c in zip(names, columns, strict=True)],
        "rows": cells,
        "shape": (shape[0], shape[1]),
        "index": index if _is_count(index) and isinstance(index, int) and index <= len(columns) else 0,
    }
    if isinstance(payload.get("note"), str):
        found["note"] = text(str(payload["note"]))[:2000]
    from ci_integrations.charts.export.tables import table_markdown

    # The Markdown is for a model, which reads the first rows only.
    found["markdown"] = table_markdown(names, cells[:_SHOWN_ROWS], shape[0])
    return found


def _is_count(value: object) -> bool:
    """True for a number of rows, columns or bytes."""
    # Up to 2 ** 53, above which JSON numbers are no longer exact everywhere.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def files_from_mime(payload: object) -> list[Json] | None:
    """Returns the fields of `FileArtifact`s: path, name, size, sha256, mime.

    Entries whose path is not absolute and normal are left out. None when the payload is no list of files.
    """
    entries = payload.get("files") if isinstance(payload, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_FILES:
        return None
    return [file for entry in maps(entries) if (file := _file(entry)) is not None]


def _file(entry: Json) -> Json | None:
    """The fields of one file, or None when its path is not plain."""
    path = entry.get("path")
    if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH or "\0" in path or not path.startswith("/"):
        return None
    if posixpath.normpath(path) != path:
        return None
    size, digest, mime = entry.get("size"), entry.get("sha256"), entry.get("mime")
    return {
        "path": text(path),
        "name": text(posixpath.basename(path)),
        "size": size if _is_count(size) else None,
        "sha256": digest if isinstance(digest, str) and len(digest) == 64 and digest.isalnum() else None,
        "mime": text(mime)[:200] if isinstance(mime, str) else None,
    }
