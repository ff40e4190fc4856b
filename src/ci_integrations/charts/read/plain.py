"""Narrows JSON of unknown shape to types.

What a sandbox sends may have any type at any place. A helper here gives an empty value for another type than the one it
is asked for; those that raise say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from ci_integrations.charts.columns import is_number

Json = dict[str, object]
"""A JSON object of which nothing is known yet."""
MAX_CELLS = 1_000_000
"""Cells of one heat map that is put together from single cells."""


def as_map(value: object) -> Json:
    """Returns the object itself, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Returns the list itself, or an empty one."""
    return value if isinstance(value, list) else []


def as_column(value: object) -> list[object] | None:
    """Returns the list, or None for None. Raises `TypeError` for anything else, because a column cannot be that."""
    if value is None or isinstance(value, list):
        return value
    raise TypeError("a column is a list")


def as_text(value: object) -> str | None:
    """Returns the value as words; None for None and for an empty string."""
    return None if value is None or value == "" else str(value)


def number(value: object) -> float | None:
    """Returns a finite number as a float; None for anything else, booleans included."""
    return float(value) if is_number(value) else None


def at(value: object, *path: str) -> object:
    """Returns what is below these keys of nested objects; None where one of them is missing."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def maps(value: object) -> list[Json]:
    """Returns the objects of a list; other items are left out."""
    return [item for item in as_list(value) if isinstance(item, dict)]


def plus(one: object, two: object) -> float | None:
    """Returns the sum of two numbers; None when one is missing."""
    return one + two if is_number(one) and is_number(two) else None


def minus(one: object, two: object) -> float | None:
    """Returns the difference of two numbers; None when one is missing."""
    return one - two if is_number(one) and is_number(two) else None


def low_high(ones: Iterable[object], twos: Iterable[object]) -> tuple[list[object], list[object]]:
    """Returns the lower and the higher of each pair of numbers or texts; None and None where they are neither.

    Raises `ValueError` when the columns differ in length.
    """
    pairs = [_low_high(one, two) for one, two in zip(ones, twos, strict=True)]
    return [low for low, _ in pairs], [high for _, high in pairs]


def _low_high(one: object, two: object) -> tuple[object, object]:
    if is_number(one) and is_number(two):
        return min(one, two), max(one, two)
    if isinstance(one, str) and isinstance(two, str):
        return min(one, two), max(one, two)
    return None, None


def rank(value: object) -> tuple[int, float, str]:
    """Returns a sort key for values of any type: numbers and dates, then texts, then what is missing."""
    if isinstance(value, (bool, int, float)):
        return 0, value, ""
    if isinstance(value, datetime):
        return 0, value.timestamp() * 1000, ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))


def matrix(x: Sequence[object], y: Sequence[object], cells: Iterable[tuple[object, object, object]]) -> list[object]:
    """Returns the rows of a heat map over these places, from single cells (x, y, value).

    Raises `ValueError` for more than `MAX_CELLS` places.
    """
    if len(x) * len(y) > MAX_CELLS:
        raise ValueError("too many cells")
    held = {(column, row): value for column, row, value in cells}
    return [[held.get((column, row)) for column in x] for row in y]
