"""Writes a figure as a Vega-Lite specification, for everything that this grammar can express.

It has no form for polar panels, 3-D, Sankey diagrams, trees, gauges and contours: the answer is None then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ci_integrations.charts.export.vega_lite_bars import band, bars, boxes, errors, histogram
from ci_integrations.charts.export.vega_lite_channels import (
    MAX_ROWS,
    NotExpressible,
    Spec,
    Values,
    all_of,
    are_numbers,
    axes_of,
    channel,
    data_of,
    layer,
    listed,
    needed,
    quantity,
    span,
)
from ci_integrations.charts.model import Axis, Figure, Panel, Series

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_COLORS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]

_SIDES = {"x": ("bottom", "top"), "y": ("left", "right")}
"""The sides of a panel's first and second axis."""

_Maker: TypeAlias = Callable[[Series, Panel], list[Spec]]
"""Writes one series as layers of its panel's view."""


def to_vega_lite(figure: Figure) -> Spec | None:
    """Returns the figure as a specification, or None when Vega-Lite has no form for it."""
    try:
        views = [_view(panel) for panel in figure.panels]
    except NotExpressible:
        return None
    if not views:
        return None
    spec: Spec = {"$schema": SCHEMA}
    if figure.title:
        spec["title"] = figure.title
    if len(views) == 1:
        return {**spec, **views[0]}
    columns = max(int(panel.position.get("columns") or 0) for panel in figure.panels)
    # Panels from other libraries do not know how many columns there are: two are readable everywhere.
    return {**spec, "concat": views, "columns": columns or 2}


def _view(panel: Panel) -> Spec:
    """Returns one panel as a view of layers; each second axis has a layer of its own."""
    on: dict[str | None, list[Spec]] = {}
    for n, series in enumerate(panel.series):
        on.setdefault(series.axis, []).extend(_layers(series, panel, n))
    if not any(on.values()):
        raise NotExpressible(panel.kind)
    view: Spec = {"layer": next(iter(on.values())), "width": 400, "height": 260}
    if panel.title:
        view["title"] = panel.title
    if len(on) > 1:  # all series of one axis share it, so that each stands there once
        view["layer"] = [{"layer": layers} for layers in on.values()]
        view["resolve"] = {"scale": {axis[0]: "independent" for axis in on if axis}}
    return view


def _layers(series: Series, panel: Panel, n: int) -> list[Spec]:
    """Returns one series as layers with their axes' sides and their colour. `n` is its place in the panel."""
    maker = _MAKERS.get(series.kind)
    if maker is None or panel.kind in ("polar", "radar"):
        raise NotExpressible(series.kind)
    layers = maker(series, panel)
    for each in layers:
        encoding = each["encoding"]
        _bottom_up(encoding.get("y"), axes_of(series, panel)["y"])
        _put_aside(encoding, series, panel)
        # One colour per series, unless the colours are data.
        encoding.setdefault("color", _color(series, panel, n))
    return layers


def _put_aside(encoding: Spec, series: Series, panel: Panel) -> None:
    """Puts the axes of a layer at their sides, where the panel has a second axis of that direction."""
    for which, sides in _SIDES.items():
        if getattr(panel, f"{which}2") is not None and which in encoding:
            side = sides[series.axis == f"{which}2"]
            encoding[which]["axis"] = {**encoding[which].get("axis", {}), "orient": side}


def _bottom_up(channel: Spec | None, axis: Axis) -> None:
    """Vega-Lite puts the first category of a y axis at the top; ours is at the bottom unless the axis is inverted."""
    if channel is not None and channel.get("type") in ("nominal", "ordinal"):
        channel["scale"] = {"reverse": not axis.inverted}


def _color(series: Series, panel: Panel, n: int) -> Spec:
    """Returns a series' colour: by name, so that the legend shows it, otherwise by its place in the panel."""
    if series.name is None and series.kind == "band" and (line := _line_within(series, panel)) is not None:
        return _color(line, panel, panel.series.index(line))
    if series.name is None:
        return {"value": _COLORS[n % len(_COLORS)]}
    names = list(dict.fromkeys(s.name for s in panel.series if s.name))
    colors = [_COLORS[i % len(_COLORS)] for i in range(len(names))]
    return {"datum": series.name, "type": "nominal", "title": None, "scale": {"domain": names, "range": colors}}


