"""plotly, Altair and bokeh specifications as charts, straight through the readers: no kernel, no sandbox."""

from __future__ import annotations

import json

import pytest

from ci_integrations.charts import to_neutral
from ci_integrations.charts.read.dispatch import BOKEH_MIME, chart_from_mime

PLOTLY, VEGA = "application/vnd.plotly.v1+json", "application/vnd.vegalite.v6+json"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def plotly(*traces, **layout):
    return chart_from_mime(PLOTLY, {"data": list(traces), "layout": layout})


def vega(spec):
    return chart_from_mime(VEGA, spec)


def bokeh(*parts):
    """The one panel of a bokeh object, sent as the extractor sends it."""
    from ci_integrations.charts.extractor.web import _spec

    mime, spec = _spec(*parts, "bokeh")
    assert mime == BOKEH_MIME
    [panel] = to_neutral([chart_from_mime(mime, json.loads(json.dumps(spec)))])["panels"]
    return panel


def kinds(panel):
    return [(entry["kind"], entry["name"]) for entry in panel["series"]]


def test_a_fill_to_the_line_before_is_a_band_and_its_clear_edge_no_line():
    edge = {"type": "scatter", "x": [1, 2], "y": [5, 6], "mode": "lines", "line": {"width": 0}}
    fill = {**edge, "y": [1, 2], "fill": "tonexty", "name": "90 %"}
    mean = {"type": "scatter", "x": [1, 2], "y": [3, 4], "mode": "lines", "name": "mean"}
    [panel] = to_neutral([plotly(edge, fill, mean)])["panels"]
    assert kinds(panel) == [("band", "90 %"), ("line", "mean")]
    assert (panel["series"][0]["y"], panel["series"][0]["extra"]["y0"]) == ([5, 6], [1, 2])
    assert panel["kind"] == "line"


def test_an_outline_that_goes_back_the_way_it_came_is_a_band():
    trace = {"type": "scatter", "x": [1, 2, 3, 3, 2, 1], "y": [4, 5, 6, 3, 2, 1], "fill": "toself"}
    [panel] = to_neutral([plotly(trace)])["panels"]
    [band] = panel["series"]
    assert (band["kind"], band["x"], band["y"], band["extra"]["y0"]) == ("band", [1, 2, 3], [4, 5, 6], [1, 2, 3])


def test_facets_of_plotly_have_the_titles_of_their_row_and_column():
    axes = {"xaxis": {"domain": [0, 0.48]}, "xaxis2": {"domain": [0.5, 0.98]},
            "yaxis": {"domain": [0, 0.48]}, "yaxis2": {"domain": [0.52, 1]}}  # fmt: skip
    notes = [{"text": text, "x": x, "y": y, "xref": "paper", "showarrow": False, "textangle": angle}
             for text, x, y, angle in (("k=a", 0.24, 1, 0), ("k=b", 0.74, 1, 0), ("r=1", 0.98, 0.24, 90),
                                       ("r=2", 0.98, 0.76, 90))]  # fmt: skip
    traces = [{"type": "bar", "x": ["p"], "y": [n], "xaxis": x, "yaxis": y}
              for n, (x, y) in enumerate((("x", "y"), ("x2", "y"), ("x", "y2"), ("x2", "y2")))]  # fmt: skip
    panels = to_neutral([plotly(*traces, annotations=notes, **axes)])["panels"]
    assert [panel["title"] for panel in panels] == ["k=a / r=1", "k=b / r=1", "k=a / r=2", "k=b / r=2"]


def test_a_trace_that_is_not_read_still_gives_a_chart_that_says_so():
    chart = plotly({"type": "parcoords", "dimensions": []}, title={"text": "PC"})
    assert (chart.panels[0].title, chart.complete) == ("PC", False)
    assert chart.panels[0].notes == ("a parcoords trace is not read",)


