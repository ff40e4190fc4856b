"""The tool in the real local sandbox: sessions, concurrency, cancellation, checkpoints. One test for each promise."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool as make_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ci_integrations.langchain import CodeInterpreterMiddleware, CodeInterpreterTool
from ci_integrations.leftovers import list_leftovers
from ci_integrations.results import ExecutionResult
from ci_integrations.sessions import SessionRegistry
from ci_integrations.store import ArtifactStore
from ci_integrations.testing import ScriptedChatModel

EVERY_KIND = """
import math, warnings
import numpy as np, pandas as pd, matplotlib.pyplot as plt
from IPython.display import HTML, JSON, SVG, Javascript, Latex, Markdown, display
plt.plot([1, 2, 3], [1.5, math.nan, 3.5]); plt.title("Revenue"); plt.show()
display(pd.DataFrame({"a": [1, 2**62], "b": [np.nan, np.inf], "c": pd.Series(["x", "\\ud800"], dtype=object)}))
display(HTML("<b>bold</b>"), Markdown("# title"), Latex("$x$"), Javascript("1"), SVG("<svg xmlns='http://www.w3.org/2000/svg'/>"))
display(JSON({"nan": [float("nan")], "big": 2**70, "scalar": np.float32(1.5)}))
display({"application/pdf": "JVBERi0xLjQK", "text/plain": "a pdf"}, raw=True)
display({"application/x-own": {"deep": [2**80]}, "text/plain": "own"}, raw=True)
open("made.csv", "w").write("a,b\\n1,2\\n")
print("done")
"""


def fresh() -> str:
    return f"thread-{uuid.uuid4().hex[:8]}"


def thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def code(source: str) -> Any:
    return ScriptedChatModel.call("code_interpreter", code=source)


def answers(state: Any) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


def test_one_thread_keeps_its_variables_and_another_has_its_own(local_tool):
    ours, theirs = thread(fresh()), thread(fresh())
    local_tool.invoke({"code": "x = 41"}, ours)
    assert local_tool.invoke({"code": "x + 1"}, ours) == "Out: 42"
    assert "NameError" in local_tool.invoke({"code": "x"}, theirs)


def test_sync_and_async_calls_share_the_kernel(local_tool):
    ours = thread(fresh())
    local_tool.invoke({"code": "x = 41"}, ours)
    assert asyncio.run(local_tool.ainvoke({"code": "x + 1"}, ours)) == "Out: 42"


def test_twenty_first_calls_at_once_make_one_sandbox(kind):
    with CodeInterpreterTool(**kind.options) as tool, ThreadPoolExecutor(20) as pool:
        config = thread("one")
        calls = [{"type": "tool_call", "name": "x", "id": f"c{n}", "args": {"code": f"a{n} = {n}"}} for n in range(20)]
        messages = list(pool.map(lambda call: tool.invoke(call, config), calls))
        assert {message.artifact["sandbox_id"] for message in messages} == {tool.session(config).sandbox_id}
        assert tool.invoke({"code": "sum(globals()[f'a{n}'] for n in range(20))"}, config) == "Out: 190"
        assert running(tool, config) == 1


async def test_twenty_first_calls_at_once_make_one_sandbox_on_a_loop(kind):
    async with CodeInterpreterTool(**kind.options) as tool:
        config = thread("one")
        await asyncio.gather(*(tool.ainvoke({"code": f"a{n} = {n}"}, config) for n in range(20)))
        assert await tool.ainvoke({"code": "a0 + a19"}, config) == "Out: 19"
        assert await asyncio.to_thread(running, tool, config) == 1


def running(tool: CodeInterpreterTool, config: Any) -> int:
    """How many sandboxes the server has for this session."""
    session = tool.session(config)
    return len(list_leftovers(session.session_id, **access_of(session)))


def access_of(session: Any) -> dict[str, Any]:
    """How the SDK reaches the session's server. Blocks."""
    return session.sandbox.connection_config.get_api_params()


def test_a_sandbox_of_ones_own_is_used_and_left_alone(local_tool):
    theirs = local_tool.session(thread(fresh())).sandbox
    with CodeInterpreterTool(sandbox=theirs) as tool:
        message = tool.invoke({"type": "tool_call", "name": "c", "id": "1", "args": {"code": "1"}})
        assert message.artifact["sandbox_id"] == theirs.sandbox_id
    assert theirs.is_running()


