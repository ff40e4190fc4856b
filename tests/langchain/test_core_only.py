"""langchain-core alone is enough for the tool; what else is missing is named with the command that installs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ci_integrations.langchain as ours

HERE = Path(__file__).parent


def python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tool_works_without_langchain_and_langgraph():
    assert "core alone is enough" in python(str(HERE / "core_only.py"))


def test_without_langchain_core_the_remedy_is_named():
    program = (
        "import sys; sys.modules['langchain_core'] = None\n"
        "try:\n    import ci_integrations.langchain\n"
        "except ImportError as error:\n    print(error)"
    )
    assert 'pip install "ci-integrations[langchain]"' in python("-c", program)


def test_the_table_of_contents_is_exact():
    pytest.importorskip("deepagents")
    assert sorted(ours.__all__) == sorted(ours._HOME)
    for name in ours.__all__:
        assert getattr(ours, name).__name__ == name
    with pytest.raises(AttributeError):
        ours.NoSuchThing  # noqa: B018


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(ours.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert {alias.name for node in block.body for alias in node.names} == set(ours.__all__)


def test_the_tool_loads_neither_graph_nor_service():
    program = (
        "import sys, ci_integrations.langchain\n"
        "from ci_integrations.langchain import CodeInterpreterTool\n"
        "CodeInterpreterTool(backend='local')\n"
        "print([name for name in ('langgraph', 'langchain', 'e2b', 'deepagents', 'pandas') if name in sys.modules])"
    )
    assert python("-c", program).strip() == "[]"
