"""Live output in real agents: in order, while the cell runs, on both of langgraph's streams and in callbacks."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler, AsyncCallbackManagerForToolRun
from pydantic import SecretStr

from ci_integrations._adapters.redaction import Redactor
from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.langchain._live import Live
from ci_integrations.testing import ScriptedChatModel

ONCE_A_SECOND = "import time\nfor n in range(3):\n    print(n, flush=True, end='')\n    time.sleep(1)"
MODES = ["tools", "custom", "updates"]
PROMISED = 0.3
"""Seconds from print to delta."""


def agent(tool: Any, *turns: Any) -> Any:
    return create_agent(ScriptedChatModel([*turns, "done"]), tools=[tool])


def thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": uuid.uuid4().hex}}


def code(source: str) -> Any:
    return ScriptedChatModel.call("code_interpreter", code=source, call_id="call_7")


async def streamed(agent: Any, config: Any, *, blocking: bool) -> list[tuple[float, str, Any]]:
    """(arrival, mode, payload) of everything."""
    if blocking:
        stream = agent.stream({"messages": "go"}, config, stream_mode=MODES)
        return await asyncio.to_thread(lambda: [(time.time(), *item) for item in stream])
    return [(time.time(), *item) async for item in agent.astream({"messages": "go"}, config, stream_mode=MODES)]


both = pytest.mark.parametrize("blocking", [True, False])


@both
async def test_each_print_arrives_while_the_cell_runs(local_tool, blocking):
    config = thread()
    local_tool.invoke({"code": "0"}, config)  # the sandbox's own start is not what is measured
    found = await streamed(agent(local_tool, code(ONCE_A_SECOND)), config, blocking=blocking)
    for mode, read in (("tools", lambda data: data.get("delta")), ("custom", lambda data: data["code_interpreter"])):
        deltas = [(at, delta) for at, found_mode, data in found if found_mode == mode and (delta := read(data))]
        prints = [(at, delta) for at, delta in deltas if delta["type"] == "stdout"]
        assert [delta["text"] for _, delta in prints] == ["0", "1", "2"]
        assert all(at - delta["timestamp"] < PROMISED for at, delta in prints)
        assert prints[2][0] - prints[0][0] > 1.5


@both
async def test_the_order_is_started_output_finished_answer(local_tool, blocking):
    found = await streamed(agent(local_tool, code("print('now'); 5")), thread(), blocking=blocking)
    story = [data.get("event") for _, mode, data in found if mode == "tools"]
    assert story[0] == "tool-started"
    assert story[-1] == "tool-finished"
    assert set(story[1:-1]) == {"tool-output-delta"}
    types = [data["delta"]["type"] for _, mode, data in found if mode == "tools" and "delta" in data]
    assert types[0] == "status"  # the sandbox starts
    assert types[1:] == ["stdout", "result"]
    ids = {data["tool_call_id"] for _, mode, data in found if mode == "tools"}
    assert ids == {"call_7"}
    assert next(mode for _, mode, data in reversed(found) if mode != "updates") in {"tools", "custom"}


async def test_a_result_tells_what_it_is_without_its_bytes(local_tool):
    draw = code("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()")
    found = await streamed(agent(local_tool, draw), thread(), blocking=False)
    deltas = [data["delta"] for _, mode, data in found if mode == "tools" and "delta" in data]
    [result] = [delta for delta in deltas if delta["type"] == "result"]
    assert {"kind": "image", "mime": "image/png"} in result["artifacts"]
    assert "iVBOR" not in str(result)


async def test_astream_events_sees_the_output_too(local_tool):
    events = [
        event
        async for event in agent(local_tool, code("print('now')")).astream_events(
            {"messages": "go"}, thread(), version="v2"
        )
        if event["event"] == "on_custom_event"
    ]
    assert [event["data"]["text"] for event in events if event["data"]["type"] == "stdout"] == ["now\n"]
    assert {event["name"] for event in events} == {"code_interpreter"}


@both
async def test_live_output_can_be_switched_off(local_backend, blocking):
    quiet = CodeInterpreterTool(local_backend, live_output=False)
    found = await streamed(agent(quiet, code("print('now')")), thread(), blocking=blocking)
    assert not [data for _, mode, data in found if mode == "custom" or "delta" in data]


async def test_the_shell_command_streams_as_well(local_backend):
    from ci_integrations.langchain import CodeInterpreterToolkit

    [shell] = CodeInterpreterToolkit(local_backend, include=["run_shell_command"]).get_tools()
    asked = ScriptedChatModel.call("run_shell_command", command="echo one; sleep 0.3; echo two >&2")
    found = await streamed(agent(shell, asked), thread(), blocking=False)
    deltas = [data["delta"] for _, mode, data in found if mode == "tools" and "delta" in data]
    assert [(delta["type"], delta["text"]) for delta in deltas if delta["type"] != "status"] == [
        ("stdout", "one\n"),
        ("stderr", "two\n"),
    ]


async def test_a_slow_listener_holds_the_output_back(registry):
    """Backpressure: an awaited listener is waited for, event by event."""
    order: list[str] = []

    class Slow(AsyncCallbackHandler):
        async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            await asyncio.sleep(0.01)
            order.append(data["text"])

    manager = AsyncCallbackManagerForToolRun(
        run_id=uuid.uuid4(), handlers=[Slow()], inheritable_handlers=[Slow()], parent_run_id=None
    )
    live = Live(None, manager, None, Redactor())
    from fakes import Told

    for text in ("a", "b", "c"):
        await live.tell(Told("stdout", text))
    assert order == ["a", "b", "c"]


def test_a_secret_that_arrives_in_pieces_is_redacted_in_the_stream():
    from fakes import Told

    told: list[str] = []
    live = Live(None, None, None, Redactor([SecretStr("open-sesame-123")]))
    live._to_streams = lambda data: told.append(data["text"])  # type: ignore[method-assign]
    for piece in ("before open-", "sesa", "me-123 after; open", " the door"):
        live.tell(Told("stdout", piece))
    live.end()
    assert "".join(told) == "before [redacted] after; open the door"
