"""Reads CSV-like text: encoding, dialect, layout and the kind of every column, each decided on all of the file.

The file is read three times by the standard library's csv module: for the layout, for the kinds, for the values. So it
may be larger than the memory that its texts would need; a small one is kept instead.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import columns, layout
from .columns import Decision
from .detect import DATE, LOOK_CHARS, detect
from .dialect import BLANKS, POSITIONS, WIDE_BLANKS, Dialect, Source, split
from .encoding import Encoding, encoding_of
from .evidence import MISSING, Evidence, notation_of
from .grid import NOTHING, TEXT, VALUE, Look
from .layout import Layout
from .model import NotATableError, Notes, ReadOptions, Table, counted

if TYPE_CHECKING:
    import pandas as pd

SMALL = 8 << 20
"""Bytes of a file whose rows are kept in memory between the passes."""
_PIECE = 20_000
_HEAD, _TAIL = 300, 60
_TEXT = ("str", "string", "object")
_SEPARATOR_NAMES = {"\t": "tab", BLANKS: "blanks", WIDE_BLANKS: "two or more blanks", " ": "blank"}


def read_text(path: Path, usual: str, options: ReadOptions) -> Table:
    """Reads a table of a text file. `usual`: the separator that the suffix promises, or nothing.

    Raises `NotATableError`.
    """
    notes = Notes()
    given = options.get("encoding")
    encoding = Encoding(given) if given else encoding_of(path)
    source = Source(path, encoding.name)
    source = Source(path, encoding.name, detect(source, usual, options))
    rows = _Rows(source, small=path.stat().st_size <= SMALL)
    table = read_rows(rows, notes, options, source.dialect.separator)
    _say_how(notes, source.dialect, encoding, usual)
    _name_by_comment(table, source)
    return table


class _Rows:
    """Gives the rows of a source again and again; those of a small file from memory."""

    def __init__(self, source: Source, *, small: bool) -> None:
        self._source = source
        self._kept = list(source.rows()) if small else None

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self._kept) if self._kept is not None else self._source.rows()


def kind_of(cell: object) -> int:
    """Returns what a field is for the layout."""
    notation = notation_of(str(cell).strip())
    if notation == "missing":
        return NOTHING
    return TEXT if notation == "text" and not DATE.fullmatch(str(cell).strip()) else VALUE


def read_rows(rows: Iterable[list[str]], notes: Notes, options: ReadOptions, separator: str = "") -> Table:
    """Makes a table of rows of texts. `rows` can be gone through again. `separator`: empty for what is no CSV."""
    look = _look(rows)
    if not look.count:
        raise NotATableError("it is empty")
    found = layout.find(look, kind_of, notes, cast("int", options.get("header", "")), separator)
    if "names" in options:
        found.names = [*options["names"], *found.names[len(options["names"]) :]]
    found.last = min(found.last, look.count - int(options.get("skipfooter") or 0))
    missing = (MISSING if options.get("keep_default_na", True) else frozenset({""})) | frozenset(
        options.get("na_values", ())
    )
    seen = [Evidence() for _ in range(found.width + found.extra)]
    for piece in _pieces(rows, found):
        for evidence, values in zip(seen, piece, strict=True):
            evidence.add([value.strip() for value in values], missing)
    names = [*found.names, *(["further_fields"] if found.extra else [])]
    decisions = _decided(names, seen, options, separator, missing)
    columns.told(notes, names, decisions)
    frame = _frame(rows, found, names, decisions)
    forced = {name: dtype for name, dtype in options.get("dtype", {}).items() if dtype not in _TEXT}
    frame = frame.astype(forced) if forced else frame
    _say_short_rows(look, found, notes, separator)
    return Table(frame, notes)


def _look(rows: Iterable[list[str]]) -> Look:
    head: list[list[object]] = []
    tail: deque[list[object]] = deque(maxlen=_TAIL)
    widths: Counter[tuple[int, bool]] = Counter()
    count = 0
    for row in rows:
        if count < _HEAD:
            head.append(cast("list[object]", row))
        tail.append(cast("list[object]", row))
        widths[len(row), not row[-1].strip()] += 1
        count += 1
    return Look(head, list(tail), count, widths)


def _pieces(rows: Iterable[list[str]], found: Layout) -> Iterator[list[tuple[str, ...]]]:
    """Yields the columns of so many rows at a time, filled up where rows are short."""
    width = found.width
    body = islice(rows, found.first, found.last)
    while piece := list(islice(body, _PIECE)):
        if found.extra:
            piece = [[*row[:width], *[""] * (width - len(row)), ",".join(row[width:])] for row in piece]
        columns = list(zip_longest(*piece, fillvalue=""))[: width + found.extra]
        columns += [("",) * len(piece)] * (width + found.extra - len(columns))
        yield columns


def _decided(
    names: list[str], seen: list[Evidence], options: ReadOptions, separator: str, missing: frozenset[str]
) -> list[Decision]:
    """Returns what each column is. A column that the developer calls text is text, whatever its values are."""
    forced = options.get("dtype", {})
    marks = columns.marks_of(seen, separator, options.get("decimal", ""), options.get("thousands", ""))
    found = [
        Decision("text") if forced.get(name) in _TEXT else columns.decide(evidence, marks)
        for name, evidence in zip(names, seen, strict=True)
    ]
    if missing == MISSING:
        return found
    return [replace(decision, missing=(decision.missing - MISSING) | missing) for decision in found]


def _frame(rows: Iterable[list[str]], found: Layout, names: list[str], decisions: list[Decision]) -> pd.DataFrame:
    gathered = [columns.Column(decision) for decision in decisions]
    for piece in _pieces(rows, found):
        for column, values in zip(gathered, piece, strict=True):
            column.add(values)
    # A separator that ends every line makes a column without a name and without a value.
    kept = [n for n, name in enumerate(names) if not (name == f"Unnamed: {n}" and decisions[n].kind == "empty" and n)]
    frame = columns.frame_of([names[n] for n in kept], [gathered[n].array() for n in kept])
    if found.row_names:
        frame = frame.set_index("")
        frame.index.name = None
    return frame


def _say_short_rows(look: Look, found: Layout, notes: Notes, separator: str) -> None:
    short = sum(count for (number, _), count in look.widths.items() if number < found.width)
    beyond = [*look.head[: found.first], *look.tail[len(look.tail) - (look.count - found.last) :]]
    outside = sum(len(row) < found.width for row in beyond)
    if separator and short > outside and separator != POSITIONS:
        notes.doubt(
            f"{counted(short - outside, 'row')} with fewer fields than the header: the last ones are missing there"
        )


def _say_how(notes: Notes, dialect: Dialect, encoding: Encoding, usual: str) -> None:
    how = []
    separator = dialect.separator
    if separator == POSITIONS:
        notes.doubt("columns found by their position in the line (fixed width)")
    elif separator in (BLANKS, WIDE_BLANKS):
        notes.doubt(f"no separator but {_SEPARATOR_NAMES[separator]} between the columns")
    elif separator != (usual or ","):
        how.append(f"separator {_SEPARATOR_NAMES.get(separator, repr(separator))}")
    notes.how[:0] = how
    if encoding.guessed:
        notes.doubt(f"encoding guessed: {encoding.name}")
    elif encoding.name not in ("utf-8", "utf-8-sig"):
        notes.how.append(f"encoding {encoding.name}")
    if dialect.comment:
        notes.how.append(f"lines with {dialect.comment!r} left out")
    if dialect.skip:
        notes.how.append(f"first {dialect.skip} lines skipped" if dialect.skip > 1 else "first line skipped")


def _name_by_comment(table: Table, source: Source) -> None:
    """Takes the names of columns from the last comment line above a table without a header, when it has as many."""
    if not source.dialect.comment or list(table.frame.columns[:1]) != ["column_1"]:
        return
    mark = source.dialect.comment
    lines = source.sample(LOOK_CHARS)
    above = lines[: next((n for n, x in enumerate(lines) if not x.startswith(mark)), 0)]
    if not above:
        return
    plain = Dialect(source.dialect.separator, source.dialect.quote, positions=source.dialect.positions)
    names = [name.strip() for row in split([above[-1].removeprefix(mark)], plain) for name in row]
    if len(names) == table.frame.shape[1] and len(set(names)) == len(names) and all(kind_of(n) == TEXT for n in names):
        table.frame.columns = names
        table.notes.doubts = [doubt for doubt in table.notes.doubts if not doubt.startswith("no header row")]
        table.notes.doubt(f"the header was a comment: {above[-1].strip()!r}")
