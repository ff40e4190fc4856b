"""A sandbox killed between two cells of a real agent: the run ends well, and the model reads what happened."""

from __future__ import annotations

from typing import Any

import pytest

from ci_integrations import CodeInterpreter

from .fake_e2b import FakeE2B

FIRST = "import math\ntotal = 41"
SECOND = "print('second')\n6 * 7"


def check(read: str, service: FakeE2B) -> None:
    """What the model must have read after the loss."""
    assert "math, total" in read
    assert "file /home/user/data.csv" in read
    assert "42" in read
    assert "second" in read
    assert (service.runs[FIRST], service.runs[SECOND], len(service.sandboxes)) == (1, 1, 2)


def test_a_langchain_agent(service: FakeE2B) -> None:
    from langchain.agents import create_agent

    from ci_integrations.langchain import CodeInterpreterTool
    from ci_integrations.testing import ScriptedChatModel

    with CodeInterpreter(**service.options) as it:
        it.upload(b"a,b\n", "data.csv")
        tool = CodeInterpreterTool(interpreter=it)

        def second(_: Any) -> Any:
            service.only.stop()
            return ScriptedChatModel.call(tool.name, code=SECOND)

        model = ScriptedChatModel([ScriptedChatModel.call(tool.name, code=FIRST), second, "It is 42."])
        messages = create_agent(model, tools=[tool]).invoke({"messages": [("user", "go")]})["messages"]
    assert messages[-1].content == "It is 42."
    check(str(messages[-2].content), service)


@pytest.mark.filterwarnings("ignore")  # cores warn about themselves, at import too; tests/llamaindex has the list
async def test_a_llamaindex_agent(service: FakeE2B) -> None:
    from llama_index.core.agent.workflow import FunctionAgent

    from ci_integrations.llamaindex import CodeInterpreterTool
    from ci_integrations.testing import ScriptedLLM, tool_call

    with CodeInterpreter(**service.options) as it:
        it.upload(b"a,b\n", "data.csv")
        tool = CodeInterpreterTool(it)
        name = tool.metadata.get_name()

        def second(_: Any) -> Any:
            service.only.stop()
            return tool_call(name, code=SECOND)

        llm = ScriptedLLM([tool_call(name, code=FIRST), second, "It is 42."])
        answer = await FunctionAgent(tools=[tool], llm=llm, streaming=False).run("go")
    assert "It is 42." in str(answer)
    check(str(llm.seen[-1][-1].content), service)
