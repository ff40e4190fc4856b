"""CSV files as they come: separators, decimal commas, encodings, leading zeros, and files that are no tables."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.llamaindex import CodeInterpreterQueryEngine, CodeInterpreterWorkflow
from ci_integrations.llamaindex.analysis.in_kernel_csv import read_delimited
from ci_integrations.testing import ScriptedLLM

GERMAN = "Filiale;Umsatz\nKöln;12,50\nMünchen;8,25\nGießen;3,10\n"

Read = Callable[..., tuple[dict[str, list[Any]], str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The columns of a file with this content, and how it was read."""

    def read(content: str | bytes, name: str = "t.csv") -> tuple[dict[str, list[Any]], str]:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        frame, how = read_delimited(str(tmp_path / name), "\t" if name.endswith(".tsv") else ",")
        return frame.astype(object).where(frame.notna(), None).to_dict("list"), how

    return read


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", ""), ("utf-8-sig", ""), ("cp1252", ", encoding cp1252"), ("utf-16", ", encoding utf-16")],
)
def test_semicolons_decimal_commas_and_encodings(read: Read, encoding: str, said: str) -> None:
    columns, how = read(GERMAN.encode(encoding))
    assert columns == {"Filiale": ["Köln", "München", "Gießen"], "Umsatz": [12.5, 8.25, 3.1]}
    assert how == f"separator ';', decimal comma{said}"


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        ("a,b\n1,x;y\n2,z;w\n", {"a": [1, 2], "b": ["x;y", "z;w"]}, ""),
        ("a,b,c\n1\n1,2\n", {"a": [1, 1], "b": [None, 2], "c": [None, None]}, ""),
        ("text\nhello\n", {"text": ["hello"]}, ""),
        ("a,b\n", {"a": [], "b": []}, ""),
        ("a,b\r1,2\r", {"a": [1], "b": [2]}, ""),
        ("x,y\n1,2,\n3,4,\n", {"x": [1, 3], "y": [2, 4]}, ""),
        ('a,b\n"x;y",1\n"z;w",2\n', {"a": ["x;y", "z;w"], "b": [1, 2]}, ""),
        ("a;b\n1;2\n", {"a": [1], "b": [2]}, "separator ';'"),
        ("a\tb\n1\t2\n", {"a": [1], "b": [2]}, "separator tab"),
        ("a|b\n1|2\n", {"a": [1], "b": [2]}, "separator '|'"),
        ('a;b\n"x;y\nz";1,5\n', {"a": ["x;y\nz"], "b": [1.5]}, "separator ';', decimal comma"),
        ("Name, Ort;EUR\nRot, Eva;1,5\n", {"Name, Ort": ["Rot, Eva"], "EUR": [1.5]}, "separator ';', decimal comma"),
        ("sep=;\na;b\n1;2\n", {"a": [1], "b": [2]}, "separator ';', first line skipped"),
    ],
)
def test_separators(read: Read, content: str, columns: dict[str, list[Any]], said: str) -> None:
    assert read(content) == (columns, said)


@pytest.mark.parametrize(("name", "said"), [("t.tsv", ""), ("t.csv", "separator tab")])
def test_tabs_are_plain_in_tsv_files(read: Read, name: str, said: str) -> None:
    assert read("a\tb\n1\t2\n", name) == ({"a": [1], "b": [2]}, said)


def test_numbers_that_may_mean_either_stay_text(read: Read) -> None:
    assert read("a;b\n1,234;x\n")[0]["a"] == ["1,234"]
    assert read("id\ttags\n1\t1,2\n2\t3,4,5\n")[0]["tags"] == ["1,2", "3,4,5"]
    columns, how = read("a;b\n12,5;1.234\n1,5;2.345\n")
    assert columns == {"a": [12.5, 1.5], "b": ["1.234", "2.345"]}
    assert "thousands" not in how


def test_thousands_and_dates_beside_decimal_commas(read: Read) -> None:
    columns, how = read("a;b;day\n1.234,56;2.000;01.02.2024\n-12,5;10;02.03.2024\n;;\n")
    assert columns == {"a": [1234.56, -12.5, None], "b": [2000, 10, None], "day": ["01.02.2024", "02.03.2024", None]}
    assert how == "separator ';', decimal comma, '.' for thousands"


@pytest.mark.parametrize("separator", [",", ";"])
def test_leading_zeros_stay(read: Read, separator: str) -> None:
    columns, _ = read("plz,n\n01067,0\n80331,10\n,3\n".replace(",", separator))
    assert columns == {"plz": ["01067", "80331", None], "n": [0, 10, 3]}


