"""Results are found in whatever a framework hands back, and nothing else is taken for one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from ci_integrations import ExecutionResult
from ci_integrations._adapters.harvest import artifacts_from, results_from, save_artifacts
from ci_integrations.results.model import ImageArtifact

RESULT = ExecutionResult(code="1", artifacts=(ImageArtifact(id="a0", mime="image/png", data="eA==", name="x.png"),))
PLAIN = RESULT.model_dump(mode="json")


class Snapshot(NamedTuple):
    """langgraph's StateSnapshot."""

    values: dict[str, Any]
    next: tuple[str, ...] = ()


SOURCES = {
    "a result": RESULT,
    "plain JSON": PLAIN,
    "a message": SimpleNamespace(artifact=PLAIN, content="x"),
    "a graph's state": {"messages": [SimpleNamespace(artifact=PLAIN)]},
    "a snapshot": Snapshot({"messages": [SimpleNamespace(artifact=PLAIN)]}),
    "a tool's output": SimpleNamespace(raw_output=PLAIN),
    "an agent's output": SimpleNamespace(tool_calls=[SimpleNamespace(tool_output=SimpleNamespace(raw_output=PLAIN))]),
    "an agent's direct output": SimpleNamespace(tool_calls=[], raw=[{"tool_output": {"raw_output": PLAIN}}]),
    "a response": SimpleNamespace(metadata={"execution": PLAIN}),
    "a list": ["text", None, RESULT],
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_result_is_found(source):
    assert results_from(source) == [RESULT]
    assert [artifact.id for artifact in artifacts_from(source)] == ["a0"]


@pytest.mark.parametrize("source", [None, "text", b"bytes", 3, object(), {}, {"messages": None}, [{"schema": "other"}]])
def test_what_is_no_result_is_passed_over(source):
    assert results_from(source) == []


def test_artifacts_of_several_runs_are_saved_side_by_side(tmp_path):
    paths = save_artifacts([RESULT, RESULT], tmp_path)
    assert len(set(paths)) == 2
    assert [path.read_bytes() for path in paths] == [b"x", b"x"]
