"""The backend where LangChain's suite does not look: threads, sub-agents, lost sandboxes, a real deep agent."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from pydantic import SecretStr

from ci_integrations.langchain import E2BSandboxBackend
from ci_integrations.testing import ScriptedChatModel


@pytest.fixture
def backend(local_backend: Any) -> E2BSandboxBackend:
    own = uuid.uuid4().hex
    return E2BSandboxBackend(local_backend, session_scope=lambda config: own)


def in_thread(thread_id: str, function: Any) -> Any:
    return RunnableLambda(lambda _: function()).invoke(None, {"configurable": {"thread_id": thread_id}})


def test_each_thread_has_files_of_its_own(local_backend):
    backend = E2BSandboxBackend(local_backend)
    ours, theirs = uuid.uuid4().hex, uuid.uuid4().hex
    in_thread(ours, lambda: backend.write("/home/user/a.txt", "ours"))
    assert in_thread(ours, lambda: backend.read("/home/user/a.txt").file_data["content"]) == "ours"
    assert in_thread(theirs, lambda: backend.read("/home/user/a.txt").error)
    assert in_thread(ours, lambda: backend.id) != in_thread(theirs, lambda: backend.id)


def test_without_a_thread_each_backend_has_files_of_its_own(local_backend):
    first, second = E2BSandboxBackend(local_backend), E2BSandboxBackend(local_backend)
    first.write("/home/user/a.txt", "first")
    assert first.read("/home/user/a.txt").error is None
    assert second.read("/home/user/a.txt").error


def test_sync_async_and_code_see_the_same_files(backend):
    backend.write("/home/user/a.txt", "A")
    assert asyncio.run(backend.aread("/home/user/a.txt")).file_data["content"] == "A"
    assert backend.code_tool().invoke({"code": "open('a.txt').read()"}) == "Out: A"


def test_a_replaced_sandbox_is_no_empty_directory(backend):
    backend.execute("echo precious > /home/user/precious.txt")
    backend.code_tool().session().sandbox.kill()
    listing = backend.ls("/home/user")
    assert "replaced" in (listing.error or "")
    assert backend.ls("/home/user").error is None


async def test_a_replaced_sandbox_is_told_by_a_command_too(backend):
    await backend.aexecute("true")
    sandbox = await backend.code_tool().asession().open()
    await sandbox.kill()
    answer = await backend.aexecute("echo still here")
    assert "replaced" in answer.output
    assert "still here" in answer.output


def test_a_sandbox_that_may_not_be_replaced_is_an_error_everywhere(kind):
    backend = E2BSandboxBackend(**kind.options, on_sandbox_lost="error")
    backend.execute("true")
    backend.code_tool().session().sandbox.kill()
    assert backend.ls("/").error
    assert backend.read("/etc/hostname").error
    assert backend.glob("*.py", "/").error
    assert backend.grep("x", "/home/user").error
    assert backend.write("/home/user/a", "b").error
    assert backend.upload_files([("/home/user/a", b"b")])[0].error
    assert backend.download_files(["/home/user/a"])[0].error
    answer = backend.execute("echo hi")
    assert answer.exit_code != 0
    assert answer.output.startswith("Error: ")
    backend.close()


def test_a_slow_command_ends_with_the_code_of_timeout(backend):
    answer = backend.execute("echo begun; sleep 30", timeout=1)
    assert answer.exit_code == 124
    assert "begun" in answer.output
    assert "timed out after 1 s" in answer.output


def test_output_and_errors_come_in_the_order_of_the_program(backend):
    command = "for n in 1 2 3; do echo out$n; sleep 0.05; echo err$n >&2; sleep 0.05; done"
    assert backend.execute(command).output.split() == ["out1", "err1", "out2", "err2", "out3", "err3"]


def test_a_deep_agent_works_with_files_shell_and_code(local_backend):
    backend = E2BSandboxBackend(local_backend)
    model = ScriptedChatModel(
        [
            ScriptedChatModel.call("write_file", file_path="/home/user/n.txt", content="20"),
            ScriptedChatModel.call("code_interpreter", code="int(open('n.txt').read()) + 1"),
            ScriptedChatModel.call("execute", command="cat /home/user/n.txt"),
            "done",
        ]
    )
    agent = create_deep_agent(model, backend=backend, tools=[backend.code_tool()])
    state = agent.invoke({"messages": "go"}, {"configurable": {"thread_id": uuid.uuid4().hex}})
    contents = [message.text for message in state["messages"] if isinstance(message, ToolMessage)]
    assert contents[1] == "Out: 21"
    assert contents[2].startswith("20")


def test_our_own_failures_are_the_only_ones_that_are_told(backend, monkeypatch):
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("a bug")

    monkeypatch.setattr(type(backend), "_execute", broken)
    with pytest.raises(KeyError):
        backend.ls("/")


def test_secrets_are_taken_out_of_what_commands_and_files_say(kind):
    backend = E2BSandboxBackend(**kind.options, envs={"TOKEN": SecretStr("hush-hush-hush")})
    assert backend.execute("echo $TOKEN; echo $TOKEN > /home/user/t.txt").output == "[redacted]\n"
    assert backend.read("/home/user/t.txt").file_data["content"].strip() == "[redacted]"
    assert "hush" not in str(backend.grep("hush", "/home/user"))
    backend.close()


def test_where_nobody_may_write_is_deepagents_permission_denied(backend):
    [answer] = backend.upload_files([("/usr/lib/evil.py", b"x")])
    assert answer.error == "permission_denied"
    assert backend.write("/usr/lib/evil.py", "x").error


@pytest.mark.parametrize("door", ["delete", "download", "read", "ls", "edit"])
def test_every_door_tells_of_a_lost_sandbox_once(backend, door):
    ask = {
        "delete": lambda: backend.delete("/home/user/notes.txt").error,
        "download": lambda: backend.download_files(["/home/user/notes.txt"])[0].error,
        "read": lambda: backend.read("/home/user/notes.txt").error,
        "ls": lambda: backend.ls("/home/user").error,
        "edit": lambda: backend.edit("/home/user/notes.txt", "a", "b").error,
    }[door]
    if not hasattr(backend, door if door != "download" else "download_files"):
        pytest.skip("this deepagents has no such operation")
    backend.execute("echo notes > /home/user/notes.txt")
    backend.code_tool().session().sandbox.kill()
    assert "replaced" in (ask() or "")
    assert "replaced" not in (ask() or "")


async def test_much_output_of_a_command_is_cut_for_the_model_and_kept_in_a_file(backend):
    most = backend.code_tool().max_output_chars
    for answer in (backend.execute("seq 1 50000"), await backend.aexecute("seq 1 50000")):
        assert answer.truncated
        assert len(answer.output) <= most
        assert answer.output.startswith("1\n2\n")
        path = answer.output.partition("the whole text is in ")[2].split()[0]
        assert len(backend.download_files([path])[0].content) > 280_000
    assert not backend.execute("seq 1 50").truncated
