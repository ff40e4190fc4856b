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
    """Not yet text: `{"raw": array}` waits for `fit`, which knows how large the whole figure is."""
    import numpy as np

    n = len(values)
    step = values[1] - values[0]
    if (np.isfinite(step) and values[2] - values[1] == step) or _even(values):
        for candidate in (step, (values[-1] - values[0]) / (n - 1)):
            if np.array_equal(values[0] + candidate * np.arange(n), values):
                return {"start": float(values[0]), "step": float(candidate), "n": n}
    return {"raw": _narrow(values)}


def _even(values: Any) -> bool:
    """A first look: the middle of an even column lies between its ends."""
    n = len(values)
    expected = values[0] + (values[-1] - values[0]) * (n // 2) / (n - 1)
    return bool(abs(values[n // 2] - expected) <= 1e-9 * max(1.0, abs(expected)))


def _narrow(values: Any) -> Any:
    """The same numbers in the smallest type that holds them all exactly."""
    import numpy as np

    for dtype in ("<i1", "<i2", "<i4", "<f4"):
        for part in (values[:100], values):
            with np.errstate(all="ignore"):
                small = part.astype(dtype)
            if not np.array_equal(small.astype(float), part, equal_nan=dtype == "<f4"):
                break
        else:
            return small
    return values.astype("<f8")


def encode(item: dict[str, Any]) -> None:
    """Turn a waiting column into its final form."""
    values = item.pop("raw")
    item.update(b64=base64.b64encode(values.tobytes()).decode("ascii"), dtype=values.dtype.str[1:], n=len(values))


def unpack(item: Any, most: int) -> Any:
    """An encoded column as a list, when it has at most `most` numbers; anything else as it is."""
    import numpy as np

    if not isinstance(item, dict) or item.get("time") or item["n"] > most:
        return item
    if "step" in item:
        return plain_list(item["start"] + item["step"] * np.arange(item["n"]))
    return plain_list(np.frombuffer(base64.b64decode(item["b64"]), f"<{item['dtype']}") + item.get("offset", 0.0))


def size(value: Any) -> int:
    """Characters of base64 that the waiting columns below `value` will be."""
    return sum(item["raw"].nbytes * 4 // 3 for item in waiting(value))


def waiting(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if "raw" in value:
            return [value]
        return [found for item in value.values() for found in waiting(item)]
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [found for item in value for found in waiting(item)]
    return []


def fit(payload: dict[str, Any]) -> None:
    """Bring the figure under `BUDGET` by rounding to float32, then under `CEILING` by leaving series out; then encode."""
    total = size(payload["panels"])
    if total > BUDGET:
        for panel in payload["panels"]:
            if [_round(item) for item in waiting(panel["series"]) if item["raw"].dtype.str == "<f8"]:
                panel["notes"].append("long columns are rounded to 7 digits to keep the figure small")
    if total > CEILING:
        left = CEILING
        for panel in payload["panels"]:
            left = _leave_out(panel, left)
    for item in waiting(payload["panels"]):
        encode(item)


def _round(item: dict[str, Any]) -> bool:
    """float64 to float32, around an offset when the values lie far from zero. Modifies `item`."""
    import numpy as np

    values = item["raw"]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    offset = low if np.isfinite(high - low) and min(abs(low), abs(high)) > (high - low) else 0.0
    with np.errstate(all="ignore"):
        item.update(raw=(values - offset).astype("<f4"), offset=offset, rounded=True)
    return True


def _leave_out(panel: dict[str, Any], left: int) -> int:
    """Drop series that do not fit any more. Returns what is left of the ceiling."""
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
