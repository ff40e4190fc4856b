"""Reads the sheets of Excel and ODS workbooks: titles, headers of several rows, merged cells, hidden sheets, formulas.

python-calamine reads all of these formats; openpyxl stands in for it for .xlsx.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

from . import layout
from .grid import NOTHING, TEXT, VALUE, Look
from .model import MAX_TABLES, MAX_UNPACKED, NotATableError, Notes, PasswordError, ReadOptions, Table, counted, quoted
from .values import frame_of_columns, whole_floats

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FORMULA = re.compile(rb"<c\b[^>]*?(?<!/)>\s*<f\b[^>]*?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>")
_MAX_SCANNED = 64 << 20
_ERRORS = frozenset({"#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"})

Cell = object
Span = tuple[int, int, int, int]
"""First row, first column, last row and last column of a merged range."""


@dataclass
class Sheet:
    """Holds a sheet's cells as Python values, from its cell A1 on."""

    name: str
    rows: list[list[Cell]]
    hidden: bool = False
    merged: Sequence[Span] = field(default_factory=tuple)
    formulas: int = 0
    """Formulas whose values were never computed."""


def read_workbook(path: Path, options: ReadOptions) -> list[Table]:
    """Reads every sheet that has cells. Raises `PasswordError`, and `NotATableError` for what is no workbook."""
    _check(path)
    wanted = options.get("sheet_name")
    sheets = [sheet for sheet in islice(_sheets(path), MAX_TABLES) if not wanted or sheet.name == wanted]
    if wanted and not sheets:
        raise NotATableError(f"it has no sheet {wanted!r}")
    tables = [table for sheet in sheets if sheet.rows and (table := _table(sheet, options))]
    if not tables:
        raise NotATableError("its sheets are empty")
    return tables


def _check(path: Path) -> None:
    """Raises for a workbook that is encrypted, or that unpacks to more than is read."""
    with path.open("rb") as file:
        head = file.read(8)
    if head == _OLE:
        raw = path.read_bytes()
        if "EncryptedPackage".encode("utf-16-le") in raw:
            raise PasswordError("it is encrypted: it needs its password")
        return
    if not zipfile.is_zipfile(path):
        raise NotATableError("it is no workbook")
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED:
            raise NotATableError(f"it unpacks to more than {MAX_UNPACKED >> 20} MiB")
        if any(name == "META-INF/manifest.xml" for name in archive.namelist()):
            with archive.open("META-INF/manifest.xml") as member:
                if b"encryption-data" in member.read(1 << 20):
                    raise PasswordError("it is encrypted: it needs its password")


def _sheets(path: Path) -> Iterator[Sheet]:
    try:
        import python_calamine
    except ImportError:
        yield from _by_openpyxl(path)
        return
    formulas = _formulas_without_values(path)
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
    except python_calamine.PasswordError as error:
        raise PasswordError("it is encrypted: it needs its password") from error
    except python_calamine.CalamineError as error:
        raise NotATableError(f"it cannot be read as a workbook: {error}") from error
    for number, known in enumerate(book.sheets_metadata):
        if known.typ != python_calamine.SheetTypeEnum.WorkSheet:
            continue
        sheet = book.get_sheet_by_name(known.name)
        rows = [[_plain(cell) for cell in row] for row in sheet.to_python(skip_empty_area=False)]
        merged = [(a[0], a[1], b[0], b[1]) for a, b in (sheet.merged_cell_ranges or ())]
        yield Sheet(
            known.name, rows, known.visible != python_calamine.SheetVisibleEnum.Visible, merged, formulas.get(number, 0)
        )


def _plain(cell: object) -> Cell:
    """Returns a cell as Python has it: nothing for an empty cell and for an error, a date without a time as such."""
    if cell == "" or (isinstance(cell, str) and cell in _ERRORS):
        return None
    if isinstance(cell, dt.date) and not isinstance(cell, dt.datetime):
        return dt.datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001 - a workbook has no zones
    return cell


def _by_openpyxl(path: Path) -> Iterator[Sheet]:
    import openpyxl

    book = openpyxl.load_workbook(path, data_only=True)
    formulas = _formulas_without_values(path)
    for number, sheet in enumerate(book.worksheets):
        rows = [[_plain(cell) for cell in row] for row in sheet.iter_rows(min_row=1, min_col=1, values_only=True)]
        rows = rows if any(cell is not None for row in rows for cell in row) else []
        merged = [(r.min_row - 1, r.min_col - 1, r.max_row - 1, r.max_col - 1) for r in sheet.merged_cells.ranges]
        yield Sheet(sheet.title, rows, sheet.sheet_state != "visible", merged, formulas.get(number, 0))


