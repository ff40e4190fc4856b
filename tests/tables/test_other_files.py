"""Workbooks, JSON, columnar files, databases, pages, packed files: what they hold arrives, and what cannot is said."""

from __future__ import annotations

import bz2
import datetime as dt
import decimal
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from ci_integrations.tables.reader import NotATableError, Table, read
from ci_integrations.tables.reader import unpack as unpacking
from ci_integrations.tables.reader.model import PasswordError

Sheet = Callable[..., list[Table]]
Rows = Sequence[Sequence[object]]


def columns(table: Table) -> dict[str, list[Any]]:
    frame = table.frame
    return frame.astype(object).where(frame.notna(), None).to_dict("list")


def said(table: Table) -> str:
    return "\n".join(table.notes.doubts)


@pytest.fixture
def workbook(tmp_path: Path) -> Sheet:
    """The tables of a workbook with these rows; `merged` ranges, and what else is to be done to its first sheet."""

    def workbook(rows: Rows, *merged: str, then: Callable[[Any], None] = lambda _: None) -> list[Table]:
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        for span in merged:
            book.active.merge_cells(span)
        then(book)
        book.save(tmp_path / "book.xlsx")
        return read(tmp_path / "book.xlsx", {})

    return workbook


DAY = dt.datetime(2024, 1, 2)  # noqa: DTZ001 - a workbook has no zones
PLAIN_SHEETS: dict[str, tuple[Rows, dict[str, list[Any]]]] = {
    "text and numbers": ([["a", "n"], ["x", 1], ["y", 2]], {"a": ["x", "y"], "n": [1, 2]}),
    "codes": ([["zip", "n"], ["02134", 1], ["AB", 2.5]], {"zip": ["02134", "AB"], "n": [1, 2.5]}),
    "dates": ([["day", "n"], [DAY, 1], [None, 2]], {"day": [pd.Timestamp(DAY), None], "n": [1, 2]}),
    "truth": ([["ok", "n"], [True, 1], [False, None]], {"ok": [True, False], "n": [1, None]}),
    "an error": ([["a", "n"], [1, "#N/A"], [2, 5]], {"a": [1, 2], "n": [None, 5]}),
    "years as names": (
        [["who", 2022, 2023], ["A", 1.5, 2], ["B", 3, 4]], {"who": ["A", "B"], "2022": [1.5, 3], "2023": [2, 4]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN_SHEETS)
def test_a_plain_sheet_is_read_and_nothing_is_said(workbook: Sheet, name: str) -> None:
    rows, right = PLAIN_SHEETS[name]
    (found,) = workbook(rows)
    assert columns(found) == right
    assert not found.notes.doubts


def test_numbers_that_were_entered_as_text_stay_text_and_it_is_said(workbook: Sheet) -> None:
    (found,) = workbook([["v", "n"], ["1.50", 1], ["2.00", 2]])
    assert columns(found)["v"] == ["1.50", "2.00"]
    assert "entered as text" in said(found)


TITLED_SHEETS: dict[str, Rows] = {
    "title and empty row": [["Sales 2024"], [], ["region", "rev"], ["N", 10], ["S", 20]],
    "two titles": [["Sales"], ["2024, in EUR"], ["region", "rev"], ["N", 10], ["S", 20]],
    "empty rows first": [[], [], ["region", "rev"], ["N", 10], ["S", 20]],
    "empty columns first": [[None, None, "region", "rev"], [None, None, "N", 10], [None, None, "S", 20]],
    "both": [["Report"], [], [None, "region", "rev"], [None, "N", 10], [None, "S", 20]],
    "notes below": [["region", "rev"], ["N", 10], ["S", 20], [], ["Source: the office"]],
}


@pytest.mark.parametrize("name", TITLED_SHEETS)
def test_what_stands_around_a_sheets_table_is_no_row_of_it(workbook: Sheet, name: str) -> None:
    (found,) = workbook(TITLED_SHEETS[name])
    assert columns(found) == {"region": ["N", "S"], "rev": [10, 20]}
    assert "skipped" in said(found) or "empty" in name


@pytest.mark.parametrize(
    ("rows", "merged", "names"),
    [
        ([["2023", None, "2024", None], ["in", "out", "in", "out"], [1, 2, 3, 4], [5, 6, 7, 8]], ("A1:B1", "C1:D1"),
         ["2023_in", "2023_out", "2024_in", "2024_out"]),
        ([[None, "w", None], ["id", "min", "max"], [1, 2, 3], [2, 6, 7]], ("B1:C1",), ["id", "w_min", "w_max"]),
        ([["id", "w", None], [None, "min", "max"], [1, 2, 3], [2, 6, 7]], ("A1:A2", "B1:C1"), ["id", "w_min", "w_max"]),
        ([["a", "b"], ["x", "y"], [1, 2], [3, 4]], (), ["a_x", "b_y"]),
    ],
)  # fmt: skip
def test_headers_of_several_rows_and_merged_names(
    workbook: Sheet, rows: Rows, merged: Sequence[str], names: list[str]
) -> None:
    (found,) = workbook(rows, *merged)
    assert [str(name).removeprefix("T_") for name in found.frame.columns] == names
    assert len(found.frame) == 2
    assert "header" in said(found)


MERGED_LABELS: dict[str, tuple[Rows, tuple[str, ...], dict[str, int]]] = {
    "two of two": ([["team", "n"], ["red", 1], [None, 2], ["blue", 3], [None, 4]], ("A2:A3", "A4:A5"),
                   {"blue": 7, "red": 3}),
    "three and one": ([["team", "n"], ["red", 1], [None, 2], [None, 4], ["blue", 3]], ("A2:A4",),
                      {"blue": 3, "red": 7}),
    "below a title": ([["Scores 2024"], [], ["team", "n"], ["red", 1], [None, 2], ["blue", 3]], ("A4:A5",),
                      {"blue": 3, "red": 3}),
    "not the first column": ([["n", "team"], [1, "red"], [2, None], [3, "blue"]], ("B2:B3",), {"blue": 3, "red": 3}),
    "two levels": ([["team", "part", "n"], ["red", "x", 1], [None, None, 2], [None, "y", 4], ["blue", "z", 3]],
                   ("A2:A4", "B2:B3"), {"blue": 3, "red": 7}),
}  # fmt: skip


@pytest.mark.parametrize("name", MERGED_LABELS)
def test_merged_labels_of_rows_stand_in_each_row(workbook: Sheet, name: str) -> None:
    rows, merged, sums = MERGED_LABELS[name]
    (found,) = workbook(rows, *merged)
    assert found.frame.groupby("team").n.sum().to_dict() == sums
    assert "merged" in said(found)


def _hide(state: str, *, first: bool = False) -> Callable[[Any], None]:
    def hide(book: Any) -> None:
        sheet = book.create_sheet("salaries", 0 if first else None)
        sheet.append(["pay", "who"])
        sheet.append([9, "x"])
        sheet.sheet_state = state
        book.active = book.sheetnames.index("Sheet")

    return hide


def _hide_two(book: Any) -> None:
    _hide("hidden")(book)
    _hide("veryHidden")(book)


HIDDEN: dict[str, tuple[Callable[[Any], None], list[bool]]] = {
    "hidden": (_hide("hidden"), [False, True]),
    "very hidden": (_hide("veryHidden"), [False, True]),
    "first in the book": (_hide("hidden", first=True), [True, False]),
    "two": (_hide_two, [False, True, True]),
    "none": (_hide("visible"), [False, False]),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_sheets_are_said(workbook: Sheet, name: str) -> None:
    then, hidden = HIDDEN[name]
    tables = workbook([["a", "b"], [1, 2], [3, 4]], then=then)
    assert ["the sheet is hidden" in said(table) for table in tables] == hidden


FORMULAS: dict[str, tuple[Rows, int]] = {
    "a column": ([["a", "b"], [1, "=A2*2"], [2, "=A3*2"]], 2),
    "one total": ([["a", "b"], [1, 5], [2, 6], [3, "=SUM(B2:B3)"]], 1),
    "text": ([["a", "b"], [1, '=A2&"x"'], [2, '=A3&"y"']], 2),
    "both columns": ([["n", "a", "b"], [1, "=A2", "=A2+1"], [2, "=A3", "=A3+1"]], 4),
    "below a title": ([["Report"], [], ["a", "b"], [1, "=A4*2"], [2, 7]], 1),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_without_values_are_said(workbook: Sheet, name: str) -> None:
    rows, count = FORMULAS[name]
    (found,) = workbook(rows)
    assert f"{count} formula{'s' if count > 1 else ''} without a stored value" in said(found)


def test_a_workbook_says_that_it_needs_its_password(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 600
    )
    with pytest.raises(PasswordError, match="password"):
        read(tmp_path / "x.xlsx", {})
    (tmp_path / "broken.xlsx").write_bytes(b"PK\0\1")
    with pytest.raises(NotATableError, match="no workbook"):
        read(tmp_path / "broken.xlsx", {})


def test_openpyxl_stands_in_for_calamine(workbook: Sheet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    (found,) = workbook([["Sales"], [], ["zip", "n"], ["02134", 1], ["00501", 2]])
    assert columns(found) == {"zip": ["02134", "00501"], "n": [1, 2]}


JSONS: dict[str, tuple[object, dict[str, list[Any]]]] = {
    "text stays text": (
        [{"zip": "02134", "v": "1.50"}, {"zip": "00501", "v": "2"}], {"zip": ["02134", "00501"], "v": ["1.50", "2"]},
    ),
    "numbers called dates": (
        [{"updated_at": 1700000000}, {"updated_at": 1700000060}], {"updated_at": [1700000000, 1700000060]},
    ),
    "long integers": ([{"id": 12345678901234567890123}, {"id": 1}], {"id": [12345678901234567890123, 1]}),
    "a gap beside long ones": ([{"id": 9007199254740993}, {"id": None}], {"id": [9007199254740993, None]}),
    "truth and gaps": ([{"ok": True}, {"ok": None}, {}], {"ok": [True, None, None]}),
    "lists are kept": ([{"t": ["x", "y"]}, {"t": []}], {"t": [["x", "y"], []]}),
    "records inside": ({"meta": {"n": 2}, "data": [{"a": 1}, {"a": 2}]}, {"a": [1, 2]}),
    "objects in records": ([{"a": {"b": 1, "c": {"d": "x"}}}, {"a": {"b": 2}}], {"a.b": [1, 2], "a.c.d": ["x", None]}),
    "columns": ({"a": [1, 2], "b": ["x", "y"]}, {"a": [1, 2], "b": ["x", "y"]}),
    "pandas' columns": ({"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}}, {"a": [1, 2], "b": ["x", "y"]}),
    "pandas' split": ({"columns": ["a"], "index": [0, 1], "data": [[1], [2]]}, {"a": [1, 2]}),
    "rows": ([["a", "b"], [1, "x"], [2, "y"]], {"a": [1, 2], "b": ["x", "y"]}),
    "one record": ({"a": 1, "b": "x"}, {"a": [1], "b": ["x"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", JSONS)
def test_json_keeps_its_types(tmp_path: Path, name: str) -> None:
    value, right = JSONS[name]
    (tmp_path / "t.json").write_text(json.dumps(value))
    (found,) = read(tmp_path / "t.json", {})
    assert columns(found) == right
    assert not found.notes.doubts


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json", "t.txt", "t.log.jsonl"])
@pytest.mark.parametrize("between", ["\n", "\n\n", "\r\n"])
def test_json_lines_under_any_name(tmp_path: Path, name: str, between: str) -> None:
    (tmp_path / name).write_bytes(between.join(['{"a": 1, "zip": "007"}', '{"a": 2, "zip": "008"}', ""]).encode())
    (found,) = read(tmp_path / name, {})
    assert columns(found) == {"a": [1, 2], "zip": ["007", "008"]}


@pytest.mark.parametrize("text", ["{", "[1, 2", '{"a": {}}', "[]", "[" * 100_000, '{"a": 1} trailing'])
def test_json_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(NotATableError):
        read(tmp_path / "t.json", {})


FRAME = pd.DataFrame({"a": [1, 2, 3], "code": ["007", "NA", ""], "x": [0.5, None, 2.25]})


@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.orc", "noname"])
def test_columnar_files_arrive_as_they_are(tmp_path: Path, name: str) -> None:
    write = {"t.feather": FRAME.to_feather, "t.orc": FRAME.to_orc}.get(name, FRAME.to_parquet)
    write(tmp_path / name)
    (found,) = read(tmp_path / name, {})
    pd.testing.assert_frame_equal(found.frame, FRAME, check_dtype=False)
    assert not found.notes.doubts


STATISTICS = {
    "plain": (FRAME, {}),
    "labels": (pd.DataFrame({"a": [1, 2, 3], "x": [0.5, None, 2.25]}), {"column_labels": {"a": "the a", "x": "the x"}}),
    "one row": (FRAME.head(1), {}),
    # No zero: pyreadstat writes it into .xpt as 5.4e-79.
    "negative": (pd.DataFrame({"a": [-1, 3, 5], "x": [-0.5, 1e10, -2.25]}), {}),
    "long text": (pd.DataFrame({"a": [1, 2], "code": ["x" * 100, "0042"], "x": [1.5, 2.5]}), {}),
}


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("suffix", ["dta", "sav", "xpt"])
@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_programs_files(tmp_path: Path, name: str, suffix: str) -> None:
    import pyreadstat

    frame, options = STATISTICS[name]
    path = tmp_path / f"t.{suffix}"
    if suffix == "dta":
        frame.to_stata(path, write_index=False)
    elif suffix == "sav":
        pyreadstat.write_sav(frame, str(path), **options)
    else:
        pyreadstat.write_xport(frame, str(path), file_format_version=5)
    (found,) = read(path, {})
    wanted = frame.reset_index(drop=True)
    assert found.frame.iloc[:, 0].tolist() == wanted.a.tolist()
    pd.testing.assert_series_equal(found.frame.iloc[:, -1], wanted.x, check_names=False, check_dtype=False)
    if "code" in frame:
        assert [str(code) for code in found.frame.iloc[:, 1]] == wanted.code.tolist()


def test_every_table_of_a_database(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db")) as base:
        base.execute("create table people (name text, zip text, big integer)")
        base.executemany("insert into people values (?, ?, ?)", [("Ada", "007", 9007199254740993), ("Bo", "010", None)])
        base.execute('create table "odd ""name" (x real)')
        base.execute('insert into "odd ""name" values (1.5)')
        base.commit()
    people, odd = read(tmp_path / "t.db", {})
    assert columns(people) == {"name": ["Ada", "Bo"], "zip": ["007", "010"], "big": [9007199254740993, None]}
    assert (odd.part, columns(odd)) == ('odd "name', {"x": [1.5]})


def test_a_duckdb_file_keeps_decimals(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "t.duckdb")) as base:
        base.execute("create table t (d decimal(10, 2), h hugeint, s varchar)")
        base.execute("insert into t values (10.50, 170141183460469231731687303715884105727, '007')")
    (found,) = read(tmp_path / "t.duckdb", {})
    row = found.frame.iloc[0]
    assert (row.d, int(row.h), row.s) == (decimal.Decimal("10.50"), 170141183460469231731687303715884105727, "007")


def test_tables_of_pages(tmp_path: Path) -> None:
    page = (
        "<html><style>td {}</style><table><tr><td>menu</td></tr></table><table><caption>People</caption>"
        "<tr><th rowspan=2>name</th><th colspan=2>size</th></tr><tr><th>min</th><th>max</th></tr>"
        "<tr><td>Ada<td>007<td>1,200</tr><tr><td>Bo &amp; Co</td><td>010</td><td>2,300</td></tr></table></html>"
    )
    for name in ("t.html", "t.xls", "t.csv"):
        (tmp_path / name).write_text(page)
        (found,) = read(tmp_path / name, {})
        assert found.part == "People"
        assert found.frame.iloc[:, 0].tolist() == ["Ada", "Bo & Co"]
        assert found.frame.iloc[:, 1].tolist() == ["007", "010"]
        assert found.frame.iloc[:, 2].tolist() == [1200, 2300]


def test_records_of_xml(tmp_path: Path) -> None:
    (tmp_path / "t.xml").write_text(
        '<?xml version="1.0"?><d xmlns="urn:x"><row id="1"><zip>02134</zip><n>1.5</n></row>'
        '<row id="2"><zip>00501</zip><n/></row></d>'
    )
    (found,) = read(tmp_path / "t.xml", {})
    assert columns(found) == {"id": [1, 2], "zip": ["02134", "00501"], "n": [1.5, None]}


def _zstd(raw: bytes) -> bytes:
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(raw)
    return bytes(out.getvalue())


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "t.csv.gz": gzip.compress,
    "t.csv": gzip.compress,
    "t.csv.bz2": bz2.compress,
    "t.csv.xz": lzma.compress,
    "t.csv.zst": _zstd,
    "t.zip": lambda raw: _zip({"t.csv": raw}),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name](b"a,b\n1,2\n3,4\n"))
    (found,) = read(tmp_path / name, {})
    assert columns(found) == {"a": [1, 3], "b": [2, 4]}


def test_every_table_of_an_archive_and_what_is_none(tmp_path: Path) -> None:
    members = {"a.csv": b"x,y\n1,2\n", "sub/b.json": b'[{"z": "01"}]', "readme.md": b"hello", "__MACOSX/a.csv": b"\0"}
    (tmp_path / "t.zip").write_bytes(_zip(members))
    first, second = read(tmp_path / "t.zip", {})
    assert (first.part, columns(first)) == ("a", {"x": [1], "y": [2]})
    assert (second.part, columns(second)) == ("b", {"z": ["01"]})
    assert "readme.md" in said(first)


# What hostile files do --------------------------------------------------------------------------------------------


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_UNPACKED", 10 << 20)
    zeros = b"0," * (6 << 20)
    packed = _zip({"a.csv": zeros, "b.csv": zeros})
    for name, raw in {"t.gz": gzip.compress(zeros, 1), "t.xz": lzma.compress(zeros, preset=0), "t.zip": packed}.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(NotATableError, match="unpacks to more than"):
            read(tmp_path / name, {})


def test_an_archive_in_an_archive_stays_packed(tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(_zip({"inner.zip": _zip({"a.csv": b"a,b\n1,2\n"})}))
    with pytest.raises(NotATableError, match="packed again"):
        read(tmp_path / "t.zip", {})


def test_names_in_an_archive_are_no_paths(tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(_zip({"../../evil.csv": b"a,b\n1,2\n"}))
    (found,) = read(tmp_path / "t.zip", {})
    assert columns(found) == {"a": [1], "b": [2]}
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        link = tarfile.TarInfo("passwd.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        plain = tarfile.TarInfo("/abs/a.csv")
        plain.size = 8
        archive.addfile(plain, io.BytesIO(b"a,b\n1,2\n"))
    (found,) = read(tmp_path / "t.tar", {})
    assert columns(found) == {"a": [1], "b": [2]}
    assert not (tmp_path.parent / "evil.csv").exists()


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    for text in (
        f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><d><r>&l9;</r><r/></d>',
        '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d><r>&x;</r><r/></d>',
    ):
        (tmp_path / "t.xml").write_text(text)
        with pytest.raises(NotATableError, match="entities"):
            read(tmp_path / "t.xml", {})


def test_spans_of_a_page_are_bounded(tmp_path: Path) -> None:
    cell = '<td colspan="999999999" rowspan="999999999">x</td>'
    (tmp_path / "t.html").write_text(f"<table>{f'<tr>{cell}</tr>' * 50}</table>")
    with pytest.raises(NotATableError, match="too many cells"):
        read(tmp_path / "t.html", {})


def test_a_file_whose_words_are_instructions_gives_one_line_for_each_note(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"Ignore\n\nall ' + "x" * 5000 + '",,\n,,\nregion,rev,n\nN,10,1\nS,20,2\n')
    (found,) = read(tmp_path / "t.csv", {})
    assert all("\n" not in doubt and len(doubt) <= 400 for doubt in found.notes.doubts)
