"""Writes the array of one column and reads it back, dtype by dtype.

A row of `_KINDS` says how a pandas dtype is written; NumPy's own are their memory. Both directions are here, side by
side: what is written must be read by the same version of this package.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from . import arrow, text
from .container import MalformedError, Reader, Writer
from .notes import Notes
from .values import Array, dtype_from, from_json, is_plain, objects, to_json
from .zones import Json, frequency_from, frequency_json, period_frequency, zone_from, zone_json

MAX_OBJECTS = 50_000_000
"""Values of one frame that are Python objects, each of which takes dozens of bytes more than in the file."""


class Sink:
    """Is where a frame is written to: the file, the notes, and whether the reader has pyarrow."""

    def __init__(self, writer: Writer, notes: Notes, *, arrow: bool) -> None:
        self.writer, self.notes, self.arrow = writer, notes, arrow


class Source:
    """Is where a frame is read from: the file and the notes. Counts the objects that are made."""

    def __init__(self, reader: Reader, notes: Notes) -> None:
        self.reader, self.notes = reader, notes
        self._objects = 0

    def count_objects(self, length: int) -> None:
        """Raises `MalformedError` when the frame has more objects than may be made."""
        self._objects += length
        if self._objects > MAX_OBJECTS:
            raise MalformedError(f"more than {MAX_OBJECTS:,} values that are no plain numbers")


def write_array(values: Any, sink: Sink) -> Json:
    """Returns how to read an array of pandas or NumPy back; its numbers go to the file."""
    if type(values) is pd.arrays.NumpyExtensionArray:  # texts of pandas 2 are a subclass
        values = values.to_numpy()
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return _write_numpy(np.asarray(values), sink)
    kind = _kind_of(dtype)
    if kind is None or (kind == "arrow" and not (sink.arrow and arrow.is_here())):
        return _write_other(values, sink)
    write, _ = _KINDS[kind]
    return {"kind": kind, **write(values, sink)}


def read_array(spec: Json, source: Source, length: int) -> Any:
    """Returns the array of `length` values that `write_array` wrote."""
    kind = spec["kind"]
    if kind not in _KINDS:
        raise MalformedError("there are no such arrays")
    _, read = _KINDS[kind]
    values = read(spec, source, length)
    if len(values) != length:
        raise MalformedError(f"{len(values)} values in a column of {length}")
    return values


def counted(count: object) -> int:
    """Returns a count that a file gives. Raises `MalformedError` for what is none."""
    if type(count) is not int or not 0 <= count < 1 << 53:
        raise MalformedError("no count")
    return count


def _kind_of(dtype: Any) -> str | None:
    """Returns the row of `_KINDS` for an extension dtype of pandas; None for one of another library."""
    names = {
        pd.CategoricalDtype: "category", pd.DatetimeTZDtype: "zoned", pd.PeriodDtype: "period",
        pd.IntervalDtype: "interval", pd.SparseDtype: "sparse", pd.StringDtype: "string", pd.ArrowDtype: "arrow",
    }  # fmt: skip
    masked = (pd.BooleanDtype, pd.Int8Dtype, pd.Int16Dtype, pd.Int32Dtype, pd.Int64Dtype, pd.UInt8Dtype,
              pd.UInt16Dtype, pd.UInt32Dtype, pd.UInt64Dtype, pd.Float32Dtype, pd.Float64Dtype)  # fmt: skip
    return "masked" if type(dtype) in masked else names.get(type(dtype))


def _write_numpy(values: Array, sink: Sink) -> Json:
    if is_plain(values.dtype):
        return {"kind": "numpy", "dtype": values.dtype.str, "data": sink.writer.array(values)}
    return _write_objects(values.tolist() if values.dtype == object else list(values), sink)


def _read_numpy(spec: Json, source: Source, length: int) -> Array:
    dtype = dtype_from(spec["dtype"])
    if dtype.kind == "b":
        return _booleans(source.reader.array(spec["data"], np.dtype(np.uint8), length))
    return source.reader.array(spec["data"], dtype, length)


def _booleans(data: Array) -> Array:
    """Returns bytes as booleans; one that is neither 0 nor 1, which NumPy does not make, is True."""
    booleans: Array = data != 0
    return booleans


def _write_objects(values: list[Any], sink: Sink) -> Json:
    codes = text.codes_of(values)
    if codes is not None:
        return {"kind": "texts", **text.write(values, codes, sink.writer)}
    found = [to_json(value, sink.notes) for value in values]
    return {"kind": "objects", "data": sink.writer.buffer(_dumped(found))}


def _dumped(found: Json) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _read_objects(spec: Json, source: Source, length: int) -> Array:
    source.count_objects(length)
    found = json.loads(source.reader.buffer(spec["data"]).decode("utf-8", "surrogatepass"))
    if not isinstance(found, list):
        raise MalformedError("a column of objects is a list")
    return objects([from_json(value, source.notes) for value in found])


def _read_texts(spec: Json, source: Source, length: int) -> Array:
    source.count_objects(length)
    return text.as_objects(*text.read(spec, source.reader, length))


def _write_other(values: Any, sink: Sink) -> Json:
    """Writes an array of an extension dtype that has no equal there: its values as Python has them."""
    plainer = arrow.without_arrow(values)
    sink.notes.say(f"dtype {values.dtype} arrives as {plainer.dtype}")
    return write_array(plainer, sink)


def _write_category(values: Any, sink: Sink) -> Json:
    categories = values.categories
    return {
        "codes": _write_numpy(np.asarray(values.codes), sink), "ordered": bool(values.ordered),
        "categories": write_array(categories.array, sink), "count": len(categories),
        "freq": frequency_json(getattr(categories, "freq", None), sink.notes),
    }  # fmt: skip


def _read_category(spec: Json, source: Source, length: int) -> Any:
    codes = _read_numpy(spec["codes"], source, length)
    categories = as_index(read_array(spec["categories"], source, counted(spec["count"])), spec["freq"])
    # pandas checks that codes are within the categories, and that these are unique.
    return pd.Categorical.from_codes(codes, categories, ordered=bool(spec["ordered"]))


def as_index(array: Any, frequency: object = None) -> pd.Index:
    """Returns an array as an index, of the array's own dtype: pandas would guess at one of objects."""
    dtype = object if isinstance(array, np.ndarray) and array.dtype == object else None
    index = pd.Index(array, dtype=dtype, tupleize_cols=False)
    # Periods have a frequency by their dtype.
    if frequency is None or isinstance(index, pd.PeriodIndex):
        return index
    return type(index)(index, freq=frequency_from(frequency))


