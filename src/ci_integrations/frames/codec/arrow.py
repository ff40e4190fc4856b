"""Deals with pyarrow where it is installed: Arrow-backed arrays, tables of pyarrow and polars, as Arrow's own IPC."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from .container import MalformedError

_SAFE = (14, 0, 1)
"""The first pyarrow that does not unpickle what an IPC stream brings (CVE-2023-47248)."""


@cache
def is_here() -> bool:
    """Returns True when a pyarrow is installed that may read what others wrote."""
    if find_spec("pyarrow") is None:
        return False
    version = import_module("pyarrow").__version__.split(".")[:3]
    return tuple(int(part) if part.isdigit() else 0 for part in version) >= _SAFE


def has_polars() -> bool:
    """Returns True when polars is installed, and pyarrow, through which its frames are read."""
    return is_here() and find_spec("polars") is not None


def to_ipc(values: Any) -> bytes:
    """Returns an Arrow-backed array of pandas as an IPC stream of one column."""
    pa = import_module("pyarrow")
    return table_to_ipc(pa.table({"": values.__arrow_array__()}))


def from_ipc(data: bytes) -> Any:
    """Returns the Arrow-backed array. Raises `MalformedError` when the stream has not one column."""
    table = table_from_ipc(data)
    if table.num_columns != 1:
        raise MalformedError("an Arrow-backed column is one column")
    return pd.array(table.column(0), dtype=pd.ArrowDtype(table.schema.field(0).type))


def table_to_ipc(table: Any) -> bytes:
    """Returns a table of pyarrow as an IPC stream."""
    pa = import_module("pyarrow")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def table_from_ipc(data: bytes) -> Any:
    """Returns the table of an IPC stream, every offset in it checked. Raises pyarrow's errors."""
    pa = import_module("pyarrow")
    table = pa.ipc.open_stream(data).read_all()
    table.validate(full=True)
    return table


def without_arrow(values: Any) -> Any:
    """Returns an array of an extension dtype in dtypes of pandas or NumPy itself, as close as there is."""
    if not isinstance(values.dtype, pd.ArrowDtype):
        return np.asarray(values, dtype=object)
    kind = values.dtype.kind
    if kind in "biuf":
        nullable = pd.array(values.to_numpy(dtype=object, na_value=pd.NA).tolist())
        size = 8 * values.dtype.itemsize if kind != "b" else 0
        name = {"b": "boolean", "i": f"Int{size}", "u": f"UInt{size}", "f": f"Float{max(size, 32)}"}[kind]
        return nullable.astype(name)
    if kind in "mM":
        return pd.Series(values).astype(values.dtype.numpy_dtype if kind == "m" else _moments(values.dtype)).array
    if kind == "U":
        return pd.array(values.to_numpy(dtype=object, na_value=pd.NA), dtype="string[python]")
    return np.fromiter(iter(values), dtype=object, count=len(values))


def _moments(dtype: Any) -> Any:
    kind = dtype.pyarrow_dtype
    return pd.DatetimeTZDtype(kind.unit, kind.tz) if kind.tz else dtype.numpy_dtype


def is_of(value: object, library: str, name: str) -> bool:
    """Returns True for an object of a library that is loaded, by the name of its class, which may be a base."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, getattr(module, name, ()))
