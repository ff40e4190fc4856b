"""Makes frames of every kind that pandas has, for hypothesis."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", dt.timezone(dt.timedelta(hours=5, minutes=30))]
UNITS = ["s", "ms", "us", "ns"]
FREQUENCIES = ["D", "M", "Q-DEC", "W-SUN", "h", "Y-MAR"]
TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(
    [
        "",
        "NA",
        "nan",
        "None",
        "007",
        "a\rb",
        "\r",
        "x\ny",
        'say "so"',
        "a,b",
        "\0",
        "a\0b",
        "\ufeff",
        " ",
        "12E4",
        "🙂",
        "true",
    ]
)
BROKEN = TEXT | st.sampled_from(["\ud83d", "\udfff\ud83d", "a\ud800", "\ud83d\ude00"])
BIG = st.integers(-(10**40), 10**40)
MOMENTS = st.integers(-(2**50), 2**50)
DATES = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
SCALARS = (
    BROKEN | st.booleans() | BIG | st.floats(allow_nan=True) | st.none() | st.binary(max_size=5) | DATES | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.decimals(allow_nan=False) | st.fractions() | st.complex_numbers(allow_nan=False) | st.timedeltas()
    | st.just(pd.NA) | st.just(pd.NaT) | st.just(uuid.UUID(int=5)) | st.just(PurePosixPath("/a/b"))
    | st.builds(np.int16, st.integers(-9, 9)) | st.builds(np.float32, st.floats(width=32, allow_nan=False))
    | st.builds(lambda n: pd.Timestamp(n, unit="s", tz="Europe/Berlin"), st.integers(0, 2**31))
    | st.builds(lambda n: pd.Timedelta(n, unit="ms"), st.integers(-(2**31), 2**31))
    | st.builds(lambda n: pd.Period(ordinal=n, freq="M"), st.integers(0, 1000))
    | st.builds(lambda n: pd.Interval(n, n + 1, "both"), st.integers(-5, 5))
    | st.builds(lambda n: 2**n, st.integers(20_000, 20_010)) | st.just(Fraction(1, 3)) | st.just(Decimal("NaN"))
)  # fmt: skip
KEYS = BROKEN | st.integers(-9, 9) | st.booleans() | st.none() | st.tuples(TEXT, st.integers(0, 3))
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
    | st.tuples(inner, inner) | st.frozensets(st.integers(0, 9), max_size=3) | st.sets(TEXT, max_size=2),
    max_leaves=6,
)  # fmt: skip
LABELS = KEYS | st.dates(dt.date(1990, 1, 1), dt.date(2030, 1, 1)) | st.floats(allow_nan=False)
NAMES = st.none() | BROKEN | st.integers(-9, 9) | st.tuples(TEXT, st.integers(0, 3))

HAS_ARROW = find_spec("pyarrow") is not None
PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3


def _list(values, n):
    return st.lists(values, min_size=n, max_size=n)


def _numbers(n, *, plain):
    # pandas has no labels of half precision, and cannot tell whether those of another byte order are unique.
    others = [] if plain else ["f2", ">i4", ">f8"]
    kinds = [*others, "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "c8", "c16", "?"]

    def make(kind, raw):
        dtype = np.dtype(kind)
        data = (raw * (n * dtype.itemsize // len(raw) + 1))[: n * dtype.itemsize]
        if kind == "?":
            return np.frombuffer(data, "u1") % 2 == 1
        return np.frombuffer(data, dtype).copy()

    return st.builds(make, st.sampled_from(kinds), st.binary(min_size=8, max_size=64))


def _moments(n):
    def make(values, unit, zone, freq):
        stamps = np.array(values, f"M8[{unit}]") if values else np.empty(0, f"M8[{unit}]")
        if values and freq:
            stamps[0] = np.datetime64("NaT")
        index = pd.DatetimeIndex(stamps)
        return (index if zone is None else index.tz_localize("UTC").tz_convert(zone)).array

    small = st.integers(-(2**31), 2**32)
    return st.builds(make, _list(small, n), st.sampled_from(UNITS), st.none() | st.sampled_from(ZONES), st.booleans())


def _categories(n):
    kinds = (
        st.lists(TEXT, min_size=1, max_size=5, unique=True).map(lambda v: pd.Index(v, dtype=object))
        | st.lists(TEXT, min_size=1, max_size=5, unique=True).map(pd.Index)
        | st.lists(st.integers(-5, 5), min_size=1, max_size=5, unique=True).map(pd.Index)
        | st.just(pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"))
        | st.just(pd.period_range("2024-01", periods=3, freq="M"))
        | st.just(pd.interval_range(0, 3))
        | st.lists(st.booleans() | TEXT, min_size=1, max_size=3, unique=True).map(lambda v: pd.Index(v, dtype=object))
    )

    def make(categories, places, ordered):
        codes = [place % (len(categories) + 1) - 1 for place in places]
        return pd.Categorical.from_codes(codes, categories, ordered=ordered)

    return st.builds(make, kinds, _list(st.integers(0, 99), n), st.booleans())


def _masked(n):
    kinds = ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"]
    numbers = st.builds(
        lambda kind, values: pd.array(values, dtype=kind),
        st.sampled_from(kinds),
        _list(st.none() | st.integers(0, 99), n),
    )
    return numbers | _list(st.none() | st.booleans(), n).map(lambda values: pd.array(values, dtype="boolean"))


def _strings(n):
    # pyarrow, where it is installed, is behind these and takes no half of a character.
    dtypes = ["string[python]", *(["string[pyarrow]"] if HAS_ARROW else []), *(["str"] if PANDAS_3 else [])]
    return st.builds(
        lambda values, dtype: pd.array(values, dtype=dtype), _list(st.none() | TEXT, n), st.sampled_from(dtypes)
    )


def _sparse(n):
    def make(values, fill, kind):
        return pd.arrays.SparseArray(np.array(values, dtype=type(fill)), fill_value=fill, kind=kind)

    return st.builds(
        make, _list(st.sampled_from([0, 0, 0, 1, 5]), n), st.sampled_from([0, 1, 0.0, float("nan"), False]),
        st.sampled_from(["integer", "block"]),
    )  # fmt: skip


def _intervals(n):
    def make(starts, closed, as_moments, missing):
        left = pd.Index(starts, dtype="i8")
        if as_moments:
            left = pd.DatetimeIndex(left.to_numpy().astype("M8[s]"))
            return pd.arrays.IntervalArray.from_arrays(left, left + pd.Timedelta(1, "s"), closed=closed)
        if missing and len(starts):
            left = left.astype("f8").to_numpy(copy=True)
            left[0] = np.nan
        return pd.arrays.IntervalArray.from_arrays(left, left + 1, closed=closed)

    closed = st.sampled_from(["left", "right", "both", "neither"])
    return st.builds(make, _list(st.integers(-99, 99), n), closed, st.booleans(), st.booleans())


def _objects(n):
    def make(values):
        return np.fromiter(values, dtype=object, count=n)

    return (_list(NESTED, n) | _list(BROKEN | st.none() | st.just(float("nan")), n) | _list(DATES, n)
            | _list(st.decimals(allow_nan=False) | st.none(), n)).map(make)  # fmt: skip


def _arrow(n):
    import pyarrow as pa

    inner = pa.struct([("a", pa.int64()), ("b", pa.string())])
    kinds = [
        (st.integers(-9, 9), pa.int32()),
        (st.floats(allow_nan=False), pa.float64()),
        (st.booleans(), pa.bool_()),
        (TEXT, pa.string()),
        (st.binary(max_size=4), pa.binary()),
        (DATES, pa.date32()),
        (st.integers(0, 9), pa.duration("ms")),
        (st.integers(0, 2**40), pa.timestamp("us", "Europe/Berlin")),
        (st.lists(st.integers(0, 9), max_size=3), pa.list_(pa.int64())),
        (st.decimals(-99, 99, places=2), pa.decimal128(10, 2)),
        (st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.none() | TEXT}), inner),
    ]
    return st.one_of(
        *(
            _list(st.none() | values, n).map(
                lambda found, kind=kind: pd.array(pa.array(found, kind), dtype=pd.ArrowDtype(kind))
            )
            for values, kind in kinds
        )
    )


def arrays(n: int, *, plain: bool = False):
    """Returns a strategy for the values of one column of `n` rows."""
    periods = st.builds(
        lambda values, freq: pd.PeriodIndex.from_ordinals(np.array(values, "i8"), freq=freq).array,
        _list(st.integers(0, 600), n), st.sampled_from(FREQUENCIES),
    )  # fmt: skip
    durations = st.builds(
        lambda values, unit: pd.TimedeltaIndex(np.array(values, f"m8[{unit}]")).array,
        _list(st.integers(-(2**31), 2**31), n), st.sampled_from(UNITS),
    )  # fmt: skip
    kinds = [
        _numbers(n, plain=plain),
        _moments(n),
        _categories(n),
        _masked(n),
        _strings(n),
        periods,
        durations,
        _intervals(n),
    ]
    if not plain:
        kinds += [_sparse(n), _objects(n), *([_arrow(n)] if HAS_ARROW else [])]
    return st.one_of(*kinds)


@st.composite
def indexes(draw, n: int):
    """Returns a strategy for an index of `n` labels."""
    kind = draw(st.sampled_from(["range", "plain", "objects", "levels", "moments"]))
    name = draw(NAMES)
    if kind == "range":
        start, step = draw(st.integers(-5, 5)), draw(st.sampled_from([1, 2, -1]))
        return pd.RangeIndex(start, start + n * step, step, name=name)
    if kind == "moments":
        freq = draw(st.sampled_from(["D", "h", "W-MON", "B", "2D", "MS"]))
        return pd.date_range(
            "2024-01-01", periods=n, freq=freq, tz=draw(st.sampled_from([None, "Europe/Berlin"])), name=name
        )
    if kind == "levels":
        levels = [pd.Index(draw(arrays(n, plain=True)), name=draw(NAMES)) for _ in range(draw(st.integers(1, 3)))]
        return pd.MultiIndex.from_arrays(levels)
    if kind == "objects":
        values = np.fromiter(draw(_list(LABELS, n)), dtype=object, count=n)
        return pd.Index(values, dtype=object, name=name, tupleize_cols=False)
    values = draw(arrays(n, plain=True))
    return pd.Index(values, name=name)


@st.composite
def frames(draw):
    """Returns a strategy for frames: rows, columns, labels of both, `attrs`, flags."""
    rows, width = draw(st.integers(0, 5)), draw(st.integers(0, 4))
    index = draw(indexes(rows))
    columns = {
        n: pd.Series(values, index=index, dtype=values.dtype) for n in range(width) for values in [draw(arrays(rows))]
    }
    frame = pd.DataFrame(columns, index=index)
    frame.columns = draw(indexes(width))
    frame.attrs = draw(st.dictionaries(TEXT, NESTED, max_size=2))
    if draw(st.booleans()) and frame.index.is_unique and frame.columns.is_unique:
        frame.flags.allows_duplicate_labels = False
    return frame


@st.composite
def series(draw):
    """Returns a strategy for Series."""
    rows = draw(st.integers(0, 5))
    index = draw(indexes(rows))
    values = draw(arrays(rows))
    found = pd.Series(values, index=index, dtype=values.dtype)
    found.name = draw(NAMES)
    return found


def many(count: int, seed: int = 1):
    """Yields `count` frames, put together at random from a few hundred columns, indexes and values that were drawn.

    To draw each frame anew would take hypothesis half an hour.
    """
    chance = random.Random(seed)
    columns, labels, values = _drawn(arrays(4), 500), _drawn(indexes(4), 300), _drawn(NESTED, 200)
    for _ in range(count):
        rows, width = chance.randint(0, 4), chance.randint(0, 4)
        index = chance.choice(labels)[:rows]
        found = {
            n: pd.Series(one, index=index, dtype=one.dtype)
            for n in range(width)
            for one in [chance.choice(columns)[:rows]]
        }
        frame = pd.DataFrame(found, index=index)
        frame.columns = chance.choice(labels)[:width]
        frame.attrs = {f"{n}": chance.choice(values) for n in range(chance.randint(0, 2))}
        yield frame


def _drawn(strategy, count: int) -> list:
    found: list = []

    @seed(1)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value) -> None:
        found.append(value)

    draw()
    return found
