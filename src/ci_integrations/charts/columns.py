"""Decodes columns of chart data: plain lists, or packed numbers as the extractor sends them. Sizes are bounded.

A packed column is one of these, exact in every case:

    {"start", "step", "n", "last"?}                     start + step * k; `last` where the last value is set apart
    {"b64", "dtype", "n", "div"?, "shape"?, "time"?}    base64 numbers, divided by `div`
    {"file", "sha256", "dtype", "n", "range"?, ...}     the same numbers in a file in the sandbox, not here; the host
                                                        adds its signed address as `url`

`time` means seconds since 1970. `decode` raises `ArtifactError` for a column that is in a file, and nothing else.
"""

from __future__ import annotations

import array
import base64
import binascii
import hashlib
import math
import posixpath
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from ci_integrations._errors import ArtifactError
from ci_integrations._fetching import fetched as fetched_bytes

MAX_VALUES = 5_000_000
"""Values that one column may unpack to."""
MAX_PATH = 4096
"""Characters of the path of a file with a column."""

_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHA256 = re.compile(r"[0-9a-f]{64}")
KEYS = ("b64", "dtype", "n", "div", "shape", "time", "start", "step", "last", "file", "sha256", "range", "url")
"""All keys of packed columns; others are dropped."""

Packed = Mapping[str, Any]


def is_packed(value: object) -> TypeGuard[Packed]:
    """True for a column that has to be decoded. `problem` says whether it can be."""
    return isinstance(value, Mapping) and any(key in value for key in ("b64", "step", "file"))


def is_elsewhere(value: object) -> TypeGuard[Packed]:
    """True for a column whose numbers are in a file in the sandbox."""
    return is_packed(value) and "file" in value