def _line_within(band: Series, panel: Panel) -> Series | None:
    """Returns the line around which a band without a name was drawn: it has the band's colour."""
    edges, at = all_of(band, "y0", "y"), band.values("x")
    lines = (series for series in panel.series if series.kind == "line" and series.values("x") == at)
    return next((line for line in lines if _between(edges, listed(line, "y"))), None)


def _between(edges: list[Values], middle: Values | None) -> bool:
    """Says whether a line is inside a band wherever all three are known; a band without edges has no inside."""
    if not edges or middle is None:
        return False
    return all(a <= m <= b for a, b, m in zip(*edges, middle, strict=True) if None not in (a, m, b))


def _plain(mark: str | Spec) -> _Maker:
    """Returns the maker of points or lines that are drawn with `mark`."""

    def make(series: Series, panel: Panel) -> list[Spec]:
        x, y = needed(series, "x", "y")
        axis, measures = axes_of(series, panel), _measures(series, len(x))
        encoding = {"x": channel("x", axis["x"], x), "y": channel("y", axis["y"], y)}
        if "line" in str(mark):
            encoding["order"] = {"field": "n"}  # a line is drawn in the order of the data, not from left to right
        encoding |= {key: quantity(key, panel.color_label if key == "color" else None) for key in measures}
        data = data_of(x=x, y=y, n=list(range(len(x))), **measures)
        return [layer(data, _with_points(mark, series, y), encoding), *errors(series, panel)]

    return make


def _measures(series: Series, count: int) -> dict[str, Values]:
    """Returns the sizes and colours of a scatter's points, where they are numbers."""
    known = {key: listed(series, key) for key in ("size", "color") if series.kind == "scatter"}
    return {key: v for key, v in known.items() if v is not None and len(v) == count and are_numbers(v)}


def _with_points(mark: str | Spec, series: Series, y: Values) -> str | Spec:
    """Returns the mark of a line with points when it has gaps: a value between two of them is no line to be seen."""
    return mark | {"point": True} if isinstance(mark, dict) and series.kind == "line" and None in y else mark


def _rule(series: Series, panel: Panel) -> list[Spec]:
    """Returns lines across the panel, or from `low` to `high` when they have ends."""
    which, value = series.extra.get("axis"), series.values("value")
    if which not in ("x", "y") or value is None:
        raise NotExpressible("rule")
    axis, other = axes_of(series, panel), "y" if which == "x" else "x"
    # One line has a single number for its value, several lines have a list.
    values = value if isinstance(value, list) else [value]
    encoding = {which: channel("v", axis[which], values)}
    ends = dict(zip(("low", "high"), all_of(series, "low", "high"), strict=False))
    if ends:
        encoding |= span(other, axis[other], ends["low"], "low", "high")
    return [layer(data_of(v=values, **ends), "rule", encoding)]


def _heat(series: Series, panel: Panel) -> list[Spec]:
    """Returns the cells of a grid. Raises `NotExpressible` above `MAX_ROWS` cells: a grid cannot be thinned."""
    z = listed(series, "z")
    if not z:
        raise NotExpressible("no cells")
    x = series.values("x") or list(range(len(z[0])))
    y = series.values("y") or list(range(len(z)))
    if len(x) * len(y) > MAX_ROWS:
        raise NotExpressible("too many cells")
    rows = [
        {"x": at, "y": height, "z": v}
        for height, row in zip(y, z, strict=False)
        for at, v in zip(x, row, strict=False)
    ]  # fmt: skip
    # Ordinal also where x and y are numbers: a cell needs a band, which a quantitative scale has not.
    encoding = {
        which: {"field": which, "type": "ordinal", "sort": None, "title": axis.label}
        for which, axis in axes_of(series, panel).items()
    }
    return [layer({"values": rows}, "rect", encoding | {"color": quantity("z", panel.color_label)})]


def _hex(series: Series, panel: Panel) -> list[Spec]:
    """Returns hexagons as circles whose colour is their value: Vega-Lite has no hexagonal mark."""
    layers = _plain({"type": "point", "filled": True, "size": 120, "shape": "circle"})(series, panel)
    layers[0]["data"] = data_of(**{key: series.values(key) for key in ("x", "y", "value")})
    layers[0]["encoding"]["color"] = quantity("value", panel.color_label)
    return layers


