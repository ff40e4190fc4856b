"""Vega-Lite marks with two ends, tables joined and filled up, datums that name a series, and places on a map."""

from __future__ import annotations

import pytest

from ci_integrations.charts import to_neutral
from ci_integrations.charts.read.dispatch import chart_from_mime

K, Q, T = "nominal", "quantitative", "temporal"


def channels(**fields):
    """`x=("field", type)`; one without a type is a bare field."""
    return {name: {"field": f, "type": kind} if kind else {"field": f} for name, (f, kind) in fields.items()}


def drawn(rows, *layers, **more):
    spec = {"data": {"values": rows}, "layer": list(layers), **more}
    chart = chart_from_mime("application/vnd.vegalite.v6+json", spec)
    [panel] = to_neutral([chart])["panels"]
    return panel


DAYS = [
    {"d": "2024-01-01", "open": 1.0, "close": 3.0, "low": 0.5, "high": 6.0},
    {"d": "2024-01-02", "open": 2.0, "close": 1.5, "low": 0.5, "high": 6.0},
]


@pytest.mark.parametrize(("first", "second"), [("open", "close"), ("close", "open")])
def test_floating_bars_within_rules_are_candles(first, second):
    rule = {"mark": "rule", "encoding": channels(x=("d", T), y=("low", Q), y2=("high", None))}
    body = {"mark": "bar", "encoding": channels(x=("d", T), y=(first, Q), y2=(second, None))}
    panel = drawn(DAYS, rule, body)
    [candles] = panel["series"]
    assert (panel["kind"], candles["x"]) == ("candlestick", ["2024-01-01", "2024-01-02"])
    assert candles["extra"] == {"low": [0.5, 0.5], "high": [6.0, 6.0], "open": [1.0, 2.0], "close": [3.0, 1.5]}


def test_bodies_that_stand_out_of_their_rules_stay_bars():
    rule = {"mark": "rule", "encoding": channels(x=("d", T), y=("open", Q), y2=("close", None))}
    body = {"mark": "bar", "encoding": channels(x=("d", T), y=("low", Q), y2=("high", None))}
    assert [entry["kind"] for entry in drawn(DAYS, rule, body)["series"]] == ["rule", "bar"]


def test_a_floating_bar_has_its_own_length_over_a_base():
    rows = [{"k": "a", "lo": 0, "hi": 40}, {"k": "b", "lo": 40, "hi": 55}]
    [bar] = drawn(rows, {"mark": "bar", "encoding": channels(x=("k", K), y=("lo", Q), y2=("hi", None))})["series"]
    assert (bar["y"], bar["extra"]["base"], bar["extra"]["end"]) == ([40, 15], [0, 40], [40, 55])


def test_bars_over_ready_made_bins_are_a_histogram():
    rows = [{"from": 0, "to": 10, "n": 3}, {"from": 10, "to": 20, "n": 5}]
    encoding = channels(x=("from", Q), x2=("to", None), y=("n", Q))
    encoding["x"]["bin"] = "binned"
    [histogram] = drawn(rows, {"mark": "bar", "encoding": encoding})["series"]
    assert (histogram["kind"], histogram["x"], histogram["y"]) == ("histogram", [5, 15], [3, 5])
    assert histogram["extra"]["edges"] == [0, 10, 20]


def test_a_rule_to_a_value_with_a_point_at_its_end_is_a_stem():
    rows = [{"k": "a", "v": 3}, {"k": "b", "v": 5}]
    panel = drawn(rows, *({"mark": mark, "encoding": channels(x=("v", Q), y=("k", K))} for mark in ("rule", "circle")))
    [stem] = panel["series"]
    assert (panel["kind"], stem["kind"], stem["x"], stem["y"]) == ("stem", "stem", [3, 5], ["a", "b"])


def test_a_datum_as_colour_names_its_line_and_its_rule():
    line = {"mark": "line", "encoding": channels(x=("t", Q), y=("v", Q)) | {"color": {"datum": "measured"}}}
    rule = {"mark": "rule", "encoding": {"y": {"datum": 5}, "color": {"datum": "limit"}}}
    panel = drawn([{"t": 1, "v": 2}, {"t": 2, "v": 4}], line, rule)
    assert [(entry["kind"], entry["name"]) for entry in panel["series"]] == [("line", "measured"), ("rule", "limit")]