def test_it_works_in_a_graph_of_ones_own_with_toolnode(local_tool):
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([local_tool]))
    graph.add_edge(START, "tools")
    state = graph.compile().invoke({"messages": [code("6 * 7")]}, thread(fresh()))
    assert answers(state)[0].content == "Out: 42"


def test_three_event_loops_one_after_the_other(local_tool):
    config = thread(fresh())
    for n in range(3):
        assert asyncio.run(local_tool.ainvoke({"code": f"x = {n}; x"}, config)) == f"Out: {n}"


def test_two_threads_with_parallel_calls_stay_apart(kind):
    with CodeInterpreterTool(**kind.options) as tool:

        def converse(name: str) -> list[str]:
            turn = ScriptedChatModel.parallel_calls(
                *[("code_interpreter", {"code": f"mine_{n} = '{name}'"}) for n in range(3)]
            )
            model = ScriptedChatModel(
                [turn, code("sorted(k for k in dir() if k.startswith('mine'))"), code("mine_0"), "done"]
            )
            state = create_agent(model, tools=[tool]).invoke({"messages": "go"}, thread(name))
            return [message.content for message in answers(state)][-2:]

        with ThreadPoolExecutor(2) as pool:
            left, right = pool.map(converse, ("left", "right"))
        assert left == ["Out: ['mine_0', 'mine_1', 'mine_2']", "Out: left"]
        assert right == ["Out: ['mine_0', 'mine_1', 'mine_2']", "Out: right"]
        assert sorted(tool.sessions.registry.keys()) == ["left", "right"]


def test_a_sub_agent_has_a_sandbox_of_its_own(local_tool):
    sub = create_agent(ScriptedChatModel([code("secret = 1"), "sub done"]), tools=[local_tool])

    @make_tool
    def delegate(task: str) -> str:
        """Hand a task to a sub-agent."""
        return sub.invoke({"messages": task})["messages"][-1].text

    main = create_agent(
        ScriptedChatModel([ScriptedChatModel.call("delegate", task="x"), code("secret"), "done"]),
        tools=[delegate, local_tool],
    )
    state = main.invoke({"messages": "go"}, thread(fresh()))
    delegated, own = answers(state)
    assert delegated.content == "sub done"
    assert "NameError" in own.content


def test_without_a_thread_id_the_tool_object_has_one_session(local_backend):
    first, second = CodeInterpreterTool(local_backend), CodeInterpreterTool(local_backend)
    first.invoke({"code": "x = 1"})
    assert first.invoke({"code": "x"}) == "Out: 1"
    assert "NameError" in second.invoke({"code": "x"})


def test_overlapping_runs_without_a_thread_id_are_warned_of_once(local_tool, caplog):
    caplog.set_level(logging.WARNING)
    turns = [code("import time; time.sleep(0.4)"), code("1"), "done"]
    agents = [create_agent(ScriptedChatModel(turns), tools=[local_tool]) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda agent: agent.invoke({"messages": "go"}), agents))
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
    assert "thread_id" in caplog.text


def test_parallel_calls_of_one_run_are_no_reason_to_warn(local_tool, caplog):
    turn = ScriptedChatModel.parallel_calls(*[("code_interpreter", {"code": "import time; time.sleep(0.1)"})] * 3)
    create_agent(ScriptedChatModel([turn, "done"]), tools=[local_tool]).invoke({"messages": "go"})
    assert "thread_id" not in caplog.text


def test_a_session_for_each_call_leaves_nothing_behind(local_backend):
    tool = CodeInterpreterTool(local_backend, session_scope="call")
    before = set(local_backend.keys())
    tool.invoke({"code": "x = 1"})
    assert "NameError" in asyncio.run(tool.ainvoke({"code": "x"}))
    assert set(local_backend.keys()) == before


async def test_cancelling_a_run_stops_the_cell_and_keeps_the_kernel(local_tool):
    config = thread(fresh())
    await local_tool.ainvoke({"code": "x = 7"}, config)
    task = asyncio.create_task(
        local_tool.ainvoke({"code": "import time\nfor _ in range(600): time.sleep(0.1)"}, config)
    )
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(local_tool.ainvoke({"code": "x"}, config), 5) == "Out: 7"


