"""Files of a query engine: how they arrive in the sandbox, what the model is told of them, and what is no table."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from ci_integrations._errors import ConfigurationError, MissingDependencyError
from ci_integrations.llamaindex import CodeInterpreterQueryEngine, CodeInterpreterWorkflow
from ci_integrations.tables import options as file_options
from ci_integrations.testing import ScriptedLLM

GERMAN = "Filiale;Umsatz\nKöln;12,50\nMünchen;8,25\nGießen;3,10\n"


def test_a_german_file_is_summed_right_and_shown_as_it_is(kind, tmp_path: Path) -> None:
    (tmp_path / "umsatz.csv").write_text(GERMAN, "utf-8")
    llm = ScriptedLLM(["print(umsatz.Umsatz.sum())"])
    with CodeInterpreterQueryEngine(
        files=[tmp_path / "umsatz.csv"], llm=llm, **kind.options, synthesize_response=False
    ) as asked:
        assert str(asked.query("Summe?")) == "23.85"
    shown = llm.seen[0][0].content
    assert "3 rows x 2 columns, from /home/user/data/umsatz.csv (read with separator ';', decimal comma)" in shown
    assert "0,Köln,12.5\n1,München,8.25\n2,Gießen,3.1" in shown
    assert "must read" not in shown


def test_what_is_no_table_is_the_programs_to_read(kind, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "report.csv").write_text(
        "Filiale,Umsatz\nKöln,12,50\nBonn,8,25\nAlfter,0\nAue,0,00\nUlm,1,00\n", "cp1252"
    )
    (tmp_path / "broken.xlsx").write_bytes(b"PK\0\1")
    (tmp_path / "good.csv").write_text("x\n1\n")
    program = (
        "import pandas as pd\n"
        "lines = open('/home/user/data/report.csv', encoding='cp1252').read().split()[1:]\n"
        "print(pd.Series([line.partition(',')[2].replace(',', '.') for line in lines]).astype(float).sum())"
    )
    llm = ScriptedLLM(["nope", program])
    files = [tmp_path / name for name in ("good.csv", "report.csv", "broken.xlsx")]
    with (
        caplog.at_level(logging.WARNING, "ci_integrations"),
        CodeInterpreterQueryEngine(files=files, llm=llm, **kind.options, synthesize_response=False) as asked,
    ):
        assert str(asked.query("Summe?")) == "21.75"
    for (shown,) in llm.seen:
        assert "/home/user/data/report.csv: NOT loaded, there is no DataFrame of it (NotATableError: " in shown.content
        assert "itself. It begins:\nFiliale,Umsatz\nKöln,12,50\nBonn,8,25\nAlfter,0\n" in shown.content
        assert "Ulm" not in shown.content
        assert "/home/user/data/broken.xlsx: NOT loaded" in shown.content
        assert "It is binary." in shown.content
        assert (
            "your program must read them itself: /home/user/data/report.csv, /home/user/data/broken.xlsx"
            in shown.content.split("Instructions:")[1]
        )
    warned = [record.getMessage() for record in caplog.records if "could not be read as a table" in record.getMessage()]
    assert [line.split()[0] for line in warned] == ["report.csv", "broken.xlsx"]  # once, not for every program


async def test_a_workflow_says_it_too(kind, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    llm = ScriptedLLM(["nope", "print(open('/home/user/data/empty.csv').read() == '')", "Empty."])
    workflow = CodeInterpreterWorkflow(llm=llm, **kind.options, files=[tmp_path / "empty.csv"])
    response = await workflow.run(query="What is in it?")
    await workflow.aclose()
    assert json.loads(json.dumps(response.metadata))["output"].strip() == "True"
    assert all("It is empty." in llm.seen[n][0].content for n in (0, 1))
    assert all("must read them itself: /home/user/data/empty.csv" in llm.seen[n][0].content for n in (0, 1))


def test_doubts_and_descriptions_are_told_to_the_model(kind, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "codes.csv").write_text("Codes of 2024,\n,\nzip,n\n02134,1\n00501,2\n")
    llm = ScriptedLLM(["print(codes.zip.tolist(), codes.n.sum())"])
    with (
        caplog.at_level(logging.INFO, "ci_integrations"),
        CodeInterpreterQueryEngine(
            files=[tmp_path / "codes.csv"], llm=llm, **kind.options, synthesize_response=False,
            descriptions={"codes.csv": "Post codes of shops", "codes.csv.n": "how many shops"},
        ) as asked,
    ):  # fmt: skip
        assert str(asked.query("?")) == "['02134', '00501'] 3"
    shown = llm.seen[0][0].content
    assert "note: 1 line above the header skipped: 'Codes of 2024'" in shown
    assert "note: 'zip': codes with leading zeros, kept as text" in shown
    assert "Post codes of shops" in shown
    assert "how many shops" in shown
    assert any("codes.csv: 'zip': codes with leading zeros" in record.getMessage() for record in caplog.records)


def test_how_to_read_a_file_can_be_said(kind, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x|1,5\ny|2,5\n")
    llm = ScriptedLLM(["print(t.v.sum())"])
    options = {"t.csv": {"sep": "|", "header": None, "names": ["k", "v"], "decimal": ","}}
    with CodeInterpreterQueryEngine(
        files=[tmp_path / "t.csv"], llm=llm, **kind.options, synthesize_response=False, read_options=options
    ) as asked:
        assert str(asked.query("?")) == "4.0"


def test_several_sheets_and_a_packed_file_are_tables_by_their_names(kind, tmp_path: Path) -> None:
    import gzip

    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.active.append([1])
    book.create_sheet("2024").append(["b"])
    book["2024"].append([2])
    book.save(tmp_path / "book.xlsx")
    (tmp_path / "sales.csv.gz").write_bytes(gzip.compress(b"n\n4\n"))
    llm = ScriptedLLM(["print(book_sheet.a[0], book_t_2024.b[0], sales.n[0])"])
    with CodeInterpreterQueryEngine(
        files=[tmp_path / "book.xlsx", tmp_path / "sales.csv.gz"], llm=llm, **kind.options, synthesize_response=False
    ) as asked:
        assert str(asked.query("?")) == "1 2 4"


def test_what_is_said_of_files_must_be_of_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    for wrong in (
        {"read_options": {"u.csv": {"sep": ";"}}},
        {"read_options": {"t.csv": {"separator": ";"}}},
        {"descriptions": {"u.csv": "?"}},
    ):
        with pytest.raises(ConfigurationError, match=r"t\.csv"):
            CodeInterpreterQueryEngine(files=[tmp_path / "t.csv"], llm=ScriptedLLM([]), backend="local", **wrong)


def test_a_missing_reader_is_said_when_the_engine_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_options, "find_spec", lambda name: None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingDependencyError, match=r'pip install "ci-integrations\[files\]"'):
        CodeInterpreterQueryEngine(files=[tmp_path / "t.parquet"], llm=ScriptedLLM([]), backend="local")
    with caplog.at_level(logging.WARNING, "ci_integrations"):  # what E2B's sandbox has is not known here
        CodeInterpreterQueryEngine(
            files=[tmp_path / "t.parquet"], llm=ScriptedLLM([]), backend="e2b", api_key="e2b_" + "0" * 40
        ).close()
    assert "packages=['pyarrow']" in caplog.text
