"""A person says yes: with LangChain's own middleware, in real agents."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from ci_integrations.langchain import CodeInterpreterTool, code_approval, describe_code, is_risky, risks
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import ScriptedChatModel

CONFIG = {"configurable": {"thread_id": "t"}}


def asking(registry: Any, code: str, **approval: Any) -> Any:
    model = ScriptedChatModel([ScriptedChatModel.call("code_interpreter", code=code), "done"])
    approvals = HumanInTheLoopMiddleware(interrupt_on={"code_interpreter": code_approval(**approval)})
    tools = [CodeInterpreterTool(registry)]
    return create_agent(model, tools=tools, middleware=[approvals], checkpointer=InMemorySaver())


def answers(state: Any) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def test_code_is_shown_readably_and_runs_after_a_yes(registry):
    agent = asking(registry, "x = 1\nx + 1")
    paused = agent.invoke({"messages": "go"}, CONFIG)
    [request] = paused["__interrupt__"][0].value["action_requests"]
    assert "```python\nx = 1\nx + 1\n```" in request["description"]
    assert not registry.sessions.get("t") or not registry.sessions["t"].ran
    state = agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
    assert answers(state)[0].content == "Out: 2"
    assert len(registry.sessions["t"].ran) == 1


def test_edited_code_is_what_runs_and_what_the_artifact_records(registry):
    agent = asking(registry, "delete_everything()")
    agent.invoke({"messages": "go"}, CONFIG)
    edited = {"name": "code_interpreter", "args": {"code": "1 + 1"}}
    state = agent.invoke(Command(resume={"decisions": [{"type": "edit", "edited_action": edited}]}), CONFIG)
    [message] = answers(state)
    assert ExecutionResult.from_message(message).code == "1 + 1"
    assert message.text.endswith("Out: 2")
    assert [ran["code"] for ran in registry.sessions["t"].ran] == ["1 + 1"]


def test_a_no_runs_nothing(registry):
    agent = asking(registry, "1")
    agent.invoke({"messages": "go"}, CONFIG)
    agent.invoke(Command(resume={"decisions": [{"type": "reject", "message": "too risky"}]}), CONFIG)
    assert "t" not in registry.sessions


def test_harmless_code_is_not_asked_about(registry):
    state = asking(registry, "sum(range(10))", when=is_risky).invoke({"messages": "go"}, CONFIG)
    assert "__interrupt__" not in state
    assert answers(state)[0].content == "Out: 45"


def test_risky_code_is_asked_about(registry):
    state = asking(registry, "import subprocess", when=is_risky).invoke({"messages": "go"}, CONFIG)
    assert "it imports subprocess" in state["__interrupt__"][0].value["action_requests"][0]["description"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import requests", "it imports requests"),
        ("from urllib.request import urlopen", "it imports urllib"),
        ("!rm -rf /", "it runs shell or magic commands"),
        ("%pip install x", "it runs shell or magic commands"),
        ("%%bash\nls", "it runs shell or magic commands"),
        ("import os; os.system('ls')", "it calls system()"),
        ("eval(text)", "it calls eval()"),
        ("open('x', 'w')", "it opens a file for writing"),
        ("open('x', mode=m)", "it opens a file for writing"),
        ("Path('x').unlink()", "it calls unlink()"),
        ("requests.get(url)", "it uses requests"),
        ("os.environ['KEY']", "it uses environ"),
        ("pd.read_csv('https://example.com/a.csv')", "it names an address on the network"),
        ("Path('x').write_text('y')", "it calls write_text()"),
        ("this is no python", "it could not be read as Python"),
    ],
)
def test_what_reaches_out_of_plain_computing_is_named(code, said):
    assert said in risks(code)


@pytest.mark.parametrize(
    "code", ["", "import pandas as pd\npd.read_csv('a.csv').describe()", "open('x').read()", "print('!ls')", "a != b"]
)
def test_plain_computing_is_not(code):
    assert risks(code) == []


def test_code_with_fences_of_its_own_is_still_one_block():
    text = describe_code({"name": "code_interpreter", "args": {"code": "s = '''\n```\n'''"}})
    assert "````python\n" in text


def test_a_shell_command_is_shown_as_one():
    assert "```bash\nls -la\n```" in describe_code({"name": "run_shell_command", "args": {"command": "ls -la"}})


def test_endless_code_is_cut():
    assert len(describe_code({"name": "x", "args": {"code": "a = 1\n" * 100_000}})) < 21_000


def test_a_call_without_code_is_shown_by_its_arguments():
    text = describe_code({"name": "write_file", "args": {"path": "a.txt", "content": "hello"}})
    assert '```json\n{\n  "path": "a.txt",\n  "content": "hello"\n}\n```' in text


@pytest.mark.parametrize(
    ("name", "args", "risky"),
    [
        ("code_interpreter", {"code": "1 + 1"}, False),
        ("code_interpreter", {"code": "ls", "language": "bash"}, True),
        ("run_shell_command", {"command": "reboot"}, True),
        ("install_packages", {"packages": ["x"]}, True),
    ],
)
def test_the_predicate_looks_at_the_call(name, args, risky):
    """As `when` of LangChain's own configuration, and through `code_approval`."""
    request = SimpleNamespace(tool_call={"name": name, "args": args})
    assert is_risky(request) is risky
    assert code_approval(when=is_risky)["when"](request) is risky
