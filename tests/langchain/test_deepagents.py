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
