"""Finds the columns by which two tables can be joined: of one name, or of other names with the same values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MAX_SAID = 20
"""Pairs of columns that the model is told of."""
_MAX_TABLES = 60
"""Tables that are compared with each other."""
_MAX_PAIRS = 2000
"""Pairs of columns whose values are compared."""
_MAX_ROWS = 200_000
"""Rows of a table that are looked at for keys of other names."""
_LEAST = 3
"""Fewer distinct values agree by chance."""
_NEARLY_ALL = 0.9


class Keys:
    """Knows the distinct values of the columns that may be keys, each computed once."""

    def __init__(self, tables: dict[str, pd.DataFrame]) -> None:
        self.tables = tables
        self._looked_at = list(islice(tables, _MAX_TABLES))
        self._values: dict[tuple[str, int], frozenset[Any]] = {}

    def sentences(self) -> list[str]:
        """Returns one sentence for each pair of columns that joins two tables."""
        return list(islice(self._sentences(), MAX_SAID))

    def _sentences(self) -> Iterator[str]:
        joined = set()
        for left, right in combinations(self._looked_at, 2):
            for column in self.tables[left].columns:
                if column in self.tables[right].columns and (said := self._shared(left, right, column)):
                    joined.add((left, right))
                    yield said
        pairs = ((left, right) for left, right in combinations(self._looked_at, 2) if (left, right) not in joined)
        looked_at = 0
        for left, right in pairs:
            for said in self._others(left, right):
                looked_at += 1
                if looked_at > _MAX_PAIRS:
                    return
                if said:
                    yield said

    def _shared(self, left: str, right: str, column: object) -> str:
        ours = self.values(left, _place(self.tables[left], column))
        theirs = self.values(right, _place(self.tables[right], column))
        both = len(ours & theirs)
        if not both:
            return ""
        return (
            f"`{left}` and `{right}` share the column {said(column)}: {both} values occur in both "
            f"(of {len(ours)} and {len(theirs)})"
        )

    def _others(self, left: str, right: str) -> Iterator[str]:
        """Yields, for each pair of columns of other names, the sentence about it, or an empty text."""
        for ours in range(self.tables[left].shape[1]):
            for theirs in range(self.tables[right].shape[1]):
                yield self._key(left, ours, right, theirs) or self._key(right, theirs, left, ours)

    def _key(self, many: str, ours: int, one: str, theirs: int) -> str:
        """Returns a sentence when nearly all values of a column occur in another table's, where each is unique."""
        here, there = self.tables[many].iloc[:, ours], self.tables[one].iloc[:, theirs]
        if not (_may_be_key(here) and _may_be_key(there)) or _kind(here) != _kind(there):
            return ""
        values, keys = self.values(many, ours), self.values(one, theirs)
        # Most pairs have nothing in common: their first values say so.
        if len(values) < _LEAST or not any(value in keys for value in islice(values, 5)):
            return ""
        both = len(values & keys)
        if both < _NEARLY_ALL * len(values) or not there.is_unique:
            return ""
        if _kind(here) == "i" and not _tells(keys) and not _named_alike(here.name, there.name, one):
            return ""
        return (
            f"`{many}`[{said(here.name)}] and `{one}`[{said(there.name)}] seem to join the tables under other names: "
            f"{both} of {len(values)} values of the first occur in the second, where each is unique"
        )

    def values(self, table: str, place: int) -> frozenset[Any]:
        """Returns the distinct values of a column; none when they cannot be compared."""
        if (table, place) not in self._values:
            try:
                found = frozenset(self.tables[table].iloc[:, place].dropna().unique().tolist())
            except Exception:  # noqa: BLE001 - values that cannot be compared join nothing
                found = frozenset()
            self._values[table, place] = found
        return self._values[table, place]


def said(label: object) -> str:
    """Returns a column's label as a program writes it: 2020 for NumPy's `np.int64(2020)`."""
    item = getattr(label, "item", None)
    return repr(item() if callable(item) else label)


def _place(frame: pd.DataFrame, column: object) -> int:
    return list(frame.columns).index(column)


def _kind(column: pd.Series[Any]) -> str:
    kind = column.dtype.kind
    return "i" if kind in "iu" else "text" if kind in "OTU" else kind


def _may_be_key(column: pd.Series[Any]) -> bool:
    """Returns True for whole numbers and text; other values are no keys."""
    return len(column) <= _MAX_ROWS and _kind(column) in ("i", "text")


def _tells(keys: frozenset[Any]) -> bool:
    """Returns True for numbers that agree by more than chance: 1 to 50 are in every table, 71034 is not."""
    return len(keys) >= 10 and max(keys) - min(keys) > 20 * len(keys)


def _named_alike(many: object, key: object, table: str) -> bool:
    """Returns True when a column's name speaks of the other column, or of its table: `customer` of `customers.id`."""
    words = {_singular(word) for word in re.findall(r"[a-z]+", f"{key} {table}".lower())} - {"id", "key", "no", "nr"}
    return bool(words & {_singular(word) for word in re.findall(r"[a-z]+", str(many).lower())})


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
