"""Writes columns as JSON, always exact: plain up to 1 000 values, packed beyond, beyond `BUDGET` in files.

A long column is an arithmetic progression when it is one to the last bit (`range`, `linspace`); else the smallest
integers, decimals (integers by a power of ten) or float32 that hold it exactly; else float64. Packed columns are base64
in the payload. A series for which the figure has no room goes into files (`column_files.py`); a series for which
there is no room there either is left out, and its panel is incomplete. No number is ever rounded (-0.0 may become 0).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from . import column_files
from .importing import np

if TYPE_CHECKING:
    from .foreign import Array, Column, Json, Packed, Panel, Payload, Series


LONG = 1000
"""Values; longer columns are packed."""
BUDGET = 1_150_000
"""Characters of base64 in one figure."""
MOST = 5_000_000
"""Values in one column; readers refuse longer ones."""


def column(values: Array, *, time: bool = False) -> Column:
    """Returns a float array as a JSON column; `time` marks seconds since 1970."""
    values = np.asarray(values, float)
    if values.size <= LONG and not time:
        return plain_list(values)
    packed = _packed(values.ravel())
    if values.ndim == 2:
        packed["shape"] = list(values.shape)
    if time:
        packed["time"] = True
    return packed


def plain_list(values: Array) -> list[Json]:
    """Returns numbers as Python numbers, whole ones as int, missing ones as None. Keeps two dimensions."""
    if values.ndim == 2:
        return [plain_list(row) for row in values]
    whole = bool(np.all(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)))
    if whole:
        return [int(v) for v in values.tolist()]
    return [v if v - v == 0 else None for v in values.tolist()]


def _packed(values: Array) -> Packed:
    """Returns a column that is not yet text: `{"raw": array}` waits for `fit`, which knows how large the figure is."""
    return _progression(values) or _narrow(values)


def _progression(values: Array) -> Packed | None:
    """Returns start and step, when they give every value to the last bit; `linspace` sets its last one apart."""
    n, start = len(values), values[0]
    if not np.isfinite(values[[0, 1, n // 2, -1]]).all() or not _even(values):
        return None
    for step in (values[1] - start, (values[-1] - start) / (n - 1)):
        if np.array_equal(start + step * np.arange(n - 1), values[:-1]):
            found: Packed = {"start": float(start), "step": float(step), "n": n}
            return found if start + step * (n - 1) == values[-1] else found | {"last": float(values[-1])}
    return None


def _even(values: Array) -> bool:
    """Says whether the middle of a column is where that of an even one is: a first look that costs nothing."""
    n = len(values)
    expected = values[0] + (values[-1] - values[0]) * (n // 2) / (n - 1)
    return bool(abs(values[n // 2] - expected) <= 1e-9 * max(1.0, abs(expected), abs(values[-1])))


def _narrow(values: Array) -> Packed:
    """Returns the same numbers in the smallest form that holds them all exactly."""
    for dtype in ("<i1", "<i2", "<i4", "<f4"):
        if (small := _exactly(values, dtype)) is not None:
            return {"raw": small}
    for divisor in (10, 100, 1000, 10_000):
        if (small := _exactly(values, "<i4", divisor)) is not None:
            return {"raw": small, "div": divisor}
    return {"raw": np.ascontiguousarray(values, "<f8")}


def _exactly(values: Array, dtype: str, divisor: int = 1) -> Array | None:
    """Returns `values * divisor` as `dtype`, or None when dividing again does not give the same bits."""
    small = None
    for part in (values[:100], values):  # nearly every column that does not fit shows it at once
        with np.errstate(all="ignore"):
            small = (np.rint(part * divisor) if divisor > 1 else part).astype(dtype)
        if not np.array_equal(small.astype(float) / divisor, part, equal_nan=dtype == "<f4"):
            return None
    return small


def unpack(item: Column, most: int) -> Column:
    """Returns an encoded column as a list, when it has at most `most` numbers; anything else as it is."""
    if not isinstance(item, dict) or item.get("time") or item["n"] > most or "file" in item:
        return item
    if "step" in item:
        numbers = item["start"] + item["step"] * np.arange(item["n"])
        numbers[-1] = item.get("last", numbers[-1])
        return plain_list(numbers)
    return plain_list(np.frombuffer(base64.b64decode(item["b64"]), f"<{item['dtype']}") / item.get("div", 1))


def fit(payload: Payload) -> None:
    """Turns the waiting columns of a figure into text, files or nothing, series by series, while there is room."""
    room, filed = BUDGET, column_files.MOST_IN_A_FIGURE
    for panel in payload["panels"]:
        kept: list[Series] = []
        for series in panel["series"]:
            columns = _waiting(series)
            size = sum(item["raw"].nbytes for item in columns)
            if _too_long(series):
                continue
            if size * 4 // 3 <= room:  # base64 writes three bytes as four characters
                room -= size * 4 // 3
                for item in columns:
                    _encode(item)
            elif size <= filed and all(map(column_files.write, columns)):
                filed -= size
            else:
                continue
            kept.append(series)
        _note(panel, kept)


def _note(panel: Panel, kept: list[Series]) -> None:
    """Says in the panel which columns are in files, and that series are missing."""
    if any("file" in item for series in kept for item in _dicts(series)):
        panel["notes"].append("long columns are in files in the sandbox: chart.load(interpreter.download) reads them")
    if len(kept) < len(panel["series"]):
        panel["notes"].append(f"{len(panel['series']) - len(kept)} series left out: the figure is too large")
        panel["series"], panel["complete"] = kept, False


def _too_long(series: Series) -> bool:
    """Says whether a column has more values than readers accept."""
    return any((len(item["raw"]) if "raw" in item else item.get("n", 0)) > MOST for item in _dicts(series))


def _waiting(series: Series) -> list[Packed]:
    """Returns the columns that are neither text nor a file yet."""
    return [item for item in _dicts(series) if "raw" in item]


def _dicts(series: Series) -> list[Packed]:
    """Returns the packed columns of one series: x, y and those in `extra`."""
    held: list[Packed | list[Json] | None] = [series.get("x"), series.get("y"), *(series.get("extra") or {}).values()]
    return [item for item in held if isinstance(item, dict)]


def _encode(item: Packed) -> None:
    """Turns a waiting column into text."""
    values = item.pop("raw")
    text = base64.b64encode(values.tobytes()).decode("ascii")
    item.update({"b64": text, "dtype": values.dtype.str[1:], "n": len(values)})
