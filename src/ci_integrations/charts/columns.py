"""Columns of chart data: plain lists, or packed numbers as the extractor sends them. Decoding is bounded, never raises.

A packed column is a progression `{"start", "step", "n"}` or base64 numbers
`{"b64", "dtype", "n", "offset"?, "shape"?, "time"?, "rounded"?}`; `time` means seconds since 1970.
"""

from __future__ import annotations

import array
import base64
import binascii
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_VALUES = 5_000_000
"""Values that one column may unpack to."""

_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_packed(value: Any) -> bool:
    return isinstance(value, Mapping) and ("b64" in value or "step" in value)


def problem(value: Mapping[str, Any]) -> str | None:
    """Why a packed column cannot be decoded, or None."""
    n = value.get("n")
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= MAX_VALUES:
        return "bad length"
    if "step" in value:
        numbers = (value.get("start"), value.get("step"))
        return None if all(_is_number(v) for v in numbers) else "bad progression"
    text, code = value.get("b64"), _CODES.get(str(value.get("dtype")))
    if code is None or not isinstance(text, str) or not _is_number(value.get("offset", 0.0)):
        return "bad type"
    width = array.array(code).itemsize
    if len(text) != 4 * math.ceil(n * width / 3):
        return "length and data differ"
    shape = value.get("shape")
    if shape is None:
        return None
    fits = isinstance(shape, list) and len(shape) == 2 and all(isinstance(v, int) and v >= 0 for v in shape)
    return None if fits and shape[0] * shape[1] == n else "bad shape"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def decode(value: Any) -> Any:
    """The column as Python lists: numbers, words, ISO times; None for what is missing. A plain list comes back as it is."""
    if not is_packed(value):
        return list(value) if isinstance(value, tuple) else value
    if problem(value) is not None:
        return []
    numbers = _numbers(value)
    flat: list[Any] = [_moment(v) for v in numbers] if value.get("time") else [_finite(v) for v in numbers]
    shape = value.get("shape")
    if shape is None:
        return flat
    return [flat[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]


def numbers_of(value: Any) -> list[float]:
    """The finite numbers of a column, for ranges and extrema; times and words have none."""
    if is_packed(value):
        return (
            [v for v in _numbers(value) if math.isfinite(v)] if problem(value) is None and not value.get("time") else []
        )
    return [float(v) for v in _flat(value) if _is_number(v)]


def length(value: Any) -> int:
    """How many values a column has, without unpacking it."""
    if value is None:
        return 0
    return int(value["n"]) if is_packed(value) and problem(value) is None else len(value)


def _numbers(value: Mapping[str, Any]) -> Sequence[float]:
    if "step" in value:
        start, step = float(value["start"]), float(value["step"])
        return [start + step * n for n in range(value["n"])]
    found = array.array(_CODES[value["dtype"]])
    try:
        found.frombytes(base64.b64decode(value["b64"], validate=True))
    except (binascii.Error, ValueError):
        return []
    if sys.byteorder == "big":
        found.byteswap()
    offset = float(value.get("offset") or 0.0)
    return [v + offset for v in found] if offset else found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(seconds: float) -> str | None:
    if not math.isfinite(seconds):
        return None
    try:
        return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    except OverflowError:
        return None


def _flat(value: Any) -> Iterable[Any]:
    for item in value or ():
        if isinstance(item, (list, tuple)):
            yield from _flat(item)
        else:
            yield item
