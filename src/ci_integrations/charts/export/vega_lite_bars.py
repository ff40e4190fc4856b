"""Writes bars, histograms, areas, bands and boxes in Vega-Lite, with their errors and what is stacked below them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from ci_integrations.charts.export.vega_lite_channels import (
    NotExpressible,
    Spec,
    Values,
    all_of,
    are_numbers,
    axes_of,
    channel,
    data_of,
    directions,
    layer,
    listed,
    needed,
    span,
)
from ci_integrations.charts.model import Panel, Series

_BAR = {"type": "bar", "tooltip": True}


def errors(series: Series, panel: Panel) -> list[Spec]:
    """Returns the error bars of a series as a layer of rules; no layer when it has none."""
    ends = all_of(series, "err_low", "err_high")
    if not ends:
        return []
    low, high = ends
    at, value = directions(series)
    axis, places = axes_of(series, panel), listed(series, at)
    encoding = {at: channel(at, axis[at], places), **span(value, axis[value], low, "low", "high")}
    if series.kind == "bar":
        # Black, because an error bar in the colour of its bar is not seen in front of it.
        encoding |= _beside(series, panel, at, encoding) | {"color": {"value": "black"}}
    return [layer(data_of(**{at: places, "low": low, "high": high}), "rule", encoding)]


def _beside(series: Series, panel: Panel, at: str, encoding: Spec) -> Spec:
    """Returns the channel that places a bar beside the others of its group."""
    if panel.barmode != "group" or not series.name or encoding[at]["type"] != "nominal":
        return {}
    return _offset(series, at)


def _offset(series: Series, at: str) -> Spec:
    return {f"{at}Offset": {"datum": series.name, "type": "nominal"}}


def _base(series: Series, panel: Panel, at: str, value: str) -> Values:
    """Returns where each mark begins: at its own base, in a stack on the series before it, otherwise at zero."""
    base = series.values("base")
    if isinstance(base, list):
        return base
    peers = _peers(series, panel)
    if panel.barmode != "stack" or any("base" in other.extra for other in peers):
        return [base or 0] * len(listed(series, value) or ())
    total = _heights(itertools.takewhile(lambda one: one is not series, peers), at, value)
    return [total.get((place, (v or 0) < 0), 0) for place, v in _pairs(series, at, value)]


def _peers(series: Series, panel: Panel) -> list[Series]:
    """Returns the series of this kind on the same axis, with this one."""
    return [other for other in panel.series if (other.kind, other.axis) == (series.kind, series.axis)]


def _pairs(series: Series, at: str, value: str) -> Iterator[tuple[Any, Any]]:
    """Yields what two columns have at each place; nothing when one of them is missing."""
    return zip(listed(series, at) or (), listed(series, value) or (), strict=False)


def _heights(below: Iterable[Series], at: str, value: str) -> dict[tuple[object, bool], float]:
    """Returns how high the stacks of the series in `below` are by place; downward stacks are apart (True)."""
    total: dict[tuple[object, bool], float] = {}
    for other in below:
        for place, amount in _pairs(other, at, value):
            if isinstance(amount, (int, float)):
                total[place, amount < 0] = total.get((place, amount < 0), 0) + amount
    return total


def _upon(values: Values | None, bases: Values) -> Values:
    """Returns where marks of these lengths end that begin at `bases`; a missing length ends nowhere."""
    return [None if v is None else v + (base or 0) for v, base in zip(values or (), bases, strict=False)]


def bars(series: Series, panel: Panel) -> list[Spec]:
    """Returns bars from their base to their end, and their error bars.

    Raises `NotExpressible` for values that Vega-Lite would have to count, and for times without an end.
    """
    at, value = directions(series)
    axis, (places, values) = axes_of(series, panel), needed(series, at, value)
    bases = _base(series, panel, at, value)
    ends = _upon(values, bases) if are_numbers(bases) else listed(series, "end")
    if ends is None:
        raise NotExpressible("lengths of time without their ends")
    encoding = {at: channel(at, axis[at], places), **span(value, axis[value], ends, "end", "base")}
    mark = _BAR | _thickness(encoding[at], at, len(places))
    encoding |= _beside(series, panel, at, encoding)
    return [layer(data_of(**{at: places, "base": bases, "end": ends}), mark, encoding), *errors(series, panel)]


def _thickness(place: Spec, at: str, count: int) -> Spec:
    """Returns the bars' width in pixels, and makes room for it at both ends of the scale of `place`.

    Only a category has a band whose width a bar can take: a bar at a number or a time needs a width of its own.
    """
    if place["type"] == "nominal":
        return {}
    place["scale"] = {**place.get("scale", {}), "padding": max(2, round(150 / max(1, count)))}
    return {"width" if at == "x" else "height": max(2, round((250 if at == "x" else 160) / max(1, count)))}


def histogram(series: Series, panel: Panel) -> list[Spec]:
    """Returns bins from edge to edge, or raw values that Vega-Lite counts. Bins are in x, also of a horizontal one."""
    if series.y is not None and series.x is not None:
        return _bins(series, panel)
    which, other = ("x", "y") if series.x is not None else ("y", "x")
    values = listed(series, which)
    binned = channel("v", axes_of(series, panel)[which], values) | {"bin": {"maxbins": 30}}
    binned.pop("scale", None)
    encoding = {which: binned, other: {"aggregate": "count", "type": "quantitative"}}
    return [layer(data_of(v=values), "bar", encoding)]


def _bins(series: Series, panel: Panel) -> list[Spec]:
    """Returns bins whose counts are known: from edge to edge when there are edges, as bars otherwise."""
    at, value = directions(series)
    axis, places, edges = axes_of(series, panel), listed(series, "x"), listed(series, "edges")
    if places is None:
        raise NotExpressible("raw values in bins")
    bases = _base(series, panel, "x", "y")
    ends = _upon(listed(series, "y"), bases)
    encoding = span(value, axis[value], ends, "end", "base")
    if edges is None or len(edges) != len(places) + 1:
        encoding[at] = channel("at", axis[at], places)
        mark = _BAR | _thickness(encoding[at], at, len(places))
        return [layer(data_of(at=places, end=ends, base=bases), mark, encoding)]
    encoding |= span(at, axis[at], edges, "left", "right")
    mark = _BAR | {"stroke": "white", "strokeWidth": 0.5}
    if panel.barmode != "stack" and sum(other.kind == "histogram" for other in panel.series) > 1:
        mark["opacity"] = 0.6  # bins of several series lie over one another
    return [layer(data_of(left=edges[:-1], right=edges[1:], end=ends, base=bases), mark, encoding)]


def band(series: Series, panel: Panel) -> list[Spec]:
    """Returns an area from its lower to its upper edge; without a lower one it begins where `_base` says."""
    at, value = directions(series)
    axis, places, ends = axes_of(series, panel), listed(series, at), listed(series, value)
    low = listed(series, f"{value}0")
    if low is None:
        low = _base(series, panel, at, value)
        ends = _upon(ends, low)
    encoding = {at: channel(at, axis[at], places), **span(value, axis[value], ends, "high", "low")}
    mark = {"type": "area", "opacity": 0.5, "orient": "horizontal" if value == "x" else "vertical"}
    return [layer(data_of(**{at: places, "high": ends, "low": low}), mark, encoding)]


def boxes(series: Series, panel: Panel) -> list[Spec]:
    """Returns boxes with whiskers and outliers: from statistics when they are known, otherwise from raw values."""
    at, value = directions(series)
    axis = axes_of(series, panel)[value]
    # All three or none: a box without one of them is computed from the values, if there are any.
    quartiles = all_of(series, "q1", "median", "q3")
    if not quartiles:
        return _raw_boxes(series, panel)
    q1, median, q3 = quartiles
    low, high = (series.values(name) or series.values(end) for name, end in (("whislo", "min"), ("whishi", "max")))
    data = data_of(g=listed(series, "x"), low=low or q1, high=high or q3, q1=q1, median=median, q3=q3)
    offset = _beside_boxes(series, panel, at)
    group = {at: _group(series, panel, at), **offset}
    middle = group | {value: channel("median", axis, q1), "color": {"value": "white"}}
    tick = {"type": "tick", "color": "white", "orient": "horizontal" if value == "y" else "vertical"}
    return [
        layer(data, "rule", group | span(value, axis, q1, "low", "high")),
        layer(data, {"type": "bar", "size": 12 if offset else 20}, group | span(value, axis, q1, "q1", "q3")),
        layer(data, tick, middle),
        *_outliers(series, panel, group),
    ]


def _group(series: Series, panel: Panel, at: str) -> Spec:
    """Returns the channel of the boxes' groups, which are categories also where they are numbers."""
    group = channel("g", axes_of(series, panel)[at], listed(series, "x")) | {"type": "nominal"}
    group.pop("scale", None)  # what was meant for numbers is wrong for categories
    return group


