"""Reads JSON and JSON lines: records, columns, pandas' own orientations, GeoJSON, records inside other objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .encoding import encoding_of
from .model import MAX_TABLES, NotATableError, Notes, Table
from .values import frame_of_columns, frame_of_records

if TYPE_CHECKING:
    import pandas as pd

_DEPTH = 4
"""How deep records are looked for, and objects in records are spread over columns."""
_MOST_COLUMNS = 2000


def read_json(path: Path) -> list[Table]:
    """Reads the tables of a JSON file. Raises `NotATableError`."""
    encoding = encoding_of(path)
    text = path.read_text(encoding.name)
    try:
        value, lines = _parsed(text)
    except RecursionError as error:
        raise NotATableError("its JSON is nested too deep") from error
    notes = Notes(how=["JSON lines"] if lines else [])
    if encoding.guessed:
        notes.doubt(f"encoding guessed: {encoding.name}")
    tables = list(_tables(value, notes))
    if not tables:
        raise NotATableError("its JSON holds no records")
    return tables


def _parsed(text: str) -> tuple[object, bool]:
    """Returns the value of a JSON text, or the values of several behind each other, and whether it was several."""
    try:
        return json.loads(text), False
    except ValueError as error:
        first = error
    values, failed = [], 0
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except ValueError:
            failed += 1
    if values and not failed:
        return values, True
    several = _behind_each_other(text)
    if several:
        return several, True
    raise NotATableError(f"it is no JSON: {first}")


def _behind_each_other(text: str) -> list[object]:
    """Returns the values of JSON texts that stand behind each other over several lines; nothing when it is not so."""
    decoder, place, values = json.JSONDecoder(), 0, []
    while place < len(text):
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        if place == len(text):
            break
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError:
            return []
        values.append(value)
    return values


def _tables(value: object, notes: Notes) -> Iterator[Table]:
    whole = _whole(value, notes)
    if whole is not None:
        yield Table(whole, notes)
        return
    if isinstance(value, Mapping):
        found = list(_inside(value, (), 0))[:MAX_TABLES]
        for names, records in found:
            own = Notes([*notes.how], [*notes.doubts])
            frame = _whole(records, own)
            if frame is not None:
                part = ".".join(names)
                if len(found) == 1:
                    own.how.append(f"the records under {part!r}")
                yield Table(frame, own, part if len(found) > 1 else "", "key")
        if not found and value and all(not isinstance(v, (list, dict)) for v in value.values()):
            yield Table(_of_records([value], notes), notes)


def _inside(
    value: Mapping[str, object], names: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yields the lists of records that stand somewhere in an object, with the names that lead there."""
    for name, inner in value.items():
        if _are_records(inner):
            yield (*names, name), inner
        elif isinstance(inner, Mapping) and depth < _DEPTH:
            if _whole_mapping(inner):
                yield (*names, name), inner
            else:
                yield from _inside(inner, (*names, name), depth + 1)


def _are_records(value: object) -> bool:
    return isinstance(value, list) and bool(value) and sum(isinstance(item, Mapping) for item in value) > len(value) / 2


def _whole_mapping(value: Mapping[str, object]) -> bool:
    """Returns whether an object is a table by itself: columns of one length."""
    lists = [inner for inner in value.values() if isinstance(inner, list)]
    return (
        len(lists) == len(value) > 1 and len({len(inner) for inner in lists}) == 1 and not any(map(_are_records, lists))
    )


def _whole(value: object, notes: Notes) -> pd.DataFrame | None:
    """Returns the table that a value is as a whole; None when there is none, or it is further inside."""
    if isinstance(value, list):
        return _of_list(value, notes)
    if not isinstance(value, Mapping) or not value:
        return None
    if value.get("type") == "FeatureCollection" and _are_records(value.get("features")):
        return _of_records([_feature(item) for item in cast("list[object]", value["features"])], notes)
    if set(value) >= {"columns", "data"} and isinstance(value["data"], list) and isinstance(value["columns"], list):
        return _split(value, notes)
    if set(value) >= {"schema", "data"} and _are_records(value["data"]):
        return _of_records(cast("list[Mapping[str, object]]", value["data"]), notes)
    if _whole_mapping(value):
        columns = [cast("list[object]", inner) for inner in value.values()]
        return frame_of_columns([str(name) for name in value], columns, notes)
    return _of_mappings(value, notes)


