"""What several bokeh glyphs mean together, and whose name a legend gives."""

from __future__ import annotations

import json

import pytest

from ci_integrations.charts import to_neutral
from ci_integrations.charts.read.dispatch import chart_from_mime

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CATS, Q1, MEDIAN, Q3, LOW, HIGH = ["a", "b"], [2.1, 4.3], [3.3, 6.1], [4.7, 8.9], [-1.0, -2.0], [7.0, 14.0]


@pytest.fixture
def figure():
    return pytest.importorskip("bokeh.plotting").figure


def read(plot):
    from ci_integrations.charts.extractor.web import _spec

    mime, spec = _spec(plot, "bokeh")
    [panel] = to_neutral([chart_from_mime(mime, json.loads(json.dumps(spec)))])["panels"]
    return panel


def with_whisker(plot):
    from bokeh.models import ColumnDataSource, Whisker

    source = ColumnDataSource({"at": CATS, "low": LOW, "high": HIGH})
    plot.add_layout(Whisker(base="at", lower="low", upper="high", source=source))


def with_segments(plot):
    plot.segment(CATS, HIGH, CATS, Q3)
    plot.segment(CATS, LOW, CATS, Q1)
    plot.rect(CATS, LOW, 0.2, 0.01)
    plot.rect(CATS, HIGH, 0.2, 0.01)


@pytest.mark.parametrize("whiskers", [with_whisker, with_segments])
def test_two_bars_that_meet_between_whiskers_are_boxes(figure, whiskers):
    plot = figure(x_range=CATS)
    whiskers(plot)
    plot.vbar(CATS, 0.7, MEDIAN, Q3)
    plot.vbar(CATS, 0.7, Q1, MEDIAN)
    plot.scatter(["a"], [30.0])
    panel = read(plot)
    box, outliers = panel["series"]
    assert (panel["kind"], box["x"], outliers["kind"]) == ("box", CATS, "scatter")
    names = ("q1", "median", "q3", "whislo", "whishi")
    assert [box["extra"][name] for name in names] == [Q1, MEDIAN, Q3, LOW, HIGH]


def test_bars_that_do_not_meet_are_no_boxes(figure):
    plot = figure(x_range=CATS)
    with_whisker(plot)
    plot.vbar(CATS, 0.7, MEDIAN, Q3)
    plot.vbar(CATS, 0.7, Q1, [2.5, 4.5])
    assert [entry["kind"] for entry in read(plot)["series"]] == ["bar", "bar"]


def test_a_legend_by_group_names_each_group(figure):
    from bokeh.models import ColumnDataSource

    plot = figure()
    source = ColumnDataSource({"x": [1, 2, 3], "y": [4, 5, 6], "k": ["p", "q", "p"]})
    plot.scatter("x", "y", source=source, legend_group="k")
    assert [(entry["name"], entry["x"]) for entry in read(plot)["series"]] == [("p", [1, 3]), ("q", [2])]


def test_segments_from_zero_to_points_are_stems(figure):
    plot = figure(y_range=CATS)
    plot.segment(0, CATS, [3, 5], CATS)
    plot.scatter([3, 5], CATS)
    panel = read(plot)
    [stem] = panel["series"]
    assert (panel["kind"], stem["kind"], stem["x"], stem["y"]) == ("stem", "stem", [3, 5], CATS)


def test_spans_drawn_as_glyphs_are_rules(figure):
    plot = figure()
    plot.vspan(x=[2, 3])
    plot.hspan(y=[5])
    panel = read(plot)
    found = [(entry["extra"]["axis"], entry["extra"]["value"]) for entry in panel["series"]]
    assert (found, panel["complete"]) == ([("x", 2), ("x", 3), ("y", 5)], True)


def test_what_is_not_read_still_gives_a_panel_that_says_so(figure):
    plot = figure(title="Map")
    plot.patches([[1, 2, 2]], [[1, 1, 2]])
    panel = read(plot)
    assert (panel["title"], panel["kind"], panel["complete"]) == ("Map", "mixed", False)


def test_contours_have_their_levels_and_lack_their_grid(figure):
    import numpy as np

    x, y = np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 1, 4))
    plot = figure()
    plot.contour(x, y, x + y, levels=[0.5, 1.0], line_color="black")
    panel = read(plot)
    [series] = panel["series"]
    assert (panel["kind"], series["extra"]["levels"], panel["complete"]) == ("contour", [0.5, 1.0], False)