def _beside_boxes(series: Series, panel: Panel, at: str) -> Spec:
    """Returns the channel that places a box beside those that other series have at the same places."""
    peers = [other for other in panel.series if other.kind == series.kind and other is not series]
    places = set(series.values("x") or ())
    shared = any(places.intersection(other.values("x") or ()) for other in peers)
    return _offset(series, at) if series.name and shared else {}


def _outliers(series: Series, panel: Panel, group: Spec) -> list[Spec]:
    """Returns the points outside the whiskers as a layer; no layer when there are none."""
    _, value = directions(series)
    loose = [(place, v) for place, row in _pairs(series, "x", "fliers") for v in row or ()]
    if not loose:
        return []
    values = [v for _, v in loose]
    encoding = group | {value: channel("v", axes_of(series, panel)[value], values)}
    return [layer(data_of(g=[place for place, _ in loose], v=values), "point", encoding)]


def _raw_boxes(series: Series, panel: Panel) -> list[Spec]:
    """Returns boxes whose statistics Vega-Lite computes. Raises `NotExpressible` when there are no values."""
    at, value = directions(series)
    axis, [values] = axes_of(series, panel), needed(series, value)
    places = listed(series, at)
    places = places if places is not None else [series.name or ""] * len(values)
    encoding = {at: channel(at, axis[at], places), value: channel("v", axis[value], values)}
    if encoding[at]["type"] == "nominal":
        encoding |= _beside_boxes(series, panel, at)
    return [layer(data_of(**{at: places, "v": values}), "boxplot", encoding)]
