"""The neutral model: whatever a run gave, it is plain JSON and comes back as it was."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
from e2b_code_interpreter import Execution, Logs, Result
from e2b_code_interpreter.models import ExecutionError
from hypothesis import given
from hypothesis import strategies as st

from ci_integrations import ExecutionResult
from ci_integrations.rendering import images_for_model, render_text
from ci_integrations.results import ChartArtifact, JsonArtifact

PNG = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
).decode()


def test_a_result_can_be_printed() -> None:
    execution = Execution(results=[Result(png=PNG)], logs=Logs())
    result = ExecutionResult.from_execution(execution)
    assert result.images[0].data == PNG
    assert PNG not in repr(result)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.floats(width=32).map(np.float32)
    | st.integers(-(2**62), 2**62).map(np.int64),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4),
    max_leaves=20,
)
charts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["line", "bar", "pie", "scatter", "unknown", "nonsense"]),
        "title": anything,
        "elements": st.lists(st.fixed_dictionaries({"label": anything, "points": anything}), max_size=3),
    },
    optional={"x_label": anything, "y_label": anything, "x_unit": anything, "y_unit": anything},
)


def run_of(*results: Result, stdout: str = "", error: ExecutionError | None = None) -> ExecutionResult:
    return ExecutionResult.from_execution(Execution(list(results), Logs([stdout]), error), code="...")


def assert_plain_json(result: ExecutionResult) -> None:
    dumped = result.model_dump(mode="json")
    assert json.loads(json.dumps(dumped, allow_nan=False)) == dumped
    assert ExecutionResult.model_validate(dumped).model_dump(mode="json") == dumped


@given(anything, charts, st.text(st.characters()))
def test_any_envelope_becomes_plain_json_and_comes_back(value: object, chart: dict[str, object], text: str) -> None:
    extra = {"application/x-thing": value, "application/vnd.ci-chart.v1+json": value}
    result = run_of(Result(text=text, json=value, chart=chart, data={"a": value}, extra=extra, is_main_result=True))
    assert_plain_json(result)
    assert render_text(result)


def test_nan_and_infinity_become_null_and_huge_integers_strings() -> None:
    [artifact] = run_of(Result(json={"a": math.nan, "b": [math.inf], "c": 2**70, "d": np.float64(1.5)})).artifacts
    assert artifact.data == {"a": None, "b": [None], "c": str(2**70), "d": 1.5}


def test_what_is_nested_too_deeply_is_cut_once_and_then_stays_as_it_is() -> None:
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    chart = {"native": {"mime": "a/b", "spec": deep}}
    artifacts = (JsonArtifact(id="a0", data=deep), ChartArtifact.model_validate({"id": "a1", "chart": chart}))
    assert_plain_json(ExecutionResult(artifacts=artifacts))


def test_lone_surrogates_become_replacement_characters() -> None:
    assert run_of(stdout="a\ud800b").stdout == "a\ufffdb"


def test_the_forms_of_one_result_share_a_display_and_the_main_one_is_marked() -> None:
    result = run_of(
        Result(text="fig", png=PNG, html="<b>x</b>"), Result(text="4", json={"n": 4}, is_main_result=True, extra={})
    )
    assert [(a.kind, a.display, a.main) for a in result.artifacts] == [
        ("image", 0, False),
        ("html", 0, False),
        ("json", 1, True),
    ]
    assert result.text == "4"
    assert result.formats() == ("text", "image", "html", "json")


def test_unknown_mime_types_are_kept_by_their_name() -> None:
    result = run_of(Result(text="x", extra={"application/x-custom": {"a": 1}}))
    [other] = result.artifacts
    assert (other.kind, other.mime, other.data) == ("other", "application/x-custom", {"a": 1})


def test_a_broken_picture_is_kept_with_a_note_and_never_raises() -> None:
    [other] = run_of(Result(png="not base64!")).artifacts
    assert other.kind == "other"
    assert "not valid base64" in other.note


def test_a_payload_that_breaks_its_reader_is_kept_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from ci_integrations.charts.read import tables

    monkeypatch.setattr(tables, "table_from_mime", lambda payload: {"columns": [], "rows": [], "shape": [0, 0, 0]})
    [other] = run_of(Result(text="t", extra={"application/vnd.ci-table.v1+json": {}})).artifacts
    assert (other.kind, other.note) == ("other", "could not be read (ValidationError)")


def test_more_artifacts_than_allowed_are_counted() -> None:
    result = run_of(*(Result(html=str(n)) for n in range(300)))
    assert len(result.artifacts) == 256
    assert result.truncated.results == 44
    assert "44 results beyond the limit were dropped" in render_text(result)


def test_an_execution_is_found_again_in_a_message() -> None:
    class Message:
        artifact = run_of(Result(text="4", is_main_result=True)).model_dump(mode="json")

    assert ExecutionResult.from_message(Message()).text == "4"
    with pytest.raises(ValueError, match="no ci_integrations/execution@1"):
        ExecutionResult.from_message("hello")


def test_the_model_reads_words_not_base64() -> None:
    text = render_text(run_of(Result(text="<Figure>", png=PNG)))
    assert text == "[image a0: image/png 1x1, 70 bytes]"
    assert len(images_for_model(run_of(Result(png=PNG), Result(png=PNG)))) == 1


@pytest.mark.parametrize("wrapped", [False, True])
def test_bytes_that_the_code_shows_as_text_do_not_reach_the_model(wrapped: bool) -> None:
    code = base64.b64encode(base64.b64decode(PNG) * 100).decode()
    shown = "\n".join(code[n : n + 76] for n in range(0, len(code), 76)) if wrapped else code
    markdown = Result(markdown=f"before ![p](data:image/png;base64,{code}) after", is_main_result=True)
    text = render_text(run_of(markdown, stdout=f"here: {shown}\nthere\n"))
    assert code[200:260] not in text
    assert "here: [a file as base64: " in text
    assert "\nthere\n" in text
    assert f"before ![p]([image/png as base64: {len(code) + 22:,} characters left out]) after" in text


def test_an_error_is_named_with_its_failing_line() -> None:
    trace = "-" * 75 + "ZeroDivisionError   Traceback (most recent call last)Cell In[1], line 2\n----> 2 1/0"
    text = render_text(run_of(error=ExecutionError("ZeroDivisionError", "division by zero", trace)))
    assert text.startswith("Error: ZeroDivisionError: division by zero")
    assert "----> 2 1/0" in text


def test_a_traceback_shows_the_users_frames_and_not_those_of_libraries() -> None:
    trace = (
        "-" * 75 + "KeyError   Traceback (most recent call last)Cell In[4], line 1\n----> 1 f()\n"
        "Cell In[3], line 2, in f()\n      1 def f():\n----> 2     df['x']\n"
        "File /usr/lib/pandas/frame.py:4336, in DataFrame.__getitem__(self, key)\n   4332 indexer\n"
        "File /usr/lib/pandas/base.py:1, in _raise(self)\n----> 1 raise KeyError\nKeyError: 'x'"
    )
    text = render_text(run_of(error=ExecutionError("KeyError", "'x'", trace)))
    assert "----> 2     df['x']" in text
    assert "pandas" not in text
    assert text.endswith("[2 frames of libraries left out]\nKeyError: 'x'")


def test_a_silent_cell_says_so() -> None:
    assert render_text(run_of()) == "(no output)"


def test_progress_bars_are_collapsed_and_colours_gone() -> None:
    assert render_text(run_of(stdout="10%\r50%\r100%\n\x1b[31mred\x1b[0m\r\n")) == "100%\nred"


@given(st.text(max_size=3000), st.text(max_size=3000), st.integers(200, 3000))
def test_the_text_keeps_within_its_budget(stdout: str, value: str, budget: int) -> None:
    result = run_of(Result(text=value, is_main_result=True), stdout=stdout)
    assert 0 < len(render_text(result, max_chars=budget)) <= budget


def test_what_was_cut_is_said_and_head_and_tail_are_kept() -> None:
    text = render_text(run_of(stdout="first\n" + "x" * 50_000 + "\nlast"), max_chars=2000)
    assert text.startswith("first")
    assert text.endswith("last")
    assert "characters cut" in text
