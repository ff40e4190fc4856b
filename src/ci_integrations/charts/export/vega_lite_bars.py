"""Bars, histograms, areas, bands and boxes in Vega-Lite, with their errors and what lies beneath them."""

from __future__ import annotations

import itertools
from typing import Any

from ci_integrations.charts.export.vega_lite_channels import NotExpressible, are_numbers, axes_of, channel, data_of
from ci_integrations.charts.model import Panel, Series


def errors(series: Series, panel: Panel) -> list[dict[str, Any]]:
    low, high = series.values("err_low"), series.values("err_high")
    if not isinstance(low, list) or not isinstance(high, list):
        return []
    at, value = ("y", "x") if series.orientation == "h" else ("x", "y")
    ax, ay = axes_of(series, panel)
    axis = {"x": ax, "y": ay}
    places = series.values(at)
    encoding = {
        at: channel(at, axis[at], places),
        value: channel("low", axis[value], low),
        f"{value}2": {"field": "high"},
    }
    if series.kind == "bar":
        encoding |= _beside(series, panel, at, encoding) | {"color": {"value": "black"}}
    return [{"data": data_of(**{at: places, "low": low, "high": high}), "mark": "rule", "encoding": encoding}]


def _beside(series: Series, panel: Panel, at: str, encoding: dict[str, Any]) -> dict[str, Any]:
    """The place of a bar among those of its group."""
    if panel.barmode != "group" or not series.name or encoding[at]["type"] != "nominal":
        return {}
    return {f"{at}Offset": {"datum": series.name, "type": "nominal"}}


def beneath(series: Series, panel: Panel, at: str, value: str) -> list[Any]:
    """What stands beneath each mark: told by its base, else, in a stack, by the series before it."""
    values, base = series.values(value) or [], series.values("base")
    if base is not None:
        return base if isinstance(base, list) else [base] * len(values)
    peers = [other for other in panel.series if other.kind == series.kind and other.axis == series.axis]
    if panel.barmode != "stack" or any("base" in other.extra for other in peers):
        return [0] * len(values)
    total: dict[Any, float] = {}
    for other in itertools.takewhile(lambda one: one is not series, peers):
        for place, amount in zip(other.values(at) or (), other.values(value) or (), strict=False):
            if isinstance(amount, (int, float)):
                total[place, amount < 0] = total.get((place, amount < 0), 0) + amount
    places = series.values(at) or ()
    return [total.get((place, (amount or 0) < 0), 0) for place, amount in zip(places, values, strict=False)]


def bars(series: Series, panel: Panel) -> list[dict[str, Any]]:
    horizontal = series.orientation == "h"
    at, value = ("y", "x") if horizontal else ("x", "y")
    ax, ay = axes_of(series, panel)
    axis = {"x": ax, "y": ay}
    places, values = series.values(at), series.values(value)
    if not isinstance(places, list) or not isinstance(values, list):
        raise NotExpressible("raw values in bins")
    bases = beneath(series, panel, at, value)
    ends = (
        [None if v is None else v + (b or 0) for v, b in zip(values, bases, strict=False)]
        if are_numbers(bases)
        else series.values("end")
    )
    if not isinstance(ends, list):
        raise NotExpressible("lengths of time without their ends")
    encoding = {
        at: channel(at, axis[at], places), value: channel("end", axis[value], ends), f"{value}2": {"field": "base"},
    }  # fmt: skip
    mark: dict[str, Any] = {"type": "bar", "tooltip": True}
    if encoding[at]["type"] != "nominal":
        _thick(mark, encoding[at], at, len(places))
    encoding |= _beside(series, panel, at, encoding)
    layer = {"data": data_of(**{at: places, "base": bases, "end": ends}), "mark": mark, "encoding": encoding}
    return [layer, *errors(series, panel)]


def _thick(mark: dict[str, Any], place: dict[str, Any], at: str, count: int) -> None:
    """A bar at a number or a time has no band: a width of its own, and room for it at both ends of the axis."""
    mark["width" if at == "x" else "height"] = max(2, round((250 if at == "x" else 160) / max(1, count)))
    place["scale"] = {**place.get("scale", {}), "padding": max(2, round(150 / max(1, count)))}


def histogram(series: Series, panel: Panel) -> list[dict[str, Any]]:
    """Bins from edge to edge. They stand in x even of one that lies."""
    if series.y is not None and series.x is not None:
        return _bins(series, panel)
    which = "x" if series.x is not None else "y"
    values = series.values(which)
    ax, ay = axes_of(series, panel)
    binned = channel("v", ax if which == "x" else ay, values) | {"bin": {"maxbins": 30}}
    binned.pop("scale", None)
    other = {"aggregate": "count", "type": "quantitative"}
    encoding = {which: binned, ("y" if which == "x" else "x"): other}
    return [{"data": data_of(v=values), "mark": "bar", "encoding": encoding}]


