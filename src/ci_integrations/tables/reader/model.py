"""What a reader gives: tables with what was seen of them, or the reason why a file is no table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import pandas as pd

MAX_TABLES = 50
"""Tables that are read of one file: sheets of a workbook, tables of a database, members of an archive."""
MAX_UNPACKED = 1 << 30
"""Bytes that a compressed file may unpack to."""
MAX_SAID = 160
"""Characters of a file's own text in one note."""


class ReadOptions(TypedDict, total=False):
    """What a developer knows of a file. The names and meanings are those of pandas' readers."""

    sep: str
    encoding: str
    decimal: str
    thousands: str
    quotechar: str
    comment: str
    header: int | list[int] | None
    names: list[str]
    skiprows: int
    skipfooter: int
    na_values: list[str]
    keep_default_na: bool
    dtype: dict[str, str]
    widths: list[int]
    sheet_name: str


@dataclass
class Notes:
    """Collects what is said of one table, once each: `how` it was read, and every doubt."""

    how: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def doubt(self, text: str) -> None:
        """Adds a doubt: one line, whatever the file's own words in it are."""
        line = " ".join(text.split())[:400]
        if line not in self.doubts:
            self.doubts.append(line)


@dataclass
class Table:
    """Holds one table of a file. `part` names it within the file; it is empty when the file is one table."""

    frame: pd.DataFrame
    notes: Notes = field(default_factory=Notes)
    part: str = ""
    kind: str = ""
    """What `part` is: a sheet, a table, a member of an archive."""


class NotATableError(ValueError):
    """Says why a file is not read as a table, in words for the model."""


class PasswordError(NotATableError):
    """Says that a file is encrypted."""


def quoted(texts: Sequence[str], most: int = 3) -> str:
    """Returns the first few texts in quotes, cut to what fits into a note."""
    shown = ", ".join(repr(text[:40]) for text in texts[:most])
    return shown[:MAX_SAID] + (", ..." if len(texts) > most else "")


def counted(number: int, noun: str) -> str:
    """Returns "1 row" or "3 rows"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
