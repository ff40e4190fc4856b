"""Finds the rows of a table's header: none, one, or several, and whether the last of them has units."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from .grid import NOTHING, TEXT, VALUE, Kind, blank, filled, typed_columns
from .model import Notes

_HEADER_ROWS = 5
"""Rows that may be a header of several."""
_UNIT = re.compile(
    r"[\[(].{0,20}[\])]|%|‰|°?[CFK]|ppm|ppb|ppt|dB|[μµunmkMGT]?(?:m|g|s|l|L|A|V|W|Wh|Hz|Pa|J|N|mol|bar|Ω|F|eV|B)[²³23]?"
    r"|min|h|hr|d|day|days|yr|year|years|hPa|mbar|inch|in|ft|lb|oz|mph|kn|EUR|USD|GBP|€|\$|£|deg|rad|n/a|-"
    r"|\S{1,6}[/^·*]\S{1,8}|°\S{0,2}",
)


def header_rows(head: Sequence[list[object]], start: int, width: int, kind: Kind, notes: Notes) -> list[int]:
    """Returns the rows of the header; none when the first row looks like the others."""
    row, body = head[start], head[start + 1 :]
    if not body:
        values = sum(kind(cell) == VALUE for cell in row)
        return [] if values > len(row) / 2 else [start]
    shift = 1 if len(row) == width - 1 else 0
    typed = [column - shift for column in typed_columns(body, width, kind) if column >= shift]
    if not typed:
        return [] if _recurs(row, body) else [*_upper(head, start, width, kind), start]
    last = _last_row(head, start, typed, kind)
    if last > start and not _is_numeric_header(row, typed, kind) and not _is_header(row, typed, kind, strict=False):
        # Numbers above the names: the upper rows of a header of several, when each has a name in front.
        named = all(kind(head[number][0]) == TEXT or _gaps(head[number], kind) for number in range(start, last))
        return [*range(start, last + 1)] if named else [*range(last, last + 1)]
    if _is_header(row, typed, kind, strict=False):
        if _doubtful(row, typed, kind):
            notes.doubt("the header may not be the first row: it looks much like the rows below it")
        return [*_upper(head, start, width, kind), *range(start, last + 1)]
    return [*range(start, last + 1)] if _is_numeric_header(row, typed, kind) else []


def _last_row(head: Sequence[list[object]], start: int, typed: Sequence[int], kind: Kind) -> int:
    """Returns the number of the header's last row: of names or of units, within the first few."""
    numbers = range(start + 1, min(start + _HEADER_ROWS, len(head) - 1))
    below = (n for n in numbers if _is_header(head[n], typed, kind, strict=True) or _are_units(head[n], typed, kind))
    return max(below, default=start)


def _gaps(row: Sequence[object], kind: Kind) -> bool:
    return any(kind(cell) == NOTHING for cell in row)


def _upper(head: Sequence[list[object]], start: int, width: int, kind: Kind) -> list[int]:
    """Returns the rows just above the header that name groups of its columns: several cells, with gaps."""
    found: list[int] = []
    for number in range(start - 1, -1, -1):
        row = head[number]
        alike = len({str(cell) for cell in row if kind(cell) != NOTHING}) < 2
        if len(row) != width or filled(row, kind) < 2 or (alike and filled(row, kind) == width):
            break
        found.insert(0, number)
    return found


def _cells(row: Sequence[object], columns: Sequence[int]) -> list[object]:
    return [row[column] for column in columns if column < len(row)]


def _is_header(row: Sequence[object], typed: Sequence[int], kind: Kind, *, strict: bool) -> bool:
    """Returns whether a row has text where the rows below have values. `strict`: nowhere a value, and not just once."""
    kinds = Counter(kind(cell) for cell in _cells(row, typed))
    if strict:
        return not kinds[VALUE] and kinds[TEXT] >= max(2, 0.6 * len(typed))
    return kinds[TEXT] > 0


def _doubtful(row: Sequence[object], typed: Sequence[int], kind: Kind) -> bool:
    cells = _cells(row, typed)
    texts = sum(kind(cell) == TEXT for cell in cells)
    values = [cell for cell in cells if kind(cell) == VALUE]
    return len(values) > texts and not _counts_up(values)


def _is_numeric_header(row: Sequence[object], typed: Sequence[int], kind: Kind) -> bool:
    """Returns whether numbers are names: years, or positions counted from 0."""
    cells = _cells(row, typed)
    if len(cells) < 2 or any(kind(cell) != VALUE for cell in cells):
        return False
    numbers = _counts_up(cells)
    if not numbers:
        return False
    if all(1700 <= number <= 2200 for number in numbers):
        return True
    first = row[0] if row else None
    unnamed = 0 not in typed and kind(first) == NOTHING
    return numbers[1] - numbers[0] == 1 and (
        (numbers[0] in (0, 1) and unnamed) or (numbers[0] == 0 and len(numbers) > 2)
    )


def _counts_up(cells: Sequence[object]) -> list[int]:
    """Returns the cells as integers when each is as much more than the one before; otherwise nothing."""
    try:
        numbers = [int(float(str(cell))) for cell in cells]
        exact = all(float(str(cell)) == number for cell, number in zip(cells, numbers, strict=True))
    except (ValueError, OverflowError):
        return []
    steps = {after - before for before, after in pairwise(numbers)}
    return numbers if exact and len(steps) == 1 and steps != {0} else []


def _recurs(row: Sequence[object], body: Sequence[Sequence[object]]) -> bool:
    """Returns whether the first row's texts stand below, in their columns, again: then it is a row, not the header."""
    if len(body) < 4:
        return False
    texts = [(column, cell) for column, cell in enumerate(row) if str(cell if cell is not None else "").strip()]
    again = sum(any(column < len(r) and r[column] == cell for r in body) for column, cell in texts)
    return len(texts) > 0 and again >= max(1, 0.5 * len(texts))


def _are_units(row: Sequence[object], typed: Sequence[int], kind: Kind) -> bool:
    cells = [str(cell).strip() for cell in row if cell is not None and str(cell).strip()]
    if any(kind(cell) == VALUE for cell in _cells(row, typed)) or not any(kind(c) == TEXT for c in _cells(row, typed)):
        return False
    return len(cells) > 0 and sum(_UNIT.fullmatch(cell) is not None for cell in cells) >= 0.6 * len(cells)


def units_row(head: Sequence[list[object]], above: Sequence[int], kind: Kind) -> int | None:
    """Returns the last row of the header when it is of units."""
    if len(above) < 2:
        return None
    row, names = head[above[-1]], [str(cell) for cell in head[above[-2]] if not blank(cell)]
    named = len(set(names)) == len(head[above[-2]])  # otherwise they are names of groups
    return above[-1] if named and _are_units(row, range(len(row)), kind) else None