def is_number(value: object) -> TypeGuard[float]:
    """True for a finite number; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def problem(value: Packed) -> str | None:
    """Returns why a packed column cannot be decoded, or None when it can."""
    # A boolean is an integer to Python, and not to anybody else.
    n = value.get("n")
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= MAX_VALUES:
        return "bad length"
    if "step" in value:
        return _bad_progression(value)
    code, divisor = _CODES.get(str(value.get("dtype"))), value.get("div", 1)
    if code is None or not is_number(divisor) or divisor == 0:
        return "bad type"
    return _bad_place(value, array.array(code).itemsize) or _bad_shape(value.get("shape"), n)


def _bad_progression(value: Packed) -> str | None:
    numbers = (value.get("start"), value.get("step"), value.get("last", 0.0))
    return None if all(map(is_number, numbers)) else "bad progression"


def _bad_place(value: Packed, width: int) -> str | None:
    """What is wrong with where the numbers are: the file, or the base64 text, whose length must fit `n`."""
    if "file" in value:
        usable = _is_path(value["file"]) and _is_digest(value.get("sha256")) and _are_ends(value.get("range"))
        return None if usable else "bad file"
    # Base64 takes four characters for three bytes, padding included: no need to decode to know the length.
    text = value.get("b64")
    fits = isinstance(text, str) and len(text) == 4 * math.ceil(value["n"] * width / 3)
    return None if fits else "length and data differ"


def _is_path(path: object) -> bool:
    """True for a plain path in the sandbox: it comes from there, so it must not climb or hide anything."""
    plain = isinstance(path, str) and len(path) <= MAX_PATH and path.startswith("/") and "\0" not in path
    return plain and posixpath.normpath(str(path)) == path


def _is_digest(digest: object) -> bool:
    return isinstance(digest, str) and _SHA256.fullmatch(digest) is not None


def _are_ends(ends: object) -> bool:
    """True for the lowest and the highest number of a column, and where they are not told."""
    return ends is None or (isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends)))


def _bad_shape(shape: object, n: int) -> str | None:
    return None if shape is None or (_is_shape(shape) and math.prod(shape) == n) else "bad shape"


def _is_shape(shape: object) -> TypeGuard[list[int]]:
    """True for the numbers of rows and columns of a matrix."""
    return isinstance(shape, list) and len(shape) == 2 and all(isinstance(v, int) and v >= 0 for v in shape)


def decode(value: Any) -> Any:
    """Returns the column as Python lists: numbers, words, ISO times; None for what is missing. Lists come as they are.

    Raises `ArtifactError` when the numbers are in a file in the sandbox.
    """
    if not is_packed(value):
        return list(value) if isinstance(value, tuple) else value
    if is_elsewhere(value):
        raise ArtifactError(
            f"{value.get('n')} numbers of this chart are in the sandbox, in {value['file']}: "
            "chart.load(interpreter.download) gives the chart with them"
        )
    return _decoded(value) if problem(value) is None else []


def _decoded(value: Packed) -> list[object]:
    numbers, shape = _numbers(value), value.get("shape")
    flat: list[object] = [_moment(v) for v in numbers] if value.get("time") else [_finite(v) for v in numbers]
    if shape is None:
        return flat
    return [flat[row * shape[1] : (row + 1) * shape[1]] for row in range(shape[0])]


def fetch(value: Packed) -> list[object] | None:
    """Returns a column that is in a file in the sandbox from its signed address; None when it has none.

    Raises `ArtifactError` when the sandbox is gone or the file is not what it was.
    """
    if not value.get("url") or problem(value) is not None:
        return None
    data = fetched_bytes(str(value["file"]), str(value["url"]), str(value["sha256"]))
    return _decoded(fetched(value, data))


def unpacked(value: Packed, *, whole: bool) -> list[object]:
    """Returns a packed column of another library's form; flat columns of `whole` numbers as integers.

    Raises `ValueError` when it cannot be decoded.
    """
    wrong = problem(value)
    if wrong is not None:
        raise ValueError(wrong)
    found = _decoded(value)
    return [int(v) if isinstance(v, float) else v for v in found] if whole and "shape" not in value else found


def numbers_of(value: object) -> list[float]:
    """Returns a column's finite numbers, for ranges and extrema.

    Times and words have none; a column in a file only its two ends.
    """
    if is_packed(value):
        return [] if value.get("time") else _packed_numbers(value)
    return [float(v) for v in _flat(value) if is_number(v)]


def _packed_numbers(value: Packed) -> list[float]:
    """The finite numbers of a packed column; nothing for one that cannot be decoded."""
    if "file" in value:
        return list(value.get("range") or ())
    return list(filter(math.isfinite, _numbers(value))) if problem(value) is None else []


def length(value: Any) -> int:
    """Returns how many values a column has, without unpacking it."""
    if value is None:
        return 0
    return int(value["n"]) if is_packed(value) and problem(value) is None else len(value)


def _numbers(value: Packed) -> Sequence[float]:
    if "step" in value:
        start, step = float(value["start"]), float(value["step"])
        # Multiplied, not added up: the extractor checked exactly this expression against the values.
        steps = [start + step * n for n in range(value["n"])]
        return [*steps[:-1], float(value.get("last", steps[-1]))] if steps else []
    found = array.array(_CODES[value["dtype"]])
    try:
        found.frombytes(base64.b64decode(value["b64"], validate=True))
    except (binascii.Error, ValueError):
        return []
    if sys.byteorder == "big":  # every library that packs numbers sends them little-endian
        found.byteswap()
    divisor = value.get("div", 1)
    return [v / divisor for v in found] if divisor != 1 else found


def fetched(value: Packed, data: bytes) -> dict[str, object]:
    """Returns a column with the contents of its file.

    Raises `ArtifactError` when `data` is not what the chart was made from.
    """
    if hashlib.sha256(data).hexdigest() != value["sha256"]:
        raise ArtifactError(f"{value['file']} in the sandbox is not what it was when the chart was made")
    found = {key: item for key, item in value.items() if key not in ("file", "sha256", "range", "url")}
    return found | {"b64": base64.b64encode(data).decode("ascii")}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(seconds: float) -> str | None:
    if not math.isfinite(seconds):
        return None
    try:
        # Not `fromtimestamp`: it fails for years that `datetime` has, depending on the platform.
        return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    except OverflowError:
        return None


def _flat(value: Any) -> Iterable[object]:
    for item in value or ():
        if isinstance(item, (list, tuple)):
            yield from _flat(item)
        else:
            yield item


def thin(values: Sequence[Any], most: int) -> list[int]:
    """Returns the places of at most `most` values.

    They lie in even steps; each step keeps its lowest and its highest value, and the first and the last stay too.
    """
    n = len(values)
    if n <= most:
        return list(range(n))
    if most < 4:
        return list(range(max(0, most)))
    # Two places for each step leave room for its lowest and its highest value.
    chosen = {0, n - 1}
    steps = max(1, (most - 2) // 2)
    for step in range(steps):
        places = range(step * n // steps, (step + 1) * n // steps)
        known = [p for p in places if isinstance(values[p], (int, float)) and not isinstance(values[p], bool)]
        if known:
            chosen |= {min(known, key=lambda p: values[p]), max(known, key=lambda p: values[p])}
        elif places:
            chosen.add(places[0])
    return sorted(chosen)[:most]
