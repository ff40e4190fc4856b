"""Finds where in a grid of cells the table is: titles above it, its header, units, and lines below it that are no rows.

The grid is a text file's fields or a sheet's cells; `kind` says of a cell what it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from .model import NotATableError, Notes, counted, quoted

NOTHING, TEXT, VALUE = 0, 1, 2
"""Kinds of a cell: empty or a word for missing; text; a number, a date or a truth value."""
MAX_COLUMNS = 50_000
MAX_ABOVE = 100
"""Rows above the table that are looked at."""
_HEADER_ROWS = 5
_UNIT = re.compile(
    r"[\[(].{0,20}[\])]|%|‰|°?[CFK]|ppm|ppb|ppt|dB|[μµunmkMGT]?(?:m|g|s|l|L|A|V|W|Wh|Hz|Pa|J|N|mol|bar|Ω|F|eV|B)[²³23]?"
    r"|min|h|hr|d|day|days|yr|year|years|hPa|mbar|inch|in|ft|lb|oz|mph|kn|EUR|USD|GBP|€|\$|£|deg|rad|n/a|-"
    r"|\S{1,6}[/^·*]\S{1,8}|°\S{0,2}",
)
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
    titles: list[str] = field(default_factory=list)

    @property
    def width(self) -> int:
        return len(self.names)


def find(look: Look, kind: Kind, notes: Notes, header: int | list[int] | str | None = "", ragged: str = ",") -> Layout:
    """Returns the layout of a grid and says what is not plain about it.

    `header`: what the developer said of it, as for pandas; the empty text means nothing was said.
    `ragged`: the separator of a text file, in which rows that are longer than the header are an error.
    """
    width = look.width
    if width > MAX_COLUMNS:
        raise NotATableError(f"it has more than {MAX_COLUMNS} columns")
    start = _start(look, width, kind, ragged)
    rows = [*range(len(look.head))]
    if isinstance(header, list):
        above = sorted(header)
    elif isinstance(header, int):
        above = [header]
    else:
        above = [] if header is None else _header(look.head, start, width, kind, notes)
    if header is None:
        start = 0
    first = above[-1] + 1 if above else start
    units = _units_row(look.head, above, kind) if header == "" else None
    while first in rows and first < len(look.head) - 1 and above and not _filled(look.head[first], kind):
        first += 1
    if len(above) > 1 and header == "" and first < len(look.head) - 1 and _filled(look.head[first], kind) == 1 < width:
        first += 1  # pandas writes the names of the index below a header of several rows
    outside = Counter((len(row), _blank(row[-1])) for row in look.head[:first])
    body = replace(look, widths=look.widths - outside)
    names, row_names, extra = _named(body, above, units, notes, ragged)
    if not above and header == "":
        notes.doubt("no header row was found: the columns are named by their position")
    skipped = look.head[: above[0] if above else start]
    if ragged and not above and skipped and 1 < len(skipped[-1]) < width and all(map(kind, skipped[-1])):
        raise NotATableError("the lines have more fields than the header")
    titles = _titles(skipped)
    if titles:
        notes.doubt(f"{counted(len(titles), 'line')} above the header skipped: {quoted(titles)}")
    last = look.count - (_footer(look, len(names), kind, notes) if look.count > first else 0)
    return Layout(names, first, max(last, first), row_names, extra, titles)


def _filled(row: Sequence[object], kind: Kind) -> int:
    return sum(kind(cell) != NOTHING or bool(str(cell if cell is not None else "").strip()) for cell in row)


def _titles(rows: Sequence[Sequence[object]]) -> list[str]:
    texts = [" ".join(str(cell).strip() for cell in row if cell is not None and str(cell).strip()) for row in rows]
    return [text for text in texts if text]


def _start(look: Look, width: int, kind: Kind, ragged: str) -> int:
    """Returns the first row that is as full as the table's rows are, and has rows as wide below it."""
    need = max(2, (width + 1) // 2) if width > 1 else 1
    least = width - 1 if _may_be_r(ragged, width) else width  # R writes no name above the names of rows
    most = width if len(ragged) > 1 else MAX_COLUMNS  # words between blanks are no names
    full = [
        number
        for number, row in enumerate(look.head[:MAX_ABOVE])
        if least <= len(row) <= most and _filled(row, kind) >= min(need, least)
    ]
    if len(ragged) < 2 and full[:1] == [0]:
        return 0
    for number in full:
        below = [_fits(row, width) for row in look.head[number + 1 : number + 11]]
        if sum(below) >= 0.7 * len(below) and (len(ragged) < 2 or all(below[:3])):
            return number
    return full[0] if full else 0


def _fits(row: Sequence[object], width: int) -> bool:
    return len(row) == width or (len(row) == width + 1 and _blank(row[-1]))


def _blank(cell: object) -> bool:
    return cell is None or not str(cell).strip()


def _typed(body: Sequence[Sequence[object]], width: int, kind: Kind) -> list[int]:
    """Returns the columns that are values, not text."""
    rows = body[min(4, len(body) // 2) :]
    found = []
    for column in range(width):
        kinds = Counter(kind(row[column]) for row in rows if column < len(row))
        if kinds[VALUE] and kinds[VALUE] >= 4 * kinds[TEXT]:
            found.append(column)
    return found


def _header(head: Sequence[list[object]], start: int, width: int, kind: Kind, notes: Notes) -> list[int]:
    """Returns the rows of the header; none when the first row looks like the others."""
    row, body = head[start], head[start + 1 :]
    if not body:
        values = sum(kind(cell) == VALUE for cell in row)
        return [] if values > len(row) / 2 else [start]
    shift = 1 if len(row) == width - 1 else 0
    typed = [column - shift for column in _typed(body, width, kind) if column >= shift]
    if not typed:
        return [] if _recurs(row, body) else [*_upper(head, start, width, kind), start]
    last = start
    for number in range(start + 1, min(start + _HEADER_ROWS, len(head) - 1)):
        if _is_header(head[number], typed, kind, strict=True) or _are_units(head[number], typed, kind):
            last = number
    if last > start and not _is_numeric_header(row, typed, kind) and not _is_header(row, typed, kind, strict=False):
        # Numbers above the names: the upper rows of a header of several, when each has a name in front.
        named = all(kind(head[number][0]) == TEXT or _gaps(head[number], kind) for number in range(start, last))
        return [*range(start, last + 1)] if named else [*range(last, last + 1)]
    if _is_header(row, typed, kind, strict=False):
        if _doubtful(row, typed, kind):
            notes.doubt("the header may not be the first row: it looks much like the rows below it")
        return [*_upper(head, start, width, kind), *range(start, last + 1)]
    return [*range(start, last + 1)] if _is_numeric_header(row, typed, kind) else []


def _gaps(row: Sequence[object], kind: Kind) -> bool:
    return any(kind(cell) == NOTHING for cell in row)


def _upper(head: Sequence[list[object]], start: int, width: int, kind: Kind) -> list[int]:
    """Returns the rows just above the header that name groups of its columns: several cells, with gaps."""
    found: list[int] = []
    for number in range(start - 1, -1, -1):
        row = head[number]
        alike = len({str(cell) for cell in row if kind(cell) != NOTHING}) < 2
        if len(row) != width or _filled(row, kind) < 2 or (alike and _filled(row, kind) == width):
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


def _units_row(head: Sequence[list[object]], above: Sequence[int], kind: Kind) -> int | None:
    """Returns the last row of the header when it is of units."""
    if len(above) < 2:
        return None
    row, names = head[above[-1]], [str(cell) for cell in head[above[-2]] if not _blank(cell)]
    named = len(set(names)) == len(head[above[-2]])  # otherwise they are names of groups
    return above[-1] if named and _are_units(row, range(len(row)), kind) else None


def _named(
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
    elif wide == width - 1 and longer + ended >= 0.9 * look.widths.total() and longer and _may_be_r(ragged, width):
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


def _may_be_r(ragged: str, width: int) -> bool:
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


def _footer(look: Look, width: int, kind: Kind, notes: Notes) -> int:
    """Returns how many of the last rows are no rows of the table, and says so; and whether the last one is a total."""
    typed = set(_typed(look.tail, width, kind))
    lines = 0
    for row in reversed(look.tail):
        if _is_footer(row, width, typed, kind):
            lines += 1
        else:
            break
    kept = look.tail[: len(look.tail) - lines]
    texts = _titles(look.tail[len(kept) :])
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
