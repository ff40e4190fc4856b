"""What the model is told of the data: no values where none may be sent, keys of other names, every name first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ci_integrations.llamaindex import CodeInterpreterQueryEngine, CodeInterpreterWorkflow
from ci_integrations.llamaindex.analysis.kernel.describe import MAX_PROFILE, Described, Describer, profile
from ci_integrations.llamaindex.analysis.kernel.joins import Keys, said
from ci_integrations.testing import ScriptedLLM

SECRETS = ("Ada", "91234", "Report of Bob", "1815", "secret line")


def people(folder: Path) -> list[Path]:
    (folder / "people.csv").write_text("Report of Bob 1815,\n\nname,salary\nAda,91234\nBob,70001\nCy,80005\n")
    (folder / "notes.bin.txt").write_text("secret line of Ada\n" * 3)
    return [folder / "people.csv", folder / "notes.bin.txt"]


def leaks(llm: ScriptedLLM) -> list[str]:
    prompts = "\n".join(str(message.content) for request in llm.seen for message in request)
    return [secret for secret in SECRETS if secret in prompts]


@pytest.mark.parametrize("how", [{"send_values": False}, {"sample_rows": 0}])
async def test_no_value_is_in_any_prompt(tmp_path: Path, how: dict[str, Any]) -> None:
    """Neither in the description of tables and files, nor in a repair, nor in what a conversation repeats."""
    wrong = "print(people.name[0])\npeople.name.astype(float)"
    turns = [wrong, "people.nope", "print(len(people))", "print(len(people))"]
    llm = ScriptedLLM(turns)
    with CodeInterpreterQueryEngine(
        files=people(tmp_path), llm=llm, backend="local", synthesize_response=False, chat=True, **how
    ) as one:
        assert str(one.query("How many?")) == "3"
        assert str(one.query("How many again?")) == "3"
    assert leaks(llm) == []
    assert "3 rows x 2 columns" in str(llm.seen[0][-1].content)
    assert "ValueError" in str(llm.seen[1][-1].content)  # without its words, which have a value
    assert "AttributeError: " in str(llm.seen[2][-1].content)  # which speaks of a name
    llm = ScriptedLLM([wrong, "print(len(people))"])
    flow = CodeInterpreterWorkflow(llm=llm, backend="local", files=people(tmp_path), synthesize_response=False, **how)
    assert str(await flow.run(query="How many?")) == "3"
    await flow.aclose()
    assert leaks(llm) == []


def described(name: str, frame: pd.DataFrame) -> Described:
    describer = Describer(5, values=True, descriptions={})
    return Described(name, frame, f"/home/user/data/{name}.csv", f"{name}.csv", describer)


def test_every_table_is_named_and_those_are_told_that_the_question_is_about() -> None:
    tables = [described(f"region{n:03}", pd.DataFrame({f"c{n}_{k}": range(9) for k in range(20)})) for n in range(80)]
    tables.append(described("penguins", pd.DataFrame({"body_mass_g": range(9), "sex": ["f"] * 9})))
    text = profile(tables, [""], "What is the mean body mass of penguins?")
    names, _, details = text.partition("In detail")
    assert all(f"`{table.name}`" in names for table in tables)
    assert details.index("`penguins`: DataFrame") < details.index("`region000`")
    assert len(details) < MAX_PROFILE + 2000
    many = profile([described(f"t{n}", tables[0].frame) for n in range(2000)], [""], "")
    assert all(f"`t{n}`" in many for n in (0, 1999))


def test_tables_with_the_same_columns_are_said_to_be_alike() -> None:
    frame = pd.DataFrame({f"column_{n}": range(5) for n in range(30)})
    text = profile([described(f"month{n:02}", frame) for n in range(60)], [""], "")
    assert "`month59` has the columns of `month00`." in text


def test_dates_that_are_text_are_said_to_be_dates() -> None:
    days = pd.date_range("2020-01-01", periods=40).astype(str)
    frame = pd.DataFrame({"day": days, "code": [f"2020-{n}" for n in range(40)]})
    detail = described("t", frame).detail
    assert "dates as text, 2020-01-01 to 2020-02-09; pd.to_datetime" in detail
    assert ", 40 distinct values" in detail


CUSTOMERS = pd.DataFrame({"id": np.arange(1, 31), "name": [f"n{n}" for n in range(30)]})


@pytest.mark.parametrize(
    ("orders", "customers", "told"),
    [
        ({"customer": [3, 5, 9, 9, 30]}, CUSTOMERS, "`orders`['customer'] and `customers`['id']"),
        ({"cust_no": ["C7", "C8", "C9"] * 3}, pd.DataFrame({"code": [f"C{n}" for n in range(20)]}), "'cust_no'"),
        ({"ref": [71034, 88120, 99001] * 2}, pd.DataFrame({"key": [71034, 88120, 99001, *range(20, 40)]}), "'ref'"),
        ({"quantity": [1, 2, 3, 4]}, CUSTOMERS, ""),  # numbers agree by chance
        ({"flag": ["y", "n"]}, pd.DataFrame({"answer": ["y", "n", "?"]}), ""),  # so do two words
        ({"city": ["a", "b", "c", "a"]}, pd.DataFrame({"town": ["a", "b", "c", "c"]}), ""),  # it is no key there
        ({"customer": [100, 200, 300]}, CUSTOMERS, ""),
        ({"price": [1.0, 2.0, 3.0]}, CUSTOMERS, ""),
    ],
)
def test_keys_of_other_names_are_found_by_their_values(orders: Any, customers: pd.DataFrame, told: str) -> None:
    sentences = Keys({"orders": pd.DataFrame(orders), "customers": customers}).sentences()
    assert [told in sentence for sentence in sentences] == ([True] if told else [])


def test_columns_of_one_name_are_told_first() -> None:
    (sentence,) = Keys({"a": CUSTOMERS, "b": CUSTOMERS[["id"]].head(3)}).sentences()
    assert "share the column 'id': 3 values occur in both (of 30 and 3)" in sentence


@pytest.mark.parametrize("make", [np.int64, np.float64, str])
def test_labels_are_said_as_a_program_writes_them(make: Callable[[Any], Any]) -> None:
    assert "np." not in said(make(2020))


def test_many_tables_are_compared_in_bounded_time() -> None:
    """The pairs that are looked at are counted, not timed."""
    wide = {
        f"t{n}": pd.DataFrame({f"{n}_{k}": [f"v{n}{k}{i}" for i in range(3)] for k in range(40)}) for n in range(20)
    }
    keys = Keys(wide)
    assert keys.sentences() == []
    assert len(keys._values) <= 2 * 2000
