"""What the parts of the layout share: what was seen of a grid of cells, and simple questions about its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NOTHING, TEXT, VALUE = 0, 1, 2
"""Kinds of a cell: empty or a word for missing; text; a number, a date or a truth value."""

Kind = Callable[[object], int]


@dataclass
class Look:
    """Holds what was seen of a grid: its first rows, its last rows, and how many rows there are of each width."""

    head: list[list[object]]
    tail: list[list[object]]
    count: int
    widths: Counter[tuple[int, bool]]
    """How many rows have so many cells, by whether the last of them is empty."""

    @property
    def width(self) -> int:
        """The number of cells that most rows have."""
        total: Counter[int] = Counter()
        for (number, _), count in self.widths.items():
            total[number] += count
        if not total:
            return 0
        most = max(total, key=lambda number: (total[number], number))
        # A separator that ends every line is no column.
        ended = not self.widths[most, False] and self.widths[most - 1, False] > 0
        return most - 1 if ended and most > 1 else most


def filled(row: Sequence[object], kind: Kind) -> int:
    """Returns how many cells of a row hold something; a word for missing is something."""
    return sum(kind(cell) != NOTHING or bool(str(cell if cell is not None else "").strip()) for cell in row)


def blank(cell: object) -> bool:
    """Returns whether a cell holds nothing at all."""
    return cell is None or not str(cell).strip()


def titles(rows: Sequence[Sequence[object]]) -> list[str]:
    """Returns the text of each row that has any."""
    texts = [" ".join(str(cell).strip() for cell in row if cell is not None and str(cell).strip()) for row in rows]
    return [text for text in texts if text]


def typed_columns(body: Sequence[Sequence[object]], width: int, kind: Kind) -> list[int]:
    """Returns the columns that are values, not text."""
    rows = body[min(4, len(body) // 2) :]
    found = []
    for column in range(width):
        kinds = Counter(kind(row[column]) for row in rows if column < len(row))
        if kinds[VALUE] and kinds[VALUE] >= 4 * kinds[TEXT]:
            found.append(column)
    return found
