"""Reads pandas objects as data: the table payload, and E2B's own `e2b/data`."""

from __future__ import annotations

import base64
import json
import math
import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from . import whole_tables

if TYPE_CHECKING:
    from .foreign import Bundle, Frame, Index, Json, UserData


TABLE_MIME = "application/vnd.ci-table.v1+json"
MAX_ROWS = 1000
"""Rows sent; `shape` has the whole size."""
MAX_CELLS = 100_000
"""Cells sent: of a wide table fewer rows."""
SHOWN_ROWS, SHOWN_COLUMNS = 20, 40
"""How much of a table is also sent as a reader sees it."""
MAX_SHOWN = 300
"""Characters of one value there."""
_LOOKS_LIKE_A_VALUE = re.compile(
    r"\s*|[+-]?(\d[\d_,]*\.?\d*|\.\d+)(e[+-]?\d+)?|true|false|none|null|nan|nat|<na>|[+-]?inf(inity)?"
    r"|'.*'|\".*\"|\s.*|.*\s", re.IGNORECASE | re.DOTALL,
)  # fmt: skip
"""Text that a reader would take for a number or a missing value, or whose blanks cannot be seen."""
MAX_ARRAY = 1000
"""Values of an array whose text form NumPy shows whole: it is no table."""
MAX_OTHER = 5_000_000
"""Cells of a table of another library that is made one of pandas to be shown."""
MAX_COLUMNS = 200
"""Columns sent."""
MAX_TEXT = 2000
"""Characters of one cell."""
MAX_DATA_CELLS = 2_000_000
"""Cells of `e2b/data`, which is the whole frame; larger frames go without."""


def table(frame: Frame) -> Bundle | None:
    """Returns a DataFrame or Series with dtypes, its first rows, whole shape and index; None when that fails."""
    try:
        return _table(frame)
    except Exception:  # noqa: BLE001 - the text form is still there; the cell must not fail for its table
        return None


def other_table(table: UserData) -> Bundle | None:
    """Returns what another library calls a table; None for what is none, and for one that is too large to convert."""
    try:
        shape = getattr(table, "shape", ())
        cells = math.prod(map(int, shape)) if shape else int(getattr(table, "size", 0) or 0)
        if cells > MAX_OTHER or (hasattr(table, "__array_interface__") and cells <= MAX_ARRAY):
            return None
        return _table(whole_tables.as_frame(table))
    except Exception:  # noqa: BLE001 - as above
        return None


