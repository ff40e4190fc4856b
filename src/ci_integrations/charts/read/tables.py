"""Reads tables and lists of files from what a kernel sent, bounded."""

from __future__ import annotations

import posixpath
from typing import NamedTuple, TypeGuard

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
_MAX_SHOWN_ROWS = 50
"""Rows that are sent as a reader sees them."""
MAX_INLINE = 64 * 1024
"""Characters of base64 of a small table that is sent whole."""
_MAX_NOTE = 400
"""Characters of one sentence about a table."""


def table_from_mime(payload: object) -> Json | None:
    """Returns the fields of a `TableArtifact` (columns, rows, shape, index, whole, note), and `shown`, its first
    rows as a reader sees them; None for anything else.
    """
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
    cells = [_cells(row, len(columns)) for row in rows]
    index = payload.get("index")
    found: Json = {
        "columns": heads, "rows": cells, "shape": (height, width),
        "index": index if _is_count(index) and index <= len(columns) else 0,
    }  # fmt: skip
    if isinstance(payload.get("note"), str):
        found["note"] = text(str(payload["note"]))[:2000]
    if (shown := _shown(payload.get("shown"))) is not None:
        found["shown"] = shown
    whole = payload.get("whole")
    if isinstance(whole, dict):
        found["whole"] = _whole(whole)
    return found


def _cells(row: object, width: int) -> list[object]:
    """The cells of a row. Raises `ValueError` when it is no list of `width` cells."""
    cells = _listed(row, MAX_COLUMNS)
    if len(cells) != width:
        raise ValueError("a row is as long as there are columns")
    return [plain(cell) for cell in cells]


def _shown(rows: object) -> list[list[str]] | None:
    """The first rows as a reader sees them; None when they are not what they should be."""
    if not isinstance(rows, list) or len(rows) > _MAX_SHOWN_ROWS or not all(map(_is_texts, rows)):
        return None
    return [[text(cell) for cell in row] for row in rows]


def _whole(given: Json) -> Json | None:
    """The fields of a `WholeTable`; None when they do not say where it is."""
    size, digest, data, path = (given.get(key) for key in ("size", "sha256", "b64", "file"))
    if not _is_count(size) or not _is_digest(digest):
        return None
    found: Json = {"size": size, "sha256": digest, "notes": _sentences(given.get("notes"))}
    if isinstance(data, str) and len(data) <= MAX_INLINE and data.isascii():
        return found | {"data": data}
    return found | {"path": path} if isinstance(path, str) and _is_plain(path) else None


def _sentences(notes: object) -> list[str]:
    return [text(note)[:_MAX_NOTE] for note in notes[:20] if isinstance(note, str)] if isinstance(notes, list) else []


def _is_texts(row: object) -> bool:
    return isinstance(row, list) and len(row) <= MAX_COLUMNS and all(isinstance(cell, str) for cell in row)


def _is_digest(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) == 64 and value.isalnum()


def _listed(value: object, most: int) -> list[object]:
    """The list itself. Raises `ValueError` when it is none or has more than `most` items."""
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("no list, or too long a one")
    return value


def _is_count(value: object) -> TypeGuard[int]:
    """True for a number of rows, columns or bytes."""
    # Up to 2 ** 53, above which JSON numbers are no longer exact everywhere.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


class FilesFound(NamedTuple):
    """Holds what a kernel says about the files that its cell wrote."""

    files: list[Json]
    """The fields of `FileArtifact`s: path, name, size, sha256, mime. `between`: `"background"` or `"outside"` for a
    file that changed between two cells, otherwise None."""
    more: int
    """Further files."""
    folders: int
    """Folders that were not searched."""


def files_from_mime(payload: object) -> FilesFound | None:
    """Returns the files in a payload; None when it is no list of files.

    Entries whose path is not absolute and normal are left out.
    """
    entries = at(payload, "files")
    if not isinstance(entries, list) or len(entries) > MAX_FILES:
        return None
    more, folders = at(payload, "more"), at(payload, "folders")
    found = list(filter(None, map(_file, maps(entries))))
    return FilesFound(found, more if _is_count(more) else 0, folders if _is_count(folders) else 0)


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
        "sha256": digest if _is_digest(digest) else None,
        "mime": text(mime)[:200] if isinstance(mime, str) else None,
        "between": entry.get("between") if entry.get("between") in ("background", "outside") else None,
    }


def _is_plain(path: str) -> bool:
    """True for an absolute path that cannot be written more simply."""
    fits = len(path) <= MAX_PATH and "\0" not in path and path.startswith("/")
    return fits and posixpath.normpath(path) == path
