"""Payloads out of the sandbox as typed charts, tables and files. All of it is hostile input: bounded, checked,
never raises.

A payload that is not what its MIME type says gives None, and the caller keeps it as it came.
"""

from __future__ import annotations

import math
import posixpath
import zlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ci_integrations._json import plain, text
from ci_integrations.charts.model import Chart

CHART_MIME = "application/vnd.ci-chart.v1+json"
BOKEH_MIME = "application/vnd.ci-bokeh.v1+json"
MAX_NODES = 3_000_000
"""Values in one payload, containers counted."""
MAX_DEPTH = 40
MAX_CHARACTERS = 64_000_000

_TROUBLE = (ValidationError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError,
            ArithmeticError, zlib.error)  # fmt: skip


def bounded(value: Any) -> bool:
    """True when a JSON value is small enough to be looked at: nodes, depth and characters."""
    nodes = characters = 0
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        nodes += 1
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, (list, tuple, dict)):
            nodes += len(item)
            if depth >= MAX_DEPTH:
                return False
            inner = item.values() if isinstance(item, dict) else item
            if isinstance(item, dict):
                characters += sum(len(str(key)) for key in item)
            stack.extend((child, depth + 1) for child in inner if isinstance(child, (list, tuple, dict, str)))
        if nodes > MAX_NODES or characters > MAX_CHARACTERS:
            return False
    return True


def chart_from_mime(mime: str, payload: Any) -> Chart | None:
    """The chart in a MIME payload: ours, plotly's, Vega-Lite's or bokeh's. None when it is none of these or broken."""
    reader = _reader(mime)
    if reader is None or not isinstance(payload, dict):
        return None
    try:
        return reader(payload) if bounded(payload) else None
    except _TROUBLE:
        return None


def _reader(mime: str) -> Any:
    if mime == CHART_MIME:
        return _own
    if mime.startswith("application/vnd.plotly.v"):
        from ci_integrations.charts import readers_plotly

        return readers_plotly.chart
    if mime.startswith(("application/vnd.vegalite.v", "application/vnd.vega-lite.v")):
        from ci_integrations.charts import readers_vega

        return readers_vega.chart
    if mime == BOKEH_MIME:
        from ci_integrations.charts import readers_bokeh

        return readers_bokeh.chart
    return None


def _own(payload: dict[str, Any]) -> Chart | None:
    chart = Chart.model_validate(payload)
    return chart if chart.panels else None


def chart_from_e2b(raw: Any) -> Chart | None:
    """E2B's own chart dict. `complete` is False where that shape is known to mislead (bars, boxes, points on dates)."""
    from ci_integrations.charts import readers_e2b

    try:
        return readers_e2b.chart(raw) if isinstance(raw, dict) and bounded(raw) else None
    except _TROUBLE:
        return None


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
    from ci_integrations.charts.words import table_markdown

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


def finite(value: Any) -> float | None:
    """A JSON number, or None."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None