def _pie(series: Series, panel: Panel) -> list[Spec]:
    """Returns a pie, or a ring of a nested one, in pixels from its centre."""
    encoding: Spec = {
        "theta": {"field": "v", "type": "quantitative", "stack": True},
        "color": {"field": "label", "type": "nominal", "sort": None, "title": None},
        "order": {"field": "n"},
    }
    rings = [one for one in panel.series if one.kind in ("pie", "donut")]
    inner, outer = 60 if "donut" in (panel.kind, series.kind) else 0, 130
    if len(rings) > 1:  # the first one is the outer one, as people draw them
        width = 100 // len(rings)
        outer -= width * rings.index(series)
        inner = outer - width
    # `order` by the place: Vega-Lite sorts slices by their labels otherwise.
    data = data_of(label=series.values("x"), v=series.values("y"), n=list(range(series.n)))
    return [layer(data, {"type": "arc", "innerRadius": inner, "outerRadius": outer}, encoding)]


def _gantt(series: Series, panel: Panel) -> list[Spec]:
    """Returns tasks as bars from their start to their end."""
    tasks, start, end = needed(series, "y", "start", "end")
    encoding = {"y": channel("y", panel.y, tasks), **span("x", panel.x, start, "start", "end")}
    return [layer(data_of(y=tasks, start=start, end=end), "bar", encoding)]


def _candles(series: Series, panel: Panel) -> list[Spec]:
    """Returns candlesticks: wicks as rules and bodies as bars of 8 pixels."""
    # Candles drawn by hand have a body, but nobody knows which of its ends was the open.
    first, second = ("open", "close") if "open" in series.extra else ("body_low", "body_high")
    held = {key: listed(series, key) for key in ("low", "high", first, second)}
    places = listed(series, "x")
    data, x = data_of(x=places, **held), {"x": channel("x", panel.x, places)}
    return [
        layer(data, "rule", x | span("y", panel.y, held["low"], "low", "high")),
        layer(data, {"type": "bar", "size": 8}, x | span("y", panel.y, held[first], first, second)),
    ]


def _quiver(series: Series, panel: Panel) -> list[Spec]:
    """Returns arrows as short lines from their foot; the longest one is one unit of the axes long."""
    feet = {key: _numbers(series, key) for key in ("x", "y")}
    u, v = _numbers(series, "u"), _numbers(series, "v")
    longest = max((abs(a or 0) + abs(b or 0) for a, b in zip(u, v, strict=True)), default=1) or 1
    tips = {"x1": _moved(feet["x"], u, longest), "y1": _moved(feet["y"], v, longest)}
    encoding = {
        "x": channel("x", panel.x, feet["x"]), "y": channel("y", panel.y, feet["y"]),
        "x2": {"field": "x1"}, "y2": {"field": "y1"},
    }  # fmt: skip
    return [layer(data_of(**feet, **tips), "rule", encoding)]


def _numbers(series: Series, name: str) -> Values:
    """Returns a column of numbers, or raises `NotExpressible` when it is none."""
    [values] = needed(series, name)
    if not are_numbers(values):
        raise NotExpressible("no arrows")
    return values


def _moved(feet: Values, by: Values, longest: float) -> Values:
    """Returns where arrows end on one axis."""
    return [foot + (part or 0) / longest for foot, part in zip(feet, by, strict=True)]


_MAKERS: dict[str, _Maker] = {
    "line": _plain({"type": "line", "tooltip": True}), "step": _plain({"type": "line", "interpolate": "step-after"}),
    "scatter": _plain({"type": "point", "filled": True, "tooltip": True}), "stem": _plain("point"),
    "errorbar": _plain({"type": "point", "filled": True}), "bar": bars, "waterfall": bars, "funnel": bars,
    "histogram": histogram, "area": band, "band": band, "rule": _rule, "box": boxes, "violin": boxes,
    "heatmap": _heat, "hexbin": _hex, "pie": _pie, "donut": _pie, "gantt": _gantt, "candlestick": _candles,
    "quiver": _quiver,
}  # fmt: skip
