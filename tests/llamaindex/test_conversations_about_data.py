"""Questions that follow each other, streamed answers, pictures for a model that sees: engine, chat engine, workflow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock
from llama_index.core.chat_engine import CondenseQuestionChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context

from ci_integrations import CodeInterpreter
from ci_integrations.errors import ArtifactError
from ci_integrations.llamaindex import (
    CodeInterpreterQueryEngine,
    CodeInterpreterResponse,
    CodeInterpreterStreamingResponse,
    CodeInterpreterWorkflow,
)
from ci_integrations.testing import ScriptedLLM

FRAME = pd.DataFrame({"city": ["a", "b", "c"], "n": [1, 2, 3]})
BIGGEST = "df.nlargest(2, 'n')"
THEN = "print(last_result.n.sum(), len(df))"
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('drawn')"


@pytest.fixture(scope="module")
def interpreter() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend="local") as one:
        yield one


def engine(interpreter: CodeInterpreter, *turns: Any, **options: Any) -> CodeInterpreterQueryEngine:
    options = {"synthesize_response": False, "max_repairs": 0, "dataframes": {"df": FRAME}} | options
    return CodeInterpreterQueryEngine(interpreter, llm=ScriptedLLM(list(turns)), **options)


def prompt(one: CodeInterpreterQueryEngine) -> str:
    return str(one.llm.seen[-1][-1].content)


def test_a_question_may_be_about_the_last_answer(interpreter: CodeInterpreter) -> None:
    with engine(interpreter, BIGGEST, THEN, "1/0", THEN, chat=True) as one:
        one.query("The two largest?")
        assert "last_result" not in prompt(one)
        assert str(one.query("And their sum?")) == "5 3"
        assert "`last_result` is what the last program came to: DataFrame, 2 rows, columns city: " in prompt(one)
        assert "Question: The two largest?\nProgram:\ndf.nlargest(2, 'n')\nAnswer:\n" in prompt(one)
        one.query("What if it fails?")
        assert str(one.query("Once more?")) == "5 3"  # a program that failed came to nothing


def test_without_chat_every_question_stands_alone(interpreter: CodeInterpreter) -> None:
    with engine(interpreter, BIGGEST, "print('last_result' in globals())") as one:
        one.query("The two largest?")
        assert str(one.query("?")) == "False"
        assert "two largest" not in prompt(one)


def test_what_is_printed_by_its_name_is_a_result_too(interpreter: CodeInterpreter) -> None:
    turns = ["top = df.nlargest(1, 'n')\nprint(top)", "last_result.n += 1\nprint(last_result.n.sum())"]
    with engine(interpreter, *turns, "print(last_result)", chat=True) as one:
        assert [str(one.query("?")) for _ in range(2)][1] == "4"


async def test_a_chat_engine_keeps_its_conversation(interpreter: CodeInterpreter) -> None:
    made = engine(interpreter, BIGGEST, THEN, BIGGEST, "print('last_result' in globals())")
    with made.as_chat_engine() as chat:
        first = chat.chat("The two largest?")
        assert first.sources[0].raw_output.dataframe().n.tolist() == [3, 2]
        assert str(await chat.achat("And their sum?")) == "5 3"
        assert [message.content for message in chat.chat_history][::2] == ["The two largest?", "And their sum?"]
        chat.chat("Once more?")
        chat.reset()
        assert chat.chat_history == []
        assert str(chat.chat("Is it gone?")) == "False"
        assert "two largest" not in prompt(made)


def test_a_chat_takes_up_messages_from_elsewhere(interpreter: CodeInterpreter) -> None:
    made = engine(interpreter, "print(1)")
    with made.as_chat_engine() as chat:
        earlier = [ChatMessage(role="user", content="Cities?"), ChatMessage(role="assistant", content="a, b and c")]
        chat.chat("And how many?", chat_history=earlier)
    assert "Question: Cities?\nAnswer:\na, b and c" in prompt(made)


async def test_words_come_as_the_model_says_them(interpreter: CodeInterpreter) -> None:
    turns = [BIGGEST, "Three and two.", BIGGEST, "Three, two."]
    with engine(interpreter, *turns, synthesize_response=True, streaming=True) as one:
        response = one.query("?")
        assert isinstance(response, CodeInterpreterStreamingResponse)
        assert response.dataframe().n.tolist() == [3, 2]  # before the first word
        assert "".join(response.response_gen) == "Three and two."
        awaited = await one.aquery("?")
        assert [token async for token in awaited.async_response_gen()] == ["Three, two."]
        assert awaited.metadata["error"] is None


async def test_streams_of_chat_engines(interpreter: CodeInterpreter) -> None:
    turns = [BIGGEST, "Three and two.", BIGGEST, "Three, two."]
    with engine(interpreter, *turns, synthesize_response=True).as_chat_engine() as chat:
        said = chat.stream_chat("?")
        assert "".join(said.response_gen) == "Three and two."
        awaited = await chat.astream_chat("?")
        assert "".join([token async for token in awaited.async_response_gen()]) == "Three, two."
        assert [message.content for message in chat.chat_history][1::2] == ["Three and two.", "Three, two."]
    with engine(interpreter, BIGGEST, "Two.", synthesize_response=True, streaming=True) as one:
        # Core's default memory is a database, which it does not close.
        memory = ChatMemoryBuffer.from_defaults(token_limit=1000)
        condensed = CondenseQuestionChatEngine.from_defaults(one, llm=ScriptedLLM(["The largest?"]), memory=memory)
        assert "".join(condensed.stream_chat("?").response_gen) == "Two."


async def test_the_tool_of_an_engine_that_streams_is_whole(interpreter: CodeInterpreter) -> None:
    turns = [BIGGEST, "Three and two.", BIGGEST, "Three, two."]
    with engine(interpreter, *turns, synthesize_response=True, streaming=True) as one:
        tool = one.as_tool("cities", "Facts on cities")
        assert tool.call("?").content == "Three and two."
        assert (await tool.acall("?")).content == "Three, two."


@pytest.mark.parametrize("streaming", [False, True])
def test_a_stream_says_what_went_wrong(interpreter: CodeInterpreter, streaming: bool) -> None:
    def down(_: Any) -> str:
        raise ConnectionError("the model is gone")

    with engine(interpreter, "1/0", BIGGEST, down, synthesize_response=True, streaming=streaming) as one:
        failed, broken = one.query("?"), one.query("?")
        assert "ZeroDivisionError" in str(failed)
        assert "ConnectionError: the model is gone" in str(broken)
        assert broken.metadata["error"]["name"] == "ConnectionError"


async def test_a_model_that_sees_is_shown_the_pictures(interpreter: CodeInterpreter) -> None:
    for streaming in (False, True):
        with engine(
            interpreter, *[PLOT, "It rises."] * 2, synthesize_response=True, max_images=2, streaming=streaming
        ) as one:
            responses = [one.query("Draw"), await one.aquery("Draw")]
            assert [str(response) for response in responses[: 2 - streaming]] == ["It rises."] * (2 - streaming)
            shown = one.llm.seen[1][-1].blocks
            assert [type(block) for block in shown][-1] is ImageBlock
            assert "Its output:\ndrawn" in shown[0].text
    with engine(interpreter, PLOT, "It rises.", synthesize_response=True) as one:
        one.query("Draw")
        assert not any(isinstance(block, ImageBlock) for block in one.llm.seen[-1][-1].blocks)


def test_an_answer_has_its_table_whole_and_its_charts(interpreter: CodeInterpreter) -> None:
    large = pd.DataFrame({"k": range(30_000), "when": pd.date_range("2020", periods=30_000, freq="min", tz="UTC")})
    programs = ["df", "df.k.head(3)", PLOT, "print(df.k.sum())"]
    with engine(interpreter, *programs, dataframes={"df": large}) as one:
        whole, series, drawn, printed = (one.query("?") for _ in programs)
        assert isinstance(whole, CodeInterpreterResponse)
        pd.testing.assert_frame_equal(whole.dataframe(), large, check_freq=False)
        assert series.dataframe().k.tolist() == [0, 1, 2]
        assert len(drawn.charts) == 1
        assert drawn.charts[0].chart.panels
        with pytest.raises(ArtifactError, match="no table"):
            printed.dataframe()


async def test_runs_of_a_workflow_in_one_context_are_a_conversation(interpreter: CodeInterpreter) -> None:
    llm = ScriptedLLM([BIGGEST, THEN, "print('last_result' in globals())"])
    flow = CodeInterpreterWorkflow(
        llm=llm, backend="local", dataframes={"df": FRAME}, chat=True, synthesize_response=False
    )
    ctx = Context(flow)
    first = await flow.run(query="The two largest?", ctx=ctx)
    assert first.dataframe().n.tolist() == [3, 2]
    assert str(await flow.run(query="And their sum?", ctx=ctx)) == "5 3"
    assert str(await flow.run(query="Another conversation?")) == "False"
    await flow.aclose()
