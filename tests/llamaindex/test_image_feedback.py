"""Charts reach models whose class drops pictures in tool messages, and each provider's real converter agrees."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock

from ci_integrations.llamaindex import (
    CodeInterpreterTool,
    ImageFeedbackFunctionAgent,
    ImageFeedbackReActAgent,
    artifacts_from,
)
from ci_integrations.testing import ScriptedLLM, tool_call, tool_calls

NAME = "code_interpreter"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"  # one pixel


async def test_pictures_follow_the_tool_messages_in_one_user_message(registry: Any) -> None:
    llm = ScriptedLLM([tool_calls((NAME, {"code": "picture()"}), (NAME, {"code": "picture()\nprint(2)"})), "done"])
    agent = ImageFeedbackFunctionAgent(tools=[CodeInterpreterTool(registry)], llm=llm)
    answer = await agent.run(user_msg="go")
    *_, first, second, shown = llm.seen[1]
    assert [message.role.value for message in (first, second, shown)] == ["tool", "tool", "user"]
    assert not any(isinstance(block, ImageBlock) for message in (first, second) for block in message.blocks)
    assert sum(isinstance(block, ImageBlock) for block in shown.blocks) == 2
    assert len(artifacts_from(answer)) == 2


async def test_no_picture_no_message(registry: Any) -> None:
    llm = ScriptedLLM([tool_call(NAME, code="print(1)"), "done"])
    await ImageFeedbackFunctionAgent(tools=[CodeInterpreterTool(registry)], llm=llm).run(user_msg="go")
    assert llm.seen[1][-1].role.value == "tool"


async def test_react_sees_the_picture(registry: Any) -> None:
    thought = 'Thought: draw\nAction: code_interpreter\nAction Input: {"code": "picture()"}'
    llm = ScriptedLLM([thought, "Thought: seen\nAnswer: nice"], function_calling=False)
    agent = ImageFeedbackReActAgent(tools=[CodeInterpreterTool(registry)], llm=llm)
    assert str(await agent.run(user_msg="go")) == "nice"
    assert any(isinstance(block, ImageBlock) for message in llm.seen[1] for block in message.blocks)


async def test_in_an_agent_workflow(registry: Any) -> None:
    llm = ScriptedLLM([tool_call(NAME, code="picture()"), "done"])
    agent = ImageFeedbackFunctionAgent(tools=[CodeInterpreterTool(registry)], llm=llm)
    await AgentWorkflow(agents=[agent]).run(user_msg="go")
    assert isinstance(llm.seen[1][-1].blocks[-1], ImageBlock)


async def test_return_direct_ends_without_another_message(registry: Any) -> None:
    llm = ScriptedLLM([tool_call(NAME, code="picture()\nprint('done')")])
    agent = ImageFeedbackFunctionAgent(tools=[CodeInterpreterTool(registry, return_direct=True)], llm=llm)
    answer = await agent.run(user_msg="go")
    assert "done" in str(answer)
    assert artifacts_from(answer)


# What providers' own converters do with a picture in a tool message and in a user message -----------------------------


def tool_message() -> ChatMessage:
    blocks = [TextBlock(text="drawn"), ImageBlock(image=PNG.encode(), image_mimetype="image/png")]
    return ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "c1"})


def user_message() -> ChatMessage:
    return ChatMessage(role="user", blocks=[TextBlock(text="see"), ImageBlock(image=PNG.encode())])


def holds_picture(converted: Any) -> bool:
    return PNG[:40] in repr(converted) or PNG[:40].encode() in repr(converted).encode()


def converter(name: str) -> Any:
    if name == "openai":
        utils = pytest.importorskip("llama_index.llms.openai.utils")
        return lambda message: utils.to_openai_message_dicts([message], model="gpt-4o")
    if name == "openai-responses":
        utils = pytest.importorskip("llama_index.llms.openai.utils")
        return lambda message: utils.to_openai_message_dicts([message], model="gpt-4o", is_responses_api=True)
    if name == "anthropic":
        utils = pytest.importorskip("llama_index.llms.anthropic.utils")
        return lambda message: utils.messages_to_anthropic_messages([message])
    utils = pytest.importorskip("llama_index.llms.bedrock_converse.utils")
    return lambda message: utils.messages_to_converse_messages([message], "anthropic.claude-3-5-sonnet-20240620-v1:0")


@pytest.mark.parametrize(
    ("name", "delivered"), [("openai", False), ("openai-responses", True), ("anthropic", True), ("bedrock", True)]
)
def test_who_delivers_a_picture_in_a_tool_message(name: str, delivered: bool) -> None:
    assert holds_picture(converter(name)(tool_message())) is delivered


@pytest.mark.parametrize("name", ["openai", "openai-responses", "anthropic"])
def test_everybody_delivers_it_in_a_user_message(name: str) -> None:
    assert holds_picture(converter(name)(user_message()))
