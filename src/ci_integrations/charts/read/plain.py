"""Narrows JSON of unknown shape to types.

What a sandbox sends may have any type at any place. A helper here gives an empty value for another type than the one it
is asked for; those that raise say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from ci_integrations.charts.columns import is_number

K = TypeVar("K")
V = TypeVar("V")
Json = dict[str, object]
"""A JSON object of which nothing is known yet."""


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


def lists(held: Json, *names: str) -> dict[str, list[object]]:
    """Returns the fields of these names that are lists."""
    return {name: value for name in names if isinstance(value := held.get(name), list)}


def numbers(value: object) -> list[float]:
    """Returns the finite numbers of a list; other items are left out."""
    return list(filter(is_number, as_list(value)))


def floats(values: Iterable[object]) -> list[float]:
    """Returns the numbers as floats, with booleans as 0 and 1; other values are left out."""
    return [float(value) for value in values if isinstance(value, (int, float))]


def amounts(values: Iterable[object]) -> list[float]:
    """Returns the values as floats; 0 for what is no finite number."""
    return [number(value) or 0.0 for value in values]


def known(values: Iterable[object]) -> list[object]:
    """Returns the values that are neither None nor NaN."""
    # NaN is the only value that differs from itself.
    return [value for value in values if value is not None and value == value]


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Returns the second items by their first ones, in the order in which these come first."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def column(rows: Iterable[Json], key: str) -> list[object]:
    """Returns one field of all rows; None where a row has none."""
    return [row.get(key) for row in rows]


def plus(one: object, two: object) -> float | None:
    """Returns the sum of two numbers; None when one is missing."""
    return one + two if is_number(one) and is_number(two) else None


def minus(one: object, two: object) -> float | None:
    """Returns the difference of two numbers; None when one is missing."""
    return one - two if is_number(one) and is_number(two) else None


def middles(ones: Iterable[object], twos: Iterable[object]) -> list[float | None]:
    """Returns the middle of each pair; None where one of them is missing."""
    return [None if total is None else total / 2 for total in map(plus, ones, twos)]


def low_high(ones: Iterable[object], twos: Iterable[object]) -> tuple[list[object], list[object]]:
    """Returns the lower and the higher of each pair; None and None where one of them is missing.

    Raises `ValueError` when the columns differ in length.
    """
    pairs = [sorted(pair, key=rank) for pair in zip(ones, twos, strict=True)]
    # What is missing comes last, so that the higher one says whether the pair is whole.
    return [None if high is None else low for low, high in pairs], [high for _, high in pairs]


def rank(value: object) -> tuple[int, float, str]:
    """Returns a sort key for values of any type: numbers and dates, then texts, then what is missing."""
    if isinstance(value, (bool, int, float)):
        return 0, value, ""
    if isinstance(value, datetime):
        return 0, value.timestamp() * 1000, ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))
