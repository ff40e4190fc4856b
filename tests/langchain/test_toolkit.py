"""The toolkit in the real local sandbox: one session for all tools, each with its status, its artifact, its limits."""

from __future__ import annotations

import urllib.request
import uuid
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage

from ci_integrations.errors import ConfigurationError
from ci_integrations.langchain import CodeInterpreterToolkit
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import ScriptedChatModel


class Tools:
    """Calls the toolkit's tools by name, in one conversation."""

    def __init__(self, registry: Any, **options: Any) -> None:
        self.toolkit = CodeInterpreterToolkit(registry, **options)
        self.config = {"configurable": {"thread_id": uuid.uuid4().hex}}
        self.by_name = {tool.name: tool for tool in self.toolkit.get_tools()}

    def __call__(self, name: str, **args: Any) -> ToolMessage:
        call = {"type": "tool_call", "name": name, "id": uuid.uuid4().hex, "args": args}
        return self.by_name[name].invoke(call, self.config)


@pytest.fixture
def tools(local_backend: Any) -> Tools:
    return Tools(local_backend)


def test_a_port_is_shown_to_the_world_only_when_asked_for(local_backend):
    names = [tool.name for tool in CodeInterpreterToolkit(local_backend).get_tools()]
    assert names == [
        "code_interpreter", "run_shell_command", "stop_shell_command", "list_files", "read_file", "write_file",
        "install_packages", "get_download_link",
    ]  # fmt: skip
    assert "get_port_url" in Tools(local_backend, include=["get_port_url"]).by_name


def test_tools_are_chosen_by_name(local_backend):
    assert list(Tools(local_backend, include=["read_file", "code_interpreter"]).by_name) == [
        "code_interpreter",
        "read_file",
    ]
    assert "read_file" not in Tools(local_backend, exclude=["read_file"]).by_name
    with pytest.raises(ConfigurationError, match="no tool 'bash'"):
        CodeInterpreterToolkit(local_backend, include=["bash"])


def test_all_tools_work_in_one_sandbox(tools):
    tools("code_interpreter", code="open('data.csv', 'w').write('a,b\\n1,2\\n')")
    assert "data.csv (8 bytes)" in tools("list_files").content
    assert "1,2" in tools("read_file", path="/home/user/data.csv").content
    tools("write_file", path="/home/user/sub/notes.md", content="# notes ✓")
    assert "# notes ✓" in tools("run_shell_command", command="cat sub/notes.md").content
    assert tools("code_interpreter", code="open('sub/notes.md').read()").content == "Out: # notes ✓"
    assert len({tools(name, **args).artifact["schema"] for name, args in {"list_files": {}}.items()}) == 1


def test_a_failed_command_is_an_error_in_words_and_in_status(tools):
    message = tools("run_shell_command", command="echo out; echo err >&2; exit 3")
    assert message.status == "error"
    assert "CommandFailed: exit code 3" in message.content
    result = ExecutionResult.from_message(message)
    assert (result.stdout, result.stderr, result.language) == ("out\n", "err\n", "bash")


def test_a_command_that_takes_too_long_is_stopped(tools):
    shell = tools.by_name["run_shell_command"]
    tools.by_name["run_shell_command"] = shell.model_copy(update={"command_timeout": 0.5})
    message = tools("run_shell_command", command="echo started; sleep 30")
    assert message.status == "error"
    assert "started" in message.content
    assert "timed out" in message.content
    assert message.artifact["incomplete"]


def test_a_background_server_runs_is_reached_and_stopped(local_backend):
    tools = Tools(local_backend, include=["run_shell_command", "stop_shell_command", "read_file", "get_port_url"])
    message = tools(
        "run_shell_command", command="echo hello > index.html; exec python3 -m http.server 8765", background=True
    )
    pid = int(message.content.split("process ")[1].split(";")[0])
    wait = "for i in $(seq 50); do curl -s localhost:8765/index.html && exit 0; sleep 0.1; done; exit 1"
    assert "hello" in tools("run_shell_command", command=wait).content
    url = tools("get_port_url", port=8765).content
    assert url.startswith("http://8765-")
    assert tools("stop_shell_command", pid=pid).status == "success"
    assert tools("run_shell_command", command=f"sleep 0.3; kill -0 {pid}").status == "error"
    log = tools("read_file", path=f"/home/user/.ci/{pid}.log")
    assert "GET /index.html" in log.content


def test_a_process_that_is_not_there_is_told(tools):
    assert tools("stop_shell_command", pid=999_999).status == "error"


def test_lines_of_a_long_file_are_read_in_parts(tools):
    tools("code_interpreter", code="open('long.txt', 'w').write('\\n'.join(f'line {n}' for n in range(1, 100_001)))")
    part = tools("read_file", path="long.txt", start_line=500, max_lines=3).content
    assert part.startswith("line 500\nline 501\nline 502\n")
    assert len(tools("read_file", path="long.txt", max_lines=10_000).content) <= 20_000