LINES = {"type": "scatter", "x": ["2024-01-01", "2024-01-03"], "y": [1, 9], "name": "a"}
SLA = {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": 5, "y1": 5, "yref": "y", "label": {"text": "SLA"}}
OUTAGE = {"type": "rect", "x0": "2024-01-01", "x1": "2024-01-02", "xref": "x", "y0": 0, "y1": 1, "yref": "y domain"}


def test_shapes_across_a_plotly_figure_are_rules():
    frame = {"type": "rect", "xref": "paper", "yref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 1}
    diagonal = {"type": "line", "x0": "2024-01-01", "x1": "2024-01-03", "y0": 0, "y1": 9}
    [panel] = to_neutral([plotly(LINES, shapes=[SLA, OUTAGE, frame, diagonal])])["panels"]
    assert (panel["kind"], panel["complete"]) == ("line", True)
    assert kinds(panel) == [("line", "a"), ("rule", "SLA"), ("rule", None), ("line", None)]
    assert panel["series"][1]["extra"] == {"axis": "y", "value": 5}
    assert panel["series"][2]["extra"] == {
        "axis": "x", "start": ["2024-01-01"], "end": ["2024-01-02"], "value": ["2024-01-01", "2024-01-02"],
    }  # fmt: skip
    assert panel["series"][3]["y"] == [0, 9]


def test_a_shape_stands_on_the_axes_that_it_names():
    right = {**LINES, "yaxis": "y2", "name": "b"}
    other = {**LINES, "xaxis": "x3", "yaxis": "y3", "name": "c"}
    layout = {"yaxis2": {"overlaying": "y"}, "shapes": [{**SLA, "yref": "y2"}, {**SLA, "xref": "paper", "yref": "y3"}]}
    one, two = to_neutral([plotly(LINES, right, other, **layout)])["panels"]
    assert [(s["kind"], s.get("yaxis")) for s in one["series"]] == [("line", None), ("line", "y2"), ("rule", "y2")]
    assert kinds(two) == [("line", "c"), ("rule", "SLA")]


def test_a_shape_that_is_no_line_or_band_leaves_the_panel_incomplete():
    circle = {"type": "circle", "x0": "2024-01-01", "x1": "2024-01-02", "y0": 1, "y1": 2}
    chart = plotly(LINES, shapes=[circle])
    assert (chart.complete, chart.panels[0].notes) == (False, ("a circle drawn by hand is not read",))


def test_shares_of_plotly_are_what_the_axis_shows():
    bars = [{"type": "bar", "x": ["p", "q"], "y": y, "name": name} for name, y in (("a", [1, 3]), ("b", [3, 0]))]
    areas = [{**trace, "type": "scatter", "stackgroup": "1", "groupnorm": "fraction"} for trace in bars]
    for traces, layout, whole in ((bars, {"barnorm": "percent"}, 100), (areas, {}, 1)):
        chart = plotly(*traces, **layout)
        one, two = chart.panels[0].series
        assert (one.values("y"), two.values("y")) == ([0.25 * whole, whole], [0.75 * whole, 0])
        assert one.values("amount") == [1, 3]
        assert chart.complete
    binned = plotly(*({**trace, "type": "histogram", "histfunc": "sum"} for trace in bars), barnorm="percent")
    assert not binned.complete


def test_error_bars_by_the_square_root():
    chart = plotly({"type": "bar", "x": ["p"], "y": [9], "error_y": {"type": "sqrt"}})
    assert chart.panels[0].series[0].extra == {"err_low": [6], "err_high": [12]}


def test_an_animation_is_what_it_shows_first():
    chart = chart_from_mime(PLOTLY, {"data": [LINES], "layout": {}, "frames": [{"data": [LINES]}]})
    assert (chart.complete, len(chart.panels[0].series)) == (False, 1)


def test_shares_of_altair_are_what_the_axis_shows():
    rows = [{"t": t, "s": s, "n": n} for t, s, n in (("p", "a", 1), ("p", "b", 3), ("q", "a", 5))]
    encoding = {
        "x": {"field": "n", "type": "quantitative", "aggregate": "sum", "stack": "normalize"},
        "y": {"field": "t", "type": "nominal"}, "color": {"field": "s", "type": "nominal"},
    }  # fmt: skip
    spec = {"data": {"values": rows}, "mark": "bar", "encoding": encoding}
    one, two = vega(spec).panels[0].series
    assert (one.values("x"), one.values("y"), one.values("amount")) == ([0.25, 1], ["p", "q"], [1, 5])
    assert (two.values("x"), two.values("y")) == ([0.75], ["p"])
    encoding["yOffset"] = {"field": "s", "type": "nominal"}
    assert vega(spec).panels[0].notes == ("not evaluated: shares side by side",)


def test_areas_say_whether_they_stand_upon_one_another(figure):
    from bokeh.models import ColumnDataSource

    from ci_integrations.charts.extractor.web import _spec

    area = {"type": "scatter", "x": [1, 2], "y": [3, 4], "fill": "tozeroy"}
    stacked = {**area, "stackgroup": "1"}
    assert plotly(stacked, stacked).panels[0].barmode == "stack"
    assert plotly(area, area).panels[0].barmode == "overlay"
    rows = [{"x": x, "y": 1, "s": s} for x in (1, 2) for s in "ab"]
    encoding = {name: {"field": name, "type": "quantitative"} for name in "xy"}
    encoding["color"] = {"field": "s", "type": "nominal"}
    spec = {"data": {"values": rows}, "mark": "area", "encoding": encoding}
    assert vega(spec).panels[0].barmode == "stack"
    encoding["y"]["stack"] = None
    assert vega(spec).panels[0].barmode == "overlay"
    plot = figure()
    plot.varea_stack(["u", "v"], x="x", source=ColumnDataSource({"x": [1, 2], "u": [1, 2], "v": [3, 4]}))
    chart = chart_from_mime(*json.loads(json.dumps(_spec(plot, "bokeh"))))
    assert chart.panels[0].barmode == "stack"


def test_words_alone_are_no_data():
    encoding = {name: {"field": name, "type": "quantitative"} for name in ("x", "y", "text")}
    chart = vega({"data": {"values": [{"x": 1, "y": 2, "text": 3}]}, "mark": "text", "encoding": encoding})
    assert (chart.complete, chart.panels[0].notes) == (False, ("only words are drawn",))


def test_layers_with_scales_of_their_own_stand_on_two_axes():
    month = {"field": "m", "type": "nominal"}
    layer = [{"mark": mark, "encoding": {"x": month, "y": {"field": y, "type": "quantitative"}}}
             for mark, y in (("bar", "rain"), ("line", "temp"))]  # fmt: skip
    rows = [{"m": "Jan", "rain": 60, "temp": 3}, {"m": "Feb", "rain": 50, "temp": 5}]
    spec = {"data": {"values": rows}, "layer": layer, "resolve": {"scale": {"y": "independent"}}}
    [panel] = to_neutral([vega(spec)])["panels"]
    assert (panel["y_label"], panel["y2_label"], panel["y2_scale"]) == ("rain", "temp", "linear")
    assert [entry.get("yaxis") for entry in panel["series"]] == [None, "y2"]


def test_a_regression_is_drawn_by_its_two_ends():
    rows = [{"x": x, "y": 2 * x + 1} for x in (1.0, 2.0, 4.0)]
    encoding = {name: {"field": name, "type": "quantitative"} for name in "xy"}
    spec = {"data": {"values": rows}, "mark": "line", "encoding": encoding}
    [panel] = to_neutral([vega(spec | {"transform": [{"regression": "y", "on": "x"}]})])["panels"]
    assert (panel["series"][0]["x"], panel["series"][0]["y"], panel["complete"]) == ([1, 4], [3, 9], True)
    [unknown] = to_neutral([vega(spec | {"transform": [{"regression": "y", "on": "x", "method": "exp"}]})])["panels"]
    assert unknown["complete"] is False


def test_a_colour_that_a_selection_may_take_away_still_makes_groups():
    color = {"condition": {"param": "p", "field": "k", "type": "nominal"}, "value": "lightgray"}
    rows = [{"x": 1, "y": 2, "k": "a"}, {"x": 2, "y": 3, "k": "b"}]
    encoding = {name: {"field": name, "type": "quantitative"} for name in "xy"} | {"color": color}
    [panel] = to_neutral([vega({"data": {"values": rows}, "mark": "point", "encoding": encoding})])["panels"]
    assert kinds(panel) == [("scatter", "a"), ("scatter", "b")]


@pytest.fixture
def figure():
    return pytest.importorskip("bokeh.plotting").figure


def test_times_on_a_bokeh_axis_are_dates_not_milliseconds(figure):
    import pandas as pd

    plot = figure(x_axis_type="datetime")
    plot.line(pd.date_range("2024-01-01", periods=2), [1, 2])
    panel = bokeh(plot)
    assert (panel["x_scale"], panel["series"][0]["x"]) == ("datetime", ["2024-01-01T00:00:00", "2024-01-02T00:00:00"])


def test_lying_bokeh_bars_over_time_are_spans(figure):
    from datetime import datetime

    plot = figure(y_range=["a"], x_axis_type="datetime")
    plot.hbar(y=["a"], left=[datetime(2024, 1, 1)], right=[datetime(2024, 1, 3)])  # noqa: DTZ001
    [series] = bokeh(plot)["series"]
    assert (series["kind"], series["y"]) == ("gantt", ["a"])
    assert (series["extra"]["start"], series["extra"]["end"]) == (["2024-01-01T00:00:00"], ["2024-01-03T00:00:00"])


def test_a_filtered_bokeh_view_has_only_its_rows(figure):
    from bokeh.models import BooleanFilter, CDSView, ColumnDataSource, CustomJSFilter, GroupFilter

    source = ColumnDataSource({"x": [1, 2, 3], "y": [4, 5, 6], "k": ["a", "b", "a"]})
    plot = figure()
    view = CDSView(filter=GroupFilter(column_name="k", group="a") & ~BooleanFilter([True, False, False]))
    plot.scatter("x", "y", source=source, view=view)
    assert (bokeh(plot)["series"][0]["x"], bokeh(plot)["series"][0]["y"]) == ([3], [6])
    plot.line("x", "y", source=source, view=CDSView(filter=CustomJSFilter(code="return [0]")))
    assert bokeh(plot)["complete"] is False


def test_whiskers_on_bars_are_their_error_bars(figure):
    from bokeh.models import ColumnDataSource, Whisker

    source = ColumnDataSource({"x": ["a", "b"], "y": [2, 3], "low": [1, 2], "high": [3, 4]})
    plot = figure(x_range=["a", "b"])
    plot.vbar("x", top="y", source=source)
    plot.add_layout(Whisker(base="x", lower="low", upper="high", source=source))
    [series] = bokeh(plot)["series"]
    assert (series["extra"]["err_low"], series["extra"]["err_high"]) == ([1, 2], [3, 4])


def test_bars_within_segments_are_candles(figure):
    plot = figure()
    plot.segment([1, 2], [9, 8], [1, 2], [3, 4])
    plot.vbar([1], 0.5, [5], [7])
    plot.vbar([2], 0.5, [6], [5])
    panel = bokeh(plot)
    [series] = panel["series"]
    assert (panel["kind"], series["kind"], series["x"]) == ("candlestick", "candlestick", [1, 2])
    assert [series["extra"][key] for key in ("low", "high", "body_low", "body_high")] == [
        [3, 4],
        [9, 8],
        [5, 5],
        [7, 6],
    ]


def test_what_bokeh_draws_across_the_plot_is_read_and_the_rest_noted(figure):
    from datetime import datetime

    from bokeh.models import Arrow, BoxAnnotation, Slope

    plot = figure(x_axis_type="datetime")
    plot.line([datetime(2024, 1, 1), datetime(2024, 1, 9)], [1, 2])  # noqa: DTZ001
    plot.add_layout(BoxAnnotation(left=datetime(2024, 1, 2), right=datetime(2024, 1, 3)))  # noqa: DTZ001
    panel = bokeh(plot)
    extra = panel["series"][1]["extra"]
    assert (extra["axis"], extra["value"]) == ("x", ["2024-01-02T00:00:00", "2024-01-03T00:00:00"])
    assert panel["complete"]
    plot = figure()
    plot.scatter([1, 2], [1, 2])
    plot.add_layout(Slope(gradient=2, y_intercept=1))
    panel = bokeh(plot)
    assert (panel["series"][1]["kind"], panel["series"][1]["y"]) == ("line", [1, 3])
    assert panel["complete"]
    plot.add_layout(Arrow(x_start=1, y_start=1, x_end=2, y_end=2))
    assert bokeh(plot)["complete"] is False


def test_a_bokeh_figure_of_glyphs_that_are_not_read_says_so(figure):
    plot = figure()
    plot.patches([[1, 2, 2]], [[1, 1, 2]])
    panel = bokeh(plot)
    assert (panel["series"], panel["complete"]) == ([], False)


def test_a_bokeh_image_is_a_heat_map_over_the_middles_of_its_cells(figure):
    import numpy as np

    plot = figure()
    plot.image([np.arange(6.0).reshape(2, 3)], x=0, y=10, dw=3, dh=4)
    [series] = bokeh(plot)["series"]
    assert (series["kind"], series["x"], series["y"]) == ("heatmap", [0.5, 1.5, 2.5], [11, 13])
    assert series["extra"]["z"] == [[0, 1, 2], [3, 4, 5]]