def test_a_repeated_layer_is_named_by_its_field():
    encoding = {"x": {"field": "t", "type": Q}, "y": {"field": {"repeat": "layer"}, "type": Q}}
    spec = {"mark": "line", "encoding": encoding | {"color": {"datum": {"repeat": "layer"}}}}
    rows = [{"t": 1, "us": 3, "ww": 5}, {"t": 2, "us": 4, "ww": 7}]
    payload = {"data": {"values": rows}, "repeat": {"layer": ["us", "ww"]}, "spec": spec}
    [panel] = to_neutral([chart_from_mime("application/vnd.vegalite.v6+json", payload)])["panels"]
    assert [(entry["name"], entry["y"]) for entry in panel["series"]] == [("us", [3, 4]), ("ww", [5, 7])]


def test_a_lookup_brings_columns_of_a_second_table():
    step = {"lookup": "who", "from": {"data": {"name": "ages"}, "key": "name", "fields": ["age"]}}
    unit = {"mark": "bar", "encoding": channels(x=("who", K), y=("age", Q)), "transform": [step]}
    panel = drawn([{"who": "Al"}, {"who": "Cy"}], unit, datasets={"ages": [{"name": "Al", "age": 30}]})
    assert (panel["series"][0]["y"], panel["complete"]) == ([30, None], True)
    assert drawn([{"who": "Al"}], unit)["complete"] is False


def test_imputed_rows_are_drawn():
    step = {"impute": "v", "key": "k", "groupby": ["g"], "value": 0}
    rows = [{"g": "a", "k": "p", "v": 1}, {"g": "a", "k": "q", "v": 2}, {"g": "b", "k": "p", "v": 3}]
    unit = {"mark": "bar", "encoding": channels(x=("g", K), y=("v", Q), color=("k", K)), "transform": [step]}
    assert [entry["y"] for entry in drawn(rows, unit)["series"]] == [[1, 3], [2, 0]]


def test_places_on_a_map_are_points_without_axes():
    encoding = channels(longitude=("lon", Q), latitude=("lat", Q))
    panel = drawn([{"lon": 10.75, "lat": 59.9}], {"mark": "circle", "encoding": encoding})
    assert (panel["series"][0]["x"], panel["series"][0]["y"], panel["x_scale"]) == ([10.75], [59.9], None)


def test_a_highlighted_stretch_is_a_rule_with_two_ends():
    stretch = {"mark": "rect", "encoding": channels(x=("from", Q), x2=("to", None))}
    line = {"mark": "line", "encoding": channels(x=("t", Q), y=("v", Q))}
    panel = drawn([{"t": 1, "v": 2, "from": 1.5, "to": 2.5}], stretch, line)
    assert panel["kind"] == "line"
    assert panel["series"][0]["extra"] == {"axis": "x", "start": 1.5, "end": 2.5, "value": [1.5, 2.5]}


def test_a_colour_by_another_part_of_the_date_makes_groups():
    encoding = {
        "x": {"field": "d", "timeUnit": "year", "type": "ordinal"},
        "y": {"field": "v", "aggregate": "sum", "type": Q},
        "color": {"field": "d", "timeUnit": "quarter", "type": K},
    }
    rows = [{"d": "2024-03-01", "v": 1}, {"d": "2024-07-01", "v": 2}]
    panel = drawn(rows, {"mark": "bar", "encoding": encoding})
    assert [(entry["name"], entry["y"]) for entry in panel["series"]] == [("Q1", [1]), ("Q3", [2])]


def test_the_constants_of_vega_are_known():
    step = {"calculate": "log(datum.v) / LN10", "as": "lg"}
    unit = {"mark": "bar", "encoding": channels(x=("k", K), y=("lg", Q)), "transform": [step]}
    panel = drawn([{"k": "a", "v": 100}], unit)
    assert (panel["series"][0]["y"], panel["complete"]) == ([pytest.approx(2)], True)
