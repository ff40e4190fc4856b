"""Columns as JSON, always exact: plain while they are short, beyond 1 000 values packed, beyond `BUDGET` in files.

A long column is an arithmetic progression when it is one to the last bit (`range`, `linspace`); else the smallest
integers, decimals (integers by a power of ten) or float32 that hold it exactly; else float64. Packed columns are base64
in the payload. A series for which the figure has no room goes into files (`column_files.py`); a series for which
there is no room there either is left out, and its panel is incomplete. No number is ever rounded (-0.0 may become 0).
"""

from __future__ import annotations

import base64
from typing import Any

from . import column_files

LONG = 1000
"""Values; longer columns are packed."""
BUDGET = 1_150_000
"""Characters of base64 in one figure."""
MOST = 5_000_000
"""Values in one column; readers refuse longer ones."""


def column(values: Any, *, time: bool = False) -> Any:
    """A float array as a JSON column; `time` marks seconds since 1970."""
    import numpy as np

    values = np.asarray(values, float)
    if values.size <= LONG and not time:
        return plain_list(values)
    packed = _packed(values.ravel())
    if values.ndim == 2:
        packed["shape"] = list(values.shape)
    if time:
        packed["time"] = True
    return packed


def plain_list(values: Any) -> Any:
    """Numbers as Python numbers, whole ones as int, missing ones as None. Keeps two dimensions."""
    import numpy as np

    if values.ndim == 2:
        return [plain_list(row) for row in values]
    whole = bool(np.all(np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**53)))
    if whole:
        return [int(v) for v in values.tolist()]
    return [v if v - v == 0 else None for v in values.tolist()]


def _packed(values: Any) -> dict[str, Any]:
    """Not yet text: `{"raw": array}` waits for `fit`, which knows how large the whole figure is."""
    return _progression(values) or _narrow(values)


def _progression(values: Any) -> dict[str, Any] | None:
    """Start and step, when they give every value but the last to the last bit; `linspace` sets its last one apart."""
    import numpy as np

    n, start = len(values), values[0]
    if not np.isfinite(values[[0, 1, n // 2, -1]]).all() or not _even(values):
        return None
    for step in (values[1] - start, (values[-1] - start) / (n - 1)):
        if np.array_equal(start + step * np.arange(n - 1), values[:-1]):
            found = {"start": float(start), "step": float(step), "n": n}
            return found if start + step * (n - 1) == values[-1] else found | {"last": float(values[-1])}
    return None


def _even(values: Any) -> bool:
    """A first look: the middle of an even column lies between its ends."""
    n = len(values)
    expected = values[0] + (values[-1] - values[0]) * (n // 2) / (n - 1)
    return bool(abs(values[n // 2] - expected) <= 1e-9 * max(1.0, abs(expected), abs(values[-1])))


def _narrow(values: Any) -> dict[str, Any]:
    """The same numbers in the smallest form that holds them all exactly."""
    import numpy as np

    for dtype in ("<i1", "<i2", "<i4", "<f4"):
        if (small := _exactly(values, dtype)) is not None:
            return {"raw": small}
    for divisor in (10, 100, 1000, 10_000):
        if (small := _exactly(values, "<i4", divisor)) is not None:
            return {"raw": small, "div": divisor}
    return {"raw": np.ascontiguousarray(values, "<f8")}


def _exactly(values: Any, dtype: str, divisor: int = 1) -> Any:
    """`values * divisor` as `dtype`, or None when dividing again does not give the same bits. A few are tried first."""
    import numpy as np

    small = None
    for part in (values[:100], values):
        with np.errstate(all="ignore"):
            small = (np.rint(part * divisor) if divisor > 1 else part).astype(dtype)
        if not np.array_equal(small.astype(float) / divisor, part, equal_nan=dtype == "<f4"):
            return None
    return small


def unpack(item: Any, most: int) -> Any:
    """An encoded column as a list, when it has at most `most` numbers; anything else as it is."""
    import numpy as np

    if not isinstance(item, dict) or item.get("time") or item["n"] > most or "file" in item:
        return item
    if "step" in item:
        numbers = item["start"] + item["step"] * np.arange(item["n"])
        numbers[-1] = item.get("last", numbers[-1])
        return plain_list(numbers)
    return plain_list(np.frombuffer(base64.b64decode(item["b64"]), f"<{item['dtype']}") / item.get("div", 1))


def fit(payload: dict[str, Any]) -> None:
    """Turn the waiting columns of a figure into text, files or nothing, series by series, as long as there is room."""
    room, filed = BUDGET, column_files.MOST_IN_A_FIGURE
    for panel in payload["panels"]:
        kept = []
        for series in panel["series"]:
            columns = _waiting(series)
            size = sum(item["raw"].nbytes for item in columns)
            if any(len(item["raw"]) > MOST for item in columns) or _too_long(series):
                continue
            if size * 4 // 3 <= room:
                room -= size * 4 // 3
                for item in columns:
                    _encode(item)
            elif size <= filed and all(column_files.write(item) for item in columns):
                filed -= size
            else:
                continue
            kept.append(series)
        _note(panel, kept)


def _note(panel: dict[str, Any], kept: list[dict[str, Any]]) -> None:
    if any("file" in item for series in kept for item in _dicts(series)):
        panel["notes"].append("long columns are in files in the sandbox: chart.load(interpreter.download) reads them")
    if len(kept) < len(panel["series"]):
        panel["notes"].append(f"{len(panel['series']) - len(kept)} series left out: the figure is too large")
        panel["series"], panel["complete"] = kept, False


def _too_long(series: dict[str, Any]) -> bool:
    return any(item.get("n", 0) > MOST for item in _dicts(series))


def _waiting(series: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in _dicts(series) if "raw" in item]


def _dicts(series: dict[str, Any]) -> list[dict[str, Any]]:
    """The packed columns of one series: x, y and those in `extra`."""
    held = [series.get("x"), series.get("y"), *(series.get("extra") or {}).values()]
    return [item for item in held if isinstance(item, dict)]


def _encode(item: dict[str, Any]) -> None:
    """Turn a waiting column into text."""
    values = item.pop("raw")
    item.update(b64=base64.b64encode(values.tobytes()).decode("ascii"), dtype=values.dtype.str[1:], n=len(values))
