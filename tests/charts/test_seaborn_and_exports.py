"""seaborn's dodged and shrunk bars and its strips by hue; plotly figures that were only written somewhere."""

from __future__ import annotations

import pytest
from plain_kernel import run_jobs

from ci_integrations.charts.read.dispatch import chart_from_mime

CHART, PLOTLY = "application/vnd.ci-chart.v1+json", "application/vnd.plotly.v1+json"


def cells(*codes):
    [answer] = run_jobs([{"id": "one", "cells": list(codes)}])
    assert "crash" not in answer, answer.get("crash")
    return [[display["data"] for display in cell["displays"]] for cell in answer["cells"]]


DRAWN = {
    "bars beside one another in their bin": (
        "sns.histplot(x=[0, 1, 1, 2], hue=['a', 'a', 'b', 'b'], bins=2, multiple='dodge')",
        [("histogram", "b", [0.5, 1.5], [0, 2]), ("histogram", "a", [0.5, 1.5], [1, 1])],
    ),
    "bars narrower than their bin": (
        "sns.histplot(x=[1, 2, 2, 4], discrete=True, shrink=.8)", [("histogram", None, [1, 2, 3, 4], [1, 2, 0, 1])]
    ),
    "narrow bars over words": (
        "sns.histplot(x=['p', 'q', 'q'], shrink=.8)", [("bar", None, ["p", "q"], [1, 2])]
    ),
    "a strip by hue": (
        "sns.stripplot(x=['p', 'p', 'q', 'q'], y=[1, 2, 3, 4], hue=['a', 'b', 'a', 'b'], jitter=False)",
        [("scatter", "a", ["p", "q"], [1, 3]), ("scatter", "b", ["p", "q"], [2, 4])],
    ),
    "a strip without hue": (
        "sns.stripplot(x=['p', 'p', 'q'], y=[1, 2, 3], jitter=False)",
        [("scatter", None, ["p", "p"], [1, 2]), ("scatter", None, ["q"], [3])],
    ),
}  # fmt: skip


def test_seaborn_is_read_as_it_was_meant():
    head = "import seaborn as sns, matplotlib.pyplot as plt"
    _, *drawn = cells(head, *(f"{code}\nplt.show()" for code, _ in DRAWN.values()))
    for (name, (_, expected)), shown in zip(DRAWN.items(), drawn, strict=True):
        [chart] = [data[CHART] for data in shown if CHART in data]
        series = chart_from_mime(CHART, chart).panels[0].series
        found = [(s.kind, s.name, s.values("x"), s.values("y")) for s in series]
        assert found == [(kind, s, pytest.approx(x) if kind == "histogram" else x, y) for kind, s, x, y in expected], (
            name
        )


WRITTEN = {
    "a method": "fig.write_html('p.html')",
    "a function": "pio.write_html(fig, 'p.html')",
    "a string": "html = fig.to_html(full_html=False)",
    "offline": "import plotly.offline\nplotly.offline.plot(fig, filename='p.html', auto_open=False)",
    "written and shown": "pio.write_html(fig, file='p.html')\nfig.show()",
    "json": "pio.write_json(fig, 'p.json')",
}


def test_a_plotly_figure_that_was_written_is_reported_once():
    pytest.importorskip("plotly")
    head = "import plotly.graph_objects as go, plotly.io as pio"
    figure = "fig = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name='t'))\n"
    _, *written = cells(head, *(figure + code for code in WRITTEN.values()))
    for name, shown in zip(WRITTEN, written, strict=True):
        found = [chart_from_mime(PLOTLY, data[PLOTLY]) for data in shown if PLOTLY in data]
        assert [chart.panels[0].series[0].values("y") for chart in found] == [[3, 4]], name


def test_plotly_express_names_parents_by_paths_but_the_data_have_words():
    trace = {"type": "treemap", "labels": ["a", "a", "N", "S", "all"], "parents": ["all/N", "all/S", "all", "all", ""],
             "ids": ["all/N/a", "all/S/a", "all/N", "all/S", "all"], "values": [1, 2, 1, 2, 3]}  # fmt: skip
    assert parents(trace) == ["N", "S", "all", "all", ""]
    twice = {"labels": ["a", "N", "N", "S", "all"], "ids": ["all/N/a", "all/S/N", "all/N", "all/S", "all"]}
    assert parents(trace | twice) == ["all/N", "S", "all", "all", ""]
    assert parents({**trace, "ids": ["1", "2", "all/N", "all/S", "all"]}) == trace["parents"]


def test_a_plotly_heat_map_of_three_columns_is_a_matrix():
    trace = {"type": "heatmap", "x": [2, 1, 2], "y": ["p", "q", "q"], "z": [5, 6, 7]}
    [series] = chart_from_mime(PLOTLY, {"data": [trace], "layout": {}}).panels[0].series
    assert (series.x, series.y, series.extra["z"]) == ([1, 2], ["p", "q"], [[None, 5], [6, 7]])


def parents(trace):
    [series] = chart_from_mime(PLOTLY, {"data": [trace], "layout": {}}).panels[0].series
    return series.extra["parent"]
