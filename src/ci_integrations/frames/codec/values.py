"""Writes Python values as JSON and reads them back: those of object columns, labels, names and `attrs`.

Text, numbers, None and lists are themselves; every other value is an object with one key, which names its type. What
has no equal arrives as text, and is noted. Reading makes values of the types below only: no class is looked up by name.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from .container import MalformedError
from .notes import Notes
from .zones import Json, period_frequency, zone_from, zone_json

MAX_DEPTH = 60
"""Levels of lists and dicts inside one value."""
_MAX_TEXT = 100_000
"""Characters of the text that stands for a value without an equal."""
_LONG = 10_000
"""Bits. A longer integer is written in hexadecimal: decimal digits take quadratic time, and Python limits them."""
_DTYPE = re.compile(r"[<>|][biufcmMSU]\d+(\[\d*(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?")

_BASES: tuple[Any, ...] = (bool, int, float, str, bytes, dict, list, tuple, set, frozenset)
"""What a value of a subclass of these arrives as."""

Dtype = np.dtype[Any]
Array = np.ndarray[Any, Any]
_DIRECT = (str, bool, type(None), float)
"""Types that JSON has, as Python writes it: NaN and the infinities are words of their own."""


def is_plain(dtype: Dtype) -> bool:
    """Returns True for a NumPy dtype whose values are their memory: numbers, times and text of a fixed width."""
    return _DTYPE.fullmatch(dtype.str) is not None


def dtype_from(name: object) -> Dtype:
    """Returns the NumPy dtype of that name. Raises `MalformedError` for other than plain numbers, times and text."""
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise MalformedError("no dtype of plain values")
    return np.dtype(name)


def to_json(value: Any, notes: Notes, depth: int = MAX_DEPTH) -> Json:
    """Returns a value as JSON."""
    kind = type(value)
    if kind in _DIRECT:
        return value
    if kind is int:
        return value if value.bit_length() < _LONG else {"int": hex(value)}
    if depth <= 0:
        return _text(value, notes)
    if kind is list:
        return [to_json(item, notes, depth - 1) for item in value]
    writer = _WRITERS.get(kind)
    if writer is not None:
        tag, write = writer
        return {tag: write(value, lambda item: to_json(item, notes, depth - 1), notes)}
    return _other(value, notes, depth)


def _other(value: Any, notes: Notes, depth: int) -> Json:
    """Writes a value whose type is none of ours: by NumPy's kind, as the type that it is a kind of, or as text."""
    if isinstance(value, np.generic) and is_plain(value.dtype):
        return {"numpy": [value.dtype.str, _b64(np.asarray(value).tobytes())]}
    if value is pd.NA or value is pd.NaT:
        return {"missing": "NA" if value is pd.NA else "NaT"}
    if isinstance(value, dt.tzinfo):
        return {"zone": zone_json(value, notes)}
    for base in _BASES:
        if isinstance(value, base):
            try:
                copy = base(value)
            except Exception:  # noqa: BLE001 - a subclass may do anything; its text is left
                break
            notes.value(type(value).__name__, base.__name__)
            return to_json(copy, notes, depth - 1)
    return _text(value, notes)


def _text(value: Any, notes: Notes) -> str:
    notes.value(type(value).__name__, "their text")
    try:
        return str(value)[:_MAX_TEXT]
    except Exception:  # noqa: BLE001 - a class of the user's may fail in anything
        return f"<{type(value).__name__}>"


def from_json(given: Json, notes: Notes, depth: int = MAX_DEPTH) -> Any:
    """Returns the value that `to_json` wrote. Raises `MalformedError`, or what the value's type raises, otherwise."""
    if depth < 0:
        raise MalformedError("values nested too deeply")
    if isinstance(given, list):
        return [from_json(item, notes, depth - 1) for item in given]
    if not isinstance(given, dict):
        return given
    if len(given) != 1:
        raise MalformedError("a value has one type")
    ((tag, payload),) = given.items()
    reader = _READERS.get(tag)
    if reader is None:
        raise MalformedError(f"there are no values of the type {tag[:40]!r}")
    return reader(payload, lambda item: from_json(item, notes, depth - 1), notes)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: object) -> bytes:
    if not isinstance(text, str):
        raise MalformedError("bytes are base64 text")
    return base64.b64decode(text, validate=True)


