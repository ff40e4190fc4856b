"""Which kernel a call gets in which pattern of graphs, and what is told where the conversation has gone back."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import RemoveMessage, ToolMessage
from langchain_core.tools import tool as as_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send

from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.results.result import ExecutionResult
from ci_integrations.testing import ScriptedChatModel

THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def tool() -> Iterator[CodeInterpreterTool]:
    with CodeInterpreterTool() as made:
        yield made


def call(code: str, call_id: str | None = None) -> Any:
    return ScriptedChatModel.call("code_interpreter", call_id=call_id, code=code)


def agent(tool: CodeInterpreterTool, *codes: str, name: str | None = None, **options: Any) -> Any:
    turns = [turn for code in codes for turn in (call(code), f"Done with {code}.")]
    return create_agent(ScriptedChatModel(turns), tools=[tool], name=name, **options)


def answers(state: Any) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def graph(**nodes: Any) -> Any:
    """A graph of these nodes, one after the other, with a memory of its own."""
    made = StateGraph(MessagesState)
    made.add_sequence(list(nodes.items()))
    made.add_edge(START, next(iter(nodes)))
    return made.compile(checkpointer=InMemorySaver())


def test_flat_agent(tool):
    flat = agent(tool, "x = 1", "x", checkpointer=InMemorySaver())
    flat.invoke({"messages": "set"}, THREAD)
    assert answers(flat.invoke({"messages": "get"}, THREAD))[-1].text == "Out: 1"


def test_agent_as_a_node_of_a_larger_graph(tool):
    app = graph(guard=lambda state: {}, agent=agent(tool, "x = 1", "x"))
    app.invoke({"messages": "set"}, THREAD)
    last = answers(app.invoke({"messages": "get"}, THREAD))[-1]
    assert (last.text, last.artifact["events"]) == ("Out: 1", [])


def test_agents_that_share_their_messages_share_the_kernel(tool):
    app = graph(alice=agent(tool, "x = 1", name="alice"), bob=agent(tool, "x + 1", name="bob"))
    assert answers(app.invoke({"messages": "go"}, THREAD))[-1].text == "Out: 2"


def test_a_worker_that_gives_its_last_message_only_finds_its_kernel_again(tool):
    worker = agent(tool, "w = 5", "w")
    texts: list[str] = []

    def work(state: MessagesState) -> dict[str, Any]:
        messages = worker.invoke({"messages": state["messages"]})["messages"]
        texts.append(messages[-2].text)
        return {"messages": messages[-1:]}

    made = StateGraph(MessagesState)
    made.add_node("work", work)
    made.add_edge(START, "work")
    made.add_conditional_edges("work", lambda state: "work" if len(state["messages"]) < 3 else END)
    made.compile(checkpointer=InMemorySaver()).invoke({"messages": "go"}, THREAD)
    assert texts[0] == "(no output)"
    # Its earlier cell is in none of the messages that it sees now: that is said.
    assert "one cell has run that is not in these messages" in texts[1]
    assert texts[1].endswith("Out: 5")


def test_agents_with_messages_of_their_own_have_kernels_of_their_own_in_one_sandbox(tool):
    helper = agent(tool, "x = 'of the helper'", "globals().get('x')")

    @as_tool
    def ask_helper(question: str) -> str:
        """Ask the helper."""
        return helper.invoke({"messages": question})["messages"][-2].text

    turns = [call("x = 'of the main agent'"), *(ScriptedChatModel.call("ask_helper", question="q") for _ in "12")]
    main = create_agent(ScriptedChatModel([*turns, call("x"), "Done."]), tools=[tool, ask_helper])
    state = main.with_config(THREAD).invoke({"messages": "go"})
    texts = [message.text for message in answers(state)]
    assert texts[1:] == ["(no output)", "(no output)", "Out: of the main agent"], texts
    kernels = {message.artifact["sandbox_id"] for message in answers(state) if message.artifact}
    assert len(kernels) == 1


def test_functional_api(tool):
    compute = task(lambda code: tool.invoke({"code": code}), name="compute")
    program = entrypoint(checkpointer=InMemorySaver())(lambda code: compute(code).result())
    assert program.invoke("kept = 41; kept", THREAD) == "Out: 41"
    assert program.invoke("kept + 1", THREAD) == "Out: 42"


class Parts(TypedDict):
    said: Annotated[list[Any], operator.add]


def test_parts_of_a_job_sent_out_at_once_do_not_mix(tool):
    def say(messages: Any) -> Any:
        part = next(message.text for message in messages if message.type == "human")
        done = sum(message.type == "tool" for message in messages)
        return [call(f"part = {part}"), call("part"), "Done."][done]

    worker = create_agent(ScriptedChatModel([say] * 9), tools=[tool])

    def work(state: Any) -> dict[str, Any]:
        return {"said": [(state["part"], answers(worker.invoke({"messages": str(state["part"])}))[-1].text)]}

    made = StateGraph(Parts)
    made.add_node("work", work)
    made.add_conditional_edges(START, lambda state: [Send("work", {"part": n}) for n in (1, 2, 3)], ["work"])
    said = made.compile(checkpointer=InMemorySaver()).invoke({"said": []}, THREAD)["said"]
    assert sorted(said) == [(1, "Out: 1"), (2, "Out: 2"), (3, "Out: 3")]


def test_parts_that_share_a_history_keep_apart_and_all_but_one_are_told(tool):
    def say(messages: Any) -> Any:
        if messages[-1].type == "human":
            return (
                call("global_name = 'first'") if messages[-1].text == "begin" else call(f"mine = {messages[-1].text}")
            )
        return call("mine") if "mine =" in str(messages[-2].tool_calls) else "Done."

    model = ScriptedChatModel([say] * 20)
    worker = create_agent(model, tools=[tool])

    class Job(MessagesState):
        texts: Annotated[list[Any], operator.add]

    def part(state: Any) -> dict[str, Any]:
        return {"texts": [[message.text for message in answers(worker.invoke({"messages": state["messages"]}))][-2:]]}

    def send(state: Any) -> list[Send]:
        return [Send("part", {"messages": [*state["messages"], ("user", str(n))]}) for n in (1, 2)]

    made = StateGraph(Job)
    made.add_node("begin", worker)
    made.add_node("part", part)
    made.add_edge(START, "begin")
    made.add_conditional_edges("begin", send, ["part"])
    texts = made.compile(checkpointer=InMemorySaver()).invoke({"messages": "begin"}, THREAD)["texts"]
    assert sorted(pair[1] for pair in texts) == ["Out: 1", "Out: 2"], texts
    assert sum("fresh kernel" in pair[0] for pair in texts) == 1, texts


def test_a_summarised_history_goes_on_in_the_kernel_of_the_thread(tool):
    saver = InMemorySaver()
    flat = agent(tool, "x = 1", "x", checkpointer=saver)
    state = flat.invoke({"messages": "set"}, THREAD)
    flat.update_state(THREAD, {"messages": [RemoveMessage(message.id) for message in state["messages"]]})
    assert "Out: 1" in answers(flat.invoke({"messages": "get"}, THREAD))[-1].text


def test_time_travel_is_told_once(tool):
    flat = agent(
        tool, "rows = [1, 2]", "rows.clear(); more = 1", "len(rows)", "len(rows)", checkpointer=InMemorySaver()
    )
    flat.invoke({"messages": "load"}, THREAD)
    before = flat.get_state(THREAD).config
    flat.invoke({"messages": "clear"}, THREAD)
    message = answers(flat.invoke({"messages": "how many?"}, before))[-1]
    assert message.text.startswith("[The kernel has moved on: one cell has run that is not in these messages.")
    assert "the variable more" in message.text
    assert [event["type"] for event in message.artifact["events"]] == ["kernel_ahead"]
    assert answers(flat.invoke({"messages": "and now?"}, THREAD))[-1].text == "Out: 0"


def test_an_ordinary_conversation_is_told_nothing(tool):
    pair = [("code_interpreter", {"code": f"b{n} = {n}"}) for n in (1, 2)]
    model = ScriptedChatModel([call("a = 1"), "One.", ScriptedChatModel.parallel_calls(*pair), call("1 / 0"), "Two."])
    flat = create_agent(model, tools=[tool], checkpointer=InMemorySaver())
    flat.invoke({"messages": "first"}, THREAD)
    tool.session(THREAD).run("of_the_application = 1")
    state = flat.invoke({"messages": "second"}, THREAD)
    assert [message.artifact["events"] for message in answers(state)] == [[]] * 4


def test_a_call_that_was_cancelled_and_comes_again_does_not_run_twice(tool):
    code = "open('log', 'a').write('x')\nimport time\ntime.sleep(60)"
    model = ScriptedChatModel([call(code), "Done."])
    flat = create_agent(model, tools=[tool], checkpointer=InMemorySaver())

    async def cancelled_and_resumed() -> tuple[Any, bytes]:
        session = tool.session(THREAD).as_async()
        await session.run("1")
        running = asyncio.create_task(flat.ainvoke({"messages": "send"}, THREAD))
        while not any(entry.name == "log" for entry in await session.list_files()):
            await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait([running])
        return await flat.ainvoke(None, THREAD), await session.download("/home/user/log")

    state, log = asyncio.run(cancelled_and_resumed())
    assert log == b"x"
    assert "may have run in part" in answers(state)[-1].text
    assert answers(state)[-1].artifact["remembered"] is True


def test_a_checkpoint_of_an_earlier_version_loads(tool):
    answer = tool.invoke({"type": "tool_call", "name": tool.name, "id": "1", "args": {"code": "1"}}, THREAD)
    earlier = {name: value for name, value in answer.artifact.items() if name not in ("kernel", "remembered")}
    assert ExecutionResult.from_message(answer.model_copy(update={"artifact": earlier})).kernel is None
    assert ExecutionResult.from_message(answer).kernel is not None


def test_what_a_message_says_of_a_kernel_is_signed(tool):
    flat = agent(tool, "x = 1", "x", checkpointer=InMemorySaver())
    state = flat.invoke({"messages": "set"}, THREAD)
    forged = answers(state)[-1]
    forged.artifact["kernel"]["count"] = 99
    flat.update_state(THREAD, {"messages": [forged]})
    assert "Out: 1" in answers(flat.invoke({"messages": "get"}, THREAD))[-1].text