def _bins(series: Series, panel: Panel) -> list[dict[str, Any]]:
    at, value = ("y", "x") if series.orientation == "h" else ("x", "y")
    axis = dict(zip("xy", axes_of(series, panel), strict=True))
    places, counts, edges = series.values("x"), series.values("y"), series.values("edges")
    if not isinstance(places, list) or not isinstance(counts, list):
        raise NotExpressible("raw values in bins")
    bases = beneath(series, panel, "x", "y")
    ends = [None if count is None else count + base for count, base in zip(counts, bases, strict=False)]
    encoding = {value: channel("end", axis[value], ends), f"{value}2": {"field": "base"}}
    mark: dict[str, Any] = {"type": "bar", "tooltip": True}
    if not isinstance(edges, list) or len(edges) != len(places) + 1:
        encoding[at] = channel("at", axis[at], places)
        if encoding[at]["type"] != "nominal":
            _thick(mark, encoding[at], at, len(places))
        return [{"data": data_of(at=places, end=ends, base=bases), "mark": mark, "encoding": encoding}]
    encoding |= {at: channel("left", axis[at], edges), f"{at}2": {"field": "right"}}
    mark |= {"stroke": "white", "strokeWidth": 0.5}
    if panel.barmode != "stack" and sum(other.kind == "histogram" for other in panel.series) > 1:
        mark["opacity"] = 0.6
    data = data_of(left=edges[:-1], right=edges[1:], end=ends, base=bases)
    return [{"data": data, "mark": mark, "encoding": encoding}]


def band(series: Series, panel: Panel) -> list[dict[str, Any]]:
    value = "x" if series.orientation == "h" else "y"
    at = "y" if value == "x" else "x"
    ax, ay = axes_of(series, panel)
    axis = {"x": ax, "y": ay}
    places, ends = series.values(at), series.values(value)
    low = series.values(f"{value}0")
    if not isinstance(low, list):
        low = beneath(series, panel, at, value)
        ends = [None if end is None else end + base for end, base in zip(ends or (), low, strict=False)]
    encoding = {
        at: channel(at, axis[at], places),
        value: channel("high", axis[value], ends),
        f"{value}2": {"field": "low"},
    }
    mark = {"type": "area", "opacity": 0.5, "orient": "horizontal" if value == "x" else "vertical"}
    return [{"data": data_of(**{at: places, "high": ends, "low": low}), "mark": mark, "encoding": encoding}]


def _offset(series: Series, panel: Panel, at: str) -> dict[str, Any]:
    """The place of a box beside those of the other series at the same places."""
    peers = [other for other in panel.series if other.kind == series.kind and other is not series]
    places = series.values("x") or ()
    if not series.name or not any(set(other.values("x") or ()) & set(places) for other in peers):
        return {}
    return {f"{at}Offset": {"datum": series.name, "type": "nominal"}}


def boxes(series: Series, panel: Panel) -> list[dict[str, Any]]:
    """From statistics when they are known, from raw values otherwise."""
    horizontal = series.orientation == "h"
    at, value = ("y", "x") if horizontal else ("x", "y")
    ax, ay = axes_of(series, panel)
    axis = {"x": ax, "y": ay}
    stats = {key: series.values(key) for key in ("q1", "median", "q3")}
    if not all(isinstance(v, list) for v in stats.values()):
        places, values = series.values(at), series.values(value)
        if not isinstance(values, list):
            raise NotExpressible("no box")
        places = places if isinstance(places, list) else [series.name or ""] * len(values)
        encoding = {at: channel(at, axis[at], places), value: channel("v", axis[value], values)}
        if encoding[at]["type"] == "nominal":
            encoding |= _offset(series, panel, at)
        return [{"data": data_of(**{at: places, "v": values}), "mark": "boxplot", "encoding": encoding}]
    places = series.values("x")
    low, high = (
        series.values("whislo") or series.values("min") or stats["q1"],
        series.values("whishi") or series.values("max") or stats["q3"],
    )
    data = data_of(g=places, low=low, high=high, **stats)
    group = channel("g", axis[at], places)
    group["type"] = "nominal"
    group.pop("scale", None)
    offset = _offset(series, panel, at)

    def layer(mark: Any, first: str, second: str | None = None) -> dict[str, Any]:
        encoding = {at: group, **offset, value: channel(first, axis[value], stats["q1"])}
        if second:
            encoding[f"{value}2"] = {"field": second}
        return {"data": data, "mark": mark, "encoding": encoding}

    tick = {"type": "tick", "color": "white", "orient": "horizontal" if value == "y" else "vertical"}
    median = layer(tick, "median")
    median["encoding"]["color"] = {"value": "white"}
    boxes = [layer("rule", "low", "high"), layer({"type": "bar", "size": 12 if offset else 20}, "q1", "q3"), median]
    loose = [(place, v) for place, row in zip(places, series.values("fliers") or [], strict=False) for v in row or ()]
    if loose:
        data = data_of(g=[place for place, _ in loose], v=[v for _, v in loose])
        encoding = {at: group, **offset, value: channel("v", axis[value], [v for _, v in loose])}
        boxes.append({"data": data, "mark": "point", "encoding": encoding})
    return boxes