Inner = Callable[[Any], Any]
Write = Callable[[Any, Inner, Notes], Json]
Read = Callable[[Json, Inner, Notes], Any]


def _pairs(value: dict[Any, Any], inner: Inner, notes: Notes) -> Json:
    return [[inner(key), inner(item)] for key, item in value.items()]


def _items(value: Iterable[Any], inner: Inner, notes: Notes) -> Json:
    return [inner(item) for item in value]


def _moment(value: dt.datetime, inner: Inner, notes: Notes) -> Json:
    return [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, zone_json(value.tzinfo, notes)]


def _read_moment(given: Json, inner: Inner, notes: Notes) -> dt.datetime:
    words, fold, zone = given
    return dt.datetime.fromisoformat(words).replace(fold=int(fold), tzinfo=zone_from(zone, notes))


def _read_time(given: Json, inner: Inner, notes: Notes) -> dt.time:
    words, fold, zone = given
    return dt.time.fromisoformat(words).replace(fold=int(fold), tzinfo=zone_from(zone, notes))


def _stamp(value: pd.Timestamp, inner: Inner, notes: Notes) -> Json:
    naive = value if value.tz is None else value.tz_convert("UTC").tz_localize(None)
    return [int(naive.to_datetime64().astype("i8")), value.unit, zone_json(value.tz, notes)]


def _read_stamp(given: Json, inner: Inner, notes: Notes) -> pd.Timestamp:
    count, unit, zone = given
    stamp = pd.Timestamp(np.datetime64(int(count), _unit(unit)))
    zone = zone_from(zone, notes)
    return stamp if zone is None else stamp.tz_localize("UTC").tz_convert(zone)


def _unit(unit: object) -> Any:
    if unit not in ("s", "ms", "us", "ns"):
        raise MalformedError("no unit of time")
    return unit


def _array(value: Array, inner: Inner, notes: Notes) -> Json:
    shape = list(value.shape)
    if is_plain(value.dtype):
        return [value.dtype.str, shape, _b64(value.tobytes())]
    if value.dtype.hasobject:
        return ["O", shape, [inner(item) for item in value.ravel().tolist()]]
    notes.value(f"array of {value.dtype}", "lists")
    return ["O", shape[:1], [inner(item) for item in value.tolist()]]


def _read_array(given: Json, inner: Inner, notes: Notes) -> Array:
    dtype, shape, payload = given
    if not isinstance(shape, list) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise MalformedError("no shape of an array")
    if dtype == "O":
        return objects([inner(item) for item in payload]).reshape(shape)
    return np.frombuffer(_unb64(payload), dtype=dtype_from(dtype)).reshape(shape).copy()


def objects(values: list[Any]) -> Array:
    """Returns values as an array of dtype object, however list-like they are."""
    return np.fromiter(values, dtype=object, count=len(values))


def _complex(value: complex, inner: Inner, notes: Notes) -> Json:
    return [value.real, value.imag]


_CLOSED = ("left", "right", "both", "neither")


def _read_interval(given: Json, inner: Inner, notes: Notes) -> pd.Interval:
    left, right, closed = given
    return pd.Interval(inner(left), inner(right), closed=closed if closed in _CLOSED else "right")


def _read_missing(given: Json, inner: Inner, notes: Notes) -> Any:
    return pd.NA if given == "NA" else pd.NaT


def _read_numpy(given: Json, inner: Inner, notes: Notes) -> Any:
    dtype, payload = given
    (value,) = np.frombuffer(_unb64(payload), dtype=dtype_from(dtype))
    return value


def _read_int(given: Json, inner: Inner, notes: Notes) -> int:
    return int(given, 16)


def _read_duration(given: Json, inner: Inner, notes: Notes) -> dt.timedelta:
    days, seconds, micros = given
    return dt.timedelta(days=int(days), seconds=int(seconds), microseconds=int(micros))


