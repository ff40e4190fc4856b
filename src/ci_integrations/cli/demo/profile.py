"""What is in a CSV file: enough to choose two charts. Plain Python: the machine needs no pandas. For the demo."""

from __future__ import annotations

import csv
import itertools
import math
import re
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ci_integrations.cli._terminal import stop

MAX_ROWS = 5000
"""Rows that are looked at; the sandbox reads all of them."""
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
_UNITS = frozenset(
    {"mm", "cm", "m", "km", "g", "kg", "t", "s", "ms", "min", "h", "usd", "eur", "gbp", "pct", "c", "f", "l"}
)


@dataclass(frozen=True)
class Column:
    """A column of the file with its values as text; missing ones are None."""

    name: str
    values: tuple[str | None, ...]

    @cached_property
    def present(self) -> list[str]:
        return [value for value in self.values if value is not None]

    @cached_property
    def numbers(self) -> list[float | None] | None:
        """The values as numbers, or None when it is not a column of numbers."""
        try:
            found = [None if value is None else float(value) for value in self.values]
        except ValueError:
            return None
        usable = self.present and all(value is None or math.isfinite(value) for value in found)
        return found if usable else None

    @property
    def groups(self) -> int:
        return len(set(self.present))

    @property
    def label(self) -> str:
        """`body_mass_g` as `body mass (g)`."""
        words = re.split(r"[_\s]+", self.name.strip())
        if len(words) > 1 and words[-1].lower() in _UNITS:
            return f"{' '.join(words[:-1])} ({words[-1]})"
        return " ".join(words)


@dataclass(frozen=True)
class Profile:
    """A file and the columns worth a picture."""

    path: Path
    delimiter: str
    columns: tuple[Column, ...]

    @cached_property
    def measures(self) -> list[Column]:
        """Columns of numbers, those with the most different values first; identifiers last."""
        found = [column for column in self.columns if column.numbers is not None and column.groups > 1]
        return sorted(found, key=lambda column: (_is_identifier(column), -min(column.groups, 25)))

    @cached_property
    def categories(self) -> list[Column]:
        """Columns with a few different texts, as wanted on an axis: 3 to 8 before 2 before more."""
        found = [c for c in self.columns if c.numbers is None and 2 <= c.groups <= 25 and c.groups < len(c.values)]
        return sorted(found, key=lambda column: (not 3 <= column.groups <= 8, column.groups > 8))

    @cached_property
    def pair(self) -> tuple[Column, Column] | None:
        """The two measures that go together most."""
        candidates = [column for column in self.measures[:10] if not _is_identifier(column)]
        pairs = list(itertools.combinations(candidates, 2))
        return max(pairs, key=lambda two: abs(correlation(*two)), default=None)

    def crossed(self, category: Column) -> Column | None:
        """Another category, of few values, that occurs with every value of this one."""
        for other in self.categories:
            pairs = {pair for pair in zip(category.values, other.values, strict=True) if None not in pair}
            if other is not category and other.groups <= 4 and len(pairs) == category.groups * other.groups:
                return other
        return None


def read_profile(path: Path) -> Profile:
    """Look at the file; a file that is no CSV is the user's mistake, told in one line."""
    if not path.is_file():
        stop(f"{path}: there is no such file" if not path.exists() else f"{path} is not a file")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = _delimiter(file.read(8192))
            file.seek(0)
            rows = list(itertools.islice(csv.reader(file, delimiter=delimiter), MAX_ROWS + 1))
    except UnicodeDecodeError:
        stop(f"{path} is not UTF-8 text: save it as CSV (UTF-8) and try again")
    except csv.Error as error:
        stop(f"{path} cannot be read as CSV: {error}")
    except OSError as error:
        stop(f"{path} cannot be read: {error.strerror}")
    return Profile(path, delimiter, _columns(path, rows))


def _delimiter(head: str) -> str:
    first = head.partition("\n")[0]
    return max(",;\t|", key=first.count) if any(mark in first for mark in ",;\t|") else ","


def _columns(path: Path, rows: list[list[str]]) -> tuple[Column, ...]:
    rows = [row for row in rows if row]
    if len(rows) < 2:
        stop(f"{path} holds no table: expected a line of column names and rows below it")
    names = rows[0]
    if any("\0" in name for name in names) or len(set(names)) < len(names):
        stop(f"{path}: its first line does not hold column names that differ from each other")
    if any(len(row) > len(names) for row in rows):
        stop(f"{path}: some rows have more fields than the first line has names")
    if not any(value.strip().lower() not in _MISSING for row in rows[1:] for value in row):
        stop(f"{path} holds column names, but no values")
    table = [[*row, *[""] * (len(names) - len(row))] for row in rows[1:]]
    return tuple(
        Column(name, tuple(None if row[n].strip().lower() in _MISSING else row[n] for row in table))
        for n, name in enumerate(names)
    )


def _is_identifier(column: Column) -> bool:
    return bool(re.search(r"(^|_)(id|index|nr|no|rowid|zip)$|^unnamed", column.name.lower()))


def correlation(one: Column, other: Column) -> float:
    """Pearson's r over the rows that have both; 0.0 when it cannot be said."""
    pairs = [(a, b) for a, b in zip(one.numbers or [], other.numbers or [], strict=False) if None not in (a, b)]
    if len(pairs) < 3:
        return 0.0
    xs, ys = zip(*pairs, strict=True)
    try:
        return statistics.correlation(xs, ys)
    except statistics.StatisticsError:
        return 0.0
