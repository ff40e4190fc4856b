"""The tool spec: what models are offered, what only the host can do, and Azure users' code with a new import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools.tool_spec.base import BaseToolSpec

from ci_integrations import CodeInterpreter
from ci_integrations.errors import ConfigurationError, SandboxError
from ci_integrations.llamaindex import CodeInterpreterToolSpec
from ci_integrations.testing import ScriptedLLM, tool_call

OPTIONAL = ["read_file", "write_file", "install_packages", "run_command", "reset"]


@pytest.fixture(scope="module")
def spec(kind: Any) -> Iterator[CodeInterpreterToolSpec]:
    with CodeInterpreterToolSpec(**kind.options) as made:
        yield made


def test_class() -> None:
    assert BaseToolSpec.__name__ in [base.__name__ for base in CodeInterpreterToolSpec.__mro__]


def test_models_are_offered_two_tools_and_more_on_request() -> None:
    spec = CodeInterpreterToolSpec()
    assert [tool.metadata.name for tool in spec.to_tool_list()] == ["code_interpreter", "list_files"]
    everything = spec.to_tool_list(["code_interpreter", "list_files", *OPTIONAL])
    assert [tool.metadata.name for tool in everything] == ["code_interpreter", "list_files", *OPTIONAL]
    for tool in everything:
        assert len(tool.metadata.to_openai_tool()["function"]["description"]) <= 1024
        assert not {"upload_file", "download_file_to_local"} & {tool.metadata.name}


def test_azure_users_change_the_import_only(spec: CodeInterpreterToolSpec, tmp_path: Path) -> None:
    spec = CodeInterpreterToolSpec(
        pool_management_endpoint="somewhere", session_id="mine", local_save_path=str(tmp_path),
        interpreter=spec.tool.sessions.blocking().interpreter,
    )  # fmt: skip
    (tmp_path / "in.csv").write_text("a\n1\n2\n")
    (uploaded,) = spec.upload_file(local_file_path=str(tmp_path / "in.csv"))
    assert (uploaded.filename, uploaded.size_in_bytes) == ("in.csv", 6)
    said = spec.code_interpreter(
        python_code="```python\nimport pandas as pd\nprint(pd.read_csv('in.csv').a.sum())\n```"
    )
    assert said["properties"]["stdout"] == "3\n"
    assert said["properties"]["status"] == "Success"
    assert "in.csv" in [found.filename for found in spec.list_files()]
    spec.code_interpreter("open('out.txt', 'w').write('written')")
    stream = spec.download_file_to_local("/mnt/data/out.txt")
    assert stream is not None
    assert stream.read() == b"written"
    spec.download_file_to_local("out.txt", str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text() == "written"
    spec.code_interpreter("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    assert list(tmp_path.glob("*.png"))
    assert spec.code_interpreter("1/0")["properties"]["status"] == "Failed"


def test_files_and_frames_are_there_from_the_start(kind: Any, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    frames = {"cities": pd.DataFrame({"name": ["Tokyo"]})}
    with CodeInterpreterToolSpec(**kind.options, files=[tmp_path / "note.txt"], dataframes=frames) as spec:
        assert spec.read_file("note.txt") == "hello"
        assert spec.tool.run("cities.name.tolist()").text == "['Tokyo']"


def test_data_for_the_sandbox_needs_a_name(spec: CodeInterpreterToolSpec) -> None:
    with pytest.raises(ConfigurationError, match="remote_file_path"):
        spec.upload_file(data=b"x")
    (uploaded,) = spec.upload_dataframe(pd.DataFrame({"x": [1]}), "frame.csv")
    assert uploaded.file_full_path == "/home/user/frame.csv"
    assert spec.read_file("frame.csv") == "x\n1\n"


def test_files_commands_and_reset(spec: CodeInterpreterToolSpec) -> None:
    assert "5 characters" in spec.write_file("note.txt", "hello")
    assert spec.read_file("note.txt") == "hello"
    assert "hello" in spec.run_command("cat note.txt")
    assert "exit code 3" in spec.run_command("exit 3")
    spec.code_interpreter("kept = 1")
    spec.reset()
    assert "NameError" in str(spec.code_interpreter("kept")["error"])
    assert spec.read_file("note.txt") == "hello"


def test_an_interpreter_in_the_place_of_azures_endpoint_is_not_ignored() -> None:
    with pytest.raises(ConfigurationError, match="interpreter="):
        CodeInterpreterToolSpec(CodeInterpreter())


@pytest.mark.parametrize("packages", [[], ["--index-url=x"], ["a b"], [""]])
def test_only_package_names_are_installed(packages: list[str]) -> None:
    assert "Error" in CodeInterpreterToolSpec().install_packages(packages)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list_files", {}),
        ("write_file", {"path": "b.txt", "text": "b"}),
        ("install_packages", {"packages": ["no-such-package"]}),
        ("run_command", {"command": "ls"}),
        ("reset", {}),
    ],
)
def test_every_tool_tells_that_the_sandbox_was_lost(kind: Any, name: str, arguments: dict[str, Any]) -> None:
    with CodeInterpreterToolSpec(**kind.options) as spec:
        spec.code_interpreter("kept = 1")
        (tool,) = spec.to_tool_list([name])
        assert "lost" not in str(tool.call(**arguments))
        spec.tool.sessions.blocking().interpreter.sandbox.kill()
        assert "The sandbox was lost" in str(tool.call(**arguments))


def test_a_file_that_went_with_its_sandbox_is_not_just_missing(spec: CodeInterpreterToolSpec) -> None:
    (read,) = spec.to_tool_list(["read_file"])
    with pytest.raises(Exception, match=r"^path '/home/user/gone.txt' does not exist"):
        read.call(path="gone.txt")
    spec.tool.sessions.blocking().interpreter.sandbox.kill()
    with pytest.raises(SandboxError, match="The sandbox was lost"):
        read.call(path="gone.txt")


async def test_an_agent_works_with_all_of_it(spec: CodeInterpreterToolSpec) -> None:
    llm = ScriptedLLM(
        [
            tool_call("write_file", path="data.csv", text="x\n20\n22\n"),
            tool_call("code_interpreter", code="import pandas as pd\nprint(pd.read_csv('data.csv').x.sum())"),
            tool_call("list_files"),
            "42",
        ]
    )
    tools: list[Any] = spec.to_tool_list(["code_interpreter", "list_files", "write_file"])
    await FunctionAgent(tools=tools, llm=llm).run(user_msg="go")
    assert "42" in llm.seen[2][-1].content
    assert "data.csv" in llm.seen[3][-1].content
