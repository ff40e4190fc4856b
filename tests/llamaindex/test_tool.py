"""`CodeInterpreterTool` in agents: what the model sees, what the app gets, whose variables they are."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from importlib import metadata
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult, base_agent
from llama_index.core.base.llms import types
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, JsonSerializer, StartEvent, StopEvent, Workflow, step
from pydantic import BaseModel

from ci_integrations.errors import ConfigurationError, SandboxUnreachableError
from ci_integrations.llamaindex import (
    CodeApprovalRequest,
    CodeExecutionStarted,
    CodeInterpreterTool,
    CodeOutput,
    artifacts_from,
)
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import ScriptedLLM, tool_call, tool_calls

NAME = "code_interpreter"


def agent(tool: CodeInterpreterTool, *turns: Any, **options: Any) -> FunctionAgent:
    return FunctionAgent(tools=[tool], llm=ScriptedLLM(list(turns)), **options)


async def run(worker: Any, message: str = "go", ctx: Context | None = None) -> tuple[Any, list[Any]]:
    handler = worker.run(user_msg=message, ctx=ctx) if ctx else worker.run(user_msg=message)
    events = [event async for event in handler.stream_events()]
    return await handler, events


def test_it_is_a_function_tool() -> None:
    assert FunctionTool in CodeInterpreterTool.__mro__


def test_the_model_sees_one_argument_and_a_short_description(registry: Any) -> None:
    offered = CodeInterpreterTool(registry).metadata.to_openai_tool()["function"]
    assert list(offered["parameters"]["properties"]) == ["code"]
    assert len(offered["description"]) <= 1024


async def test_the_model_gets_text_and_picture(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    worker = agent(tool, tool_call(NAME, code="picture()\nprint('drawn')"), "done")
    answer, events = await run(worker)
    blocks = worker.llm.seen[1][-1].blocks
    assert [type(block) for block in blocks] == [TextBlock, ImageBlock]
    assert "drawn" in blocks[0].text
    told = [type(event).__name__ for event in events]
    assert told.index("CodeExecutionStarted") < told.index("CodeOutput") < told.index("CodeExecutionFinished")
    assert [a.kind for a in artifacts_from(answer)] == ["image"]
    result = next(event for event in events if isinstance(event, ToolCallResult))
    assert ExecutionResult.from_message(result.tool_output).stdout == "drawn\n"
    assert json.loads(json.dumps(result.tool_output.raw_output)) == result.tool_output.raw_output


async def test_an_error_is_said_and_keeps_the_variables(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    worker = agent(tool, tool_call(NAME, code="x = 41\n1/0"), tool_call(NAME, code="print(x + 1)"), "42")
    _, events = await run(worker)
    first, second = [event.tool_output for event in events if isinstance(event, ToolCallResult)]
    assert first.is_error
    assert "Error: ZeroDivisionError" in first.content
    assert not second.is_error
    assert "42" in second.content


async def test_contexts_have_their_own_variables_and_one_context_keeps_them(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    one = agent(tool, tool_call(NAME, code="x = 1"), "ok", tool_call(NAME, code="print('x is', x)"), "ok")
    ctx = Context(one)
    await run(one, ctx=ctx)
    await run(one, ctx=ctx)
    assert "x is 1" in one.llm.seen[-1][-1].content
    other = agent(tool, tool_call(NAME, code="print(x)"), "ok")
    await run(other)
    assert "NameError" in other.llm.seen[-1][-1].content
    assert len(registry.kernels) == 2


async def test_parallel_first_calls_make_one_sandbox(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    calls = tool_calls(*[(NAME, {"code": f"y{n} = {n}"}) for n in range(8)])
    await run(agent(tool, calls, "ok"))
    assert len(registry.kernels) == 1
    (kernel,) = registry.kernels.values()
    assert len(kernel.ran) == 8


async def test_a_saved_context_goes_on_in_the_same_kernel(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    first = agent(tool, tool_call(NAME, code="x = 5\npicture()"), "ok")
    ctx = Context(first)
    await run(first, ctx=ctx)
    saved = json.loads(json.dumps(ctx.to_dict(serializer=JsonSerializer())))

    later = type(registry)(cloud=registry.cloud)
    second = agent(CodeInterpreterTool(later), tool_call(NAME, code="print('x is', x)"), "ok")
    restored = Context.from_dict(second, saved, serializer=JsonSerializer())
    await run(second, ctx=restored)
    assert "x is 5" in second.llm.seen[-1][-1].content
    assert later.adopted


async def test_react_and_agent_workflow(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    thought = 'Thought: compute\nAction: code_interpreter\nAction Input: {"code": "print(6 * 7)"}'
    llm = ScriptedLLM([thought, "Thought: done\nAnswer: 42"], function_calling=False)
    answer, _ = await run(ReActAgent(tools=[tool], llm=llm))
    assert "42" in str(answer)
    assert "Observation: 42" in llm.seen[-1][-1].content

    worker = agent(tool, tool_call(NAME, code="print(6 * 7)"), "it is 42")
    answer, _ = await run(AgentWorkflow(agents=[worker]))
    assert str(answer) == "it is 42"


async def test_return_direct_keeps_the_chart(registry: Any) -> None:
    tool = CodeInterpreterTool(registry, return_direct=True)
    answer, _ = await run(agent(tool, tool_call(NAME, code="picture()")))
    assert [a.kind for a in artifacts_from(answer)] == ["image"]


SWALLOWS_QUESTIONS = metadata.version("llama-index-workflows") > "2" and not hasattr(
    base_agent, "_get_waiting_for_event_exception"
)
"""core 0.14.0 takes the exception by which newer workflows wait for a tool's failure."""


