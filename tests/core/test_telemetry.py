"""Spans and metrics for create, run and recover: duration, outcome, recovered or not; never code or output."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from ci_integrations import CodeInterpreter, _telemetry

from .fake_e2b import FakeE2B


class Span:
    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        self.name, self.attributes, self.ended = name, dict(attributes), False

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        self.attributes |= attributes

    def is_recording(self) -> bool:
        return not self.ended

    def end(self) -> None:
        self.ended = True


class Recorder:
    """Stands where the API's tracer, histogram and counter are."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.durations: list[tuple[float, dict[str, str]]] = []
        self.losses = 0

    def start_span(self, name: str, attributes: dict[str, Any]) -> Span:
        self.spans.append(Span(name, attributes))
        return self.spans[-1]

    def record(self, value: float, attributes: dict[str, str]) -> None:
        self.durations.append((value, attributes))

    def add(self, number: int, _: dict[str, str]) -> None:
        self.losses += number


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(_telemetry, "_api", lambda: (made, made, made))
    return made


def test_every_create_run_and_recovery_has_a_span(service: FakeE2B, recorder: Recorder) -> None:
    with CodeInterpreter(**service.options) as it:
        it.run("secret = 'hunter2'\nprint(secret)")
        it.run("1 / 0")
        service.only.stop()
        it.run("1")
    names = [span.name.removeprefix("ci_integrations.") for span in recorder.spans]
    assert names == ["run", "create", "run", "run", "recover", "create"]
    assert all(span.ended for span in recorder.spans)
    outcomes = [s.attributes["ci_integrations.outcome"] for s in recorder.spans if s.name.endswith("run")]
    assert outcomes == ["ok", "ZeroDivisionError", "ok"]
    assert [s.attributes.get("ci_integrations.recovered") for s in recorder.spans if s.name.endswith("run")] == [
        False, False, True,
    ]  # fmt: skip
    assert recorder.losses == 1
    assert "hunter2" not in repr([span.attributes for span in recorder.spans])
    assert len(recorder.durations) == len(recorder.spans)


def test_code_and_output_are_in_it_when_opentelemetrys_own_variable_says_so(
    service: FakeE2B, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    with CodeInterpreter(**service.options) as it:
        it.run("print('out')\n6 * 7")
    said = recorder.spans[0].attributes
    assert said["ci_integrations.code"] == "print('out')\n6 * 7"
    assert (said["ci_integrations.stdout"], said["ci_integrations.text"]) == ("out\n", "42")


def test_a_cell_is_the_execution_of_a_tool_in_the_names_of_genai(service: FakeE2B, recorder: Recorder) -> None:
    with CodeInterpreter(**service.options) as it:
        it.run("1")
        with _telemetry.calling("python", "call-1", "thread-1"):
            it.run("1 / 0")
    bare, named = ({k: v for k, v in s.attributes.items() if not k.startswith("ci_")} for s in recorder.spans[::2])
    assert bare == {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "code_interpreter"}
    assert named == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "python",
        "gen_ai.tool.call.id": "call-1",
        "gen_ai.conversation.id": "thread-1",
        "error.type": "ZeroDivisionError",
    }


def test_the_real_api_is_used_when_it_is_there_and_missed_by_nobody(
    service: FakeE2B, monkeypatch: pytest.MonkeyPatch
) -> None:
    _telemetry._api.cache_clear()
    pytest.importorskip("opentelemetry")
    assert _telemetry._api() is not None
    _telemetry._api.cache_clear()
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with CodeInterpreter(**service.options) as it:
        assert it.run("1 + 1").text == "2"
    _telemetry._api.cache_clear()


def test_the_log_names_the_session_and_no_secret(service: FakeE2B, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="ci_integrations")
    with CodeInterpreter(**service.options, envs={"TOKEN": "s3cret"}) as it:
        it.run("1")
        service.only.stop()
        it.run("1")
    ours = [record.getMessage() for record in caplog.records if record.name == "ci_integrations"]
    assert len(ours) >= 4
    assert all(it.session_id in line for line in ours)
    assert "s3cret" not in "\n".join(ours)
    assert "e2b_000" not in "\n".join(ours)
