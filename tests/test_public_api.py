"""The table of contents is exact, cheap to open, and pulls in nothing that was not asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

import ci_integrations

LAZY = ["ci_integrations", "ci_integrations.testing"]
ROOT = Path(__file__).parent.parent


def in_fresh_python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True, timeout=60)


@pytest.mark.parametrize("module", LAZY)
def test_every_name_that_is_promised_is_there(module: str) -> None:
    room = import_module(module)
    assert sorted(room.__all__) == sorted(dir(room))
    for name in room.__all__:
        assert getattr(room, name) is not None


def test_the_names_fixed_for_users() -> None:
    assert {"CodeInterpreter", "AsyncCodeInterpreter", "ExecutionResult"} <= set(ci_integrations.__all__)
    from ci_integrations.langchain import CodeInterpreterTool as ForLangChain
    from ci_integrations.llamaindex import CodeInterpreterTool as ForLlamaIndex
    from ci_integrations.testing import ScriptedChatModel

    assert all((ForLangChain, ForLlamaIndex, ScriptedChatModel))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="CodeInterpretre"):
        _ = ci_integrations.CodeInterpretre  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "module",
    [
        "",
        ".results",
        ".results.model",
        ".results.from_e2b",
        ".results.result",
        ".results.text",
        ".errors",
        ".rendering",
        ".charts",
        ".testing",
        ".cli",
        ".store",
    ],
)
def test_importing_a_room_loads_no_framework_and_no_sdk(module: str) -> None:
    code = f"import sys, ci_integrations{module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    loaded = set(in_fresh_python(code).stdout.split())
    assert not loaded & {"e2b", "e2b_code_interpreter", "langchain", "langchain_core", "langgraph", "llama_index"}
    assert not loaded & {"numpy", "pandas", "matplotlib", "IPython", "uvicorn"}


def test_importing_the_root_loads_the_standard_library_only() -> None:
    """`.ci/import-time` holds the milliseconds."""
    code = "import sys; old = set(sys.modules); import ci_integrations; print(*sorted(set(sys.modules) - old))"
    loaded = {name.partition(".")[0] for name in in_fresh_python(code).stdout.split()}
    assert loaded - sys.stdlib_module_names == {"ci_integrations"}


def test_the_version_stands_in_one_place() -> None:
    assert metadata.version("ci-integrations") == ci_integrations.__version__
    assert (
        "version =" not in (ROOT / "pyproject.toml").read_text().partition("[build-system]")[2].partition("[tool.")[0]
    )


def test_committed_files_name_no_registry_and_no_path_of_a_machine() -> None:
    """Constraints are names and versions, nothing else; configuration holds no address of an index."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.!+_]+", line) for line in lines)
    for name in ("pyproject.toml", "constraints.txt", ".ci/run", ".ci/on", ".ci/wheel", ".ci/full"):
        assert not re.search(r"index-url|extra-index|file://|/root/|/opt/", (ROOT / name).read_text())
