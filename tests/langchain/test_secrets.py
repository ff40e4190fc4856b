"""Canaries: no secret in repr, schema, traces, logs, artifacts or exception text."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from ci_integrations.errors import CodeInterpreterError
from ci_integrations.langchain import CodeInterpreterMiddleware, CodeInterpreterTool, CodeInterpreterToolkit
from ci_integrations.testing import ScriptedChatModel

CANARY = "canary-7f3a9b-in-the-mine"
KEY = "e2b_" + "c0ffee" * 7
CONFIG = {"configurable": {"thread_id": "canaries"}}


class Everything(BaseCallbackHandler):
    """What a tracer would send away."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *args, **kwargs: self.seen.append(f"{name} {args!r} {kwargs!r}")


def tool(**options: Any) -> CodeInterpreterTool:
    return CodeInterpreterTool(backend="local", envs={"TOKEN": SecretStr(CANARY)}, api_key=KEY, **options)


def test_nothing_that_describes_the_tool_tells_a_secret():
    made = tool()
    toolkit = CodeInterpreterToolkit(backend="local", envs={"TOKEN": SecretStr(CANARY)}, api_key=KEY)
    middleware = CodeInterpreterMiddleware(made)
    described = [
        repr(made), str(made), str(made.model_dump()), json.dumps(made.args), made.description,
        json.dumps(made.get_input_jsonschema()), repr(toolkit), repr(middleware), repr(made.sessions),
        repr(vars(made.sessions).get("_options")), str(made.to_json()), repr(made.get_name()),
    ]  # fmt: skip
    for text in described:
        assert CANARY not in text
        assert KEY not in text


LEAKS = """
import os, sys
from IPython.display import HTML, JSON, Markdown, display
token = os.environ["TOKEN"]
print(token); print(token, file=sys.stderr)
for piece in (token[:7], token[7:]): print(piece, end="", flush=True)
display(HTML(f"<b>{token}</b>"), Markdown(token), JSON({"token": token, token: 1}))
import pandas as pd
display(pd.DataFrame({"t": [token]}))
raise ValueError(token)
"""


@pytest.mark.parametrize("blocking", [True, False])
async def test_what_the_code_says_of_its_secrets_reaches_nobody(caplog, blocking):
    caplog.set_level(logging.DEBUG)
    watcher, checkpoints = Everything(), InMemorySaver()
    with tool() as made:
        model = ScriptedChatModel([ScriptedChatModel.call("code_interpreter", code=LEAKS), "done"])
        agent = create_agent(model, tools=[made], checkpointer=checkpoints)
        config = {**CONFIG, "callbacks": [watcher]}
        modes = ["tools", "custom", "updates", "values"]
        if blocking:
            streamed = list(agent.stream({"messages": "go"}, config, stream_mode=modes))
        else:
            streamed = [item async for item in agent.astream({"messages": "go"}, config, stream_mode=modes)]
        state = agent.get_state(CONFIG).values
    everything = [str(streamed), str(watcher.seen), str(state), caplog.text, str(checkpoints.storage)]
    assert "[redacted]" in everything[2]
    for text in everything:
        assert CANARY not in text
        assert KEY not in text


def test_an_exception_tells_no_secret():
    with pytest.raises(CodeInterpreterError) as caught:
        CodeInterpreterTool(backend="local", api_key=KEY, envs={"TOKEN": SecretStr(CANARY)}, sandbox_timeout=-1)
    text = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert CANARY not in text
    assert KEY not in text
