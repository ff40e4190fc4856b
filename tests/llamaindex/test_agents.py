"""Attached files, remembered calls and the last pictures: what an agent class of ours adds to LlamaIndex's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow
from llama_index.core.base.llms.types import ChatMessage, DocumentBlock, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, JsonSerializer

from ci_integrations.errors import SandboxUnreachableError
from ci_integrations.llamaindex import (
    CodeInterpreterFunctionAgent,
    CodeInterpreterReActAgent,
    CodeInterpreterTool,
    CodeInterpreterToolSpec,
)
from ci_integrations.testing import ScriptedLLM, tool_call, tool_calls

from .conftest import PNG

NAME = "code_interpreter"
CSV = b"x\n20\n22\n"
WHERE = "/home/user/data.csv"


def asks(*blocks: Any) -> ChatMessage:
    return ChatMessage(role="user", blocks=[TextBlock(text="Sum it up."), *blocks])


def csv(title: str = "data.csv", data: bytes = CSV) -> DocumentBlock:
    return DocumentBlock(data=data, title=title, document_mimetype="text/csv")


def agent(registry: Any, *turns: Any, **options: Any) -> CodeInterpreterFunctionAgent:
    return CodeInterpreterFunctionAgent(tools=[CodeInterpreterTool(registry)], llm=ScriptedLLM(list(turns)), **options)


def words(message: ChatMessage) -> str:
    return "\n".join(block.text for block in message.blocks if isinstance(block, TextBlock))


def uploads(registry: Any) -> dict[str, bytes]:
    (kernel,) = registry.kernels.values()
    return dict(kernel.uploads)


@pytest.mark.parametrize("through_workflow", [False, True])
async def test_an_attached_file_is_in_the_sandbox_and_named_to_the_model(registry: Any, through_workflow: bool) -> None:
    worker = agent(registry, tool_call(NAME, code="print(1)"), "42")
    runner: Any = AgentWorkflow(agents=[worker]) if through_workflow else worker
    await runner.run(user_msg=asks(csv()))
    assert uploads(registry) == {WHERE: CSV}
    asked = worker.llm.seen[0][-1]
    assert f"in the sandbox: {WHERE} (8 bytes)" in words(asked)
    assert not any(isinstance(block, DocumentBlock) for block in asked.blocks)


async def test_react_is_told_of_the_file_too(registry: Any) -> None:
    thought = 'Thought: sum\nAction: code_interpreter\nAction Input: {"code": "print(42)"}'
    llm = ScriptedLLM([thought, "Thought: done\nAnswer: 42"], function_calling=False)
    await CodeInterpreterReActAgent(tools=[CodeInterpreterTool(registry)], llm=llm).run(user_msg=asks(csv()))
    assert uploads(registry) == {WHERE: CSV}
    assert WHERE in "\n".join(map(words, llm.seen[0]))


async def test_nothing_is_uploaded_before_code_is_to_run(registry: Any) -> None:
    worker = agent(registry, "I can say that without looking.")
    await worker.run(user_msg=asks(csv()))
    assert not registry.kernels
    assert WHERE in words(worker.llm.seen[0][-1])


async def test_a_file_is_uploaded_once_and_again_when_the_sandbox_was_replaced(registry: Any) -> None:
    worker = agent(registry, *[turn for n in range(3) for turn in (tool_call(NAME, code=f"print({n})"), "ok")])
    ctx = Context(worker)
    whole = ChatMemoryBuffer.from_defaults(token_limit=100_000)
    await worker.run(user_msg=asks(csv()), ctx=ctx, memory=whole)
    await worker.run(user_msg="again", ctx=ctx, memory=whole)
    (kernel,) = registry.kernels.values()
    assert kernel.uploads == [(WHERE, CSV)]
    kernel.sandbox_id = "another-sandbox"
    await worker.run(user_msg="again", ctx=ctx, memory=whole)
    assert kernel.uploads == [(WHERE, CSV)] * 2


async def test_what_is_staged_is_plain_json_in_the_context(registry: Any) -> None:
    worker = agent(registry, tool_call(NAME, code="print(1)"), "ok")
    ctx = Context(worker)
    await worker.run(user_msg=asks(csv()), ctx=ctx)
    json.dumps(ctx.to_dict(serializer=JsonSerializer()))
    staged = await ctx.store.get("code_interpreter_attachments")
    assert json.loads(json.dumps(staged)) == staged


async def test_two_files_of_one_name_are_both_there(registry: Any) -> None:
    worker = agent(registry, tool_call(NAME, code="print(1)"), "ok")
    await worker.run(user_msg=asks(csv(), csv(data=b"other")))
    assert sorted(uploads(registry).values()) == sorted([CSV, b"other"])


async def test_pictures_and_pdfs_stay_in_the_request_and_files_at_an_address_are_left_alone(registry: Any) -> None:
    pdf = DocumentBlock(data=b"%PDF-1.4 hello", title="a.pdf", document_mimetype="application/pdf")
    far = DocumentBlock(url="https://example.com/b.csv", title="b.csv", document_mimetype="text/csv")
    worker = agent(registry, tool_call(NAME, code="print(1)"), "ok")
    await worker.run(user_msg=asks(ImageBlock(image=PNG.encode(), image_mimetype="image/png"), pdf, far))
    kinds = [type(block).__name__ for block in worker.llm.seen[0][-1].blocks]
    assert kinds == ["TextBlock", "ImageBlock", "TextBlock", "DocumentBlock", "TextBlock", "DocumentBlock"]
    assert {path.rpartition(".")[2] for path in uploads(registry)} == {"png", "pdf"}


async def test_a_file_by_its_path_keeps_its_name(registry: Any, tmp_path: Any) -> None:
    (tmp_path / "mine.csv").write_bytes(CSV)
    worker = agent(registry, tool_call(NAME, code="print(1)"), "ok")
    await worker.run(user_msg=asks(DocumentBlock(path=tmp_path / "mine.csv", document_mimetype="text/csv")))
    assert uploads(registry) == {"/home/user/mine.csv": CSV}


async def test_a_file_that_could_not_be_staged_is_told_to_the_model(registry: Any) -> None:
    worker = agent(registry, tool_call(NAME, code="print(1)"), "ok")
    registry.refuses = SandboxUnreachableError("no answer")
    await worker.run(user_msg=asks(csv()))
    assert "data.csv: could not be put into the sandbox: no answer" in "\n".join(map(words, worker.llm.seen[1]))


async def test_attachments_can_be_left_to_the_provider(registry: Any) -> None:
    worker = agent(registry, tool_call(NAME, code="print(1)"), "ok", stage_attachments=False)
    await worker.run(user_msg=asks(csv()))
    assert uploads(registry) == {}
    assert isinstance(worker.llm.seen[0][-1].blocks[-1], DocumentBlock)


@pytest.mark.parametrize(("last", "shown"), [(2, 2), (1, 1), (0, 0), (None, 3)])
async def test_a_request_shows_the_last_pictures(registry: Any, last: int | None, shown: int) -> None:
    turns = [tool_call(NAME, code=f"picture()\nprint({n})") for n in range(3)]
    worker = agent(registry, *turns, "done", last_images=last)
    await worker.run(user_msg="draw")
    blocks = [block for message in worker.llm.seen[-1] for block in message.blocks]
    assert sum(isinstance(block, ImageBlock) for block in blocks) == shown


async def test_each_call_has_an_id_that_only_this_turn_has(registry: Any) -> None:
    twice = tool_call(NAME, code="print('same')")
    worker = agent(registry, twice, twice, "done")
    await worker.run(user_msg="go")
    (kernel,) = registry.kernels.values()
    first, second = kernel.call_ids
    assert None not in (first, second)
    assert first != second


async def test_two_calls_with_one_code_have_no_id_because_a_tool_cannot_tell_them_apart(registry: Any) -> None:
    same = (NAME, {"code": "print('same')"})
    await agent(registry, tool_calls(same, same), "done").run(user_msg="go")
    (kernel,) = registry.kernels.values()
    assert kernel.call_ids == [None, None]


async def test_a_call_that_was_answered_is_not_run_again(kind: Any) -> None:
    async with CodeInterpreterTool(**kind.options, scope="tool") as tool:
        code = "n = globals().get('n', 0) + 1\nprint('run', n)"
        first = await tool.arun(code, tool_call_id="call_1")
        again = await tool.arun(code, tool_call_id="call_1")
        other = await tool.arun(code, tool_call_id="call_2")
        assert [result.stdout for result in (first, again, other)] == ["run 1\n", "run 1\n", "run 2\n"]
        assert tool.run(code, tool_call_id="call_2").stdout == "run 2\n"


async def test_attached_files_on_the_real_sandbox_with_all_tools_of_a_spec(kind: Any) -> None:
    with CodeInterpreterToolSpec(**kind.options) as spec:
        llm = ScriptedLLM([tool_call("read_file", path="data.csv"), "42"])
        tools: list[Any] = spec.to_tool_list(["code_interpreter", "read_file"])
        await CodeInterpreterFunctionAgent(tools=tools, llm=llm).run(user_msg=asks(csv()))
    assert "20\n22" in llm.seen[1][-1].content
