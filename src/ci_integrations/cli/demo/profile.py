"""What is in a CSV file: enough for the demo to choose two charts.

It is plain Python, because the machine that runs the demo may have no pandas: the sandbox has it.
"""

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
SEPARATORS = ",;\t|"
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
"""What a missing value is called, in lower case: most of what pandas' `read_csv` takes for one."""
_UNITS = frozenset(
    {"mm", "cm", "m", "km", "g", "kg", "t", "s", "ms", "min", "h", "usd", "eur", "gbp", "pct", "c", "f", "l"}
)


@dataclass(frozen=True)
class Column:
    """A column of the file with its values as text; missing ones are None.

    Whether it holds numbers is found by trying: a file says nothing about types.
    """

    name: str
    values: tuple[str | None, ...]

    @cached_property
    def present(self) -> list[str]:
        """The values that are not missing."""
        return [value for value in self.values if value is not None]

    @cached_property
    def numbers(self) -> list[float | None] | None:
        """The values as numbers, or None when it is not a column of numbers."""
        try:
            usable = bool(self.present) and all(math.isfinite(float(value)) for value in self.present)
        except ValueError:
            return None
        return [None if value is None else float(value) for value in self.values] if usable else None

    @property
    def groups(self) -> int:
        """How many different values there are."""
        return len(set(self.present))

    @property
    def label(self) -> str:
        """The name as an axis shows it: `body_mass_g` is `body mass (g)`."""
        words = re.split(r"[_\s]+", self.name.strip())
        if len(words) > 1 and words[-1].lower() in _UNITS:
            return f"{' '.join(words[:-1])} ({words[-1]})"
        return " ".join(words)


@dataclass(frozen=True)
class Profile:
    """A file, and which of its columns are worth a picture."""

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
        """Columns with a few different texts, those first that fit on an axis: 3 to 8 texts, then 2, then more."""
        found = [c for c in self.columns if c.numbers is None and 2 <= c.groups <= 25 and c.groups < len(c.values)]
        return sorted(found, key=lambda column: (not 3 <= column.groups <= 8, column.groups > 8))

    @cached_property
    def pair(self) -> tuple[Column, Column] | None:
        """The two measures with the strongest correlation; None when there are no two."""
        # The first ten: the number of pairs grows with the square.
        candidates = [column for column in self.measures[:10] if not _is_identifier(column)]
        pairs = list(itertools.combinations(candidates, 2))
        return max(pairs, key=lambda two: abs(correlation(*two)), default=None)

    def crossed(self, category: Column) -> Column | None:
        """Returns another category, of at most four values, that occurs with every value of this one."""
        others = (other for other in self.categories if other is not category and other.groups <= 4)
        return next((other for other in others if _is_crossed(category, other)), None)


def read_profile(path: Path) -> Profile:
    """Reads the head of a file. A file that is no CSV ends the command with one line: it is the user's mistake."""
    if not path.is_file():
        stop(f"{path}: there is no such file" if not path.exists() else f"{path} is not a file")
    try:
        # utf-8-sig: Excel writes a byte order mark, which would become part of the first name.
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
    """Returns the separator that the first line has most often; a comma when it has none."""
    return max(SEPARATORS, key=head.partition("\n")[0].count)  # the first of equals


def _columns(path: Path, rows: list[list[str]]) -> tuple[Column, ...]:
    """Returns the columns of a table. Rows that are too short are filled with missing values."""
    names, *body = _checked(path, [row for row in rows if row])
    columns = zip(*(row + [""] * (len(names) - len(row)) for row in body), strict=True)
    return tuple(Column(name, tuple(map(_present, values))) for name, values in zip(names, columns, strict=True))


def _present(value: str) -> str | None:
    return None if value.strip().lower() in _MISSING else value


def _checked(path: Path, rows: list[list[str]]) -> list[list[str]]:
    """Returns the rows, or ends with one line that says why they are no table with names above it."""
    if len(rows) < 2:
        stop(f"{path} holds no table: expected a line of column names and rows below it")
    names = rows[0]
    if any("\0" in name for name in names) or len(set(names)) < len(names):
        stop(f"{path}: its first line does not hold column names that differ from each other")
    if any(len(row) > len(names) for row in rows):
        stop(f"{path}: some rows have more fields than the first line has names")
    if not any(map(_present, itertools.chain.from_iterable(rows[1:]))):
        stop(f"{path} holds column names, but no values")
    return rows


def _is_crossed(one: Column, other: Column) -> bool:
    """Returns whether each value of one column occurs with each value of the other."""
    pairs = {pair for pair in zip(one.values, other.values, strict=True) if None not in pair}
    return len(pairs) == one.groups * other.groups


def _is_identifier(column: Column) -> bool:
    """Returns whether a column's name says that its numbers only name rows: nobody wants their mean."""
    return bool(re.search(r"(^|_)(id|index|nr|no|rowid|zip)$|^unnamed", column.name.lower()))


def correlation(one: Column, other: Column) -> float:
    """Returns Pearson's r over the rows that have both values; 0.0 when there are too few or they do not vary."""
    # Only rows that have both: statistics.correlation refuses gaps.
    pairs = [(a, b) for a, b in zip(one.numbers or [], other.numbers or [], strict=False) if None not in (a, b)]
    if len(pairs) < 3:
        return 0.0
    xs, ys = zip(*pairs, strict=True)
    try:
        return statistics.correlation(xs, ys)
    except statistics.StatisticsError:  # all values of a column are the same
        return 0.0
