"""Query pipelines: the engine and the component on core 0.12, and an honest message on later versions."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from llama_index.core.prompts import PromptTemplate

from ci_integrations.llamaindex import CodeInterpreterQueryEngine
from ci_integrations.testing import ScriptedLLM

HAS_PIPELINES = importlib.util.find_spec("llama_index.core.query_pipeline") is not None
only_012 = pytest.mark.skipif(not HAS_PIPELINES, reason="QueryPipeline exists in core 0.12 only")
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

FRAME = pd.DataFrame({"x": [1, 2, 3]})


@pytest.mark.skipif(HAS_PIPELINES, reason="core 0.12 has it")
def test_later_versions_say_what_replaced_it() -> None:
    with pytest.raises(ImportError, match="CodeInterpreterWorkflow"):
        from ci_integrations.llamaindex import CodeInterpreterComponent  # noqa: F401


@only_012
def test_chain_with_the_engine(kind: Any) -> None:
    from llama_index.core.query_pipeline import QueryPipeline

    with CodeInterpreterQueryEngine.from_dataframe(
        FRAME, llm=ScriptedLLM(["print(df.x.sum())"]), **kind.options
    ) as asked:
        pipeline = QueryPipeline(chain=[PromptTemplate("Sum of {what}?"), asked])
        response = pipeline.run(what="x")
    assert str(response) == "6"
    assert response.metadata["attempts"]


@only_012
async def test_chain_and_graph_with_the_component(kind: Any) -> None:
    from llama_index.core.query_pipeline import InputComponent, QueryPipeline

    from ci_integrations.llamaindex import CodeInterpreterComponent

    component = CodeInterpreterComponent(**kind.options)
    llm = ScriptedLLM(
        ["```python\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint(6 * 7)\n```"] * 4
    )
    chain = QueryPipeline(chain=[PromptTemplate("Compute {what}"), llm, component])
    output = chain.run(what="it")
    assert output == "42"
    assert output.result.images
    assert await chain.arun(what="it") == "42"

    graph = QueryPipeline(verbose=False)
    graph.add_modules({"in": InputComponent(), "prompt": PromptTemplate("Compute {what}"), "llm": llm, "run": component,
                       "say": PromptTemplate("{what} gave {output}")})  # fmt: skip
    graph.add_link("in", "prompt", src_key="what", dest_key="what")
    graph.add_link("prompt", "llm")
    graph.add_link("llm", "run")
    graph.add_link("in", "say", src_key="what", dest_key="what")
    graph.add_link("run", "say", dest_key="output")
    assert graph.run(what="it") == "it gave 42"
    assert await graph.arun(what="it") == "it gave 42"
    failed = QueryPipeline(chain=[component]).run(code="1/0")
    assert "ZeroDivisionError" in failed
    await component.aclose()


@only_012
async def test_graph_with_the_engine_async(kind: Any) -> None:
    from llama_index.core.query_pipeline import InputComponent, QueryPipeline

    turns = [json.dumps(1), "print(df.x.max())"]
    asked = CodeInterpreterQueryEngine.from_dataframe(FRAME, llm=ScriptedLLM(turns), **kind.options)
    graph = QueryPipeline()
    graph.add_modules({"in": InputComponent(), "ask": asked})
    graph.add_link("in", "ask", src_key="question", dest_key="input")
    first: Any = await graph.arun(question="?")
    second: Any = graph.run(question="?")
    await asked.aclose()
    assert (str(first), str(second)) == ("1", "3")


@only_012
async def test_the_component_has_what_the_engine_has(kind: Any, tmp_path: Path) -> None:
    """Fresh tables, how to read them, what they mean, no values; models that stream; a kernel of its own that ends."""
    from llama_index.core.query_pipeline import QueryPipeline

    from ci_integrations import CodeInterpreter
    from ci_integrations.llamaindex import CodeInterpreterComponent

    (tmp_path / "t.csv").write_text("x|y\n1|2\n")
    with CodeInterpreter(**kind.options) as shared:
        shared.run("mine = 1")
        before = len(shared.list_contexts())
        component = CodeInterpreterComponent(
            shared, files=[tmp_path / "t.csv"], send_values=False,
            read_options={"t.csv": {"sep": "|"}}, descriptions={"t.csv.y": "a rate"},
        )  # fmt: skip
        told = component.describe("?")
        assert "'y': int64 - a rate" in told
        assert "first rows" not in told
        assert await component.adescribe("?") == told
        llm = ScriptedLLM(["`t.y.sum()`", "t.drop(columns='y', inplace=True)\nt", "t", "1/0"])
        chain = QueryPipeline(chain=[PromptTemplate("{data}\n{q}").partial_format(data=told), llm, component])
        assert chain.run(q="?") == "2"
        assert (await chain.arun(q="?")).response.dataframe().columns.tolist() == ["x"]
        assert chain.run(q="?").response.dataframe().columns.tolist() == ["x", "y"]
        failed = chain.run(q="?")
        assert "ZeroDivisionError" in failed
        assert failed.response.metadata["error"]["name"] == "ZeroDivisionError"
        pieces = (piece for piece in ["pri", "nt(t.x[0])"])
        assert QueryPipeline(chain=[component]).run(code=pieces) == "1"
        component.close()
        assert len(shared.list_contexts()) == before
        assert shared.run("mine").text == "1"
