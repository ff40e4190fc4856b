"""Finds what stands below a table and is no row of it, and whether its last row is a total of the others."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .grid import TEXT, Kind, Look, titles, typed_columns
from .model import Notes, counted, quoted

_FOOTER = re.compile(
    r"\W*(source|sources|note|notes|notice|footnote|remark|copyright|©|generated|exported|report|as of|"
    r"legend|data from|quelle|stand|anmerkung|hinweis|fuente|nota|end of|eof|\*)\b.*|[*†‡©].*|"
    r"\(\w\).*|\(?\d+ rows.*",
    re.IGNORECASE | re.DOTALL,
)
_TOTAL = re.compile(
    r"\W*(grand |sub)?(total|totals|sum|summe|gesamt|insgesamt|all|overall|suma|somme|totale|итого|合计|合計)\W*",
    re.IGNORECASE,
)


def rows_below(look: Look, width: int, kind: Kind, notes: Notes) -> int:
    """Returns how many of the last rows are no rows of the table, and says so; and whether the last one is a total."""
    typed = set(typed_columns(look.tail, width, kind))
    lines = 0
    for row in reversed(look.tail):
        if _is_footer(row, width, typed, kind):
            lines += 1
        else:
            break
    kept = look.tail[: len(look.tail) - lines]
    texts = titles(look.tail[len(kept) :])
    if not texts or not kept:
        _total(look.tail, typed, kind, notes)
        return 0
    notes.doubt(f"{counted(len(texts), 'line')} below the table skipped: {quoted(texts)}")
    _total(kept, typed, kind, notes)
    return lines


def _is_footer(row: Sequence[object], width: int, typed: set[int], kind: Kind) -> bool:
    filled = [(column, cell) for column, cell in enumerate(row) if cell is not None and str(cell).strip()]
    if not filled:
        return width > 1
    if width < 2 or len(filled) > (2 if width > 3 else 1) or any(column in typed for column, _ in filled[1:]):
        return False
    column, cell = filled[0]
    if kind(cell) != TEXT or (len(filled) > 1 and not _FOOTER.fullmatch(str(cell))):
        return False
    if _FOOTER.fullmatch(str(cell)) or column in typed:
        return True
    return len(row) == 1 or (width > 2 and len(str(cell)) > 40)


def _total(rows: Sequence[Sequence[object]], typed: set[int], kind: Kind, notes: Notes) -> None:
    """Says when the last row sums up the others."""
    cells = [str(cell) for cell in rows[-1] if kind(cell) == TEXT]
    if cells and _TOTAL.fullmatch(cells[0]) and len(rows) > 2 and typed:
        notes.doubt(f"the last row may be a total of the others: {quoted(cells[:1])}")
