"""Finds where in a grid of cells the table is: titles above it, its header, units, and lines below it that are no rows.

The grid is a text file's fields or a sheet's cells; `kind` says of a cell what it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .footer import rows_below
from .grid import Kind, Look, blank, filled, titles
from .header import header_rows, units_row
from .model import NotATableError, Notes, counted, quoted
from .names import column_names, may_be_r

MAX_COLUMNS = 50_000
MAX_ABOVE = 100
"""Rows above the table that are looked at."""
Header = int | list[int] | str | None
"""What the developer said of the header, as for pandas; the empty text means nothing was said."""


@dataclass
class Layout:
    """Says which rows of a grid are the table's, and how its columns are called."""

    names: list[str]
    first: int
    """Number of the first row of data."""
    last: int
    """Number of the row after the last one of data."""
    row_names: bool = False
    """True when the first column has no name, as R writes the names of rows."""
    extra: bool = False
    """True when some rows have more fields than the header: they are kept in one more column."""

    @property
    def width(self) -> int:
        return len(self.names)


def find(look: Look, kind: Kind, notes: Notes, header: Header = "", ragged: str = ",") -> Layout:
    """Returns the layout of a grid and says what is not plain about it.

    `ragged`: the separator of a text file, in which rows that are longer than the header are an error.
    """
    width = look.width
    if width > MAX_COLUMNS:
        raise NotATableError(f"it has more than {MAX_COLUMNS} columns")
    start = 0 if header is None else _start(look, width, kind, ragged)
    guessed = isinstance(header, str)
    above = header_rows(look.head, start, width, kind, notes) if isinstance(header, str) else _given(header)
    units = units_row(look.head, above, kind) if guessed else None
    first = _first(look, above, kind, several=guessed and len(above) > 1) if above else start
    outside = Counter((len(row), blank(row[-1])) for row in look.head[:first])
    body = replace(look, widths=look.widths - outside)
    names, row_names, extra = column_names(body, above, units, notes, ragged)
    if not above and guessed:
        notes.doubt("no header row was found: the columns are named by their position")
    skipped = look.head[: above[0] if above else start]
    if ragged and not above and skipped and 1 < len(skipped[-1]) < width and all(map(kind, skipped[-1])):
        raise NotATableError("the lines have more fields than the header")
    if texts := titles(skipped):
        notes.doubt(f"{counted(len(texts), 'line')} above the header skipped: {quoted(texts)}")
    last = look.count - (rows_below(look, len(names), kind, notes) if look.count > first else 0)
    return Layout(names, first, max(last, first), row_names, extra)


def _given(header: int | list[int] | None) -> list[int]:
    if header is None:
        return []
    return sorted(header) if isinstance(header, list) else [header]


def _first(look: Look, above: Sequence[int], kind: Kind, *, several: bool) -> int:
    """Returns the first row of data: below the header, and below what pandas writes under one of several rows."""
    first, before_last = above[-1] + 1, len(look.head) - 1
    while first < before_last and not filled(look.head[first], kind):
        first += 1
    names_of_index = several and first < before_last and filled(look.head[first], kind) == 1 < look.width
    return first + 1 if names_of_index else first


def _start(look: Look, width: int, kind: Kind, ragged: str) -> int:
    """Returns the first row that is as full as the table's rows are, and has rows as wide below it."""
    need = max(2, (width + 1) // 2) if width > 1 else 1
    least = width - 1 if may_be_r(ragged, width) else width  # R writes no name above the names of rows
    most = width if len(ragged) > 1 else MAX_COLUMNS  # words between blanks are no names
    full = [
        number
        for number, row in enumerate(look.head[:MAX_ABOVE])
        if least <= len(row) <= most and filled(row, kind) >= min(need, least)
    ]
    if len(ragged) < 2 and full[:1] == [0]:
        return 0
    for number in full:
        below = [_fits(row, width) for row in look.head[number + 1 : number + 11]]
        if sum(below) >= 0.7 * len(below) and (len(ragged) < 2 or all(below[:3])):
            return number
    return full[0] if full else 0


def _fits(row: Sequence[object], width: int) -> bool:
    return len(row) == width or (len(row) == width + 1 and blank(row[-1]))
