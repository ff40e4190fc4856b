"""The tool in its first minutes: the standard unit tests, an agent, live output."""

from __future__ import annotations

from fakes import FakeRegistry
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_tests.unit_tests import ToolsUnitTests

from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import ScriptedChatModel


class TestUnit(ToolsUnitTests):
    @property
    def tool_constructor(self):
        return CodeInterpreterTool

    @property
    def tool_constructor_params(self):
        return {}

    @property
    def tool_invoke_params_example(self):
        return {"code": "1 + 1"}

    @property
    def init_from_env_params(self):
        return {"E2B_API_KEY": "e2b_key"}, {}, {"api_key": "e2b_key"}


def _agent(registry, *turns):
    return create_agent(ScriptedChatModel([*turns, "done"]), tools=[CodeInterpreterTool(registry)])


def test_agent():
    agent = _agent(FakeRegistry(), ScriptedChatModel.call("code_interpreter", code="print('hi'); 6*7"))
    out = agent.invoke({"messages": "go"}, {"configurable": {"thread_id": "t"}})
    [tm] = [m for m in out["messages"] if isinstance(m, ToolMessage)]
    assert tm.content == "hi\nOut: 42"
    assert ExecutionResult.from_message(tm).text == "42"


async def test_output_reaches_both_streams_while_the_cell_runs():
    agent = _agent(FakeRegistry(), ScriptedChatModel.call("code_interpreter", code="print('now')\n1/0"))
    modes = ["tools", "custom", "updates"]
    chunks = [chunk async for chunk in agent.astream({"messages": "go"}, stream_mode=modes)]
    deltas = [data["delta"]["text"] for mode, data in chunks if mode == "tools" and "delta" in data]
    assert deltas == ["now\n"]
    [custom] = [data["code_interpreter"] for mode, data in chunks if mode == "custom"]
    assert (custom["type"], custom["text"]) == ("stdout", "now\n")
    [message] = [data["tools"]["messages"][0] for mode, data in chunks if mode == "updates" and "tools" in data]
    assert message.status == "error"
    assert "ZeroDivisionError" in message.content
