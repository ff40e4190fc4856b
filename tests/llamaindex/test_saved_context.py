"""A Context saved in the middle of a run goes on in another process, against a server that outlives both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FIRST = """
import asyncio, json, sys, warnings
warnings.simplefilter("ignore")
from llama_index.core.agent.workflow import AgentInput, FunctionAgent, ToolCallResult
from llama_index.core.workflow import Context, JsonSerializer
from ci_integrations.llamaindex import CodeInterpreterTool, artifacts_from
from ci_integrations.testing import ScriptedLLM, tool_call

CODE = "x = 41\\nimport matplotlib.pyplot as plt\\nplt.plot([1, 2, 3])\\nplt.title('Up')\\nplt.show()"

async def main():
    tool = CodeInterpreterTool(idle="keep", images=sys.argv[2], artifact_dir=sys.argv[3])
    agent = FunctionAgent(tools=[tool], llm=ScriptedLLM([tool_call("code_interpreter", code=CODE), "drawn"]))
    ctx = Context(agent)
    handler = agent.run(user_msg="draw", ctx=ctx)
    saved = ""
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            output = event.tool_output
        if isinstance(event, AgentInput) and event.input[-1].role == "tool":  # the model is about to read it
            saved = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    await handler
    open(sys.argv[1], "w").write(saved)
    pictures = [len(a.data or "") for a in artifacts_from(output) if a.kind == "image"]
    print(json.dumps({"saved": len(saved), "pictures": pictures,
                      "sandbox": output.raw_output["sandbox_id"], "kinds": [a.kind for a in artifacts_from(output)]}))

asyncio.run(main())
"""

SECOND = """
import asyncio, json, sys, warnings
warnings.simplefilter("ignore")
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, JsonSerializer
from ci_integrations.llamaindex import CodeInterpreterTool, artifacts_from
from ci_integrations.testing import ScriptedLLM, tool_call

async def main():
    tool = CodeInterpreterTool()
    def go_on(messages):
        asked = any("x is 42" in (message.content or "") for message in messages)
        return "done" if asked else tool_call("code_interpreter", code="print('x is', x + 1)")
    llm = ScriptedLLM([go_on] * 4)
    agent = FunctionAgent(tools=[tool], llm=llm)
    ctx = Context.from_dict(agent, json.load(open(sys.argv[1])), serializer=JsonSerializer())
    # LlamaIndex leaves the memory out of what it saves and asks for it to be set by hand
    await ctx.store.set("memory", ChatMemoryBuffer.from_defaults(llm=llm))
    kept = artifacts_from(await ctx.store.get("current_tool_calls"))
    await agent.run(user_msg="go on", ctx=ctx)
    if not llm.seen:  # old workflows first end the run that was under way
        await agent.run(user_msg="go on", ctx=ctx)
    said = llm.seen[-1][-1].content
    sandbox = (await ctx.store.get("code_interpreter"))["identity"]["sandbox_id"]
    print(json.dumps({"said": said, "sandbox": sandbox, "kept": [a.kind for a in kept]}))
    await tool.aclose()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The environment that points any E2B client at a server of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_integrations.local.server"], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    try:
        yield dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def run(program: str, server: dict[str, str], *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | server, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.strip().split("\n")[-1]))


@pytest.mark.parametrize("images", [pytest.param("blocks", marks=pytest.mark.slow), "path"])
def test_variables_and_charts_are_still_there(server: dict[str, str], tmp_path: Path, images: str) -> None:
    saved = tmp_path / "context.json"
    first = run(FIRST, server, str(saved), images, str(tmp_path / "pictures"))
    second = run(SECOND, server, str(saved))
    assert second["said"] == "x is 42"
    assert second["sandbox"] == first["sandbox"]
    assert second["kept"] == first["kinds"]
    assert "chart" in first["kinds"]
    if images == "path":
        assert isinstance(first["saved"], int)
        assert first["saved"] < 40_000
    print(images, first["saved"], "bytes, pictures", first["pictures"])
