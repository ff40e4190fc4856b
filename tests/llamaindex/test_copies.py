"""Engines, tools and specs are copied, copied deeply and pickled, before and after use, without a secret."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import MockLLM
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.tools import QueryEngineTool
from pydantic import SecretStr

from ci_integrations import CodeInterpreter
from ci_integrations.errors import ConfigurationError
from ci_integrations.llamaindex import CodeInterpreterQueryEngine, CodeInterpreterTool, CodeInterpreterToolSpec
from ci_integrations.llamaindex._pickling import is_free_of_keys
from ci_integrations.testing import ScriptedLLM

FRAME = pd.DataFrame({"x": [1, 2]})


def repickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


WAYS = [copy.copy, copy.deepcopy, repickled]


class Fixed(CustomLLM):
    """A model that can be pickled: it writes one program."""

    program: str = "print(df.x.sum())"
    api_key: str = ""

    @property
    def metadata(self) -> Any:
        from llama_index.core.base.llms.types import LLMMetadata

        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
        from llama_index.core.base.llms.types import CompletionResponse

        return CompletionResponse(text=self.program)

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[CodeInterpreterQueryEngine]:
    (tmp_path / "t.csv").write_text("y\n40\n")
    with CodeInterpreterQueryEngine(
        files=[tmp_path / "t.csv"], dataframes={"df": FRAME}, synthesize_response=False, max_repairs=0,
        llm=Fixed(program="print(df.x.sum() + t.y.sum())"), backend="local", chat=True,
    ) as one:  # fmt: skip
        yield one


@pytest.mark.parametrize("way", WAYS)
def test_copies_of_an_engine_answer(engine: CodeInterpreterQueryEngine, way: Callable[[Any], Any]) -> None:
    before = way(engine)
    assert str(engine.query("?")) == "43"
    for copied in (before, way(engine), way(QueryEngineTool.from_defaults(engine, "n", "d")).query_engine):
        assert str(copied.query("?")) == "43"
        if not (way is copy.copy and copied is engine):  # a shallow copy of a tool has the same engine
            assert copied.query("?").metadata["sandbox_id"] != engine.query("?").metadata["sandbox_id"]
            copied.close()
    assert str(engine.query("?")) == "43"  # what a copy closes is its own


def test_a_pickled_engine_has_no_key_and_takes_a_model_again(engine: CodeInterpreterQueryEngine) -> None:
    engine.llm = Fixed(api_key="sk-canary-1234567890")
    pickled = pickle.dumps(engine)
    assert b"sk-canary" not in pickled
    again = pickle.loads(pickled)
    again.llm = Fixed(program="print(t.y[0])")
    assert str(again.query("?")) == "40"
    again.close()
    assert is_free_of_keys(MockLLM())
    assert not is_free_of_keys(ScriptedLLM([]))  # it cannot be pickled whole
    deep = copy.deepcopy(engine)  # in this process it keeps its model
    assert deep.llm is engine.llm


def test_copies_of_an_engine_on_an_interpreter_share_it_and_nothing_else() -> None:
    with CodeInterpreter(backend="local") as shared:
        first = CodeInterpreterQueryEngine.from_dataframe(FRAME, shared, llm=Fixed())
        assert str(first.query("?")) == "3"
        second = copy.deepcopy(first)
        assert str(second.query("?")) == "3"
        with pytest.raises(ConfigurationError, match="interpreter was left out"):
            repickled(first).query("?")
        third = repickled(first)
        third._sessions.supply(interpreter=shared)
        assert str(third.query("?")) == "3"
        for one in (first, second, third):
            one.close()


def test_secrets_of_a_tool_are_asked_for_again() -> None:
    with CodeInterpreterTool(backend="local", envs={"TOKEN": SecretStr("canary-7f3a9b")}) as tool:
        look = "import os\nprint(os.environ['TOKEN'], len(os.environ['TOKEN']))"
        assert tool.call(code=look).content.startswith("[redacted] 13")
        pickled = pickle.dumps(tool)
        assert b"canary" not in pickled
        again = pickle.loads(pickled)
        with pytest.raises(ConfigurationError, match=r"envs\['TOKEN'\] was left out"):
            again.call(code=look)
        again.sessions.supply(envs={"TOKEN": SecretStr("another-1")})
        assert again.call(code=look).content.startswith("[redacted] 9")
        again.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_used_tool_an_agent_and_a_spec(way: Callable[[Any], Any]) -> None:
    with CodeInterpreterTool(backend="local") as tool:
        assert tool.call(code="x = 41").raw_output is not None
        copied = way(tool)
        answer = copied.call(code="'x' in globals()").content
        assert answer == ("Out: True" if way is copy.copy else "Out: False")  # a shallow copy shares the session
        if way is not copy.copy:
            copied.close()
        agent = FunctionAgent(tools=[tool], llm=MockLLM())
        agent.model_copy(deep=True)
    with CodeInterpreterToolSpec(backend="local") as spec:
        spec.write_file("a.txt", "1")
        again = way(spec)
        made = again.to_tool_list(["code_interpreter", "read_file", "reset"])
        # Core's tools of a function have a schema that nobody can pickle: the spec is pickled, and makes them anew.
        tools = made if way is repickled else [way(tool) for tool in made]
        assert [tool.metadata.name for tool in tools] == ["code_interpreter", "read_file", "reset"]
        if way is not copy.copy:
            again.close()
