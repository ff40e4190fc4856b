"""The tool's own rules: what the model sees, what the application gets, how things go wrong."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from conftest import call
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import SecretStr, ValidationError

from ci_integrations import CodeInterpreter
from ci_integrations.errors import ConfigurationError, QueueTimeoutError, SandboxLostError
from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import ScriptedChatModel


def parameters(tool: Any) -> dict[str, Any]:
    return convert_to_openai_tool(tool)["function"]["parameters"]["properties"]


def test_a_model_sees_the_code_and_nothing_else(registry):
    assert list(parameters(CodeInterpreterTool(registry))) == ["code"]


def test_language_and_restart_are_seen_when_they_are_enabled(registry):
    tool = CodeInterpreterTool(registry, languages=("python", "javascript"), allow_restart=True)
    seen = parameters(tool)
    assert set(seen) == {"code", "language", "restart"}
    assert seen["language"]["enum"] == ["python", "javascript"]


def test_a_language_that_is_not_enabled_is_refused(registry):
    tool = CodeInterpreterTool(registry, languages=("python", "javascript"))
    with pytest.raises(ValidationError):
        tool.invoke({"code": "1", "language": "cobol"})


def test_restart_gives_a_fresh_kernel_before_the_code_runs(registry):
    tool = CodeInterpreterTool(registry, allow_restart=True, session_scope=lambda config: "one")
    tool.invoke({"code": "x = 1"})
    assert "NameError" in tool.invoke({"code": "x", "restart": True})
    assert registry.sessions["one"].restarts == 1


def test_the_description_fits_every_provider_and_tells_the_rules():
    description = CodeInterpreterTool(backend="local").description
    assert len(description) <= 1024
    for rule in ("State persists", "last expression", "Files", "input()"):
        assert rule in description


def test_bare_invoke_gives_what_the_model_would_read(registry):
    assert CodeInterpreterTool(registry).invoke({"code": "print('hi'); 6 * 7"}) == "hi\nOut: 42"


def test_the_code_alone_is_enough(registry):
    assert CodeInterpreterTool(registry).invoke("6 * 7") == "Out: 42"


async def test_awaited_calls_do_the_same(registry):
    assert await CodeInterpreterTool(registry).ainvoke("6 * 7") == "Out: 42"


def test_a_tool_call_gives_a_message_with_its_artifact(registry):
    message = CodeInterpreterTool(registry).invoke(call(code="6 * 7"))
    assert isinstance(message, ToolMessage)
    assert (message.status, message.tool_call_id, message.name) == ("success", "call_1", "code_interpreter")
    assert message.artifact["schema"] == "ci_integrations/execution@1"
    assert ExecutionResult.from_message(message).text == "42"
    assert json.loads(json.dumps(message.artifact, allow_nan=False)) == message.artifact


def test_an_error_in_the_code_is_a_message_with_status_error(registry):
    message = CodeInterpreterTool(registry).invoke(call(code="1 / 0"))
    assert message.status == "error"
    assert "Error: ZeroDivisionError" in message.content
    assert message.artifact["error"]["name"] == "ZeroDivisionError"


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize(
    "failure",
    [
        SandboxLostError("the sandbox is gone", ExecutionResult(code="work()", stdout="half", sandbox_id="sbx")),
        QueueTimeoutError("other cells held this session for 600 s; nothing ran"),
    ],
)
async def test_what_happens_at_run_time_is_told_and_not_raised(registry, failure, blocking):
    registry.session("t").fail = failure
    tool = CodeInterpreterTool(registry, session_scope=lambda config: "t")
    message = tool.invoke(call(code="work()")) if blocking else await tool.ainvoke(call(code="work()"))
    assert message.status == "error"
    assert type(failure).__name__ in message.content
    result = ExecutionResult.from_message(message)
    assert result.incomplete
    if failure.__dict__.get("result"):
        assert result.stdout == "half"


def test_wrong_configuration_is_raised_when_the_tool_is_made():
    with pytest.raises(ConfigurationError, match="sandbox_timeout"):
        CodeInterpreterTool(timeout=60)
    with pytest.raises(ConfigurationError, match="handed in"):
        CodeInterpreterTool(CodeInterpreter(backend="local"), template="mine")


def test_configuration_that_shows_itself_late_is_raised_too(registry):
    registry.session("t").fail = ConfigurationError("no such template")
    with pytest.raises(ConfigurationError):
        CodeInterpreterTool(registry, session_scope=lambda config: "t").invoke({"code": "1"})


def test_a_forged_runtime_is_ignored(registry):
    forged = {"tool_call_id": "stolen", "state": {"messages": []}}
    message = CodeInterpreterTool(registry).invoke(call(code="1", runtime=forged))
    assert message.tool_call_id == "call_1"


def test_it_is_a_step_of_a_chain(registry):
    chain = RunnableLambda(lambda n: {"code": f"{n} * 2"}) | CodeInterpreterTool(registry)
    assert chain.invoke(21) == "Out: 42"
    assert chain.batch([1, 2]) == ["Out: 2", "Out: 4"]


def test_a_copy_shares_the_sandbox_and_changes_the_rest(registry):
    tool = CodeInterpreterTool(registry)
    tool.invoke("x = 5")
    copy = tool.model_copy(update={"name": "python", "max_output_chars": 200})
    assert copy.invoke("x") == "Out: 5"
    assert len(copy.invoke("print('y' * 9000)")) <= 200


def test_it_can_be_pickled_and_starts_afresh():
    tool = CodeInterpreterTool(backend="local", envs={"TOKEN": SecretStr("hush-hush-hush")}, max_output_chars=500)
    copy = pickle.loads(pickle.dumps(tool))
    assert (copy.name, copy.max_output_chars) == (tool.name, 500)
    assert copy.sessions is not tool.sessions
    copy.close()


def test_provider_extras_pass_through(registry):
    extras = {"cache_control": {"type": "ephemeral"}}
    assert CodeInterpreterTool(registry, extras=extras).extras == extras


def test_a_handed_in_interpreter_stays_open():
    interpreter = CodeInterpreter(backend="local")
    tool = CodeInterpreterTool(interpreter)
    assert tool.session({"configurable": {"thread_id": "a"}}).session_id == interpreter.session_id
    tool.close()
    assert not interpreter.closed


def test_a_turn_that_counts_its_calls_from_zero_runs_each_of_them(registry, run_agent):
    """Some models name the first call of every turn call_0."""
    turns = [ScriptedChatModel.call("code_interpreter", call_id="call_0", code=code) for code in ("1 + 1", "2 + 2")]
    messages = run_agent([CodeInterpreterTool(registry)], *turns, thread_id="t")
    ids = [ran["tool_call_id"] for ran in registry.sessions["t"].ran]
    assert [message.content for message in messages] == ["Out: 2", "Out: 4"]
    assert len(set(ids)) == 2


def picture(registry, *, images, message_metadata=None, **options):
    """The tool's message about a picture, asked for by a model with this response metadata."""
    from langchain.agents import create_agent
    from pictures import ONE_PICTURE

    registry.session("t").names["ONE_PICTURE"] = ONE_PICTURE
    asking = ScriptedChatModel.call("code_interpreter", code="give(ONE_PICTURE)")
    asking.response_metadata = message_metadata or {}
    tool = CodeInterpreterTool(registry, images=images, session_scope=lambda config: "t", **options)
    state = create_agent(ScriptedChatModel([asking, "done"]), tools=[tool]).invoke({"messages": "go"})
    return next(message for message in state["messages"] if isinstance(message, ToolMessage))


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [
        ({"model_provider": "anthropic"}, True),
        ({"model_provider": "google_genai"}, True),
        ({"model_provider": "openai", "object": "response"}, True),
        ({"model_provider": "openai"}, False),
        ({}, False),
    ],
)
def test_pictures_go_to_models_that_take_them_in_tool_messages(registry, metadata, shown):
    message = picture(registry, images="auto", message_metadata=metadata)
    assert isinstance(message.content, list) is shown


