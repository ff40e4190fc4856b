"""Makes a table of rows of texts: where it is among them, what each column is, and its values.

The rows come as Python lists, or as the columns of bytes of `plain`; what they become is the same.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Protocol, cast

from . import columns, layout
from .columns import Column, Decision
from .detect import DATE
from .dialect import POSITIONS
from .evidence import MISSING, Evidence, notation_of, stripped
from .grid import NOTHING, TEXT, VALUE, Look
from .layout import Layout
from .model import NotATableError, Notes, ReadOptions, Table, counted

if TYPE_CHECKING:
    import pandas as pd

    from .cells import Cells

HEAD, TAIL = 300, 60
"""Rows at both ends that the layout is found by."""
_PIECE = 20_000
_TEXT = ("str", "string", "object")


class Rows(Protocol):
    """Gives the fields of a text, again and again."""

    @property
    def look(self) -> Look:
        """What is to be seen of the rows as a grid."""

    def pieces(self, found: Layout) -> Iterator[Sequence[Sequence[str] | Cells]]:
        """Yields the columns of the table's rows, so many rows at a time."""


@dataclass(frozen=True)
class ListedRows:
    """Gives rows that are Python lists; each may have another length."""

    rows: Iterable[list[str]]

    @cached_property
    def look(self) -> Look:
        """What is to be seen of the rows as a grid."""
        head: list[list[object]] = []
        tail: deque[list[object]] = deque(maxlen=TAIL)
        widths: Counter[tuple[int, bool]] = Counter()
        rows = iter(self.rows)
        while piece := cast("list[list[object]]", list(islice(rows, _PIECE))):
            head += piece[: HEAD - len(head)]
            tail += piece
            widths.update((len(row), not str(row[-1]).strip()) for row in piece)
        return Look(head, list(tail), widths.total(), widths)

    def pieces(self, found: Layout) -> Iterator[Sequence[Sequence[str]]]:
        """Yields the columns of the table's rows, filled up where rows are short."""
        body = islice(self.rows, found.first, found.last)
        width = found.width + found.extra
        while piece := list(islice(body, _PIECE)):
            if found.extra:
                piece = [_with_further(row, found.width) for row in piece]
            turned = list(zip_longest(*piece, fillvalue=""))[:width]
            yield [*turned, *[("",) * len(piece)] * (width - len(turned))]


def _with_further(row: list[str], width: int) -> list[str]:
    return [*row[:width], *[""] * (width - len(row)), ",".join(row[width:])]


def kind_of(cell: object) -> int:
    """Returns what a field is for the layout."""
    text = str(cell).strip()
    notation = notation_of(text)
    if notation == "missing":
        return NOTHING
    return TEXT if notation == "text" and not DATE.fullmatch(text) else VALUE


def read_rows(rows: Rows, notes: Notes, options: ReadOptions, separator: str = "") -> Table:
    """Makes a table of rows. `separator`: empty for what is no CSV. Raises `NotATableError`."""
    look = rows.look
    if not look.count:
        raise NotATableError("it is empty")
    found = layout.find(look, kind_of, notes, cast("int", options.get("header", "")), separator)
    if "names" in options:
        found.names = [*options["names"], *found.names[len(options["names"]) :]]
    found.last = min(found.last, look.count - int(options.get("skipfooter") or 0))
    names = [*found.names, *(["further_fields"] if found.extra else [])]
    seen = _seen(rows, found, _missing(options))
    decisions = _decided(names, seen, options, separator)
    columns.told(notes, names, decisions)
    gathered = [Column(decision, gaps=bool(column.missing)) for decision, column in zip(decisions, seen, strict=True)]
    frame = _frame(rows, found, names, gathered)
    forced = {name: dtype for name, dtype in options.get("dtype", {}).items() if dtype not in _TEXT}
    _say_short_rows(look, found, notes, separator)
    return Table(frame.astype(forced) if forced else frame, notes)


def _missing(options: ReadOptions) -> frozenset[str]:
    own = options.get("na_values", ())
    return (MISSING if options.get("keep_default_na", True) else frozenset({""})).union(own)


def _seen(rows: Rows, found: Layout, missing: frozenset[str]) -> list[Evidence]:
    seen = [Evidence() for _ in range(found.width + found.extra)]
    for piece in rows.pieces(found):
        for evidence, values in zip(seen, piece, strict=True):
            if isinstance(values, (tuple, list)):
                evidence.add(stripped(values), missing)
            else:
                evidence.add_cells(cast("Cells", values), missing)
    return seen


def _decided(names: list[str], seen: list[Evidence], options: ReadOptions, separator: str) -> list[Decision]:
    """Returns what each column is. A column that the developer calls text is text, whatever its values are."""
    forced, missing = options.get("dtype", {}), _missing(options)
    marks = columns.marks_of(seen, separator, options.get("decimal", ""), options.get("thousands", ""))
    found = [
        Decision("text") if forced.get(name) in _TEXT else columns.decide(evidence, marks)
        for name, evidence in zip(names, seen, strict=True)
    ]
    if missing == MISSING:
        return found
    return [replace(decision, missing=(decision.missing - MISSING) | missing) for decision in found]


def _frame(rows: Rows, found: Layout, names: list[str], gathered: list[Column]) -> pd.DataFrame:
    for piece in rows.pieces(found):
        for column, values in zip(gathered, piece, strict=True):
            if isinstance(values, (tuple, list)):
                column.add(values)
            else:
                column.add_cells(cast("Cells", values))
    # A separator that ends every line makes a column without a name and without a value.
    empty = {f"Unnamed: {n}": n for n, column in enumerate(gathered) if n and column.decision.kind == "empty"}
    kept = [n for n, name in enumerate(names) if empty.get(name) != n]
    frame = columns.frame_of([names[n] for n in kept], [gathered[n].array() for n in kept])
    if found.row_names:
        frame = frame.set_index("")
        frame.index.name = None
    return frame


def _say_short_rows(look: Look, found: Layout, notes: Notes, separator: str) -> None:
    if not separator or separator == POSITIONS:
        return
    short = sum(count for (number, _), count in look.widths.items() if number < found.width)
    beyond = [*look.head[: found.first], *look.tail[len(look.tail) - (look.count - found.last) :]]
    short -= sum(len(row) < found.width for row in beyond)
    if short > 0:
        notes.doubt(f"{counted(short, 'row')} with fewer fields than the header: the last ones are missing there")
