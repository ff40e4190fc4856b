"""Payloads out of the sandbox: whatever they are, a reader gives a valid object or None, and text is escaped."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_integrations.charts import Chart, to_neutral
from ci_integrations.charts.read import dispatch, tables
from ci_integrations.results.tables import markdown

KEYS = [
    "panels", "series", "kind", "x", "y", "extra", "b64", "dtype", "n", "data", "layout", "type", "bdata", "mark",
    "encoding", "field", "aggregate", "bin", "transform", "filter", "doc", "roots", "attributes", "id", "name", "layer",
    "values", "title", "columns", "rows", "shape", "files", "path", "elements", "points",
]  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
MIMES = [dispatch.CHART_MIME, dispatch.BOKEH_MIME, "application/vnd.plotly.v1+json", "application/vnd.vegalite.v6+json"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(JSON, st.sampled_from(MIMES))
def test_nonsense_never_raises(payload, mime):
    for found in (dispatch.chart_from_mime(mime, payload), dispatch.chart_from_e2b(payload)):
        assert found is None or json.dumps(found.model_dump(mode="json"), allow_nan=False)
    tables.table_from_mime(payload)
    tables.files_from_mime(payload)


def own(**series):
    return {"schema": "ci.chart/1", "panels": [{"kind": "line", "series": [{"kind": "line", **series}]}]}


@pytest.mark.parametrize(
    "column",
    [
        {"b64": "AAAA", "dtype": "f8", "n": 10**9},
        {"b64": "!" * 16, "dtype": "O8", "n": 1},
        {"start": 0, "step": 1, "n": 10**12},
        {"start": 0, "step": 1, "n": 10, "last": "x"},
        {"b64": "AAAA", "dtype": "i1", "n": 3, "div": 0},
        {"file": "../../etc/passwd", "sha256": "0" * 64, "dtype": "f8", "n": 1},
        {"file": "/tmp/x", "sha256": "0" * 63, "dtype": "f8", "n": 1},
        {"file": "/tmp/x", "sha256": "0" * 64, "dtype": "f8", "n": 1, "range": [0]},
        [{"a": 1}],
        [[[[[[1]]]]]],
        "text",
    ],
)
def test_a_column_that_lies_about_itself_refuses_the_chart(column):
    assert dispatch.chart_from_mime(dispatch.CHART_MIME, own(x=column)) is None


def test_depth_and_size_are_bounded():
    deep = {}
    for _ in range(1000):
        deep = {"spec": deep, "layer": [deep]} if not deep else {"spec": deep}
    assert dispatch.chart_from_mime("application/vnd.vegalite.v6+json", deep) is None
    assert dispatch.chart_from_mime(dispatch.CHART_MIME, own(x=[0] * 4_000_000)) is None


def test_a_gzip_bomb_in_a_bokeh_array_is_not_inflated():
    import gzip

    bomb = base64.b64encode(gzip.compress(b"\0" * 50_000_000)).decode()
    array = {"type": "ndarray", "dtype": "float64", "shape": [2], "array": {"type": "bytes", "data": bomb}}
    glyph = {"type": "object", "name": "Line", "id": "g", "attributes": {"x": {"field": "x"}, "y": {"field": "x"}}}
    source = {
        "type": "object",
        "name": "ColumnDataSource",
        "id": "s",
        "attributes": {"data": {"entries": [["x", array]]}},
    }
    line = {"type": "object", "name": "GlyphRenderer", "id": "r", "attributes": {"glyph": glyph, "data_source": source}}
    figure = {"type": "object", "name": "Figure", "id": "f", "attributes": {"renderers": [line]}}
    assert dispatch.chart_from_mime(dispatch.BOKEH_MIME, {"doc": {"roots": [figure]}}) is None


def test_vega_expressions_reach_nothing_of_python():
    from ci_integrations.charts.read.vega_lite.expressions import Unknown, evaluate

    assert evaluate("datum.n > 1 && datum['s'] == 'a'", {"n": 2, "s": "a"}) is True
    assert evaluate("datum.__class__", {"n": 2}) is None
    for bad in ("__import__('os')", "open('x')", "(" * 5000, "datum.n +"):
        with pytest.raises(Unknown):
            evaluate(bad, {"n": 2})


def test_words_are_escaped():
    chart = Chart.model_validate({
        "panels": [{"kind": "bar", "title": "<script>|x|",
                    "series": [{"kind": "bar", "x": ["a|b", "<b>"], "y": [1, 2]}]}]
    })  # fmt: skip
    text = chart.to_markdown()
    assert "<script>" not in text
    assert "<b>" not in text
    assert "a\\|b" in text


def test_words_that_a_model_reads_stay_clean():
    table = {"columns": [{"name": "revenue (kUSD)", "dtype": "f"}, {"name": "day_1", "dtype": "o"}], "shape": [1, 2],
             "rows": [[-1.5, "2026-01-01"]]}  # fmt: skip
    found = tables.table_from_mime(table)
    names = [column["name"] for column in found["columns"]]
    assert markdown(names, found["rows"]).splitlines() == [
        "| revenue (kUSD) | day_1 |",
        "| --- | --- |",
        "| -1.5 | 2026-01-01 |",
    ]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("a|b\n| c", "a\\|b \\| c"),
        ("a\\|b", "a\\\\\\|b"),
        ("![x](http://e.example/?q)", "!\\[x](http://e.example/?q)"),
        ("`x`", "\\`x\\`"),
        ("<img src=x>", "&lt;img src=x>"),
    ],
)
def test_no_word_leaves_its_cell_or_becomes_a_link_code_or_html(word, shown):
    from ci_integrations.charts.export.words import escape

    assert escape(word) == shown


def test_the_chart_says_itself_in_words_and_numbers():
    chart = Chart.model_validate(own(name="a", x=[1, 2, 3], y=[4.0, None, 9.5]))
    assert chart.describe() == "Figure: line chart. “a”, n=3, y from 4 to 9.5 (highest at 3, lowest at 1)."
    assert to_neutral([chart])["panels"][0]["series"][0]["y"] == [4.0, None, 9.5]
    frame = chart.to_dataframe()
    assert list(frame["y"])[0::2] == [4.0, 9.5]


def test_the_views_of_long_series_keep_their_extremes():
    from ci_integrations.charts.columns import thin

    values = [0.0] * 10_000
    values[4321], values[7777] = 99.0, -99.0
    kept = thin(values, 20)
    assert len(kept) <= 20
    assert {4321, 7777} <= set(kept)


def test_file_paths_that_are_not_plain_are_left_out():
    names = ["/home/user/a.csv", "../../etc/passwd", "/a/../b", "x\0y", "", 3]
    files, *_ = tables.files_from_mime({"files": [{"path": name, "size": 1} for name in names]})
    assert [file["path"] for file in files] == ["/home/user/a.csv"]
