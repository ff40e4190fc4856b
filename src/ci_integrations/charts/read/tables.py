"""Reads tables and lists of files from what a kernel sent, bounded."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from ci_integrations._json import plain, text
from ci_integrations.charts.read.bounds import _TROUBLE, bounded

MAX_ROWS = 1000


MAX_COLUMNS = 500


def table_from_mime(payload: Any) -> dict[str, Any] | None:
    """Fields of a `TableArtifact`: columns, rows, shape, index, markdown, note. None when it is no table."""
    try:
        return _table(payload) if isinstance(payload, dict) and bounded(payload) else None
    except _TROUBLE:
        return None


def _table(payload: dict[str, Any]) -> dict[str, Any] | None:
    columns, rows = payload["columns"], payload["rows"]
    if (
        not isinstance(columns, list)
        or not isinstance(rows, list)
        or len(columns) > MAX_COLUMNS
        or len(rows) > MAX_ROWS
    ):
        return None
    if any(not isinstance(row, list) or len(row) != len(columns) for row in rows):
        return None
    shape = payload["shape"]
    if not (isinstance(shape, list) and len(shape) == 2 and all(_count(v) for v in shape)):
        return None
    index = payload.get("index", 0)
    found: dict[str, Any] = {
        "columns": [{"name": text(str(c["name"]))[:2000], "dtype": text(str(c["dtype"]))[:200]} for c in columns],
        "rows": [[plain(value) for value in row] for row in rows],
        "shape": (shape[0], shape[1]),
        "index": index if _count(index) and index <= len(columns) else 0,
    }
    if isinstance(payload.get("note"), str):
        found["note"] = text(payload["note"])[:2000]
    from ci_integrations.charts.export.tables import table_markdown

    found["markdown"] = table_markdown([c["name"] for c in found["columns"]], found["rows"][:20], shape[0])
    return found


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


MAX_FILES = 1000


def files_from_mime(payload: Any) -> list[dict[str, Any]] | None:
    """Fields of `FileArtifact`s: path, name, size, sha256, mime. Paths are absolute and normal; others are left out."""
    entries = payload.get("files") if isinstance(payload, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_FILES:
        return None
    return [file for entry in entries if (file := _file(entry)) is not None]


def _file(entry: Any) -> dict[str, Any] | None:
    path = entry.get("path") if isinstance(entry, Mapping) else None
    if not isinstance(path, str) or not 0 < len(path) <= 4096 or "\0" in path or posixpath.normpath(path) != path:
        return None
    if not path.startswith("/"):
        return None
    size, digest, mime = entry.get("size"), entry.get("sha256"), entry.get("mime")
    return {
        "path": text(path),
        "name": text(posixpath.basename(path)),
        "size": size if _count(size) else None,
        "sha256": digest if isinstance(digest, str) and len(digest) == 64 and digest.isalnum() else None,
        "mime": text(mime)[:200] if isinstance(mime, str) else None,
    }
