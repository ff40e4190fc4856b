"""DataFrames of the query engine: dtype by dtype, what has no equal is told to the model, and again after a loss."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pandas as pd
import pytest

from ci_integrations import CodeInterpreter
from ci_integrations.errors import ConfigurationError
from ci_integrations.llamaindex import CodeInterpreterQueryEngine
from ci_integrations.testing import ScriptedLLM


class Point:
    def __str__(self) -> str:
        return "POINT (1 2)"


@pytest.fixture(scope="module")
def interpreter() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend="local") as one:
        yield one


def engine(interpreter: CodeInterpreter, programs: list[str], **options: object) -> CodeInterpreterQueryEngine:
    llm = ScriptedLLM([f"```python\n{program}\n```" for program in programs])
    return CodeInterpreterQueryEngine(interpreter, llm=llm, synthesize_response=False, max_repairs=0, **options)


def prompt(engine: CodeInterpreterQueryEngine) -> str:
    return str(engine.llm.seen[-1][-1].content)


def test_decimals_dates_lists_and_text_arrive_as_they_are(interpreter: CodeInterpreter) -> None:
    frame = pd.DataFrame(
        {"paid": [Decimal("10.50"), Decimal("9.25")], "day": [dt.date(2024, 1, 2)] * 2, "tags": [["a"], []],
         "text": ["a\rb", "007"], "flag": pd.array([True, None])}
    )  # fmt: skip
    program = "print(orders.paid.sum(), orders.day[0].year, orders.tags.map(len).tolist(), orders.text.tolist())"
    with engine(interpreter, [program], dataframes={"orders": frame}) as one:
        assert str(one.query("?")) == "19.75 2024 [1, 0] ['a\\rb', '007']"
        assert "not here as it was given" not in prompt(one)


def test_what_has_no_equal_is_told_to_the_model(interpreter: CodeInterpreter) -> None:
    frame = pd.DataFrame({"place": [Point(), Point()]})
    with engine(interpreter, ["print(df.place[0])"], dataframes={"df": frame}) as one:
        assert str(one.query("?")) == "POINT (1 2)"
        assert (
            "`df` is not here as it was given: column 'place': 2 values of type Point arrive as their text"
            in prompt(one)
        )


def test_frames_are_there_again_after_a_loss(interpreter: CodeInterpreter) -> None:
    with engine(interpreter, ["print(len(df))"] * 2, dataframes={"df": pd.DataFrame({"a": [1, 2]})}) as one:
        assert str(one.query("?")) == "2"
        interpreter.sandbox.kill()
        assert str(one.query("?")) == "2"


def test_a_series_is_a_table_of_one_column(interpreter: CodeInterpreter) -> None:
    with engine(interpreter, ["print(df.amount.sum())"], dataframes={"df": pd.Series([1, 2], name="amount")}) as one:
        assert str(one.query("?")) == "3"
    with pytest.raises(ConfigurationError, match="not a DataFrame"):
        engine(interpreter, [], dataframes={"df": [1, 2]})
