"""A conversation begun in one process and gone on with in another, against a separate server that outlives both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import sys
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from ci_integrations.langchain import CodeInterpreterMiddleware, CodeInterpreterTool
from ci_integrations.sessions import SessionRegistry
from ci_integrations.testing import ScriptedChatModel

code, idle = sys.argv[1:]
with SqliteSaver.from_conn_string("checkpoints.sqlite") as checkpoints:
    registry = SessionRegistry(idle=idle)
    model = ScriptedChatModel([ScriptedChatModel.call("code_interpreter", code=code), "done"])
    middleware = [CodeInterpreterMiddleware(CodeInterpreterTool(registry))]
    agent = create_agent(model, middleware=middleware, checkpointer=checkpoints)
    state = agent.invoke({"messages": "go"}, {"configurable": {"thread_id": "t"}})
    print([message.text for message in state["messages"] if isinstance(message, ToolMessage)][-1])
"""


@pytest.fixture
def server() -> Iterator[dict[str, str]]:
    """The environment that leads to a `ci-integrations serve` of its own."""
    call = [sys.executable, "-m", "ci_integrations.cli", "serve", "--json"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield {name: str(value) for name, value in first_json(process).items() if name.startswith("E2B_")}
        finally:
            process.terminate()


def first_json(process: subprocess.Popen[str]) -> dict[str, str]:
    text = ""
    for line in process.stdout or ():
        text += line
        try:
            return json.loads(text)
        except ValueError:
            continue
    raise AssertionError(f"the server ended: {text}")


def in_a_process(server: dict[str, str], where: Path, code: str, idle: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, code, idle],
        env={**os.environ, **server}, cwd=where, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_second_process_goes_on_in_the_same_kernel(server, tmp_path):
    in_a_process(server, tmp_path, "x = 41", "keep")
    assert in_a_process(server, tmp_path, "x + 1", "kill") == "Out: 42"


@pytest.mark.slow
def test_a_kernel_that_was_killed_meanwhile_is_told(server, tmp_path):
    in_a_process(server, tmp_path, "x = 41", "kill")
    answer = in_a_process(server, tmp_path, "'x' in globals()", "kill")
    assert "Gone: the variable x" in answer
    assert answer.endswith("Out: False")
