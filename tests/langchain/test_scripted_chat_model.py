"""The scripted model that users test their own agents with."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from ci_integrations.testing import ScriptedChatModel


@tool
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


def test_it_says_its_turns_and_remembers_what_it_was_asked():
    model = ScriptedChatModel(["one", AIMessage("two")])
    assert [model.invoke("a").text, model.invoke("b").text] == ["one", "two"]
    assert [messages[0].text for messages in model.calls] == ["a", "b"]


def test_a_turn_may_look_at_the_conversation():
    model = ScriptedChatModel([ScriptedChatModel.call("double", n=21), lambda messages: f"It is {messages[-1].text}."])
    state = create_agent(model, tools=[double]).invoke({"messages": "go"})
    assert state["messages"][-1].text == "It is 42."
    assert model.bound_tools[-1] == ["double"]


def test_a_turn_may_be_a_failure_of_the_model():
    with pytest.raises(TimeoutError):
        ScriptedChatModel([TimeoutError("model is away")]).invoke("a")


def test_a_script_that_is_over_says_so():
    model = ScriptedChatModel(["one"])
    model.invoke("a")
    with pytest.raises(RuntimeError, match="the script has 1 turns"):
        model.invoke("b")


def test_it_streams_words_and_tool_calls():
    message = ScriptedChatModel.call("double", text="I will double it.", n=1)
    whole = None
    pieces = []
    for chunk in ScriptedChatModel([message]).stream([HumanMessage("a")]):
        pieces.append(chunk.text)
        whole = chunk if whole is None else whole + chunk
    assert [piece for piece in pieces if piece] == ["I", " will", " double", " it."]
    assert whole.tool_calls[0]["args"] == {"n": 1}


async def test_it_streams_in_an_agent():
    model = ScriptedChatModel([ScriptedChatModel.call("double", n=1), "It is two."])
    agent = create_agent(model, tools=[double])
    texts = [chunk.text async for chunk, _ in agent.astream({"messages": "go"}, stream_mode="messages")]
    assert "".join(texts).endswith("It is two.")


def test_ids_of_calls_are_unique_unless_given():
    first, second = (ScriptedChatModel.call("double", n=1) for _ in range(2))
    assert first.tool_calls[0]["id"] != second.tool_calls[0]["id"]
    assert ScriptedChatModel.call("double", call_id="mine", n=1).tool_calls[0]["id"] == "mine"


def test_its_abilities_are_what_is_set():
    assert ScriptedChatModel(["x"], profile={"image_inputs": True}).profile == {"image_inputs": True}
