"""Says whether two tables are the same: what `assert_frame_equal` compares, and what it does not look at."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd


def assert_same(here: pd.DataFrame | pd.Series, there: pd.DataFrame | pd.Series) -> None:
    """Raises AssertionError where the two differ, in a dtype, a value, a label, a name, a flag or `attrs`."""
    assert type(here) is type(there)
    if isinstance(here, pd.Series):
        if not _holds_objects(here):
            pd.testing.assert_series_equal(here, there, check_exact=True, check_flags=True, check_freq=True)
        assert_same_value(here.name, there.name)
        assert_same_values(here.array, there.array)
    else:
        # Not those of objects: to pandas a Decimal("NaN") inside a dict is no equal of itself.
        plain = [place for place in range(here.shape[1]) if not _holds_objects(here.iloc[:, place])]
        assert here.shape == there.shape
        assert here.flags == there.flags
        pd.testing.assert_frame_equal(here.iloc[:, plain], there.iloc[:, plain], check_exact=True, check_freq=True)
        assert_same_labels(here.columns, there.columns)
        for place in range(here.shape[1]):
            assert_same_values(here.iloc[:, place].array, there.iloc[:, place].array)
    assert_same_labels(here.index, there.index)
    assert_same_value(here.attrs, there.attrs)


def assert_same_labels(here: pd.Index, there: pd.Index) -> None:
    assert type(here) is type(there)
    assert here.dtype == there.dtype
    assert_same_value(list(here.names), list(there.names))
    assert_same_values(here, there)


def assert_same_values(here, there) -> None:
    assert here.dtype == there.dtype
    assert str(here.dtype) == str(there.dtype)
    if _holds_objects(here):
        for one, other in zip(list(here), list(there), strict=True):
            assert_same_value(one, other)
    elif isinstance(here.dtype, pd.SparseDtype):
        assert here.kind == there.kind
        assert np.array_equal(here.sp_index.indices if here.kind == "integer" else here.sp_index.blocs,
                              there.sp_index.indices if there.kind == "integer" else there.sp_index.blocs)  # fmt: skip
    elif isinstance(here.dtype, np.dtype):
        assert np.asarray(here).tobytes() == np.asarray(there).tobytes()


def assert_same_value(one: object, other: object) -> None:
    assert type(one) is type(other), (one, other)
    if one is pd.NA or one is pd.NaT:
        assert other is one
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same_value(left, right)
    elif isinstance(one, dict):
        assert_same_value(list(one.items()), list(other.items()))
    elif isinstance(one, float):
        assert (math.isnan(one) and math.isnan(other)) or one == other
        assert math.copysign(1, one) == math.copysign(1, other)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert_same_value(one.tolist(), other.tolist())
    elif isinstance(one, (dt.datetime, dt.time)):
        assert (one.isoformat(), one.fold) == (other.isoformat(), other.fold)
    else:
        assert one == other or repr(one) == repr(other), (one, other)


def _holds_objects(values) -> bool:
    return isinstance(values.dtype, np.dtype) and values.dtype.kind == "O"