@pytest.mark.parametrize("content", ["shop,sum\nKöln,12,50\n", "text\nhello, you\nand, me\n", "x,y\n1,2,,\n3,4,,5\n"])
def test_lines_longer_than_the_header_are_no_table(read: Read, content: str) -> None:
    with pytest.raises(ValueError, match="more fields than the header"):
        read(content)


def test_fields_are_never_left_out(read: Read) -> None:
    with pytest.raises(Warning, match="loss of data"):
        read("x,y\n" + "1,2,\n" * 6000 + "1,2,3\n")


def test_names_of_rows_as_r_writes_them(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("x\ty\nr1\t1\t2\nr2\t3\t4\n")
    frame, _ = read_delimited(str(tmp_path / "r.csv"), ",")
    assert frame.to_dict("list") == {"x": [1, 3], "y": [2, 4]}
    assert list(frame.index) == ["r1", "r2"]


def test_100_000_rows_are_fast(read: Read) -> None:
    content = "id;name;v\n" + "".join(f"{n};Köln;1.{n % 1000:03d},5\n" for n in range(100_000))
    started = time.perf_counter()
    columns, _ = read(content.encode("cp1252"))
    assert time.perf_counter() - started < 10
    assert sum(columns["v"]) == 100_000 * 1500


def test_a_german_file_is_summed_right_and_shown_as_it_is(local: str, tmp_path: Path) -> None:
    (tmp_path / "umsatz.csv").write_text(GERMAN, "utf-8")
    llm = ScriptedLLM(["print(umsatz.Umsatz.sum())"])
    with CodeInterpreterQueryEngine(
        files=[tmp_path / "umsatz.csv"], llm=llm, backend=local, synthesize_response=False
    ) as asked:
        assert str(asked.query("Summe?")) == "23.85"
    shown = llm.seen[0][0].content
    assert "3 rows x 2 columns, from /home/user/data/umsatz.csv (read with separator ';', decimal comma)" in shown
    assert "0,Köln,12.5\n1,München,8.25\n2,Gießen,3.1" in shown
    assert "must read" not in shown


def test_what_is_no_table_is_the_programs_to_read(local: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "report.csv").write_text("Bericht\n\nFiliale;Umsatz\nKöln;12,50\nBonn;8,25\nUlm;1,00\n", "cp1252")
    (tmp_path / "broken.xlsx").write_bytes(b"PK\0\1")
    (tmp_path / "good.csv").write_text("x\n1\n")
    program = (
        "import pandas as pd\n"
        "print(pd.read_csv('/home/user/data/report.csv', sep=';', skiprows=2, decimal=',', encoding='cp1252')"
        ".Umsatz.sum())"
    )
    llm = ScriptedLLM(["nope", program])
    files = [tmp_path / name for name in ("good.csv", "report.csv", "broken.xlsx")]
    with (
        caplog.at_level(logging.WARNING, "ci_integrations"),
        CodeInterpreterQueryEngine(files=files, llm=llm, backend=local, synthesize_response=False) as asked,
    ):
        assert str(asked.query("Summe?")) == "21.75"
    for (shown,) in llm.seen:
        assert "/home/user/data/report.csv: NOT loaded, there is no DataFrame of it (ParserError: " in shown.content
        assert "itself. It begins:\nBericht\n\nFiliale;Umsatz\nKöln;12,50\nBonn;8,25\n\n" in shown.content
        assert "Ulm" not in shown.content
        assert "/home/user/data/broken.xlsx: NOT loaded" in shown.content
        assert "It is binary." in shown.content
        assert (
            "your program must read them itself: /home/user/data/report.csv, /home/user/data/broken.xlsx"
            in shown.content.split("Instructions:")[1]
        )
    warned = [record.getMessage() for record in caplog.records if "could not be read as a table" in record.getMessage()]
    assert [line.split()[0] for line in warned] == ["report.csv", "broken.xlsx"]  # once, not for every program


async def test_a_workflow_says_it_too(local: str, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    llm = ScriptedLLM(["nope", "print(open('/home/user/data/empty.csv').read() == '')", "Empty."])
    workflow = CodeInterpreterWorkflow(llm=llm, backend=local, files=[tmp_path / "empty.csv"])
    response = await workflow.run(query="What is in it?")
    await workflow.aclose()
    assert json.loads(json.dumps(response.metadata))["output"].strip() == "True"
    assert all("It is empty." in llm.seen[n][0].content for n in (0, 1))
    assert all("must read them itself: /home/user/data/empty.csv" in llm.seen[n][0].content for n in (0, 1))
