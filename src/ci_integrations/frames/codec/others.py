"""Makes a pandas table of what other libraries call one, or their Arrow data where both sides have the library.

Libraries are known by the objects that are handed in: none is imported for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from . import arrow
from .notes import Notes

ARROW_KINDS = ("polars", "polars series", "arrow", "arrow batch")
"""Tables that travel as Arrow's IPC and come back as what they were."""
_MAX_CELLS = 100_000_000
"""Cells of a dense table that is made of a sparse one."""


def is_polars(table: object) -> bool:
    """Returns True for a DataFrame, LazyFrame or Series of polars."""
    return any(arrow.is_of(table, "polars", name) for name in ("DataFrame", "Series", "LazyFrame"))


def is_arrow(table: object) -> bool:
    """Returns True for what travels as Arrow data: tables of polars and pyarrow."""
    return is_polars(table) or any(arrow.is_of(table, "pyarrow", name) for name in ("Table", "RecordBatch"))


def kind_of(table: Any) -> str:
    """Returns which of `ARROW_KINDS` a table is."""
    if is_polars(table):
        return "polars series" if arrow.is_of(table, "polars", "Series") else "polars"
    return "arrow batch" if arrow.is_of(table, "pyarrow", "RecordBatch") else "arrow"


def shape_of(table: Any) -> list[int]:
    """Returns the rows and columns of such a table."""
    if arrow.is_of(table, "polars", "LazyFrame"):
        table = table.collect()
    return [len(table), 1] if len(getattr(table, "shape", (0,))) == 1 else list(table.shape)


def to_ipc(table: Any) -> bytes:
    """Returns such a table as an IPC stream."""
    if arrow.is_of(table, "polars", "LazyFrame"):
        table = table.collect()
    if arrow.is_of(table, "polars", "Series"):
        table = table.to_frame()
    if arrow.is_of(table, "polars", "DataFrame"):
        table = table.to_arrow()
    if arrow.is_of(table, "pyarrow", "RecordBatch"):
        table = import_module("pyarrow").Table.from_batches([table])
    return arrow.table_to_ipc(table)


def from_ipc(kind: str, data: bytes) -> Any:
    """Returns what `to_ipc` wrote. Raises an error of pyarrow or polars for anything else."""
    table = arrow.table_from_ipc(data)
    if kind == "arrow":
        return table
    if kind == "arrow batch":
        return table.combine_chunks().to_batches()[0] if table.num_rows else table.schema.empty_table().to_batches()[0]
    frame = import_module("polars").from_arrow(table)
    return frame.to_series(0) if kind == "polars series" else frame


def to_pandas(table: Any, notes: Notes) -> pd.DataFrame | pd.Series:
    """Returns a table of any library as one of pandas. Raises `TypeError` for what is no table."""
    if isinstance(table, (pd.DataFrame, pd.Series)):
        return _plain_class(table, notes)
    if isinstance(table, pd.Index):
        notes.say("an index arrives as a Series")
        return pd.Series(table.array, name=table.name, dtype=table.dtype)
    for library, name, convert in _CONVERTERS:
        if arrow.is_of(table, library, name):
            notes.say(f"{type(table).__module__.partition('.')[0]}.{type(table).__name__} arrives as pandas' own")
            return convert(table)
    raise TypeError(f"no table: {type(table).__module__}.{type(table).__name__}")


def _plain_class(table: Any, notes: Notes) -> Any:
    if type(table) in (pd.DataFrame, pd.Series):
        return table
    notes.say(f"{type(table).__name__} arrives as a plain {'DataFrame' if table.ndim == 2 else 'Series'}")
    if table.ndim == 1:
        return pd.Series(table.array, index=table.index, name=table.name, dtype=table.dtype)
    plain = pd.DataFrame({n: pd.Series(table.iloc[:, n].array, index=table.index) for n in range(table.shape[1])},
                         index=table.index)  # fmt: skip
    plain.columns = table.columns
    plain.attrs = dict(table.attrs)
    return plain


def _array(array: Any) -> pd.DataFrame | pd.Series:
    if array.dtype.names:
        return pd.DataFrame.from_records(array)
    if array.ndim == 1:
        return pd.Series(array, dtype=None if array.dtype.kind in "SUV" else array.dtype)
    if array.ndim != 2:
        raise TypeError(f"no table: an array of {array.ndim} dimensions (give a part of it that has two)")
    return pd.DataFrame(array)


def _sparse(matrix: Any) -> pd.DataFrame:
    return pd.DataFrame.sparse.from_spmatrix(matrix.tocoo() if hasattr(matrix, "tocoo") else matrix)


def _dataset(data: Any) -> pd.DataFrame:
    cells = int(np.prod(list(data.sizes.values()), dtype="float64"))
    if cells > _MAX_CELLS:
        raise TypeError(f"no table: {cells:,} cells would be more than {_MAX_CELLS:,}")
    if not data.dims:
        raise TypeError("no table: it has no dimension")
    named = data if hasattr(data, "data_vars") or data.name is not None else data.rename("value")
    return named.to_dataframe()


def _polars(table: Any) -> pd.DataFrame | pd.Series:
    table = table.collect() if hasattr(table, "collect") else table
    if arrow.is_here():
        return table.to_pandas(use_pyarrow_extension_array=True)
    if table.ndim == 1 if hasattr(table, "ndim") else len(table.shape) == 1:
        return pd.Series(table.to_list(), name=table.name)
    return pd.DataFrame({n: column.to_list() for n, column in enumerate(table)}).set_axis(table.columns, axis=1)


def _arrow(table: Any) -> pd.DataFrame:
    return table.to_pandas(types_mapper=pd.ArrowDtype)


_CONVERTERS = [
    ("numpy", "ndarray", _array),
    ("polars", "DataFrame", _polars),
    ("polars", "LazyFrame", _polars),
    ("polars", "Series", _polars),
    ("pyarrow", "Table", _arrow),
    ("pyarrow", "RecordBatch", _arrow),
    ("pyarrow", "ChunkedArray", lambda array: pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)))),
    ("pyarrow", "Array", lambda array: pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)))),
    ("duckdb", "DuckDBPyRelation", lambda relation: relation.df()),
    ("scipy.sparse", "spmatrix", _sparse),
    ("scipy.sparse", "sparray", _sparse),
    ("xarray", "DataArray", _dataset),
    ("xarray", "Dataset", _dataset),
]
"""A library, a class of it, and how its objects become a table of pandas."""