@pytest.mark.skipif(not SWALLOWS_QUESTIONS, reason="later and earlier cores let tools wait")
async def test_where_core_cannot_wait_nothing_runs(registry: Any) -> None:
    worker = agent(CodeInterpreterTool(registry, approval="always"), tool_call(NAME, code="print('one')"), "done")
    _, events = await run(worker)
    (result,) = [event.tool_output for event in events if isinstance(event, ToolCallResult)]
    assert result.is_error
    assert not registry.kernels


@pytest.mark.skipif(SWALLOWS_QUESTIONS, reason="this core takes the wait for a failure")
async def test_nothing_runs_before_the_user_says_yes(registry: Any) -> None:
    tool = CodeInterpreterTool(registry, approval="always")
    worker = agent(tool, tool_call(NAME, code="print('one')"), tool_call(NAME, code="print('two')"), "done")
    handler = worker.run(user_msg="go")
    asked = []
    async for event in handler.stream_events():
        if isinstance(event, CodeApprovalRequest):
            asked.append(event.code)
            handler.ctx.send_event(event.answer(approved=len(asked) == 1, reason="too loud"))
    await handler
    (kernel,) = registry.kernels.values()
    assert asked == ["print('one')", "print('two')"]
    assert kernel.ran == ["print('one')"]
    assert "too loud" in worker.llm.seen[-1][-1].content


@pytest.mark.skipif(
    SWALLOWS_QUESTIONS or metadata.version("llama-index-workflows") < "2",
    reason="those workflows cannot tell the calls apart",
)
async def test_two_calls_with_the_same_code_are_two_questions(registry: Any) -> None:
    tool = CodeInterpreterTool(registry, approval="always")
    same = (NAME, {"code": "print('one')"})
    handler = agent(tool, tool_calls(same, same), "done").run(user_msg="go")
    asked = 0
    async for event in handler.stream_events():
        if isinstance(event, CodeApprovalRequest):
            asked += 1
            handler.ctx.send_event(event.answer(approved=True))
    await handler
    (kernel,) = registry.kernels.values()
    assert (asked, kernel.ran) == (2, ["print('one')"] * 2)


@pytest.mark.skipif(SWALLOWS_QUESTIONS, reason="this core takes the wait for a failure")
async def test_a_second_yes_does_not_run_the_code_again(registry: Any) -> None:
    tool = CodeInterpreterTool(registry, approval="always")
    worker = agent(tool, tool_call(NAME, code="print('one')"), "done")
    handler = worker.run(user_msg="go")
    async for event in handler.stream_events():
        if isinstance(event, CodeApprovalRequest):
            handler.ctx.send_event(event.answer(approved=True))
            handler.ctx.send_event(event.answer(approved=True))
    await handler
    (kernel,) = registry.kernels.values()
    assert kernel.ran == ["print('one')"]
    assert "one" in worker.llm.seen[1][-1].content


async def test_a_question_that_nobody_answers_is_a_no(registry: Any) -> None:
    class Unanswered(Context):
        async def wait_for_event(self, *_: Any, **__: Any) -> Any:
            raise TimeoutError

    tool = CodeInterpreterTool(registry, approval="always")
    output = await tool.acall(code="print(1)", ctx=Unanswered(agent(tool)))
    assert output.is_error
    assert "did not answer" in output.content
    assert not registry.kernels


async def test_only_the_code_that_needs_it_is_asked_for(registry: Any) -> None:
    tool = CodeInterpreterTool(registry, approval=lambda code: "rm" in code)
    assert not (await tool.acall(code="1")).is_error
    refused = await tool.acall(code="!rm -rf /")
    assert refused.is_error
    assert "approval" in refused.content
    assert tool.call(code="!rm -rf /").is_error


