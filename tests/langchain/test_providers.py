"""Our messages through the real converters of LangChain's provider packages, offline. The table in the docs is this."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pictures import ONE_PICTURE

from ci_integrations.langchain import to_tool_message
from ci_integrations.langchain._images import place_for, with_images
from ci_integrations.results import ExecutionError, ExecutionResult

ASKED = [
    HumanMessage("go"),
    AIMessage("", tool_calls=[{"name": "code_interpreter", "args": {"code": "1"}, "id": "c1", "type": "tool_call"}]),
]


def anthropic() -> tuple[Any, Callable[[list[Any]], Any]]:
    module = pytest.importorskip("langchain_anthropic")
    model = module.ChatAnthropic(model="claude-sonnet-4-5", api_key="no key")
    return model, lambda messages: model._get_request_payload(messages)["messages"][2:]


def openai(*, responses: bool) -> tuple[Any, Callable[[list[Any]], Any]]:
    module = pytest.importorskip("langchain_openai")
    model = module.ChatOpenAI(model="gpt-4o", api_key="no key", use_responses_api=responses)
    return model, lambda messages: model._get_request_payload(messages)["input" if responses else "messages"][2:]


def google() -> tuple[Any, Callable[[list[Any]], Any]]:
    module = pytest.importorskip("langchain_google_genai")
    model = module.ChatGoogleGenerativeAI(model="gemini-2.5-pro", google_api_key="no key")
    return model, lambda messages: [
        part.model_dump(exclude_none=True) for c in _contents(model, messages) for part in c
    ]


def _contents(model: Any, messages: list[Any]) -> list[Any]:
    return [content.parts for content in model._prepare_request(messages)["contents"][2:]]


PROVIDERS = {
    "anthropic": anthropic,
    "openai-chat": lambda: openai(responses=False),
    "openai-responses": lambda: openai(responses=True),
    "google": google,
}
TEXT_OF: dict[str, Callable[[Any], Any]] = {
    "anthropic": lambda sent: sent[0]["content"][0]["content"],
    "openai-chat": lambda sent: sent[0]["content"],
    "openai-responses": lambda sent: sent[0]["output"],
    "google": lambda sent: sent[0]["function_response"]["response"]["output"],
}
providers = pytest.mark.parametrize("provider", PROVIDERS)


def answer(result: ExecutionResult, **options: Any) -> ToolMessage:
    return to_tool_message(result, tool_call_id="c1", **options)


def sent_by(provider: str, message: ToolMessage) -> Any:
    return PROVIDERS[provider]()[1]([*ASKED, message])


@providers
def test_text_arrives_as_it_is(provider):
    sent = sent_by(provider, answer(ExecutionResult(text="42", stdout="hi\n")))
    assert TEXT_OF[provider](sent) == "hi\nOut: 42"


@providers
@pytest.mark.parametrize("printed", ['{"a": 1}', "42", "null", '["x"]', '"quoted"'])
def test_what_looks_like_json_stays_text(provider, printed):
    sent = sent_by(provider, answer(ExecutionResult(stdout=printed)))
    assert TEXT_OF[provider](sent) == f"stdout:\n{printed}"


@providers
def test_no_provider_loses_an_error(provider):
    failed = ExecutionResult(error=ExecutionError(name="ValueError", value="no such column"))
    sent = sent_by(provider, answer(failed))
    assert TEXT_OF[provider](sent) == "Error: ValueError: no such column"
    if provider == "anthropic":
        assert sent[0]["content"][0]["is_error"] is True


@providers
def test_a_picture_is_sent_as_a_picture_where_the_provider_takes_it(provider):
    """In the form of the middleware: each model gets it where it looks for it."""
    model, convert = PROVIDERS[provider]()
    message = answer(ExecutionResult(artifacts=(ONE_PICTURE,)))
    place = place_for(model)
    assert place == ("user" if provider == "openai-chat" else "tool")
    sent = convert(with_images([*ASKED, message], place, last=2, max_px=1024, store=None))
    found = picture_in(sent)
    assert found == (provider, True)
    assert "base64" not in " ".join(texts_in(sent))
    assert ONE_PICTURE.data[:60] not in " ".join(texts_in(sent))


def picture_in(sent: Any) -> tuple[str, bool]:
    """(how it was sent, whether the whole picture is in it)."""
    if "function_response" in str(sent[-1])[:40] or "inline_data" in sent[0]:
        return "google", any(part.get("inline_data", {}).get("data") == ONE_PICTURE.read() for part in sent)
    last = sent[-1]
    if last.get("type") == "function_call_output":
        return "openai-responses", last["output"][1]["image_url"].endswith(ONE_PICTURE.data)
    if last["content"][0].get("type") == "tool_result":
        return "anthropic", last["content"][0]["content"][1]["source"]["data"] == ONE_PICTURE.data
    return "openai-chat", last["content"][1]["image_url"]["url"].endswith(ONE_PICTURE.data)


def texts_in(value: Any) -> list[str]:
    """Every string under a key that holds words."""
    if isinstance(value, dict):
        own = [item for key, item in value.items() if key in ("text", "content", "output") and isinstance(item, str)]
        return own + [text for item in value.values() for text in texts_in(item)]
    return [text for item in value for text in texts_in(item)] if isinstance(value, list) else []


@providers
def test_every_kind_of_artifact_stays_out_of_the_request(provider):
    """Only words and pictures go to a model: HTML, SVG, PDF, JSON and files are the application's."""
    from ci_integrations.results import JsonArtifact, PdfArtifact, TextArtifact

    kinds = [
        *(TextArtifact(id=f"a{n}", kind=kind, text="<secret/>" * 500) for n, kind in enumerate(("html", "svg"))),
        PdfArtifact(id="a2", data="JVBERi0xLjQK"),
        JsonArtifact(id="a3", data={"deep": "x" * 5000}),
    ]
    sent = json.dumps(sent_by(provider, answer(ExecutionResult(artifacts=tuple(kinds)), images=True)), default=str)
    assert len(sent) < 2500
    assert "JVBERi" not in sent
