"""Reads the tables of a file of any kind that is known, by what the file holds; its name is only a hint."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import columnar, databases, markup, records, text, unpack, workbook
from .model import NotATableError, ReadOptions, Table

_HEADS: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "feather"),
    (b"FEA1", "feather"),
    (b"ORC", "orc"),
    (b"SQLite format 3\0", "sqlite"),
    (b"<stata_dta>", "stata"),
    (b"$FL2", "spss"),
    (b"$FL3", "spss"),
    (b"HEADER RECORD*******LIBRARY HEADER RECORD", "xport"),
    (b"\0" * 12 + b"\xc2\xea\x81\x60", "sas"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "workbook"),
)
_BY_SUFFIX = {
    ".xlsx": "workbook", ".xls": "workbook", ".xlsm": "workbook", ".xlsb": "workbook", ".ods": "workbook",
    ".json": "json",
    ".jsonl": "json", ".ndjson": "json", ".geojson": "json", ".html": "html", ".htm": "html", ".xml": "xml",
    ".sav": "spss", ".por": "portable", ".dta": "stata", ".xpt": "xport",
}  # fmt: skip
_USUAL = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
_PROSE = frozenset({".md", ".rst", ".py", ".log", ".cfg", ".ini", ".toml", ".yaml", ".yml", ".tex", ".css", ".js"})
_BINARY = ((b"%PDF", "a PDF"), (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture"), (b"GIF8", "a picture"),
           (b"\x93NUMPY", "a NumPy array"), (b"\x89HDF", "HDF5"), (b"CDF\x01", "NetCDF"), (b"\x80\x04", "a pickle"),
           (b"RDX", "R's own format"), (b"Obj\x01", "Avro"))  # fmt: skip
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|table|body|div)\b", re.IGNORECASE | re.DOTALL)


def read(path: Path, options: ReadOptions) -> list[Table]:
    """Reads every table of a file. Raises `NotATableError` with the reason, and what the formats' readers raise."""
    packing = unpack.packing_of(path)
    if packing:
        return _unpacked(path, packing, options)
    if not path.stat().st_size:
        raise NotATableError("it is empty")
    kind = kind_of(path)
    if kind in columnar.READERS:
        return columnar.read_columnar(path, kind)
    return _READERS[kind](path, options)


def _unpacked(path: Path, packing: str, options: ReadOptions) -> list[Table]:
    with tempfile.TemporaryDirectory() as room:
        inner = unpack.unpack(path, packing, Path(room))
        if packing not in ("zip", "tar"):
            return [_noted(table, f"unpacked by {packing}") for table in read(inner[0], options)]
        tables, reasons = [], []
        for file in inner:
            try:
                found = _inner(file, options)
            except Exception as error:  # noqa: BLE001 - one member that is no table leaves the others
                reasons.append(f"{file.name}: {error}")
                continue
            for table in found:
                table.part = f"{file.stem} {table.part}".strip() if len(inner) > 1 or table.part else ""
                table.kind = "member"
                tables.append(_noted(table, f"{file.name!r} of the {packing} archive"))
    if not tables:
        raise NotATableError(f"no file in the {packing} archive is a table ({'; '.join(reasons)[:200]})")
    if reasons:
        tables[0].notes.doubt(f"no tables in the archive: {'; '.join(reasons)}")
    return tables


def _inner(path: Path, options: ReadOptions) -> list[Table]:
    """Reads a file of an archive. An archive in an archive is not unpacked: each would multiply the size."""
    if unpack.packing_of(path):
        raise NotATableError("it is packed again")
    return read(path, options)


def _noted(table: Table, how: str) -> Table:
    table.notes.how.append(how)
    return table


def kind_of(path: Path) -> str:
    """Returns the kind of a file that is not packed. Raises `NotATableError` for kinds that are no table."""
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, kind in _HEADS:
        if head.startswith(magic):
            return kind
    if head[8:12] == b"DUCK":
        return "duckdb"
    suffix = path.suffix.lower()
    for magic, what in _BINARY:
        if head.startswith(magic):
            raise NotATableError(f"it is {what}, which is no table here")
    if unpack.is_workbook(path) and head.startswith(b"PK"):
        return "workbook"
    if suffix == ".dta" and 102 <= head[0] <= 115:  # the number of an older format's version
        return "stata"
    return _text_kind(head, suffix)


def _text_kind(head: bytes, suffix: str) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _HTML.match(start):
        return "html"
    if start.startswith(b"<?xml") or (suffix == ".xml" and start.startswith(b"<")):
        return "html" if b"<html" in head.lower() else "xml"
    if suffix in (".json", ".jsonl", ".ndjson", ".geojson") or _begins_json(start):
        return "json"
    kind = _BY_SUFFIX.get(suffix, "text")
    return kind if kind in ("workbook", "spss", "portable", "stata", "xport") else "text"


def _begins_json(start: bytes) -> bool:
    return re.match(rb'\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\})|\[\s*[\[{]\s*["\d\-\]\}]', start) is not None


def _text(path: Path, options: ReadOptions) -> list[Table]:
    suffix = path.suffix.lower()
    if suffix in _PROSE and "sep" not in options:
        raise NotATableError(f"files called {suffix} are not read as tables")
    return [text.read_text(path, _USUAL.get(suffix, ""), options)]


_READERS: dict[str, Callable[[Path, ReadOptions], list[Table]]] = {
    "text": _text,
    "workbook": workbook.read_workbook,
    "json": lambda path, _: records.read_json(path),
    "html": markup.read_html,
    "xml": markup.read_xml,
    "sqlite": lambda path, _: databases.read_sqlite(path),
    "duckdb": lambda path, _: databases.read_duckdb(path),
}
