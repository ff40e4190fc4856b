"""Makes the names of a table's columns of the rows of its header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .grid import Look
from .model import NotATableError, Notes, counted, quoted


def column_names(
    look: Look, above: Sequence[int], units: int | None, notes: Notes, ragged: str
) -> tuple[list[str], bool, bool]:
    """Returns the names of the columns, whether the first one has the names of rows, and whether rows are too long."""
    width, rows = look.width, [look.head[number] for number in above if number != units]
    wide = max((len(row) for row in rows), default=0)
    longer = sum(count for (number, empty), count in look.widths.items() if number > max(wide, 1) and not empty)
    ended = sum(count for (number, empty), count in look.widths.items() if number > wide and empty)
    row_names = extra = False
    if not rows:
        names = [f"column_{number + 1}" for number in range(width)]
        longer = sum(count for (number, empty), count in look.widths.items() if number > width and not empty)
        extra = longer > 0
    elif wide == width - 1 and longer + ended >= 0.9 * look.widths.total() and longer and may_be_r(ragged, width):
        names, row_names = [*_joined(rows, wide, notes)], True
        names.insert(0, "")
        longer = sum(count for (number, empty), count in look.widths.items() if number > width and not empty)
        extra = longer > 0
    else:
        names, extra = _joined(rows, max(wide, width if longer == 0 and ended == 0 else wide), notes), longer > 0
    if extra and ragged and longer > max(1, 0.05 * look.count):
        raise NotATableError("the lines have more fields than the header")
    if extra:
        notes.doubt(
            f"{counted(longer, 'row')} with more fields than the header: they are in the column 'further_fields'"
        )
    if units is not None:
        pairs = [
            f"{name} [{str(cell).strip('[]() ')}]"
            for name, cell in zip(names, look.head[units], strict=False)
            if str(cell or "").strip()
        ]
        notes.doubt(f"the row below the header has units and is no row of data: {', '.join(pairs)}")
    return _unique(names, notes, row_names=row_names), row_names, extra


def may_be_r(ragged: str, width: int) -> bool:
    """Returns whether the first name may be missing because R wrote it so; beside commas it is a decimal comma."""
    return ragged not in ("", ",") and width > 2


def _joined(rows: Sequence[Sequence[object]], width: int, notes: Notes) -> list[str]:
    """Returns one name for each column. In all but the last row of the header, a name goes on over the gaps."""
    if len(rows) == 1:
        return [_text(cell) for cell in rows[0]] + [""] * (width - len(rows[0]))
    notes.doubt(f"the header has {len(rows)} rows, joined with '_'")
    levels = []
    for level, row in enumerate(rows):
        cells = [_text(cell) for cell in row] + [""] * (width - len(row))
        if level < len(rows) - 1:
            for column in range(1, width):
                cells[column] = cells[column] or cells[column - 1]
        levels.append(cells)
    names = []
    for parts in zip(*levels, strict=True):
        kept = [part for number, part in enumerate(parts) if part and part not in parts[:number]]
        names.append("_".join(kept))
    return names


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return " ".join(str(cell).split())


def _unique(names: Sequence[str], notes: Notes, *, row_names: bool) -> list[str]:
    """Returns the names as pandas makes them unique: `Unnamed: 2`, `a.1`."""
    found: dict[str, None] = {}
    counts: Counter[str] = Counter()
    given = set(names)
    for number, name in enumerate(names):
        own = name or ("" if row_names and number == 0 else f"Unnamed: {number}")
        while own in found or (own != name and own in given):
            counts[name] += 1
            own = f"{name}.{counts[name]}"
        found[own] = None
    twice = sorted(name for name in counts if name)
    if twice:
        notes.doubt(f"several columns are called {quoted(twice)}: the later ones got a number")
    return list(found)