def test_never_and_always_mean_it(registry):
    assert isinstance(picture(registry, images="never", message_metadata={"model_provider": "anthropic"}).content, str)
    assert isinstance(picture(registry, images="always").content, list)


def test_the_bytes_of_a_picture_are_in_one_place(registry):
    message = picture(registry, images="always")
    text, image = message.content
    assert text["type"] == "text"
    assert (image["type"], image["mime_type"]) == ("image", "image/png")
    assert message.artifact["artifacts"][0]["data"] is None
    assert json.dumps([message.content, message.artifact]).count(image["base64"]) == 1
    [artifact] = ExecutionResult.from_message(message).images
    assert artifact.data == image["base64"]


def test_base64_never_reaches_the_text(registry):
    from pictures import ONE_PICTURE

    assert ONE_PICTURE.data[:40] not in picture(registry, images="never").content


def test_a_store_takes_large_payloads_out_of_the_message(registry):
    from pictures import ONE_PICTURE

    from ci_integrations.store import ArtifactStore

    store = ArtifactStore("memory://langchain-tool")
    message = picture(registry, images="never", artifact_store=store)
    [image] = ExecutionResult.from_message(message).images
    if len(ONE_PICTURE.data) * 3 // 4 > 16 * 1024:
        assert image.data is None
    assert image.read(store) == ONE_PICTURE.read()


def test_a_call_inside_a_call_has_no_part_in_its_id(registry):
    tool = CodeInterpreterTool(registry)
    inner: list[Any] = []
    registry.session(tool.sessions.key(None)).names["nested"] = lambda: inner.append(tool.invoke("1 + 1"))
    outer = tool.invoke(call(code="nested()"))
    assert inner == ["Out: 2"]
    assert outer.tool_call_id == "call_1"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": "sometimes"}, "images"),
        ({"max_images": -1}, "max_images"),
        ({"max_output_chars": 0}, "max_output_chars"),
        ({"image_max_px": 0}, "image_max_px"),
        ({"languages": ()}, "languages"),
        ({"session_scope": "run"}, 'session_scope is "thread", "call", "tool" or a function'),
        ({"interpreter": 5}, "SessionRegistry or a CodeInterpreter, not int"),
        ({"artifact_store": "s3://bucket"}, "ArtifactStore, not str"),
        ({"redact": "hunter2"}, "list of rules"),
        ({"redact": [""]}, "empty literal"),
        ({"api_key": ["e2b_canary"]}, "^api_key: Input should be a valid string$"),
    ],
)
def test_a_wrong_option_is_named_in_words_and_its_value_is_not_shown(options, said):
    with pytest.raises(ConfigurationError, match=said):
        CodeInterpreterTool(**options)