def test_a_cell_that_is_too_slow_is_a_message_and_the_variables_stay(kind):
    with CodeInterpreterTool(**kind.options, execution_timeout=1) as tool:
        tool.invoke({"code": "x = 7"})
        message = tool.invoke({"type": "tool_call", "name": "c", "id": "1", "args": {"code": "while True: pass"}})
        assert message.status == "error"
        assert "ExecutionTimeout" in message.content
        assert tool.invoke({"code": "x"}) == "Out: 7"


def test_a_replayed_graph_does_not_run_the_code_again(local_tool):
    checkpoints, name = InMemorySaver(), fresh()
    model = ScriptedChatModel([code("n = globals().get('n', 0) + 1; n"), "done", "done again"])
    agent = create_agent(model, tools=[local_tool], checkpointer=checkpoints)
    agent.invoke({"messages": "go"}, thread(name))
    before_tools = next(s for s in agent.get_state_history(thread(name)) if s.next == ("tools",))
    state = agent.invoke(None, before_tools.config)
    assert [message.content for message in answers(state)] == ["Out: 1"]
    assert local_tool.invoke({"code": "n"}, thread(name)) == "Out: 1"


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
def test_every_kind_of_artifact_survives_a_checkpoint(kind, local_tool, saver, tmp_path):
    # E2B's server answers a surrogate, which is no Unicode, with an error in place of the frame
    every = EVERY_KIND if kind.name == "own" else EVERY_KIND.replace("\\ud800", "y")
    message, restored = through_checkpoint(saver, tmp_path, local_tool, every)
    assert message.status == "success", message.content
    assert json.dumps(restored.artifact, sort_keys=True) == json.dumps(message.artifact, sort_keys=True)
    result = ExecutionResult.from_message(restored)
    kinds = {artifact.kind for artifact in result.artifacts}
    assert {
        "image",
        "chart",
        "table",
        "html",
        "markdown",
        "latex",
        "svg",
        "javascript",
        "json",
        "pdf",
        "other",
        "file",
    } == kinds
    assert result == ExecutionResult.from_message(message)