async def test_cancelling_the_run_interrupts_the_kernel(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    handler = agent(tool, tool_call(NAME, code="'sleep'"), "never").run(user_msg="go")
    async for event in handler.stream_events():
        if isinstance(event, CodeExecutionStarted):
            await handler.cancel_run()
    with pytest.raises(BaseException):  # noqa: B017, PT011 - each core version has its own word for it
        await handler
    (kernel,) = registry.kernels.values()
    assert kernel.interrupts == 1


async def test_a_lost_sandbox_is_an_error_for_the_model(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    held = await tool.session()
    held.kernel.fail = SandboxUnreachableError("no answer; it may have run", ExecutionResult(code="x", stdout="so far"))
    output = await tool.acall(code="x")
    assert output.is_error
    assert "so far" in output.content
    assert "SandboxUnreachableError" in output.content
    assert output.raw_output["incomplete"]


async def test_what_models_get_wrong_is_told_not_raised(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    assert (await tool.acall()).is_error
    assert (await tool.acall(code=["1"])).is_error
    assert not (await tool.acall(code="1", ctx="someone else's", language="python")).is_error


async def test_a_blocking_interpreter_streams_live_into_an_agent(registry: Any) -> None:
    tool = CodeInterpreterTool(registry.session("mine"))
    worker = agent(tool, tool_call(NAME, code="print('hello')"), "ok")
    _, events = await run(worker)
    assert [event.text for event in events if isinstance(event, CodeOutput)] == ["hello\n"]
    tool.close()
    assert not registry.closed


async def test_sync_call_from_a_thread_never_touches_the_stream(registry: Any) -> None:
    heard: list[str] = []
    tool = CodeInterpreterTool(registry, on_output=lambda event: heard.append(event.text))
    worker = agent(tool, "ok")
    ctx = Context(worker)
    output = await asyncio.to_thread(tool.call, code="print('from a thread')", ctx=ctx)
    assert heard == ["from a thread\n"]
    assert "from a thread" in output.content
    again = await tool.acall(code="print(1)", ctx=ctx)
    assert not again.is_error
    assert len(registry.kernels) == 1


def test_sync_call_and_call_inside_a_running_loop(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    assert "2" in tool(code="print(1 + 1)").content
    assert "2" in tool.call("print(1 + 1)").content

    async def inside() -> str:
        return str(tool.call(code="print(1 + 1)").content)

    assert "2" in asyncio.run(inside())
    assert "2" in asyncio.run(tool.acall(code="print(1 + 1)")).content


async def test_pictures_as_files_make_small_contexts(registry: Any, tmp_path: Any) -> None:
    tool = CodeInterpreterTool(registry, images="path", artifact_dir=tmp_path)
    output = await tool.acall(code="picture()")
    assert output.blocks[1].path.parent == tmp_path
    (image,) = output.raw_output["artifacts"]
    assert image["data"] is None
    assert image["ref"] == str(output.blocks[1].path)
    assert len((await CodeInterpreterTool(registry, images="none").acall(code="picture()")).blocks) == 1


def test_wrong_configuration_raises(registry: Any) -> None:
    with pytest.raises(ConfigurationError, match="artifact_dir"):
        CodeInterpreterTool(registry, images="path")
    with pytest.raises(ConfigurationError, match="template"):
        CodeInterpreterTool(registry, template="mine")


class Roomless(BaseModel):
    count: int = 0


class Roomy(BaseModel):
    code_interpreter: dict[str, Any] | None = None


class TypedFlow(Workflow):
    tool: Any

    @step
    async def only(self, ctx: Context[Roomless], ev: StartEvent) -> StopEvent:
        return StopEvent(result=await self.tool.acall(code="print(3)", ctx=ctx))


class RoomyFlow(Workflow):
    tool: Any

    @step
    async def only(self, ctx: Context[Roomy], ev: StartEvent) -> StopEvent:
        return StopEvent(result=await self.tool.acall(code="print(3)", ctx=ctx))


async def test_typed_state_needs_room_and_says_so(registry: Any) -> None:
    TypedFlow.tool = RoomyFlow.tool = CodeInterpreterTool(registry)
    with pytest.raises(Exception, match="code_interpreter: dict"):  # old workflows wrap it in their own
        await TypedFlow().run()
    assert "3" in (await RoomyFlow().run()).content


async def test_a_model_that_repeats_a_failure_is_told_so(registry: Any) -> None:
    tool = CodeInterpreterTool(registry)
    assert "failed" not in (await tool.acall(code="1/0")).content
    assert "failed 2 times" in (await tool.acall(code="1/0")).content
    assert "failed" not in (await tool.acall(code="2/0")).content
    await tool.acall(code="y = 0")
    assert "failed 3 times" in (await tool.acall(code="1/0")).content


@pytest.mark.skipif(not hasattr(types, "ToolCallBlock"), reason="core 0.14 and later")
async def test_a_script_may_use_tool_call_blocks(registry: Any) -> None:
    block = types.ToolCallBlock(tool_call_id="1", tool_name=NAME, tool_kwargs={"code": "print(6 * 7)"})
    worker = agent(CodeInterpreterTool(registry), types.ChatMessage(role="assistant", blocks=[block]), "done")
    await run(worker)
    assert "42" in worker.llm.seen[1][-1].content


def test_a_copy_keeps_the_options_and_has_sessions_of_its_own() -> None:
    tool = CodeInterpreterTool(backend="local", redact=["4711"])
    copy = deepcopy(tool.sessions)
    assert copy.redactor.text("4711") == "[redacted]"
    assert copy.blocking().key != tool.sessions.blocking().key


def test_a_wrong_option_is_told_to_the_programmer_not_to_the_model() -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'timeouts'"):
        CodeInterpreterTool(timeouts=3)
