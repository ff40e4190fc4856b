"""What is no frame of pandas, and what has no equal on the other side: it arrives as close as can be, and is said."""

from __future__ import annotations

import datetime as dt
import enum
import io
from collections import OrderedDict, defaultdict
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from ci_integrations.frames.codec import decode, encode


class Pair(NamedTuple):
    a: int
    b: int


class Colour(enum.Enum):
    RED = 1


class Point:
    def __str__(self) -> str:
        return "POINT (1 2)"


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no words")


def sent(table: object, *, arrow: bool = True, polars: bool = True) -> tuple[pd.DataFrame, list[str]]:
    stream = io.BytesIO()
    said = encode(table, stream, arrow_there=arrow, polars_there=polars)
    stream.seek(0)
    found, notes = decode(stream)
    return found, [*said["notes"], *notes]


@pytest.mark.parametrize(
    ("value", "arrives", "word"),
    [
        (Point(), "POINT (1 2)", "Point"),
        (Colour.RED, "Colour.RED", "Colour"),
        (Broken(), "<Broken>", "Broken"),
        (Pair(1, 2), (1, 2), "Pair"),
        (defaultdict(list, a=[1]), {"a": [1]}, "defaultdict"),
    ],
)
def test_values_without_an_equal_are_text_and_said(value, arrives, word) -> None:
    found, notes = sent(pd.DataFrame({"thing": [value, None]}, dtype=object))
    assert found["thing"].tolist() == [arrives, None]
    assert len(notes) == 1
    assert "column 'thing'" in notes[0]
    assert word in notes[0]


def test_what_has_an_equal_says_nothing() -> None:
    frame = pd.DataFrame({"v": [OrderedDict(a=1), {1, 2}, dt.date(2024, 1, 1), 2**9000, np.float32(1.5)]}, dtype=object)
    found, notes = sent(frame)
    assert not notes
    assert found["v"].tolist() == frame["v"].tolist()
    assert list(map(type, found["v"])) == list(map(type, frame["v"]))


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3), np.array(["a", "b"]), np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])]
)
def test_arrays_are_tables(array) -> None:
    found, notes = sent(array)
    assert len(found) == len(array)
    assert any("numpy.ndarray" in note for note in notes)


@pytest.mark.parametrize("thing", [1, "text", [1, 2], {"a": 1}, np.zeros((2, 2, 2)), print])
def test_what_is_no_table_is_refused(thing) -> None:
    with pytest.raises(TypeError, match="no table"):
        sent(thing)


def test_sparse_matrices() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    for matrix in (sparse.eye(3, format="csr"), sparse.coo_array(np.eye(3))):
        found, _ = sent(matrix)
        assert found.sparse.to_dense().to_numpy().tolist() == np.eye(3).tolist()


def test_polars_frames_come_back_as_such() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], []], "d": [dt.date(2024, 1, 1), None]})
    found, notes = sent(frame)
    assert found.equals(frame)
    assert found.schema == frame.schema
    assert not notes
    series, _ = sent(frame["b"])
    assert series.equals(frame["b"])
    lazy, _ = sent(frame.lazy())
    assert lazy.equals(frame)


def test_polars_frames_are_pandas_where_polars_is_missing() -> None:
    pl = pytest.importorskip("polars")
    found, notes = sent(pl.DataFrame({"a": [1, None], "b": ["x", "y"]}), arrow=False, polars=False)
    assert found["b"].tolist() == ["x", "y"]
    assert found["a"].isna().tolist() == [False, True]
    assert any("polars" in note for note in notes)


def test_tables_of_pyarrow_come_back_as_such() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": pa.array([1, None], pa.int8()), "b": pa.array([{"x": 1}, None])})
    found, notes = sent(table)
    assert found.equals(table)
    assert not notes
    batch, _ = sent(table.to_batches()[0])
    assert batch.equals(table.to_batches()[0])
    assert (
        sent(table.slice(0, 0).to_batches()[0] if table.slice(0, 0).to_batches() else table.slice(0, 0))[0].num_rows
        == 0
    )


def test_arrow_dtypes_are_said_where_pyarrow_is_missing() -> None:
    pa = pytest.importorskip("pyarrow")
    values = {
        "i": ([1, None], pa.int32()),
        "s": (["a", None], pa.string()),
        "b": ([True, None], pa.bool_()),
        "f": ([1.5, None], pa.float64()),
        "d": ([Decimal("1.50"), None], pa.decimal128(5, 2)),
        "t": ([pd.Timestamp("2024-01-01"), None], pa.timestamp("us", "UTC")),
        "n": ([dt.timedelta(1), None], pa.duration("ms")),
        "l": ([[1, 2], None], pa.list_(pa.int64())),
    }
    frame = pd.DataFrame({name: pd.array(one, dtype=pd.ArrowDtype(kind)) for name, (one, kind) in values.items()})
    found, notes = sent(frame, arrow=False)
    assert len(notes) == 8
    assert [str(dtype) for dtype in found.dtypes][:4] == ["Int32", "string", "boolean", "Float64"]
    assert found["d"][0] == Decimal("1.50")
    assert found["t"][0] == pd.Timestamp("2024-01-01", tz="UTC")
    assert found["n"][0] == pd.Timedelta(1, "D")
    assert list(found["l"][0]) == [1, 2]
    assert all(found[name].isna().tolist() == [False, True] for name in frame)


def test_relations_of_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb")
    found, _ = sent(duckdb.sql("select 1 as a, 'x' as b"))
    assert found.to_dict("list") == {"a": [1], "b": ["x"]}


def test_data_of_xarray() -> None:
    xarray = pytest.importorskip("xarray")
    data = xarray.DataArray([[1, 2], [3, 4]], dims=["x", "y"], name="v")
    found, notes = sent(data)
    assert found["v"].tolist() == [1, 2, 3, 4]
    assert notes
    assert sent(data.to_dataset())[0]["v"].tolist() == [1, 2, 3, 4]
    assert sent(data.rename(None))[0].shape == (4, 1)


def test_geometries_are_text_and_said() -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=geopandas.points_from_xy([1.0], [2.0]))
    found, notes = sent(frame)
    assert type(found) is pd.DataFrame
    assert found["geometry"].tolist() == ["POINT (1 2)"]
    assert any("geometry" in note for note in notes)


def test_subclasses_of_frames_are_said() -> None:
    class Mine(pd.DataFrame):
        pass

    found, notes = sent(Mine({"a": [1]}))
    assert type(found) is pd.DataFrame
    assert any("Mine" in note for note in notes)
