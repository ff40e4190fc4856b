"""Charts as Vega-Lite: what stands where, upon what, and on which axis."""

from __future__ import annotations

import json

import pytest

from ci_integrations.charts.chart import Chart

CATEGORIES, NUMBERS = {"scale": "categorical"}, {"scale": "linear"}


def view(*series, x=NUMBERS, **panel):
    """The specification of one panel, which Vega-Lite takes."""
    panel = {"kind": "mixed", "x": x, "y": NUMBERS, "series": list(series), **panel}
    spec = Chart.model_validate({"panels": [panel]}).to_vega_lite()
    vl_convert = pytest.importorskip("vl_convert")
    assert vl_convert.vegalite_to_vega(json.dumps(spec))
    return spec


def rows(layer):
    return layer["data"]["values"]


@pytest.mark.parametrize("kind", ["bar", "area"])
def test_what_is_stacked_stands_upon_the_series_before_it(kind):
    one, two, three = ({"name": n, "kind": kind, "x": ["p", "q"], "y": y}
                       for n, y in (("a", [1, 2]), ("b", [3, -4]), ("c", [5, -6])))  # fmt: skip
    layers = view(one, two, three, x=CATEGORIES, barmode="stack")["layer"]
    low, high = ("base", "end") if kind == "bar" else ("low", "high")
    assert [[(row[low], row[high]) for row in rows(layer)] for layer in layers] == [
        [(0, 1), (0, 2)], [(1, 4), (0, -4)], [(4, 9), (-4, -10)],
    ]  # fmt: skip


def test_bars_whose_base_is_told_stand_there():
    upper = {"name": "a", "kind": "bar", "x": ["p"], "y": [3], "extra": {"base": [2]}}
    lower = {"name": "b", "kind": "bar", "x": ["p"], "y": [2]}
    layers = view(upper, lower, x=CATEGORIES, barmode="stack")["layer"]
    assert [(rows(layer)[0]["base"], rows(layer)[0]["end"]) for layer in layers] == [(2, 5), (0, 2)]


def test_bins_reach_from_edge_to_edge_and_lie_when_they_lie():
    bins = {"kind": "histogram", "x": [0.5, 5.5], "y": [3, 4], "extra": {"edges": [0, 1, 10]}}
    [layer] = view(bins)["layer"]
    assert [(row["left"], row["right"], row["end"]) for row in rows(layer)] == [(0, 1, 3), (1, 10, 4)]
    [lying] = view({**bins, "orientation": "h"})["layer"]
    assert (lying["encoding"]["y"]["field"], lying["encoding"]["x"]["field"]) == ("left", "end")


def test_boxes_of_several_series_stand_beside_each_other():
    box = {"kind": "box", "x": ["p", "q"], "extra": {"q1": [1, 2], "median": [2, 3], "q3": [3, 4], "fliers": [[9], []]}}
    pair = view({**box, "name": "a"}, {**box, "name": "b"}, x=CATEGORIES)["layer"]
    assert {layer["encoding"]["xOffset"]["datum"] for layer in pair} == {"a", "b"}
    alone = view({**box, "name": "a"}, x=CATEGORIES)["layer"]
    assert not any("xOffset" in layer["encoding"] for layer in alone)


def test_series_on_one_axis_share_it():
    line = {"kind": "line", "x": [1, 2], "y": [3, 4]}
    spec = view({**line, "axis": "y2"}, line, line, y2=NUMBERS)
    right, left = (part["layer"] for part in spec["layer"])
    assert spec["resolve"] == {"scale": {"y": "independent"}}
    assert [layer["encoding"]["y"]["axis"]["orient"] for layer in (*right, *left)] == ["right", "left", "left"]
    top = view({**line, "axis": "x2"}, line, x2=NUMBERS)
    assert top["resolve"] == {"scale": {"x": "independent"}}


def test_years_have_no_thousands_and_values_between_gaps_are_seen():
    years = {"kind": "line", "x": [2020, 2021, 2022], "y": [1, None, 2]}
    [layer] = view(years)["layer"]
    assert "format(datum.value, 'd')" in layer["encoding"]["x"]["axis"]["labelExpr"]
    assert layer["mark"]["point"] is True
    [other] = view({**years, "x": [20, 21, 22], "y": [1, 2, 3]})["layer"]
    assert "axis" not in other["encoding"]["x"]
    assert "point" not in other["mark"]
