"""Makes columns of Python values, as workbooks, JSON and databases give them: text stays text, integers all digits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from .columns import EXACT, booleans, floats, frame_of, integers, strings
from .model import Notes, quoted

if TYPE_CHECKING:
    import pandas as pd


def frame_of_records(records: Sequence[Mapping[str, object]], notes: Notes) -> pd.DataFrame:
    """Returns a DataFrame of records; names in the order in which they first appear."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return frame_of_columns(names, [[record.get(name) for record in records] for name in names], notes)


def frame_of_columns(names: Sequence[str], columns: Sequence[Sequence[object]], notes: Notes) -> pd.DataFrame:
    """Returns a DataFrame of columns of values, and notes those whose values are of several kinds."""
    mixed = [name for name, values in zip(names, columns, strict=True) if _is_mixed(values)]
    if mixed:
        notes.doubt(f"{quoted(mixed, 8)}: text and other values mixed, kept as they are")
    return frame_of(names, [column_of(values) for values in columns])


def column_of(values: Sequence[object]) -> object:
    """Returns one column with the type that all of its values have; objects where they have none in common."""
    kinds = {type(value) for value in values if not _is_missing(value)}
    plain = [None if _is_missing(value) else value for value in values]
    if not kinds:
        return floats([None] * len(values))
    if kinds == {bool}:
        return booleans(cast("list[bool | None]", plain))
    if kinds == {int}:
        return integers_or_objects(cast("list[int | None]", plain))
    if kinds <= {int, float}:
        return _numbers(plain)
    if kinds == {str}:
        return strings(cast("list[str | None]", plain))
    if kinds <= {dt.datetime, dt.date}:
        return _dates(plain)
    if kinds == {dt.timedelta}:
        import pandas as pd

        return pd.to_timedelta(pd.Series(plain))
    return _objects(plain)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN, without numpy


def _is_mixed(values: Sequence[object]) -> bool:
    kinds = {type(value) for value in values if value is not None}
    return str in kinds and len(kinds) > 1


def integers_or_objects(values: list[int | None]) -> object:
    """Returns integers with all digits; as Python's own when they are longer than 64 bits."""
    there = [value for value in values if value is not None]
    if min(there) < -(1 << 63) or max(there) >= 1 << 64:
        return _objects(values)
    return integers(values)


def _numbers(values: Sequence[object]) -> object:
    """Returns floats, unless one of the integers among them has more digits than a float keeps."""
    if any(isinstance(value, int) and abs(value) > EXACT for value in values):
        return _objects(values)
    return floats(cast("Sequence[float | None]", values))


def whole_floats(values: Sequence[object]) -> list[object]:
    """Returns floats as integers when all numbers of a column are whole: a workbook knows floats only."""
    numbers = [value for value in values if isinstance(value, float) and value == value]  # noqa: PLR0124
    if numbers and all(value.is_integer() and abs(value) < EXACT for value in numbers):
        return [int(value) if isinstance(value, float) and value == value else value for value in values]  # noqa: PLR0124
    return list(values)


def _dates(values: Sequence[object]) -> object:
    import pandas as pd

    # Dates before 1678 and after 2262 do not fit into nanoseconds.
    zones = {value.tzinfo is not None for value in values if isinstance(value, dt.datetime)}
    if zones == {True} or len(zones) > 1:
        return pd.to_datetime(pd.Series(values), utc=True) if len(zones) == 1 else _objects(values)
    years = [value.year for value in values if isinstance(value, dt.date)]
    unit = "ns" if min(years) >= 1678 and max(years) < 2262 else "us"
    return pd.Series(
        [None if value is None else pd.Timestamp(cast("str", value)).as_unit("us") for value in values],
        dtype=f"datetime64[{unit}]",
    )


def _objects(values: Sequence[object]) -> object:
    import pandas as pd

    return pd.Series(list(values), dtype=object)
