"""Reads tables of HTML pages and records of XML files, by the standard library; entities are never expanded."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

from .encoding import encoding_of
from .model import MAX_TABLES, NotATableError, Notes, ReadOptions, Table
from .rows import ListedRows, read_rows

_MAX_SPAN = 1000
_MAX_CELLS = 5_000_000
_CHARSET = re.compile(rb"""charset=["']?([\w-]+)""", re.IGNORECASE)


def read_html(path: Path, options: ReadOptions) -> list[Table]:
    """Reads every table of a page that has rows. Raises `NotATableError` when there is none."""
    parser = _Tables()
    parser.feed(path.read_text(_html_encoding(path, options), errors="replace"))
    tables = []
    for title, grid in parser.found[:MAX_TABLES]:
        width = max(map(len, grid))
        if len(grid) < 2 or width < 2:
            continue
        rows = [row + [""] * (width - len(row)) for row in grid]
        notes = Notes()
        table = read_rows(ListedRows(rows), notes, options)
        tables.append(Table(table.frame, notes, title, "table"))
    if not tables:
        raise NotATableError("the page has no tables")
    for number, table in enumerate(tables):
        table.part = table.part or (f"table {number + 1}" if len(tables) > 1 else "")
    return tables


def _html_encoding(path: Path, options: ReadOptions) -> str:
    if given := options.get("encoding"):
        return given
    with path.open("rb") as file:
        named = _CHARSET.search(file.read(4096))
    try:
        return codecs.lookup(named[1].decode()).name if named else encoding_of(path).name
    except LookupError:
        return encoding_of(path).name


class _Tables(HTMLParser):
    """Gathers the cells of the innermost tables, each cell at all the places that it spans."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, list[list[str]]]] = []
        self._open: list[_Grid] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens a table, a row or a cell."""
        if tag in ("script", "style", "sup"):
            self._silent += tag != "sup"
        if tag == "table":
            self._open.append(_Grid())
        elif self._open and tag == "tr":
            self._open[-1].row()
        elif self._open and tag in ("td", "th"):
            spans = dict(attrs)
            self._open[-1].cell(_span(spans.get("rowspan")), _span(spans.get("colspan")))
        elif self._open and tag == "br":
            self._open[-1].text(" ")
        elif self._open and tag == "caption":
            self._open[-1].in_caption = True

    def handle_endtag(self, tag: str) -> None:
        """Closes a table, a cell or a caption."""
        if tag in ("script", "style"):
            self._silent = max(0, self._silent - 1)
        if not self._open:
            return
        if tag in ("td", "th", "tr"):
            self._open[-1].end_cell()
        elif tag == "caption":
            self._open[-1].in_caption = False
        elif tag == "table":
            grid = self._open.pop()
            if not grid.holds_tables and grid.rows:
                self.found.append((" ".join(grid.caption.split())[:60], grid.cells()))
            if self._open:
                self._open[-1].holds_tables = True

    def handle_data(self, data: str) -> None:
        """Adds text to the open cell."""
        if self._open and not self._silent:
            self._open[-1].text(data)


class _Grid:
    """Holds the cells of one table while it is read."""

    def __init__(self) -> None:
        self.rows: list[dict[int, list[str]]] = []
        self.caption = ""
        self.in_caption = self.holds_tables = False
        self._cell: list[str] | None = None
        self._below: dict[tuple[int, int], list[str]] = {}
        self._count = 0

    def row(self) -> None:
        self.end_cell()
        number = len(self.rows)
        self.rows.append({column: text for (row, column), text in self._below.items() if row == number})
        self._below = {place: text for place, text in self._below.items() if place[0] > number}

    def cell(self, down: int, right: int) -> None:
        if not self.rows:
            self.row()
        row, number = self.rows[-1], len(self.rows) - 1
        column = 0
        while column in row:
            column += 1
        self._cell = []
        self._count += down * right
        if self._count > _MAX_CELLS:
            raise NotATableError("its tables have too many cells")
        for step in range(right):
            # A name over several columns goes on over their gaps; a label over several rows stands in each.
            row[column + step] = self._cell
            for below in range(1, down):
                self._below[number + below, column + step] = self._cell

    def text(self, data: str) -> None:
        if self.in_caption:
            self.caption += data
        elif self._cell is not None:
            self._cell.append(data)

    def end_cell(self) -> None:
        self._cell = None

    def cells(self) -> list[list[str]]:
        texts = [{column: " ".join("".join(parts).split()) for column, parts in row.items()} for row in self.rows]
        return [[row.get(column, "") for column in range(max(row) + 1)] for row in texts if any(row.values())] or [[""]]


def _span(value: str | None) -> int:
    return max(1, min(int(value), _MAX_SPAN)) if value and value.isdigit() else 1


def read_xml(path: Path, options: ReadOptions) -> list[Table]:
    """Reads the records of an XML file: the elements that stand there most often side by side.

    Raises `NotATableError` when there are none, and for a file that declares entities.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if b"<!ENTITY" in head or "<!ENTITY".encode("utf-16-le") in head:
        raise NotATableError("it declares entities, which are not expanded")
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - entities are refused above, and expat bounds what is left
    except ET.ParseError as error:
        raise NotATableError(f"it is no XML: {error}") from error
    parent, name = _repeated(root)
    records = [dict(_fields(element)) for element in parent if element.tag == name]
    names = list(dict.fromkeys(field for record in records for field in record))
    if not names:
        raise NotATableError("it has no repeated elements with fields")
    notes = Notes(how=[f"one row for each <{_local(name)}>"])
    rows = [names, *([record.get(field, "") for field in names] for record in records)]
    return [Table(read_rows(ListedRows(rows), notes, {**options, "header": 0}).frame, notes)]


def _repeated(root: ET.Element) -> tuple[ET.Element, str]:
    """Returns the element with the most children of one name, and that name."""
    best: tuple[int, ET.Element, str] | None = None
    for element in root.iter():
        for name, count in Counter(child.tag for child in element if isinstance(child.tag, str)).most_common(1):
            if best is None or count > best[0]:
                best = (count, element, name)
    if best is None or best[0] < 2:
        raise NotATableError("it has no repeated elements")
    return best[1], best[2]


def _fields(element: ET.Element) -> Sequence[tuple[str, str]]:
    """Returns the attributes and the children of a record as fields; children in children by `outer.inner`."""
    found = [(_local(name), value) for name, value in element.attrib.items()]
    for child in element:
        name = _local(child.tag) if isinstance(child.tag, str) else ""
        inner = _fields(child) if len(child) or child.attrib else []
        found += [(f"{name}.{sub}", value) for sub, value in inner]
        if not len(child) and name:
            found.append((name, (child.text or "").strip()))
    if not len(element) and (element.text or "").strip() and element.attrib:
        found.append(("text", (element.text or "").strip()))
    return found


def _local(name: str) -> str:
    return name.rpartition("}")[2]
