"""Writes a frame, a Series or what is like one into a file, and reads it back as what it was."""

from __future__ import annotations

from typing import Any, BinaryIO

import pandas as pd

from . import arrow, others
from .arrays import Sink, Source, counted, read_array, write_array
from .container import MalformedError, Reader, Writer
from .labels import read_labels, write_labels
from .notes import Notes
from .values import from_json, to_json
from .zones import Json

SCHEMA = "ci.frame/1"


def encode(table: object, stream: BinaryIO, *, arrow_there: bool, polars_there: bool) -> Json:
    """Writes `table` to `stream` column by column, and returns what it is: `{"kind", "rows", "columns", "notes"}`.

    `arrow_there`, `polars_there`: True when the side that reads has these libraries, so that their data go as they are.
    Raises `TypeError` for what is no table.
    """
    notes = Notes()
    sink = Sink(Writer(stream), notes, arrow=arrow_there)
    if others.is_arrow(table) and (polars_there or (arrow_there and not others.is_polars(table))) and arrow.is_here():
        kind = others.kind_of(table)
        footer: dict[str, Any] = {"kind": kind, "data": sink.writer.buffer(others.to_ipc(table))}
        shape = others.shape_of(table)
    else:
        plain = others.to_pandas(table, notes)
        footer = _series(plain, sink) if isinstance(plain, pd.Series) else _frame(plain, sink)
        shape = [len(plain), 1 if isinstance(plain, pd.Series) else plain.shape[1]]
    said = {"kind": footer["kind"], "rows": shape[0], "columns": shape[1], "notes": notes.sentences()}
    sink.writer.finish({"schema": SCHEMA, **footer})
    return said


def decode(stream: BinaryIO) -> tuple[Any, list[str]]:
    """Returns the table of a file, and what could not be here what it was there.

    Raises `MalformedError` for what is no such file. The file may come from hostile code: nothing in it is run, and no
    class is looked up by its name.
    """
    notes = Notes()
    source = Source(Reader(stream), notes)
    try:
        return _decoded(source.reader.footer, source), notes.sentences()
    except MalformedError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        # Libraries refuse in their own words what no writer of ours can have written.
        raise MalformedError(f"the file is no table ({type(error).__name__}: {error})"[:300]) from error


def _decoded(footer: dict[str, Any], source: Source) -> Any:
    if footer.get("schema") != SCHEMA:
        raise MalformedError("the file is of another version")
    kind = footer.get("kind")
    if kind in others.ARROW_KINDS:
        return others.from_ipc(kind, source.reader.buffer(footer["data"]))
    if kind == "series":
        return _read_series(footer, source)
    if kind == "frame":
        return _read_frame(footer, source)
    raise MalformedError("there are no tables of this kind")


def _common(table: Any, sink: Sink) -> Json:
    sink.notes.at = "the index"
    index = write_labels(table.index, sink)
    sink.notes.at = "attrs"
    return {
        "rows": len(table), "index": index, "attrs": to_json(dict(table.attrs), sink.notes),
        "duplicates": bool(table.flags.allows_duplicate_labels),
    }  # fmt: skip


def _finished(table: Any, footer: dict[str, Any], source: Source) -> Any:
    attrs = from_json(footer["attrs"], source.notes)
    if not isinstance(attrs, dict):
        raise MalformedError("attrs is a dict")
    table.attrs = attrs
    if not footer["duplicates"]:
        table.flags.allows_duplicate_labels = False
    return table


def _series(series: pd.Series, sink: Sink) -> dict[str, Any]:
    footer = _common(series, sink)
    sink.notes.at = "the values"
    name = to_json(series.name, sink.notes)
    return {"kind": "series", "name": name, "data": write_array(series.array, sink), **footer}


def _read_series(footer: dict[str, Any], source: Source) -> pd.Series:
    index = _index(footer, source)
    values = read_array(footer["data"], source, len(index))
    series = pd.Series(values, index=index, dtype=values.dtype, copy=False)
    series.name = from_json(footer["name"], source.notes)
    return _finished(series, footer, source)


def _index(footer: dict[str, Any], source: Source) -> pd.Index:
    index = read_labels(footer["index"], source)
    if len(index) != counted(footer["rows"]):
        raise MalformedError("the index has not as many labels as there are rows")
    return index


def _frame(frame: pd.DataFrame, sink: Sink) -> dict[str, Any]:
    footer = _common(frame, sink)
    sink.notes.at = "the column names"
    labels = write_labels(frame.columns, sink)
    data = []
    for place in range(frame.shape[1]):  # by place: two columns may have one name
        sink.notes.at = f"column {frame.columns[place]!r}"
        data.append(write_array(frame.iloc[:, place].array, sink))
    return {"kind": "frame", "columns": labels, "data": data, **footer}


def _read_frame(footer: dict[str, Any], source: Source) -> pd.DataFrame:
    index = _index(footer, source)
    labels, specs = read_labels(footer["columns"], source), footer["data"]
    if not isinstance(specs, list) or len(labels) != len(specs):
        raise MalformedError("the frame has not as many names as columns")
    columns = {}
    for place, spec in enumerate(specs):
        source.notes.at = f"column {labels[place]!r}"
        values = read_array(spec, source, len(index))
        # As a Series with its dtype: a bare array of objects would be guessed at.
        columns[place] = pd.Series(values, index=index, dtype=values.dtype, copy=False)
    frame = pd.DataFrame(columns, index=index, copy=False)
    frame.columns = labels
    return _finished(frame, footer, source)