def _table(frame: Frame) -> Bundle:
    """Returns the table payload, the index as leading columns. Raises whatever an unusual frame raises."""
    series = frame.ndim == 1
    rows, width = len(frame), 1 if series else frame.shape[1]
    most = min(MAX_ROWS, max(20, MAX_CELLS // max(1, min(width, MAX_COLUMNS))))
    head = frame.iloc[:most]
    index = head.index
    labels = [
        ({"name": _name(name), "dtype": str(dtype)}, _cells(index.get_level_values(place)))
        for place, (name, dtype) in enumerate(_levels(index))
    ]
    columns, values = zip(*labels, *_named_columns(head), strict=True)
    found: Bundle = {
        "columns": list(columns), "rows": [list(row) for row in zip(*values, strict=True)], "shape": [rows, width],
        "index": index.nlevels, "series": series, "shown": _shown_rows(head.iloc[:SHOWN_ROWS, :SHOWN_COLUMNS]
                                                                       if not series else head.iloc[:SHOWN_ROWS]),
    }  # fmt: skip
    kept = _whole(frame)
    if isinstance(kept, dict):
        found["whole"] = kept
    if rows > most or width > MAX_COLUMNS:
        note = f"the first {min(rows, most)} of {rows} rows, {min(width, MAX_COLUMNS)} of {width} columns"
        found["note"] = note if isinstance(kept, dict) else f"{note}; {kept}"
    return found


def _named_columns(head: Frame) -> list[tuple[Bundle, list[Json]]]:
    """Returns what a frame's or a series' columns are called, and their values."""
    if head.ndim == 1:
        return [({"name": "" if head.name is None else _name(head.name), "dtype": str(head.dtype)}, _cells(head))]
    # By place: two columns may have one name.
    return [
        ({"name": _name(head.columns[n]), "dtype": str(head.dtypes.iloc[n])}, _cells(head.iloc[:, n]))
        for n in range(min(head.shape[1], MAX_COLUMNS))
    ]


def _whole(frame: Frame) -> Bundle | str:
    try:
        return whole_tables.whole(frame)
    except Exception as error:  # noqa: BLE001 - the first rows are there
        return f"the whole could not be kept ({type(error).__name__})"


def _shown_rows(head: Frame) -> list[list[str]]:
    """Returns the first rows as a reader sees them, the index first."""
    index = [head.index.get_level_values(n) for n in range(head.index.nlevels)]
    values = [head] if head.ndim == 1 else [head.iloc[:, n] for n in range(head.shape[1])]
    return [list(row) for row in zip(*(map(shown, _listed(one)) for one in (*index, *values)), strict=True)]


def shown(value: UserData) -> str:
    """Returns a value as it is read: text without quotes, unless it looks like a number or like nothing."""
    if isinstance(value, str):
        return repr(value) if len(value) < 100 and _LOOKS_LIKE_A_VALUE.fullmatch(value) else value[:MAX_SHOWN]
    if isinstance(value, (datetime, date, time)) and type(value).__name__ != "NaTType":
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    return (repr(value) if isinstance(value, (bytes, list, dict, tuple)) else str(value))[:MAX_SHOWN]


def _listed(column: Frame) -> list[UserData]:
    return list(column.tolist() if hasattr(column, "tolist") else column)


def _levels(index: Index) -> list[tuple[object, object]]:
    """Returns the name and dtype of each level of an index; a level without a name has an empty one."""
    dtypes = list(index.dtypes) if index.nlevels > 1 else [index.dtype]
    return [("" if name is None else name, dtype) for name, dtype in zip(index.names, dtypes, strict=True)]


def _name(name: object) -> str:
    """Returns a column's name, the parts of a nested one joined by slashes."""
    words = " / ".join(map(str, name)) if isinstance(name, tuple) else str(name)
    return words[:MAX_TEXT]


def _cells(column: Frame) -> list[Json]:
    """Returns the values of a column or a level of an index."""
    return list(map(cell, _listed(column)))


def cell(value: UserData, depth: int = 4) -> Json:
    """Returns one value as JSON: numbers and words stay, times are ISO-8601, everything else is its text."""
    if value is None or isinstance(value, (bool, str)):
        return value[:MAX_TEXT] if isinstance(value, str) else value
    if isinstance(value, (int, float)):
        return _number(value)
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return _nested(value, depth)


def _number(value: float) -> Json:
    """Returns a number as JSON can hold it: NaN is null; infinities and integers beyond 64 bits are text."""
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    return value if math.isfinite(value) else (None if math.isnan(value) else str(value))


def _nested(value: UserData, depth: int) -> Json:
    """Returns a container with at most 100 entries at each of `depth` levels; anything else and deeper as text."""
    if depth and isinstance(value, dict):
        return {str(k)[:MAX_TEXT]: cell(v, depth - 1) for k, v in list(value.items())[:100]}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [cell(v, depth - 1) for v in list(value)[:100]]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a scalar of numpy
        return cell(value.item(), depth - 1) if depth else str(value)
    if depth and hasattr(value, "tolist"):
        return cell(value.tolist(), depth - 1)
    return str(value)[:MAX_TEXT]


def e2b_data(frame: Frame) -> dict[str, list[Json]] | None:
    """Returns E2B's `e2b/data`: column name to all its values, the index dropped, NaT as "NaT"; None on failure."""
    try:
        if frame.shape[0] * frame.shape[1] > MAX_DATA_CELLS:
            return None
        return {
            _data_key(name): [_data_cell(v) for v in frame.iloc[:, n].tolist()] for n, name in enumerate(frame.columns)
        }
    except Exception:  # noqa: BLE001 - as above
        return None


def _data_key(name: object) -> str:
    """Returns a column's name as JSON writes a key."""
    return json.dumps(name) if name is None or isinstance(name, bool) else str(name)


def _data_cell(value: UserData) -> Json:
    """Returns one value of `e2b/data`: bytes as base64, infinities as null, anything else as `cell` has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if type(value).__name__ == "NaTType":
        return "NaT"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return cell(value)