def _of_list(value: Sequence[object], notes: Notes) -> pd.DataFrame | None:
    if _are_records(value):
        others = sum(not isinstance(item, Mapping) for item in value)
        if others:
            notes.doubt(f"{others} items that are no records were left out")
        return _of_records([item for item in value if isinstance(item, Mapping)], notes)
    if value and all(isinstance(item, list) for item in value):
        return _of_rows(cast("Sequence[list[object]]", value), notes)
    if value and not any(isinstance(item, (list, Mapping)) for item in value):
        return frame_of_columns(["value"], [value], notes)
    return None


def _of_rows(rows: Sequence[list[object]], notes: Notes) -> pd.DataFrame:
    width = max(map(len, rows))
    first = rows[0]
    header = len(rows) > 1 and len(first) == width and all(isinstance(cell, str) for cell in first)
    below = any(not isinstance(cell, str) for row in rows[1:] for cell in row if cell is not None)
    named = header and len(set(map(str, first))) == width and (below or len(rows) > 1)
    names = [str(cell) for cell in first] if named else [f"column_{number + 1}" for number in range(width)]
    if not named:
        notes.doubt("no header row was found: the columns are named by their position")
    body = rows[1:] if named else rows
    return frame_of_columns(names, [[row[n] if n < len(row) else None for row in body] for n in range(width)], notes)


def _split(value: Mapping[str, object], notes: Notes) -> pd.DataFrame:
    names = [str(name) for name in cast("list[object]", value["columns"])]
    rows = cast("list[list[object]]", value["data"])
    frame = frame_of_columns(
        names, [[row[n] if n < len(row) else None for row in rows] for n in range(len(names))], notes
    )
    index = value.get("index")
    if isinstance(index, list) and len(index) == len(frame) and index != list(range(len(frame))):
        frame.index = index
    return frame


def _of_mappings(value: Mapping[str, object], notes: Notes) -> pd.DataFrame | None:
    """Returns the table of an object of objects: pandas writes columns of rows by default, others rows of columns."""
    inner = [item for item in value.values() if isinstance(item, Mapping)]
    if len(inner) < len(value) or not inner or any(_has_nested(item) for item in inner[:100]):
        return None
    keys = {tuple(item) for item in inner[:100]}
    if len(keys) == 1 and all(key.lstrip("-").isdigit() for key in next(iter(keys))) and len(next(iter(keys))) > 0:
        index = list(cast("Mapping[str, object]", inner[0]))
        frame = frame_of_columns(list(value), [[item.get(key) for key in index] for item in inner], notes)
        if index != [str(number) for number in range(len(index))]:
            frame.index = [int(key) for key in index]
        return frame
    shared = set(inner[0]).intersection(*inner[1:])
    if len(inner) < 2 or len(shared) < len(set().union(*inner)) / 2:
        return None
    notes.how.append("one row for each key, which is the index")
    frame = _of_records(inner, notes)
    frame.index = list(value)
    return frame


def _has_nested(item: Mapping[str, object]) -> bool:
    return any(_are_records(inner) for inner in item.values())


def _feature(item: object) -> Mapping[str, object]:
    feature = item if isinstance(item, Mapping) else {}
    own = {name: feature[name] for name in ("id", "geometry") if name in feature}
    return {**(feature.get("properties") or {}), **own}


def _of_records(records: Sequence[Mapping[str, object]], notes: Notes) -> pd.DataFrame:
    """Returns a table of records. Objects in them are spread over columns called `outer.inner`; lists are kept."""
    flat = [dict(_spread(record, "", 0)) for record in records]
    if len(set().union(*flat)) > _MOST_COLUMNS:
        flat = [dict(record) for record in records]
    elif any(isinstance(value, Mapping) for record in records for value in record.values()):
        notes.how.append("objects in records are columns 'outer.inner'")
    return frame_of_records(flat, notes)


def _spread(record: Mapping[str, object], before: str, depth: int) -> Iterator[tuple[str, object]]:
    for name, value in record.items():
        if isinstance(value, Mapping) and value and depth < _DEPTH and "coordinates" not in value:
            yield from _spread(value, f"{before}{name}.", depth + 1)
        else:
            yield f"{before}{name}", value
