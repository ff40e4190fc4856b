"""Charts reach models whose class drops pictures in tool messages, and each provider's real converter agrees."""

from __future__ import annotations

import asyncio
import base64
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
    """Somewhere in what goes to the provider: as base64 text, or as bytes."""
    if isinstance(converted, (bytes, bytearray)):
        return base64.b64decode(PNG) in converted or PNG.encode() in converted
    if isinstance(converted, str):
        return PNG in converted
    if isinstance(converted, dict):
        return any(holds_picture(value) for value in converted.values())
    if isinstance(converted, (list, tuple)):
        return any(holds_picture(value) for value in converted)
    if hasattr(converted, "model_dump"):
        return holds_picture(converted.model_dump())
    return False


def openai(message: ChatMessage) -> Any:
    return pytest.importorskip("llama_index.llms.openai.utils").to_openai_message_dicts([message], model="gpt-4o")


def sent_by(model: Any, message: ChatMessage, **options: Any) -> str:
    """What leaves the machine: the body of the request that a model class of OpenAI's family sends."""
    httpx = pytest.importorskip("httpx")
    sent: list[str] = []

    def answer(request: Any) -> Any:
        sent.append(request.content.decode())
        said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [said]}
        return httpx.Response(200, json=body)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    model(model="gpt-4o", api_key="none", http_client=client, **options).chat([message])
    return sent[0]


def azure_openai(message: ChatMessage) -> Any:
    model = pytest.importorskip("llama_index.llms.azure_openai").AzureOpenAI
    where = {"azure_endpoint": "https://azure.invalid", "api_version": "2024-02-01", "engine": "mine"}
    return sent_by(model, message, **where)


def openai_like(message: ChatMessage) -> Any:
    model = pytest.importorskip("llama_index.llms.openai_like").OpenAILike
    return sent_by(model, message, api_base="https://like.invalid", is_chat_model=True)


def groq(message: ChatMessage) -> Any:
    return sent_by(pytest.importorskip("llama_index.llms.groq").Groq, message)


def azure_inference(message: ChatMessage) -> Any:
    return pytest.importorskip("llama_index.llms.azure_inference.base").to_inference_message([message])


def litellm(message: ChatMessage) -> Any:
    utils = pytest.importorskip("llama_index.llms.litellm.utils", exc_type=ImportError)
    return utils.to_openai_message_dicts([message])


def openai_responses(message: ChatMessage) -> Any:
    utils = pytest.importorskip("llama_index.llms.openai.utils")
    return utils.to_openai_message_dicts([message], model="gpt-4o", is_responses_api=True)


def anthropic(message: ChatMessage) -> Any:
    return pytest.importorskip("llama_index.llms.anthropic.utils").messages_to_anthropic_messages([message])


def bedrock(message: ChatMessage) -> Any:
    utils = pytest.importorskip("llama_index.llms.bedrock_converse.utils")
    return utils.messages_to_converse_messages([message], "anthropic.claude-3-5-sonnet-20240620-v1:0")


def google(message: ChatMessage) -> Any:
    utils = pytest.importorskip("llama_index.llms.google_genai.utils")
    return asyncio.run(utils.chat_message_to_gemini(message, file_mode="inline", tool_id_to_name={"c1": "code"}))


def mistral(message: ChatMessage) -> Any:
    return pytest.importorskip("llama_index.llms.mistralai.base").to_mistral_chatmessage([message])


def ollama(message: ChatMessage) -> Any:
    base = pytest.importorskip("llama_index.llms.ollama.base")
    return base.Ollama(model="m")._convert_to_ollama_messages([message])


DELIVERS = {
    openai: False, azure_openai: False, openai_like: False, groq: False, azure_inference: False,
    openai_responses: True, anthropic: True, bedrock: True, google: True, litellm: True, mistral: True, ollama: True,
}  # fmt: skip
"""The table in docs/llamaindex.md. Run where the providers' packages are installed."""


@pytest.mark.parametrize("convert", DELIVERS)
def test_who_delivers_a_picture_in_a_tool_message(convert: Any) -> None:
    assert holds_picture(convert(tool_message())) is DELIVERS[convert]


@pytest.mark.parametrize("convert", DELIVERS)
def test_who_delivers_it_in_a_user_message(convert: Any) -> None:
    assert holds_picture(convert(user_message())) is (convert is not azure_inference)
