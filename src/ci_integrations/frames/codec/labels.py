"""Writes the labels of rows and columns and reads them back: ranges, plain indexes, levels; names and frequencies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .arrays import Sink, Source, as_index, counted, read_array, write_array
from .container import MalformedError
from .values import from_json, to_json
from .zones import Json, frequency_json

_MAX_LEVELS = 100


def write_labels(index: pd.Index, sink: Sink) -> Json:
    """Returns how to read an index of pandas back."""
    if isinstance(index, pd.MultiIndex):
        return {
            "levels": [write_labels(level, sink) for level in index.levels],
            "codes": [write_array(np.asarray(codes), sink) for codes in index.codes],
            "names": [to_json(name, sink.notes) for name in index.names],
            "length": len(index),
            "sorted": index.sortorder,
        }
    name = to_json(index.name, sink.notes)
    if isinstance(index, pd.RangeIndex):
        return {"range": [index.start, index.stop, index.step], "name": name}
    frequency = index.freq if isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) else None
    return {
        "length": len(index), "array": write_array(index.array, sink), "name": name,
        "freq": frequency_json(frequency, sink.notes),
    }  # fmt: skip


def read_labels(spec: Json, source: Source) -> pd.Index:
    """Returns the index that `write_labels` wrote."""
    if "levels" in spec:
        return _read_levels(spec, source)
    name = from_json(spec["name"], source.notes)
    if "range" in spec:
        return pd.RangeIndex(*map(_bounded, spec["range"]), name=name)
    array = read_array(spec["array"], source, counted(spec["length"]))
    return as_index(array, spec["freq"]).rename(name)


def _bounded(value: object) -> int:
    if type(value) is not int or abs(value) >= 1 << 63:
        raise MalformedError("no bound of a range")
    return value


def _read_levels(spec: Json, source: Source) -> pd.MultiIndex:
    length, count = counted(spec["length"]), len(spec["levels"])
    if not 0 < count <= _MAX_LEVELS or not count == len(spec["codes"]) == len(spec["names"]):
        raise MalformedError("levels, codes and names do not belong together")
    return pd.MultiIndex(
        levels=[read_labels(level, source) for level in spec["levels"]],
        codes=[read_array(codes, source, length) for codes in spec["codes"]],
        names=[from_json(name, source.notes) for name in spec["names"]],
        sortorder=None if spec["sorted"] is None else counted(spec["sorted"]),
        verify_integrity=True,
    )