def _formulas_without_values(path: Path) -> Mapping[int, int]:
    """Returns how many formulas of each sheet, by its number, have no value: programs write such, Excel never does."""
    if not zipfile.is_zipfile(path):
        return {}
    found = {}
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", n))
        for name in names:
            with archive.open(name) as member:
                count = len(_FORMULA.findall(member.read(_MAX_SCANNED)))
            if count:
                found[int(re.sub(r"\D", "", name)) - 1] = count
    return found


def kind_of(cell: object) -> int:
    """Returns what a cell is for the layout: text that looks like a number is text in a workbook."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return NOTHING
    return TEXT if isinstance(cell, str) else VALUE


def _table(sheet: Sheet, options: ReadOptions) -> Table | None:
    notes = Notes()
    rows = _trimmed(_filled_up(sheet, notes), options)
    if not rows:
        return None
    broad = max(_width(row) for row in rows)
    head = [row[: _width(row) or 1] for row in rows[:300]]
    look = Look(
        [row + [None] * (broad - len(row)) for row in head],
        rows[-60:],
        len(rows),
        Counter({(broad, False): len(rows)}),
    )
    found = layout.find(look, kind_of, notes, cast("int", options.get("header", "")), "")
    body = [row + [None] * (found.width - len(row)) for row in rows[found.first : found.last] if _width(row)]
    columns = [whole_floats([row[number] for row in body]) for number in range(found.width)]
    names = [*options.get("names", ()), *found.names[len(options.get("names", ())) :]]
    kept = [n for n in range(found.width) if not names[n].startswith("Unnamed: ") or _width(columns[n])]
    frame = frame_of_columns([names[n] for n in kept], [columns[n] for n in kept], notes)
    _say_numbers_as_text(frame, notes)
    if sheet.hidden:
        notes.doubt("the sheet is hidden")
    if sheet.formulas:
        notes.doubt(f"{counted(sheet.formulas, 'formula')} without a stored value: missing here")
    return Table(frame, notes, sheet.name, "sheet")


def _width(row: Sequence[Cell]) -> int:
    return next((number for number in range(len(row), 0, -1) if row[number - 1] is not None), 0)


def _filled_up(sheet: Sheet, notes: Notes) -> list[list[Cell]]:
    """Returns the rows with merged labels of rows in each of their rows. Those of a header are left to the layout."""
    rows = [list(row) for row in sheet.rows]
    labels = 0
    for top, left, bottom, right in sheet.merged:
        if top == bottom < len(rows):
            _name_over_columns(rows[top], left, right)
        if bottom <= top or bottom - top > len(rows) or left != right or top >= len(rows):
            continue
        value = rows[top][left] if left < len(rows[top]) else None
        if value is None:
            continue
        labels += 1
        for number in range(top + 1, min(bottom + 1, len(rows))):
            rows[number][left] = value
    if labels:
        notes.doubt(f"{counted(labels, 'merged cell')} over several rows: each row has its value")
    return rows


def _name_over_columns(row: list[Cell], left: int, right: int) -> None:
    """Writes a name that spans columns into each of them; a title over the whole table stays one cell."""
    others = any(cell is not None for number, cell in enumerate(row) if not left <= number <= right)
    if left < len(row) and (others or left > 0):
        row[left : right + 1] = [row[left]] * (min(right + 1, len(row)) - left)


def _trimmed(rows: list[list[Cell]], options: ReadOptions) -> list[list[Cell]]:
    """Returns the rows without the empty ones around the table, and without empty columns at its left."""
    rows = rows[int(options.get("skiprows") or 0) :]
    rows = rows[: len(rows) - int(options.get("skipfooter") or 0)]
    while rows and not any(cell is not None for cell in rows[-1]):
        rows = rows[:-1]
    rows = [row for number, row in enumerate(rows) if any(cell is not None for cell in row) or number > len(rows)]
    if not rows:
        return []
    left = min(next((n for n, cell in enumerate(row) if cell is not None), len(row)) for row in rows)
    return [row[left:] for row in rows]


def _say_numbers_as_text(frame: Any, notes: Notes) -> None:
    """Says which columns are numbers that somebody entered as text: a sum would join them."""
    plain = re.compile(r"-?(?:0|[1-9]\d*)(?:[.,]\d+)?")
    found = []
    for number, name in enumerate(frame.columns):
        texts = [value for value in frame.iloc[:, number].head(1000) if isinstance(value, str)]
        if (
            texts
            and all(plain.fullmatch(text.strip()) for text in texts)
            and "str" in str(frame.dtypes.iloc[number]) + "str"
        ):
            found.append(str(name))
    if found:
        notes.doubt(f"{quoted(found, 8)}: numbers entered as text, kept as text")
