"""The middleware in real agents: prompt, pictures, attachments, state, the end of a run, redaction."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import RedactionRule
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from pictures import picture

from ci_integrations.errors import ConfigurationError, SandboxUnreachableError
from ci_integrations.langchain import (
    CodeInterpreterMiddleware,
    CodeInterpreterTool,
    CodeInterpreterToolkit,
    create_code_agent,
)
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import ScriptedChatModel

SEEING = {"image_inputs": True, "image_tool_message": True}


def calls(code: str) -> Any:
    return ScriptedChatModel.call("code_interpreter", code=code)


def thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def answers(state: Any) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def with_middleware(registry: Any, *turns: Any, profile: Any = None, **options: Any) -> tuple[Any, ScriptedChatModel]:
    model = ScriptedChatModel([*turns, "done"], profile=profile)
    return create_agent(model, middleware=[CodeInterpreterMiddleware(CodeInterpreterTool(registry), **options)]), model


async def invoke(agent: Any, messages: Any, config: Any, *, blocking: bool) -> Any:
    return (
        agent.invoke({"messages": messages}, config)
        if blocking
        else await agent.ainvoke({"messages": messages}, config)
    )


both = pytest.mark.parametrize("blocking", [True, False])


@both
async def test_it_brings_the_tool_and_a_short_prompt(registry, blocking):
    agent, model = with_middleware(registry, calls("6 * 7"))
    state = await invoke(agent, "go", thread("t"), blocking=blocking)
    assert answers(state)[0].content == "Out: 42"
    assert model.bound_tools[0] == ["code_interpreter"]
    assert "code_interpreter" in model.calls[0][0].text
    assert len(model.calls[0][0].text) < 600


@both
@pytest.mark.parametrize("prewarm", [True, False])
async def test_the_sandbox_is_opened_beside_the_first_model_call(registry, prewarm, blocking):
    agent, _ = with_middleware(registry, prewarm=prewarm)
    await invoke(agent, "go", thread("t"), blocking=blocking)
    assert registry.prewarmed == (["t"] if prewarm else [])


def test_the_agents_own_prompt_stands_before_ours(registry):
    model = ScriptedChatModel(["done"])
    create_code_agent(model, interpreter=CodeInterpreterTool(registry), system_prompt="Be kind.").invoke(
        {"messages": "go"}
    )
    assert model.calls[0][0].text.startswith("Be kind.\n\nYou can run code")


def drawing(registry: Any, thread_id: str, *sizes: int) -> None:
    registry.session(thread_id).names["pictures"] = [picture(size, size, size) for size in sizes]


@both
async def test_a_model_that_sees_is_shown_the_last_pictures(registry, blocking):
    drawing(registry, "t", 20, 30, 40)
    turns = [calls(f"give(pictures[{n}])") for n in range(3)]
    agent, model = with_middleware(registry, *turns, profile=SEEING, last_images=2)
    state = await invoke(agent, "go", thread("t"), blocking=blocking)
    shown = [message for message in model.calls[-1] if isinstance(message, ToolMessage)]
    assert [isinstance(message.content, list) for message in shown] == [False, True, True]
    assert shown[2].content[1]["base64"] == picture(40, 40, 40).data
    assert all(isinstance(message.content, str) for message in answers(state))  # the state keeps the bytes once


def test_a_blind_model_is_shown_none(registry):
    drawing(registry, "t", 20)
    agent, model = with_middleware(registry, calls("give(pictures[0])"))
    agent.invoke({"messages": "go"}, thread("t"))
    assert all(isinstance(message.content, str) for message in model.calls[-1] if isinstance(message, ToolMessage))


def test_pictures_follow_in_a_user_message_where_tool_messages_take_none(registry):
    drawing(registry, "t", 20, 30)
    both_calls = ScriptedChatModel.parallel_calls(
        ("code_interpreter", {"code": "give(pictures[0])"}), ("code_interpreter", {"code": "give(pictures[1])"})
    )
    agent, model = with_middleware(
        registry, both_calls, profile={"image_inputs": True, "image_tool_message": False}, last_images=4
    )
    agent.invoke({"messages": "go"}, thread("t"))
    kinds = [message.type for message in model.calls[-1]]
    assert kinds == ["system", "human", "ai", "tool", "tool", "human"]
    assert sum(block["type"] == "image" for block in model.calls[-1][-1].content) == 2


def attached(name: str, data: bytes, mime: str = "text/csv") -> HumanMessage:
    block = {"type": "file", "base64": base64.b64encode(data).decode(), "mime_type": mime, "filename": name}
    return HumanMessage([{"type": "text", "text": "look at this"}, block])


@both
async def test_an_attached_file_is_in_the_sandbox_and_named_to_the_model(registry, blocking):
    agent, model = with_middleware(registry, calls("1"))
    await invoke(agent, [attached("../../etc/data.csv", b"a,b\n1,2\n")], thread("t"), blocking=blocking)
    assert registry.sessions["t"].files == {"/home/user/data.csv": b"a,b\n1,2\n"}
    told = model.calls[0][1].content
    assert [block["type"] for block in told] == ["text", "text"]
    assert told[1]["text"] == "[attached file, in the sandbox: /home/user/data.csv (8 bytes)]"


def test_a_file_is_staged_once_and_only_when_code_is_to_run(registry):
    model = ScriptedChatModel(["no code needed", calls("1"), "done", calls("2"), "done"])
    agent = create_agent(
        model, middleware=[CodeInterpreterMiddleware(CodeInterpreterTool(registry), prewarm=False)],
        checkpointer=InMemorySaver(),
    )  # fmt: skip
    agent.invoke({"messages": [attached("a.csv", b"1")]}, thread("t"))
    assert "t" not in registry.sessions
    agent.invoke({"messages": "now run"}, thread("t"))
    agent.invoke({"messages": "again"}, thread("t"))
    assert registry.sessions["t"].uploads == ["/home/user/a.csv"]


def test_a_new_sandbox_in_the_old_ones_place_gets_the_files_again(registry):
    agent = create_agent(
        ScriptedChatModel([calls("1"), "done", calls("2"), "done"]),
        middleware=[CodeInterpreterMiddleware(CodeInterpreterTool(registry))],
        checkpointer=InMemorySaver(),
    )
    agent.invoke({"messages": [attached("a.csv", b"1")]}, thread("t"))
    session = registry.sessions["t"]
    session.memory.part_with(session.sandbox_id)
    session.sandbox_id = "another"
    agent.invoke({"messages": "again"}, thread("t"))
    assert registry.sessions["t"].uploads == ["/home/user/a.csv"] * 2


def test_two_files_of_one_name_are_both_there(registry):
    agent, _ = with_middleware(registry, calls("1"))
    agent.invoke({"messages": [attached("a.csv", b"one"), attached("a.csv", b"two")]}, thread("t"))
    assert sorted(registry.sessions["t"].files.values()) == [b"one", b"two"]


def test_pictures_and_pdfs_stay_in_the_request_as_well(registry):
    agent, model = with_middleware(registry)
    agent.invoke({"messages": [attached("a.pdf", b"%PDF-", "application/pdf")]}, thread("t"))
    assert [block["type"] for block in model.calls[0][1].content] == ["text", "file", "text"]


def test_a_file_that_could_not_be_staged_is_told_to_the_model(registry):
    registry.session("t").fail_upload = SandboxUnreachableError("no answer")
    agent, model = with_middleware(registry, calls("1"))
    agent.invoke({"messages": [attached("a.csv", b"1")]}, thread("t"))
    assert "could not be put into the sandbox: no answer" in model.calls[1][1].content[1]["text"]


@both
async def test_the_sessions_identity_is_in_the_state_and_out_of_sight(registry, blocking):
    checkpoints = InMemorySaver()
    model = ScriptedChatModel([ScriptedChatModel.parallel_calls(*[("code_interpreter", {"code": "1"})] * 3), "done"])
    agent = create_agent(
        model, middleware=[CodeInterpreterMiddleware(CodeInterpreterTool(registry))], checkpointer=checkpoints
    )
    state = await invoke(agent, "go", thread("t"), blocking=blocking)
    assert "code_interpreter" not in state
    held = agent.get_state(thread("t")).values["code_interpreter"]
    assert held["identity"] == registry.sessions["t"].identity()
    assert json.loads(json.dumps(held)) == held


@both
async def test_another_process_takes_the_session_over(registry, blocking):
    from fakes import FakeRegistry

    checkpoints, elsewhere = InMemorySaver(), FakeRegistry()
    for place, turns in ((registry, [calls("x = 1"), "done"]), (elsewhere, [calls("x"), "done"])):
        middleware = CodeInterpreterMiddleware(CodeInterpreterTool(place))
        agent = create_agent(ScriptedChatModel(turns), middleware=[middleware], checkpointer=checkpoints)
        await invoke(agent, "go", thread("t"), blocking=blocking)
    assert elsewhere.sessions["t"].memory.named == registry.sessions["t"].identity()


@both
@pytest.mark.parametrize(("end", "closed", "paused"), [("keep", 0, 0), ("pause", 0, 1), ("kill", 1, 0)])
async def test_the_end_of_a_run_is_as_it_was_asked_for(registry, end, closed, paused, blocking):
    agent, _ = with_middleware(registry, calls("1"), end_of_run=end)
    session = registry.session("t")
    await invoke(agent, "go", thread("t"), blocking=blocking)
    assert (len(registry.closed), session.pauses) == (closed, paused)


def test_langchains_redaction_rules_apply_to_everything_the_code_says(registry):
    rules = [RedactionRule(pii_type="email"), re.compile(r"\d{3}-\d{2}-\d{4}"), "hunter2-hunter2"]
    agent, _ = with_middleware(registry, calls("print('me@example.org 123-45-6789'); 'hunter2-hunter2'"), redact=rules)
    state = agent.invoke({"messages": "go"}, thread("t"))
    [message] = answers(state)
    result = ExecutionResult.from_message(message)
    for secret in ("me@example.org", "123-45-6789"):
        assert secret not in message.content
        assert secret not in result.stdout
    assert "hunter2" not in (result.text or "")


def test_a_rule_that_would_raise_is_refused():
    with pytest.raises(ConfigurationError, match="block"):
        CodeInterpreterMiddleware(backend="local", redact=[RedactionRule(pii_type="email", strategy="block")])


def test_options_go_to_the_tool_or_come_with_it(registry):
    with pytest.raises(ConfigurationError, match="handed in"):
        CodeInterpreterMiddleware(CodeInterpreterTool(registry), template="mine")


def test_the_tool_that_was_handed_in_is_left_as_it_is(registry):
    tool = CodeInterpreterTool(registry, images="always")
    middleware = CodeInterpreterMiddleware(tool)
    assert tool.images == "always"
    assert middleware.tools[0].images == "never"
    assert middleware.tools[0].sessions is tool.sessions


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"end_of_run": "stop"}, "end_of_run"),
        ({"last_images": -1}, "last_images"),
        ({"tool": 5}, "SessionRegistry or a CodeInterpreter"),
        ({"tool": CodeInterpreterToolkit(backend="local", include=[])}, "no tools"),
    ],
)
def test_wrong_options_are_refused_in_words(options, said):
    with pytest.raises(ConfigurationError, match=said):
        CodeInterpreterMiddleware(**options)


def test_a_registry_or_an_interpreter_is_enough(registry):
    model = ScriptedChatModel([calls("6 * 7"), "done"])
    state = create_code_agent(model, interpreter=registry).invoke({"messages": "go"}, thread("t"))
    assert answers(state)[0].content == "Out: 42"


def test_the_prompt_names_the_tool_as_it_is_called(registry):
    prompts = []
    for tool in (
        CodeInterpreterTool(registry, name="python"),
        CodeInterpreterToolkit(registry, include=["list_files"]),
    ):
        model = ScriptedChatModel(["done"])
        create_agent(model, middleware=[CodeInterpreterMiddleware(tool)]).invoke({"messages": "go"}, thread("t"))
        prompts.append(model.calls[0][0].text)
    assert "the tool `python`" in prompts[0]
    assert prompts[1] == "go"  # no prompt of ours where there is no code to run