def _read_fraction(given: Json, inner: Inner, notes: Notes) -> Fraction:
    top, bottom = map(inner, given)
    return Fraction(top, bottom)


# A row: the tag, the type, how it is written, how it is read. Types are matched exactly: a subclass is another type.
_TYPES: list[tuple[str, type, Write, Read]] = [
    ("dict", dict, _pairs, lambda given, inner, _: {inner(key): inner(item) for key, item in given}),
    ("ordered", OrderedDict, _pairs, lambda given, inner, _: OrderedDict((inner(k), inner(v)) for k, v in given)),
    ("tuple", tuple, _items, lambda given, inner, _: tuple(map(inner, given))),
    ("set", set, _items, lambda given, inner, _: set(map(inner, given))),
    ("frozenset", frozenset, _items, lambda given, inner, _: frozenset(map(inner, given))),
    ("bytes", bytes, lambda v, *_: _b64(v), lambda given, *_: _unb64(given)),
    ("bytearray", bytearray, lambda v, *_: _b64(v), lambda given, *_: bytearray(_unb64(given))),
    ("complex", complex, _complex, lambda given, *_: complex(*map(float, given))),
    ("decimal", Decimal, lambda v, *_: str(v), lambda given, *_: Decimal(given)),
    ("fraction", Fraction, lambda v, inner, _: [inner(v.numerator), inner(v.denominator)], _read_fraction),
    ("date", dt.date, lambda v, *_: v.isoformat(), lambda given, *_: dt.date.fromisoformat(given)),
    ("time", dt.time, lambda v, _, notes: [v.replace(tzinfo=None, fold=0).isoformat(), v.fold,
                                           zone_json(v.tzinfo, notes)], _read_time),
    ("datetime", dt.datetime, _moment, _read_moment),
    ("timedelta", dt.timedelta, lambda v, *_: [v.days, v.seconds, v.microseconds], _read_duration),
    ("uuid", uuid.UUID, lambda v, *_: str(v), lambda given, *_: uuid.UUID(given)),
    ("ip4", ipaddress.IPv4Address, lambda v, *_: str(v), lambda given, *_: ipaddress.IPv4Address(given)),
    ("ip6", ipaddress.IPv6Address, lambda v, *_: str(v), lambda given, *_: ipaddress.IPv6Address(given)),
    ("path", PosixPath, lambda v, *_: str(v), lambda given, *_: PosixPath(given)),
    ("purepath", PurePosixPath, lambda v, *_: str(v), lambda given, *_: PurePosixPath(given)),
    ("range", range, lambda v, *_: [v.start, v.stop, v.step], lambda given, *_: range(*map(int, given))),
    ("slice", slice, lambda v, inner, _: [inner(v.start), inner(v.stop), inner(v.step)],
     lambda given, inner, _: slice(*map(inner, given))),
    ("Timestamp", pd.Timestamp, _stamp, _read_stamp),
    ("Timedelta", pd.Timedelta, lambda v, *_: [int(v.to_timedelta64().astype("i8")), v.unit],
     lambda given, *_: pd.Timedelta(np.timedelta64(int(given[0]), _unit(given[1])))),
    ("Period", pd.Period, lambda v, *_: [v.ordinal, v.freqstr],
     lambda given, *_: pd.Period(ordinal=int(given[0]), freq=period_frequency(given[1]))),
    ("Interval", pd.Interval, lambda v, inner, _: [inner(v.left), inner(v.right), v.closed], _read_interval),
    ("array", np.ndarray, _array, _read_array),
]  # fmt: skip
_WRITERS: dict[type, tuple[str, Write]] = {kind: (tag, write) for tag, kind, write, _ in _TYPES}
_READERS: dict[str, Read] = {tag: read for tag, _, _, read in _TYPES} | {
    "int": _read_int,
    "numpy": _read_numpy,
    "missing": _read_missing,
    "zone": lambda given, _, notes: zone_from(given, notes),
}
