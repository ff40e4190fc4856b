"""pandas objects as data: the table payload, and E2B's own `e2b/data`."""

from __future__ import annotations

import base64
import json
import math
from datetime import date, datetime, time, timedelta
from typing import Any

TABLE_MIME = "application/vnd.ci-table.v1+json"
MAX_ROWS = 200
"""Rows sent; `shape` has the whole size."""
MAX_COLUMNS = 200
MAX_TEXT = 2000
"""Characters of one cell."""
MAX_DATA_CELLS = 2_000_000
"""Cells of `e2b/data`, which is the whole frame; larger frames go without."""


def table(frame: Any) -> dict[str, Any] | None:
    """A DataFrame or Series: columns with dtypes, the first rows, the whole shape, the index as leading columns."""
    try:
        return _table(frame)
    except Exception:  # noqa: BLE001 - the text form is still there; the cell must not fail for its table
        return None


def _table(frame: Any) -> dict[str, Any]:
    series = frame.ndim == 1
    rows, width = len(frame), 1 if series else frame.shape[1]
    head = frame.iloc[:MAX_ROWS]
    index = head.index
    columns = [{"name": _name(n), "dtype": str(d)} for n, d in _levels(index)]
    values = [_cells(index.get_level_values(n)) for n in range(index.nlevels)]
    if series:
        columns.append({"name": "" if frame.name is None else _name(frame.name), "dtype": str(frame.dtype)})
        values.append(_cells(head))
    else:
        for place in range(min(width, MAX_COLUMNS)):
            column = head.iloc[:, place]
            columns.append({"name": _name(frame.columns[place]), "dtype": str(frame.dtypes.iloc[place])})
            values.append(_cells(column))
    found: dict[str, Any] = {
        "columns": columns, "rows": [list(row) for row in zip(*values, strict=True)], "shape": [rows, width],
        "index": index.nlevels, "series": series,
    }  # fmt: skip
    if rows > MAX_ROWS or width > MAX_COLUMNS:
        found["note"] = f"the first {min(rows, MAX_ROWS)} of {rows} rows, {min(width, MAX_COLUMNS)} of {width} columns"
    return found


def _levels(index: Any) -> list[tuple[Any, Any]]:
    dtypes = list(index.dtypes) if index.nlevels > 1 else [index.dtype]
    return [("" if name is None else name, dtype) for name, dtype in zip(index.names, dtypes, strict=True)]


def _name(name: Any) -> str:
    words = " / ".join(str(part) for part in name) if isinstance(name, tuple) else str(name)
    return words[:MAX_TEXT]


def _cells(column: Any) -> list[Any]:
    return [cell(value) for value in column.tolist()] if hasattr(column, "tolist") else [cell(v) for v in column]


def cell(value: Any, depth: int = 4) -> Any:  # noqa: C901, PLR0911 - one line per type
    """One value as JSON: numbers and words stay, times are ISO-8601, everything else is its text."""
    if value is None or isinstance(value, (bool, str)):
        return value[:MAX_TEXT] if isinstance(value, str) else value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else (None if math.isnan(value) else str(value))
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, dict) and depth:
        return {str(k)[:MAX_TEXT]: cell(v, depth - 1) for k, v in list(value.items())[:100]}
    if isinstance(value, (list, tuple, set, frozenset)) and depth:
        return [cell(v, depth - 1) for v in list(value)[:100]]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return cell(value.item(), depth - 1) if depth else str(value)
    if hasattr(value, "tolist") and depth:
        return cell(value.tolist(), depth - 1)
    return str(value)[:MAX_TEXT]


def e2b_data(frame: Any) -> dict[str, list[Any]] | None:
    """E2B's `e2b/data`: column name to all its values, the index dropped, NaT as "NaT"."""
    try:
        if frame.shape[0] * frame.shape[1] > MAX_DATA_CELLS:
            return None
        return {
            _data_key(name): [_data_cell(v) for v in frame.iloc[:, n].tolist()] for n, name in enumerate(frame.columns)
        }
    except Exception:  # noqa: BLE001 - as above
        return None


def _data_key(name: Any) -> str:
    return json.dumps(name) if name is None or isinstance(name, bool) else str(name)


def _data_cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if type(value).__name__ == "NaTType":
        return "NaT"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return cell(value)
