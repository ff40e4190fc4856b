"""Reads CSV-like text: encoding, dialect, layout and the kind of every column, each decided on all of the file.

Plain lines are split by NumPy, once. All others are read three times by the standard library's csv module: for the
layout, for the kinds, for the values; so they may be larger than the memory that their texts would need.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .detect import LOOK_CHARS, detect
from .dialect import BLANKS, POSITIONS, WIDE_BLANKS, Dialect, Source, split
from .encoding import Encoding, encoding_of
from .grid import TEXT
from .model import Notes, ReadOptions, Table
from .rows import HEAD, TAIL, ListedRows, kind_of, read_rows

SMALL = 1 << 20
"""Bytes of a file that is kept in memory as Python lists: NumPy would not be faster."""
LARGE = 2 << 30
"""Bytes of a file that is not kept in memory as bytes."""
_SEPARATOR_NAMES = {"\t": "tab", BLANKS: "blanks", WIDE_BLANKS: "two or more blanks", " ": "blank"}


def read_text(path: Path, usual: str, options: ReadOptions) -> Table:
    """Reads a table of a text file. `usual`: the separator that the suffix promises, or nothing.

    Raises `NotATableError`.
    """
    given = options.get("encoding")
    encoding = Encoding(given) if given else encoding_of(path)
    source = Source(path, encoding.name)
    source = Source(path, encoding.name, detect(source, usual, options))
    table = _quickly(source, options) or _carefully(source, options)
    _say_how(table.notes, source.dialect, encoding, usual)
    _name_by_comment(table, source)
    return table


def _quickly(source: Source, options: ReadOptions) -> Table | None:
    """Reads a file of plain lines; nothing when it has others."""
    from . import plain

    if not SMALL < source.path.stat().st_size < LARGE or not plain.is_plain(source):
        return None
    try:
        return read_rows(plain.PlainRows(source, HEAD, TAIL), Notes(), options, source.dialect.separator)
    except plain.NotPlainError:
        return None


def _carefully(source: Source, options: ReadOptions) -> Table:
    small = source.path.stat().st_size <= SMALL
    rows = list(source.rows()) if small else _Again(source)
    return read_rows(ListedRows(rows), Notes(), options, source.dialect.separator)


class _Again:
    """Reads the rows of a file anew each time that they are gone through."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __iter__(self) -> Iterator[list[str]]:
        return self._source.rows()


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
