"""`to_tool_output` and `artifacts_from`: there and back, also for what was saved and restored as plain dicts."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from e2b_code_interpreter.models import Execution, Logs, Result

from ci_integrations.llamaindex import artifacts_from, results_from, to_tool_output
from ci_integrations.results import ExecutionResult, ImageArtifact, OtherArtifact

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"


def test_the_sdks_own_execution() -> None:
    execution = Execution(results=[Result(is_main_result=True, data={"text": "42"})], logs=Logs(stdout=["hi\n"]))
    output = to_tool_output(execution, tool_name="mine")
    assert output.tool_name == "mine"
    assert "hi" in output.content
    assert "42" in output.content
    assert not output.is_error


def test_there_and_back_through_json() -> None:
    result = ExecutionResult(code="draw()", artifacts=(ImageArtifact(id="a0", mime="image/png", data=PNG),))
    output = to_tool_output(result)
    saved = json.loads(output.model_dump_json())
    for source in (output, output.raw_output, saved, [saved], result, {"tool_output": saved}):
        assert [artifact.id for artifact in artifacts_from(source)] == ["a0"]
        assert results_from(source)[0].code == "draw()"


@pytest.mark.parametrize("source", [None, "text", 1, {}, [], {"raw_output": "text"}, object()])
def test_nothing_is_found_in_nothing(source: Any) -> None:
    assert artifacts_from(source) == []


def test_at_most_so_many_pictures_and_characters() -> None:
    pictures = tuple(ImageArtifact(id=f"a{n}", mime="image/png", data=PNG, sha256=str(n)) for n in range(9))
    extra = (OtherArtifact(id="x", mime="application/x-thing", data={"a": 1}),)
    output = to_tool_output(
        ExecutionResult(stdout="y" * 99_999, artifacts=pictures + extra), max_images=2, max_output_chars=5000
    )
    assert len(output.blocks) == 3
    assert len(output.content) <= 5000


def test_importing_pulls_no_langchain() -> None:
    program = (
        "import sys\nimport ci_integrations.llamaindex as room\n"
        "assert 'llama_index' not in sys.modules, 'llama_index is loaded on first use only'\n"
        "from ci_integrations.llamaindex import *\n"
        "assert {'CodeInterpreterTool', 'create_code_act_agent', 'artifacts_from'} <= globals().keys()\n"
        "found = sorted(m for m in sys.modules if m.split('.')[0].startswith(('langchain', 'langgraph')))\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)


def test_langchain_pulls_no_llamaindex() -> None:
    pytest.importorskip("langchain_core")
    program = (
        "import sys\nimport ci_integrations.langchain as room\n"
        "for name in room.__all__:\n    getattr(room, name)\n"
        "found = sorted(m for m in sys.modules if m.split('.')[0] == 'llama_index')\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)


def test_without_the_extra_the_pip_command_is_said() -> None:
    program = (
        "import sys\nclass No:\n    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] == 'llama_index': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, No())\n"
        "for line in ('from ci_integrations.llamaindex import CodeInterpreterTool',\n"
        "             'from ci_integrations.testing import ScriptedLLM'):\n"
        "    try:\n        exec(line)\n    except ImportError as error:\n"
        "        assert 'pip install \"ci-integrations[llamaindex]\"' in str(error), error\n"
        "    else:\n        raise AssertionError(line)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
