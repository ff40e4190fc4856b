"""Agents on the real local sandbox: what the model reads when things go well, slowly, or when the sandbox is killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.workflow import Context

from ci_integrations.llamaindex import (
    ChartCreated,
    CodeExecutionStarted,
    CodeInterpreterTool,
    CodeOutput,
    artifacts_from,
    results_from,
)
from ci_integrations.testing import ScriptedLLM, tool_call, tool_calls

NAME = "code_interpreter"
PLOT = "import matplotlib.pyplot as plt\nplt.bar(['N', 'S'], [3, 4])\nplt.title('Sales')\nplt.show()\nprint('drawn')"


@pytest.fixture
async def tool(kind: Any) -> AsyncIterator[CodeInterpreterTool]:
    async with CodeInterpreterTool(**kind.options) as made:
        yield made


def agent(tool: CodeInterpreterTool, *turns: Any) -> FunctionAgent:
    return FunctionAgent(tools=[tool], llm=ScriptedLLM(list(turns)))


async def test_a_chart_reaches_the_model_the_stream_and_the_application(tool: CodeInterpreterTool) -> None:
    worker = agent(tool, tool_call(NAME, code=PLOT), "done")
    handler = worker.run(user_msg="draw")
    events = [event async for event in handler.stream_events()]
    answer = await handler
    read = worker.llm.seen[1][-1]
    assert "drawn" in read.content
    assert "Sales" in read.content
    assert any(isinstance(block, ImageBlock) for block in read.blocks)
    (told,) = [event for event in events if isinstance(event, ChartCreated)]
    (chart,) = [artifact for artifact in artifacts_from(answer) if artifact.kind == "chart"]
    assert told.artifact == chart.model_dump(mode="json")
    assert list(chart.chart.panels[0].series[0].values("y")) == [3, 4]
    json.dumps([event.tool_output.raw_output for event in events if isinstance(event, ToolCallResult)])


async def test_output_arrives_while_the_cell_runs(tool: CodeInterpreterTool) -> None:
    slow = "import time\nprint('first', flush=True)\ntime.sleep(1.5)\nprint('second')"
    handler = agent(tool, tool_call(NAME, code=slow), "done").run(user_msg="go")
    heard: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()
    async for event in handler.stream_events():
        if isinstance(event, CodeOutput) and event.stream == "stdout":
            heard.extend((line, loop.time()) for line in event.text.split())
    await handler
    assert [line for line, _ in heard] == ["first", "second"]
    assert heard[1][1] - heard[0][1] > 1


async def test_contexts_are_isolated_and_parallel_calls_share(tool: CodeInterpreterTool) -> None:
    first = agent(tool, tool_calls(*[(NAME, {"code": f"x{n} = {n}"}) for n in range(4)]),
                  tool_call(NAME, code="print(x0 + x1 + x2 + x3)"), "ok")  # fmt: skip
    answer = await first.run(user_msg="go")
    assert "6" in first.llm.seen[2][-1].content
    assert len({result.sandbox_id for result in results_from(answer)}) == 1
    other = agent(tool, tool_call(NAME, code="print(x0)"), "ok")
    await other.run(user_msg="go")
    assert "NameError" in other.llm.seen[1][-1].content


async def test_react_and_agent_workflow(tool: CodeInterpreterTool) -> None:
    thought = 'Thought: compute\nAction: code_interpreter\nAction Input: {"code": "print(6 * 7)"}'
    llm = ScriptedLLM([thought, "Thought: done\nAnswer: 42"], function_calling=False)
    assert str(await ReActAgent(tools=[tool], llm=llm).run(user_msg="go")) == "42"
    assert "Observation: 42" in llm.seen[1][-1].content
    worker = agent(tool, tool_call(NAME, code="print(6 * 7)"), "42")
    assert str(await AgentWorkflow(agents=[worker]).run(user_msg="go")) == "42"


async def test_a_killed_sandbox_is_replaced_and_the_model_is_told(tool: CodeInterpreterTool) -> None:
    worker = agent(
        tool, tool_call(NAME, code="x = 1"), "ok", tool_call(NAME, code="print('ran', 'x' in globals())"), "ok"
    )
    ctx = Context(worker)
    before = results_from(await worker.run(user_msg="go", ctx=ctx))[0].sandbox_id
    sandbox = await (await tool.session(ctx)).open()
    await sandbox.kill()
    after = results_from(await worker.run(user_msg="go", ctx=ctx))[0].sandbox_id
    read = worker.llm.seen[-1][-1].content
    assert "ran False" in read
    assert "x" in read.split("ran False")[0]  # what was lost is named, before the output
    assert after != before
    held = await ctx.store.get("code_interpreter")
    assert held["identity"]["sandbox_id"] == after


async def test_a_slow_cell_keeps_the_sandbox_and_the_variables(kind: Any) -> None:
    async with CodeInterpreterTool(**kind.options, timeout=1) as tool:
        await tool.acall(code="x = 41")
        slow = await tool.acall(code="while True: pass")
        assert slow.is_error
        assert slow.raw_output["error"]["name"] == "ExecutionTimeout"
        after = await tool.acall(code="print(x + 1)")
    assert "42" in after.content
    assert after.raw_output["sandbox_id"] == slow.raw_output["sandbox_id"]


async def test_cancelling_the_agent_interrupts_the_cell_and_keeps_the_kernel(tool: CodeInterpreterTool) -> None:
    endless = "x = 41\nimport time\nwhile True: time.sleep(0.1)"
    worker = agent(tool, tool_call(NAME, code=endless), tool_call(NAME, code="print(x + 1)"), "ok")
    ctx = Context(worker)
    handler = worker.run(user_msg="go", ctx=ctx)
    async for event in handler.stream_events():
        if isinstance(event, CodeExecutionStarted):
            await asyncio.sleep(1.5)
            await handler.cancel_run()
    with pytest.raises(BaseException):  # noqa: B017, PT011 - each core version has its own word for it
        await handler
    session = await tool.session(ctx)
    assert (await asyncio.wait_for(session.run("x + 1"), 20)).text == "42"
