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
    rows = [look.head[number] for number in above if number != units]
    names, row_names, longer = _by_rows(look, rows, notes, ragged)
    if longer and ragged and longer > max(1, 0.05 * look.count):
        raise NotATableError("the lines have more fields than the header")
    if longer:
        notes.doubt(
            f"{counted(longer, 'row')} with more fields than the header: they are in the column 'further_fields'"
        )
    if units is not None:
        _say_units(names, look.head[units], notes)
    return _unique(names, notes, row_names=row_names), row_names, longer > 0


def _by_rows(look: Look, rows: Sequence[Sequence[object]], notes: Notes, ragged: str) -> tuple[list[str], bool, int]:
    """Returns the names, whether the first one has the names of rows, and how many rows have more fields."""
    if not rows:
        return [f"column_{number + 1}" for number in range(look.width)], False, _longer(look, look.width)
    wide = max(len(row) for row in rows)
    longer, ended = _longer(look, max(wide, 1)), _longer(look, wide, empty=True)
    most = longer and longer + ended >= 0.9 * look.widths.total()
    if most and wide == look.width - 1 and may_be_r(ragged, look.width):
        return ["", *_joined(rows, wide, notes)], True, _longer(look, look.width)
    return _joined(rows, wide if longer or ended else max(wide, look.width), notes), False, longer


def _longer(look: Look, width: int, *, empty: bool = False) -> int:
    """Returns how many rows have more than `width` fields and end with a value, or with `empty` without one."""
    return sum(count for (number, ends), count in look.widths.items() if number > width and ends == empty)


def _say_units(names: Sequence[str], cells: Sequence[object], notes: Notes) -> None:
    texts = [str(cell or "") for cell in cells]
    pairs = [f"{name} [{text.strip('[]() ')}]" for name, text in zip(names, texts, strict=False) if text.strip()]
    notes.doubt(f"the row below the header has units and is no row of data: {', '.join(pairs)}")


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
