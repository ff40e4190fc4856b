"""Columns as JSON: plain lists while they are short, base64 beyond 1 000 values, exact wherever that fits.

Long numbers go as an arithmetic progression, as small integers, as float32 when that loses nothing, else as float64.
When a figure would pass `BUDGET` its largest float64 columns become float32 (seven digits) and say so in `rounded`.
"""

from __future__ import annotations

import base64
from typing import Any

LONG = 1000
"""Values; longer columns are packed."""
BUDGET = 1_150_000
"""Characters of base64 in one figure before columns are rounded."""
CEILING = 8_000_000
"""Characters of base64 in one figure; columns beyond it are left out, and the panel says that it is incomplete."""


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
    import numpy as np

    n = len(values)
    step = values[1] - values[0] if n > 1 else 0.0
    if n > 2 and np.isfinite(step):
        for candidate in (step, (values[-1] - values[0]) / (n - 1)):
            if np.array_equal(values[0] + candidate * np.arange(n), values):
                return {"start": float(values[0]), "step": float(candidate), "n": n}
    for dtype in ("<i1", "<i2", "<i4", "<f4"):
        with np.errstate(all="ignore"):
            small = values.astype(dtype)
        if np.array_equal(small.astype(float), values, equal_nan=dtype == "<f4"):
            return _encoded(small)
    return _encoded(values.astype("<f8"))


def _encoded(values: Any) -> dict[str, Any]:
    return {"b64": base64.b64encode(values.tobytes()).decode("ascii"), "dtype": values.dtype.str[1:], "n": len(values)}


def size(value: Any) -> int:
    """Characters of base64 below `value`."""
    return sum(len(item["b64"]) for item in packed_columns(value))


def packed_columns(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("b64"), str):
            return [value]
        return [found for item in value.values() for found in packed_columns(item)]
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [found for item in value for found in packed_columns(item)]
    return []


def fit(payload: dict[str, Any]) -> None:
    """Bring the figure under `BUDGET` by rounding to float32, then under `CEILING` by leaving columns out."""
    if size(payload) <= BUDGET:
        return
    for panel in payload["panels"]:
        rounded = [_round(item) for item in packed_columns(panel["series"]) if item["dtype"] == "f8"]
        if rounded:
            panel["notes"].append("long columns are rounded to 7 digits to keep the figure small")
    if size(payload) <= CEILING:
        return
    left = CEILING
    for panel in payload["panels"]:
        left = _leave_out(panel, left)


def _round(item: dict[str, Any]) -> bool:
    """float64 to float32, around an offset when the values lie far from zero. Modifies `item`."""
    import numpy as np

    values = np.frombuffer(base64.b64decode(item["b64"]), "<f8")
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    offset = low if min(abs(low), abs(high)) > (high - low) else 0.0
    item.update(_encoded((values - offset).astype("<f4")), offset=offset, rounded=True)
    return True


def _leave_out(panel: dict[str, Any], left: int) -> int:
    """Drop series that do not fit any more; returns what is left of the ceiling."""
    kept = []
    for series in panel["series"]:
        cost = size(series)
        if cost <= left:
            left -= cost
            kept.append(series)
    if len(kept) < len(panel["series"]):
        panel["notes"].append(f"{len(panel['series']) - len(kept)} series left out: the figure is too large")
        panel["series"], panel["complete"] = kept, False
    return left