def test_and_under_strict_msgpack():
    """Langgraph reads the variable once, when it is imported."""
    program = (
        "import sys, pytest\nfrom langgraph.checkpoint.serde import _msgpack\n"
        "assert _msgpack.STRICT_MSGPACK_ENABLED\n"
        "sys.exit(pytest.main(['-q', '-n0', '-p', 'no:unraisableexception', '-k', 'every_kind', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, __file__], env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout


def through_checkpoint(saver: str, tmp_path: Any, tool: Any, source: str) -> tuple[ToolMessage, ToolMessage]:
    """The message as the agent gave it, and as a second reader of the checkpoint gets it."""
    name = fresh()
    if saver == "memory":
        checkpoints = InMemorySaver()
        agent = create_agent(ScriptedChatModel([code(source), "done"]), tools=[tool], checkpointer=checkpoints)
        state = agent.invoke({"messages": "go"}, thread(name))
        return answers(state)[0], answers(agent.get_state(thread(name)).values)[0]
    path = str(tmp_path / "checkpoints.sqlite")
    with SqliteSaver.from_conn_string(path) as checkpoints:
        agent = create_agent(ScriptedChatModel([code(source), "done"]), tools=[tool], checkpointer=checkpoints)
        state = agent.invoke({"messages": "go"}, thread(name))
    with SqliteSaver.from_conn_string(path) as checkpoints:
        agent = create_agent(ScriptedChatModel([]), tools=[tool], checkpointer=checkpoints)
        return answers(state)[0], answers(agent.get_state(thread(name)).values)[0]


@pytest.mark.parametrize("images", ["never", "always"])
def test_a_megabyte_of_picture_is_in_the_state_once(local_tool, images):
    draw = (
        "import io, random\nfrom PIL import Image\nfrom IPython.display import Image as Show\n"
        "out = io.BytesIO(); Image.frombytes('RGB', (600, 600), random.randbytes(600 * 600 * 3)).save(out, 'PNG')\n"
        "Show(out.getvalue())"
    )
    tool = local_tool.model_copy(update={"images": images})
    agent = create_agent(ScriptedChatModel([code(draw), "done"]), tools=[tool], checkpointer=InMemorySaver())
    name = fresh()
    agent.invoke({"messages": "go"}, thread(name))
    state = agent.get_state(thread(name)).values
    [message] = answers(state)
    size = len(json.dumps([message.content, message.artifact]))
    [picture] = ExecutionResult.from_message(message).images
    assert picture.size > 1_000_000
    assert size < len(picture.data) + 20_000


def test_a_lost_sandbox_is_told_in_the_next_answer(local_tool):
    config = thread(fresh())
    local_tool.invoke({"code": "precious = 1"}, config)
    session = local_tool.session(config)
    session.upload(b"kept", "/home/user/kept.txt")
    session.sandbox.kill()
    message = local_tool.invoke(
        {"type": "tool_call", "name": "c", "id": "1", "args": {"code": "open('kept.txt').read()"}}, config
    )
    assert "precious" in message.content
    assert "kept.txt" in message.content
    assert "Out: kept" in message.content
    assert any(event["type"] == "state_lost" for event in message.artifact["events"])


@pytest.mark.own_kernel("twenty sandboxes with a server each, at once, are more than this machine has")
async def test_twenty_requests_at_once_in_a_web_server(kind):
    """One agent behind an ASGI application (what FastAPI is made of), a thread_id for each request."""
    async with CodeInterpreterTool(**kind.options) as tool:
        app = application(create_agent(Counting(), tools=[tool]))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app", timeout=60) as client:
            answers_ = await asyncio.gather(*(client.get(f"/run/{n}") for n in range(20)))
        assert [answer.json() for answer in answers_] == [[f"Out: {n}", f"Out: {n}"] for n in range(20)]
        registry = tool.sessions.registry
        sessions = [registry.session(f"user-{n}") for n in range(20)]
        assert len({session.sandbox_id for session in sessions}) == 20
        access = await asyncio.to_thread(access_of, sessions[0])
    ours = {session.session_id for session in sessions}
    left = await asyncio.to_thread(list_leftovers, **access)
    assert not ours & {leftover.session_id for leftover in left}


def application(agent: Any) -> Starlette:
    async def run(request: Request) -> JSONResponse:
        number = request.path_params["number"]
        state = await agent.ainvoke({"messages": number}, thread(f"user-{number}"))
        return JSONResponse([message.content for message in answers(state)])

    return Starlette(routes=[Route("/run/{number}", run)])


class Counting(ScriptedChatModel):
    """Runs two cells for the number in the first message: sets it, then reads it back."""

    def _turn(self, number: int) -> Any:
        return answer_for


def answer_for(messages: list[Any]) -> Any:
    done = sum(isinstance(message, ToolMessage) for message in messages)
    number = messages[0].text
    return "done" if done == 2 else code(f"mine = {number}; mine" if done == 0 else "mine")


def test_another_process_goes_on_in_the_same_kernel(kind):
    """One registry leaves, another takes over from the checkpoint; the sandbox outlives the first."""
    checkpoints, name = InMemorySaver(), fresh()
    first = SessionRegistry(kind.options, idle="keep")
    second = SessionRegistry(kind.options)
    for registry, turns in ((first, [code("x = 41"), "done"]), (second, [code("x + 1"), "done"])):
        middleware = CodeInterpreterMiddleware(CodeInterpreterTool(registry))
        agent = create_agent(ScriptedChatModel(turns), middleware=[middleware], checkpointer=checkpoints)
        state = agent.invoke({"messages": "go"}, thread(name))
    second.close()
    first.session(name).detach()
    first.close()
    assert answers(state)[-1].content == "Out: 42"


def test_a_long_output_is_shown_in_part_and_named_as_a_file(local_tool):
    config = thread(fresh())
    shown = local_tool.invoke({"code": "for n in range(20_000): print('line', n)"}, config)
    assert len(shown) <= 20_000
    assert "line 19999" in shown
    path = shown.split("the whole text is in ")[1].split(" ")[0]
    assert local_tool.invoke({"code": f"open({path!r}).read().splitlines()[10_000]"}, config) == "Out: line 10000"


def test_a_language_without_a_kernel_is_told_to_the_model(local_backend):
    tool = CodeInterpreterTool(local_backend, languages=("python", "r"))
    config = thread(fresh())
    tool.invoke({"code": "1"}, config)
    call = {"type": "tool_call", "name": "c", "id": "1", "args": {"code": "x <- 1", "language": "r"}}
    message = tool.invoke(call, config)
    assert message.status == "error"
    assert "No kernel for 'r'" in message.content or "Failed to create context" in message.content  # E2B's words
    assert (message.artifact["code"], message.artifact["language"]) == ("x <- 1", "r")


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_run_after_a_kill_at_the_end_is_told_what_is_gone(kind, blocking):
    middleware = CodeInterpreterMiddleware(**kind.options, end_of_run="kill")
    model = ScriptedChatModel([code("precious = 1"), "done", code("precious"), "done"])
    agent = create_agent(model, middleware=[middleware], checkpointer=InMemorySaver())
    for _ in range(2):
        if blocking:
            state = await asyncio.to_thread(agent.invoke, {"messages": "go"}, thread("t"))
        else:
            state = await agent.ainvoke({"messages": "go"}, thread("t"))
    assert "Gone: the variable precious" in answers(state)[-1].content
    await middleware.aclose()


def test_attachments_are_there_when_a_second_process_finds_the_sandbox_gone(kind):
    checkpoints, name = InMemorySaver(), fresh()
    csv = {"type": "file", "mime_type": "text/csv", "filename": "a.csv", "base64": "YSxiCg=="}
    question = HumanMessage([{"type": "text", "text": "read it"}, csv])
    read = code("open('a.csv').read()")
    for messages in ([question], "again"):
        with SessionRegistry(kind.options) as registry:  # which kills what it made, at its end
            middleware = CodeInterpreterMiddleware(CodeInterpreterTool(registry))
            agent = create_agent(ScriptedChatModel([read, "done"]), middleware=[middleware], checkpointer=checkpoints)
            state = agent.invoke({"messages": messages}, thread(name))
    first, second = answers(state)
    assert first.content == "Out: a,b\\n"
    assert second.content.endswith("Out: a,b\\n")
    assert "The sandbox was lost" in second.content


def test_a_second_conversation_without_a_name_is_warned_of_though_nothing_overlaps(local_tool, caplog):
    caplog.set_level(logging.WARNING)
    for config in ({}, {"configurable": {"session_id": uuid.uuid4().hex}}, {}, {}):
        agent = create_agent(ScriptedChatModel([code("1"), code("2"), "done"]), tools=[local_tool])
        agent.invoke({"messages": "go"}, config)
    assert ["thread_id" in record.message for record in caplog.records] == [True]


def test_a_session_id_names_a_conversation(local_tool):
    ann, bob = ({"configurable": {"session_id": f"{name}-{uuid.uuid4().hex}"}} for name in ("ann", "bob"))
    local_tool.invoke({"code": "mine = 'a secret'"}, ann)
    assert "secret" in local_tool.invoke({"code": "mine"}, ann)
    assert "NameError" in local_tool.invoke({"code": "mine"}, bob)


def test_a_loss_is_marked_as_what_no_user_and_no_model_said(local_tool, run_agent):
    (before,) = run_agent([local_tool], code("x = 1"))
    local_tool.session().sandbox.kill()
    (after,) = run_agent([local_tool], code("2"))
    assert before.additional_kwargs == {}
    assert after.additional_kwargs["lc_source"] == "ci_integrations"
    assert [event["type"] for event in after.additional_kwargs["lc_data"]["events"]] == ["state_lost"]


def test_checkpoints_stay_small_after_much_was_printed(local_backend, tmp_path):
    store = ArtifactStore(f"file://{tmp_path}/store")
    # What the model reads is in each checkpoint, so the text is given less room than usual.
    tool = CodeInterpreterTool(local_backend, artifact_store=store, max_output_chars=4000)
    place, config = tmp_path / "checkpoints.sqlite", {"configurable": {"thread_id": uuid.uuid4().hex}}
    sizes = []
    with SqliteSaver.from_conn_string(str(place)) as saver:
        for turn in (["print('w' * 5_000_000)"], [], [], []):
            model = ScriptedChatModel([*map(code, turn), "done"])
            create_agent(model, tools=[tool], checkpointer=saver).invoke({"messages": "go"}, config)
            saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sizes.append(place.stat().st_size)
    assert sizes[-1] < 500_000
    assert sizes[-1] - sizes[0] < 100_000