@pytest.mark.parametrize("path", ["/nowhere.txt", "/home/user", "it's a 'name'; rm -rf /"])
def test_what_cannot_be_read_is_an_error(tools, path):
    assert tools("read_file", path=path).status == "error"


def test_bytes_are_not_read_as_text(tools):
    tools("code_interpreter", code="open('b.bin', 'wb').write(bytes(range(256)))")
    message = tools("read_file", path="b.bin")
    assert message.status == "error"
    assert "no text (256 bytes)" in message.content


def test_a_directory_that_is_not_there_is_an_error(tools):
    assert tools("list_files", path="/nowhere").status == "error"


def test_the_user_gets_a_link_that_works(tools):
    tools("write_file", path="/home/user/r.txt", content="report")
    message = tools("get_download_link", path="r.txt")
    [file] = ExecutionResult.from_message(message).files
    with urllib.request.urlopen(file.url) as response:
        assert response.read() == b"report"
    assert tools("get_download_link", path="nothing.txt").status == "error"


@pytest.mark.parametrize("name", ["--index-url=http://evil", "a;b", "$(id)", "", "-r x"])
def test_only_names_of_packages_are_installed(tools, name):
    message = tools("install_packages", packages=[name])
    assert message.status == "error"
    assert "not a package name" in message.content


def test_an_agent_uses_several_tools_in_one_turn(local_backend):
    toolkit = CodeInterpreterToolkit(local_backend)
    turn = ScriptedChatModel.parallel_calls(
        ("write_file", {"path": "/home/user/a.txt", "content": "A"}), ("run_shell_command", {"command": "echo B"})
    )
    model = ScriptedChatModel([turn, ScriptedChatModel.call("read_file", path="/home/user/a.txt"), "done"])
    config = {"configurable": {"thread_id": uuid.uuid4().hex}}
    state = create_agent(model, tools=toolkit.get_tools()).invoke({"messages": "go"}, config)
    written, said, read = [message.content for message in state["messages"] if isinstance(message, ToolMessage)]
    assert "wrote 1 bytes" in written
    assert said == "B"
    assert read.startswith("A\n")


def test_where_every_answer_came_from_is_in_its_artifact(tools):
    sandbox_id = tools("code_interpreter", code="1").artifact["sandbox_id"]
    for name, args in (
        ("list_files", {}),
        ("run_shell_command", {"command": "true"}),
        ("read_file", {"path": "nowhere"}),
    ):
        artifact = tools(name, **args).artifact
        assert (artifact["sandbox_id"], artifact["backend"]) == (sandbox_id, "local")
        assert artifact["duration"] > 0


@pytest.mark.parametrize(
    ("name", "args"),
    [("list_files", {}), ("run_shell_command", {"command": "ls"}), ("read_file", {"path": "made.txt"})],
)
def test_a_sandbox_that_was_replaced_is_told_by_whichever_tool_meets_it(tools, name, args):
    tools("code_interpreter", code="precious = 1; open('made.txt', 'w').write('made')")
    tools.toolkit.session(tools.config).sandbox.kill()
    message = tools(name, **args)
    assert "The sandbox was lost" in message.content
    assert "precious" in message.content
    assert [event["type"] for event in message.artifact["events"]] == ["state_lost"]
    assert "lost" not in tools(name, **args).content  # once is enough
    again = tools("code_interpreter", code="1").content  # but the kernel tells of its own variables
    assert "precious" in again
    assert "Files" not in again


def test_a_background_command_is_something_to_lose(tools):
    tools("run_shell_command", command="sleep 100", background=True)
    tools.toolkit.session(tools.config).sandbox.kill()
    assert "The sandbox was lost" in tools("list_files").content


def test_a_file_that_may_not_be_written_is_told_and_not_raised(tools):
    message = tools("write_file", path="/usr/lib/evil.py", content="x")
    assert message.status == "error"
    assert "/usr/lib/evil.py" in message.content


def test_a_device_is_no_file_to_read(tools):
    assert "FileNotFoundError" in tools("read_file", path="/dev/zero").content


def test_what_is_read_and_cut_says_so(tools):
    tools("run_shell_command", command="yes | tr -d '\\n' | head -c 300000 > line.txt")
    message = tools("read_file", path="line.txt")
    assert message.content.endswith("300000 bytes, from line 1, cut after 200,000 bytes]")


def test_output_that_is_too_long_to_show_is_in_a_file_that_code_can_read(tools):
    message = tools("run_shell_command", command="seq 100000")
    assert len(message.content) <= 20_000
    path = message.content.split("the whole text is in ")[1].split(" ")[0]
    read = f"open({path!r}).read().splitlines()[49_999]"
    assert tools("code_interpreter", code=read).content == "Out: 50000"
    assert "file" not in [artifact["kind"] for artifact in tools("code_interpreter", code="1").artifact["artifacts"]]