def _write_zoned(values: Any, sink: Sink) -> Json:
    dtype = values.dtype
    stamps = values.tz_convert("UTC").tz_localize(None).to_numpy() if len(values) else np.empty(0, f"M8[{dtype.unit}]")
    return {"data": sink.writer.array(stamps), "unit": dtype.unit, "zone": zone_json(dtype.tz, sink.notes)}


def _read_zoned(spec: Json, source: Source, length: int) -> Any:
    stamps = source.reader.array(spec["data"], dtype_from(f"<M8[{spec['unit']}]"), length)
    zone = zone_from(spec["zone"], source.notes)
    return pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(zone).array


def _write_period(values: Any, sink: Sink) -> Json:
    name = str(values.dtype.name).removeprefix("period[").removesuffix("]")
    return {"data": sink.writer.array(values.asi8), "freq": name}


def _read_period(spec: Json, source: Source, length: int) -> Any:
    ordinals = source.reader.array(spec["data"], np.dtype("<i8"), length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # some frequencies are on their way out of pandas
        return pd.PeriodIndex.from_ordinals(ordinals, freq=period_frequency(spec["freq"])).array


def _write_interval(values: Any, sink: Sink) -> Json:
    ends = (write_array(end.array, sink) for end in (values.left, values.right))
    return {"left": next(ends), "right": next(ends), "closed": values.closed}


def _read_interval(spec: Json, source: Source, length: int) -> Any:
    left, right = (as_index(read_array(spec[end], source, length)) for end in ("left", "right"))
    return pd.arrays.IntervalArray.from_arrays(left, right, closed=spec["closed"])


def _write_sparse(values: Any, sink: Sink) -> Json:
    places = values.sp_index.to_int_index()
    return {
        "length": len(values), "values": _write_numpy(np.asarray(values.sp_values), sink), "block": values.kind,
        "places": sink.writer.array(places.indices), "filled": len(places.indices),
        "fill": to_json(values.dtype.fill_value, sink.notes),
    }  # fmt: skip


def _read_sparse(spec: Json, source: Source, length: int) -> Any:
    filled = counted(spec["filled"])
    places = source.reader.array(spec["places"], np.dtype("<i4"), filled)
    values = read_array(spec["values"], source, filled)
    fill, kind = from_json(spec["fill"], source.notes), "block" if spec["block"] == "block" else "integer"
    sparse = pd.arrays.SparseArray
    if hasattr(sparse, "from_indices"):
        return sparse.from_indices(values, places, length, fill_value=fill, kind=kind, dtype=values.dtype)
    from pandas._libs.sparse import IntIndex  # the only way of pandas before 3.1 that takes places as they are

    index = IntIndex(length, places)  # checks that they are ascending and inside
    dtype = pd.SparseDtype(values.dtype, fill)
    return sparse(values, sparse_index=index.to_block_index() if kind == "block" else index, dtype=dtype)


def _write_string(values: Any, sink: Sink) -> Json:
    dtype = values.dtype
    missing = np.asarray(values.isna())
    texts = values.to_numpy(dtype=object).tolist()
    return {
        "storage": dtype.storage, "nan": getattr(dtype, "na_value", pd.NA) is not pd.NA,
        **text.write(texts, missing.astype(np.uint8), sink.writer),
    }  # fmt: skip


def _read_string(spec: Json, source: Source, length: int) -> Any:
    source.count_objects(length)
    texts, codes = text.read(spec, source.reader, length)
    storage = "pyarrow" if spec["storage"] == "pyarrow" and arrow.is_here() else "python"
    values = objects(texts)
    if spec["nan"]:
        return _default_strings(values, codes, storage, source.notes)
    if codes is not None:
        values[codes != 0] = pd.NA
    return pd.array(values, dtype=pd.StringDtype(storage))


def _default_strings(values: Array, codes: Array | None, storage: str, notes: Notes) -> Any:
    """Returns texts as the default `str` of pandas 3; pandas 2 has objects in its place."""
    if codes is not None:
        values[codes != 0] = np.nan
    if int(pd.__version__.partition(".")[0]) < 3:
        notes.say("dtype str of pandas 3 arrives as object")
        return values
    return pd.array(values, dtype=pd.StringDtype(storage, na_value=np.nan))


def _write_masked(values: Any, sink: Sink) -> Json:
    numbers, missing = values._data, np.asarray(values.isna())  # noqa: SLF001 - the numbers have no public name
    if missing.any():
        # What is under the mask is memory that was never written, at times.
        numbers = np.where(missing, np.zeros(1, numbers.dtype), numbers)
    return {"data": _write_numpy(numbers, sink), "missing": sink.writer.array(missing)}


def _read_masked(spec: Json, source: Source, length: int) -> Any:
    numbers = _read_numpy(spec["data"], source, length)
    mask = _booleans(source.reader.array(spec["missing"], np.dtype(np.uint8), length))
    kind = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}.get(numbers.dtype.kind, pd.arrays.IntegerArray)
    return kind(numbers, mask)


def _write_arrow(values: Any, sink: Sink) -> Json:
    return {"data": sink.writer.buffer(arrow.to_ipc(values))}


def _read_arrow(spec: Json, source: Source, length: int) -> Any:
    return arrow.from_ipc(source.reader.buffer(spec["data"]))


def _unwritten(values: Any, sink: Sink) -> Json:
    raise AssertionError("`_write_numpy` writes these")


_KINDS: dict[str, tuple[Callable[[Any, Sink], Json], Callable[[Json, Source, int], Any]]] = {
    "numpy": (_unwritten, _read_numpy),
    "texts": (_unwritten, _read_texts),
    "objects": (_unwritten, _read_objects),
    "category": (_write_category, _read_category),
    "zoned": (_write_zoned, _read_zoned),
    "period": (_write_period, _read_period),
    "interval": (_write_interval, _read_interval),
    "sparse": (_write_sparse, _read_sparse),
    "string": (_write_string, _read_string),
    "masked": (_write_masked, _read_masked),
    "arrow": (_write_arrow, _read_arrow),
}
