"""Writes a figure as a plotly figure dict.

It covers what Vega-Lite cannot express: polar panels, 3-D, trees, Sankey diagrams, gauges, maps and contours. plotly
itself is not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, pairwise
from typing import TypeAlias

from ci_integrations._names import PLOTLY_MIME as _NATIVE
from ci_integrations.charts.export.vega_lite_channels import Spec, Values, all_of, listed
from ci_integrations.charts.model import Axis, Figure, Panel, Series

_ROOMS = {
    "choropleth": ("geo", "geo"), "scatter3d": ("scene", "scene"), "surface": ("scene", "scene"),
    "mesh3d": ("scene", "scene"), "scatterpolar": ("subplot", "polar"), "barpolar": ("subplot", "polar"),
}  # fmt: skip
"""The key and the name of the part of a layout in which a trace without x and y axes is drawn, by its type."""
_ALONE = ("pie", "sunburst", "treemap", "icicle", "sankey", "indicator", "table")
"""Types of traces that have no axes, only a place in the figure."""
_WITHOUT_PLANE = ("scatter3d", "surface3d", "bar3d", "donut", "choropleth", *_ALONE)
"""Kinds of series that need no x and y axis."""
_TYPES = {"datetime": "date", "categorical": "category", "log": "log", "linear": "linear"}
_STATISTICS = {"q1": "q1", "median": "median", "q3": "q3", "lowerfence": "whislo", "upperfence": "whishi"}
"""plotly's names for a box, and ours."""

_Json: TypeAlias = Spec
"""A trace, a layout or a piece of one, whose keys plotly defines."""
_Column: TypeAlias = Values | None
"""A decoded column, when there is one."""
_Domain: TypeAlias = tuple[list[float], list[float]]
"""The part of the figure that a panel covers, in x and in y, from 0 to 1."""
_Maker: TypeAlias = Callable[[Series, _Column, _Column], _Json]
"""Writes one series, whose decoded x and y it is given, as a trace."""


def to_plotly(figure: Figure) -> _Json:
    """Returns `{"data": [...], "layout": {...}}`; a figure that came from plotly is returned as it came."""
    native = figure.native or {}
    if native.get("mime") == _NATIVE and isinstance(native.get("spec"), dict):
        return dict(native["spec"])
    return to_neutral_plotly(figure)


def to_neutral_plotly(figure: Figure) -> _Json:
    """Returns the same, made from what was read of the figure alone.

    What came from plotly may name pictures, maps and links at addresses that the code chose.
    """
    written: _Json = {"data": [], "layout": {"annotations": []}}
    title = figure.title or (figure.panels[0].title if len(figure.panels) == 1 else None)
    if title:
        written["layout"]["title"] = {"text": title}
    for n, panel in enumerate(figure.panels):
        _panel(written, panel, n, len(figure.panels))
    return written


def without_markup(value: object) -> object:
    """Returns plain JSON with every `<` in its texts escaped: plotly draws links and pictures that texts hold."""
    if isinstance(value, str):
        return value.replace("<", "&lt;")
    if isinstance(value, dict):
        return {key: without_markup(item) for key, item in value.items()}
    return [without_markup(item) for item in value] if isinstance(value, list) else value


def _domain(n: int, count: int, panel: Panel) -> _Domain:
    """Returns the place of panel `n` of `count` in a grid, with a gap around it when it is not alone."""
    columns = int(panel.position.get("columns") or 0) or (1 if count == 1 else 2)
    rows = -(-count // columns)
    row, column = divmod(n, columns)
    width, height = 1 / columns, 1 / rows
    gap = 0.12 if count > 1 else 0.0
    x = [column * width + gap * width / 2, (column + 1) * width - gap * width / 2]
    # Above a panel there is less room than below: its title is there, and nothing else.
    y = [1 - (row + 1) * height + gap * height, 1 - row * height - gap * height / 2]
    return [round(v, 4) for v in x], [round(v, 4) for v in y]


def _panel(written: _Json, panel: Panel, n: int, count: int) -> None:
    """Adds panel `n` to the figure that is being written: its title, its axes and its traces."""
    domain = _domain(n, count, panel)
    layout = written["layout"]
    if count > 1 and panel.title:
        layout["annotations"].append(_title(panel.title, domain))
    polar = panel.kind in ("polar", "radar")
    if not polar and any(series.kind not in _WITHOUT_PLANE for series in panel.series):
        _flat_axes(layout, panel, domain, n)
    for place, series in enumerate(panel.series, 1):
        trace = _trace(series, polar=polar)
        # Our areas hold their own values, without those of the layers below them.
        if series.kind == "area" and panel.barmode == "stack":
            _stack(trace, series, n)
        _name(trace, series.name, place)
        _put(trace, layout, series, domain, n)
        written["data"].append(trace)
    if panel.barmode:
        layout["barmode"] = panel.barmode


def _title(words: str, domain: _Domain) -> _Json:
    """Returns a panel's title as an annotation above the middle of its part of the figure."""
    x, y = domain
    place = {"x": sum(x) / 2, "y": y[1], "xref": "paper", "yref": "paper"}
    return {"text": words, **place, "showarrow": False, "yanchor": "bottom"}


def _name(trace: _Json, name: str | None, place: int) -> None:
    """Names a trace; without a name plotly writes "trace 0", and ours is seen on hovering only."""
    trace.setdefault("name", name or f"series {place}")
    trace["showlegend"] = name is not None


def _stack(trace: _Json, series: Series, n: int) -> None:
    """Makes an area of panel `n` a layer of a stack, which plotly adds up and fills to the layer below."""
    trace["stackgroup"] = f"{n}{series.axis or ''}"
    trace.pop("fill", None)


def _put(trace: _Json, layout: _Json, series: Series, domain: _Domain, n: int) -> None:
    """Names the scene, subplot, domain or axes of panel `n` in which the trace is drawn."""
    place, kind = {"x": domain[0], "y": domain[1]}, trace["type"]
    if kind in _ALONE:
        trace["domain"] = place
        return
    if kind in _ROOMS:
        key, room = _ROOMS[kind]
        trace[key] = f"{room}{'' if n == 0 else n + 1}"
        layout.setdefault(trace[key], {"domain": place})
        return
    suffix = _suffix(n)
    trace["xaxis"], trace["yaxis"] = f"x{suffix}", f"y{suffix}"
    if series.axis == "y2":
        trace["yaxis"] = f"y{2 * n + 2}"


def _suffix(n: int) -> str:
    """Returns the number in the names of panel n's axes: odd ones, so that a second y axis has the even one."""
    return "" if n == 0 else str(2 * n + 1)


def _flat_axes(layout: _Json, panel: Panel, domain: _Domain, n: int) -> None:
    """Adds the x and y axes of panel `n` to the layout, and its second y axis when it has one."""
    suffix = _suffix(n)
    layout[f"xaxis{suffix}"] = _axis(panel.x) | {"domain": domain[0], "anchor": f"y{suffix}"}
    layout[f"yaxis{suffix}"] = _axis(panel.y) | {"domain": domain[1], "anchor": f"x{suffix}"}
    if panel.y2 is not None:
        layout[f"yaxis{2 * n + 2}"] = _axis(panel.y2) | {"overlaying": f"y{suffix}", "side": "right"}


def _axis(axis: Axis | None) -> _Json:
    """Returns an axis' type, label and direction."""
    if axis is None:
        return {}
    found: _Json = {"type": _TYPES.get(axis.scale or "", "-")}
    if axis.label:
        found["title"] = {"text": axis.label}
    if axis.inverted:
        found["autorange"] = "reversed"
    return found


def _trace(series: Series, *, polar: bool) -> _Json:
    """Returns one series as a trace; a kind without a maker of its own is written as points or lines."""
    x, y = listed(series, "x"), listed(series, "y")
    if polar:
        return _polar(series, x, y)
    return _MAKERS.get(series.kind, _points)(series, x, y)


def _points(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns lines, steps or markers, with their error bars."""
    mode = "lines" if series.kind in ("line", "step") else "markers"
    trace: _Json = {"type": "scatter", "mode": mode, "x": x, "y": y}
    if series.kind == "step":
        trace["line"] = {"shape": "hv"}
    if series.kind == "scatter" and isinstance(series.extra.get("color"), list):
        trace["marker"] = {"color": series.values("color"), "showscale": True}
    return trace | _errors(series, y)


def _errors(series: Series, values: _Column) -> _Json:
    """Returns error bars as distances from `values`, which plotly takes; ours are where the bars end."""
    ends = all_of(series, "err_low", "err_high")
    if not ends or values is None:
        return {}
    low, high = ends
    which = "error_x" if series.orientation == "h" else "error_y"
    return {which: {"type": "data", "array": _above(high, values), "arrayminus": _above(values, low)}}


def _above(upper: Values, lower: Values) -> Values:
    """Returns the distances between two columns; None where one of them has a gap."""
    return [None if None in pair else pair[0] - pair[1] for pair in zip(upper, lower, strict=False)]


def _polar(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns angles and radii; the polygon of a radar, whose angles are words, is closed."""
    trace: _Json = {"type": "barpolar" if series.kind == "bar" else "scatterpolar", "theta": x, "r": y}
    if not x or not isinstance(x[0], str):
        trace["thetaunit"] = "radians"
    elif series.kind != "bar" and y:
        trace |= {"theta": [*x, x[0]], "r": [*y, y[0]]}
    return trace


def _rule(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns a rule as a line across the panel, where its ends are known: plotly has no endless line as a trace."""
    axis, value = series.extra.get("axis"), series.values("value")
    ends = all_of(series, "low", "high")
    across = value if isinstance(value, list) else [value]
    along = [None] * len(across)
    if ends:
        across, along = _strokes(across, across), _strokes(*ends, strict=True)
    places = {"x": across, "y": along} if axis == "x" else {"x": along, "y": across}
    return {"type": "scatter", "mode": "lines", **places}


def _strokes(first: Values, second: Values, *, strict: bool = False) -> Values:
    """Returns the ends of lines that are drawn as one trace, each line followed by a gap.

    Raises ValueError when it is `strict` and the columns differ in length.
    """
    # plotly breaks a line at a missing value, so that many lines need one trace and one entry in the legend.
    return list(chain.from_iterable((*pair, None) for pair in zip(first, second, strict=strict)))


def _bar(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns bars with their bases and error bars."""
    horizontal = series.orientation == "h" and series.kind == "bar"
    trace: _Json = {"type": "bar", "x": x, "y": y}
    if horizontal:
        trace["orientation"] = "h"
    if "base" in series.extra:
        trace["base"] = series.values("base")
    return trace | _errors(series, x if horizontal else y)


def _histogram(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns bins as bars as wide as they are, or raw values that plotly counts."""
    if x is not None and y is not None:
        return _bar(series, x, y) | {"width": _width(series)}
    return {"type": "histogram", **({"x": x} if x is not None else {"y": y})}


def _width(series: Series) -> list[float] | None:
    """Returns the width of each bin, or None when the edges are not numbers."""
    edges = listed(series, "edges")
    if edges is None or not all(isinstance(v, (int, float)) for v in edges):
        return None
    return [b - a for a, b in pairwise(edges)]


def _area(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns a filled line; a band is one line there and back again, because that needs no second trace."""
    low = listed(series, "y0")
    trace: _Json = {"type": "scatter", "mode": "lines", "x": x, "y": y, "fill": "tozeroy"}
    if low is not None and x is not None and y is not None:
        trace |= {"x": [*x, *reversed(x)], "y": [*y, *reversed(low)], "fill": "toself"}
    return trace


def _box(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns a box from statistics when they are known, a box or violin from raw values otherwise."""
    horizontal = series.orientation == "h"
    if "q1" not in series.extra:
        kind = "violin" if series.kind == "violin" and y is not None else "box"
        return {"type": kind, "x": x, "y": y} | ({"orientation": "h"} if horizontal else {})
    stats = {key: value for key, ours in _STATISTICS.items() if (value := series.values(ours)) is not None}
    return {"type": "box", ("y" if horizontal else "x"): x, "orientation": "h" if horizontal else "v", **stats}


def _grid(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns a heat map or contours."""
    return {"type": "contour" if series.kind == "contour" else "heatmap", "x": x, "y": y, "z": series.values("z")}


def _space(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns a surface over a grid or over loose points, or points in space."""
    z = listed(series, "z")
    grid = isinstance(z[0], list) if z else False
    if series.kind == "surface3d":
        return {"type": "surface" if grid else "mesh3d", "x": x, "y": y, "z": series.values("z")}
    return {"type": "scatter3d", "mode": "markers", "x": x, "y": y, "z": series.values("z")}


def _tree(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns a sunburst, treemap or icicle; without parents all its parts are below the root."""
    parents = series.values("parent") or [""] * len(x or ())
    return {"type": series.kind, "labels": x, "parents": parents, "values": series.values("value")}


def _sankey(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns a Sankey diagram, whose links name their nodes by number."""
    source, target = series.values("source") or [], series.values("target") or []
    labels = list(dict.fromkeys([*source, *target]))
    link = {"source": [labels.index(v) for v in source], "target": [labels.index(v) for v in target],
            "value": series.values("value")}  # fmt: skip
    return {"type": "sankey", "node": {"label": labels}, "link": link}


def _gantt(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns tasks as thick lines: plotly's bars have no start that is a time."""
    tasks, x = y or [], _strokes(series.values("start") or [], series.values("end") or [])
    return {"type": "scatter", "mode": "lines", "line": {"width": 16}, "x": x, "y": _strokes(tasks, tasks)}


def _candles(series: Series, x: _Column, y: _Column) -> _Json:
    """Returns candlesticks; where the direction is not known the lower end of the body is given as its open."""
    first, second = ("open", "close") if "open" in series.extra else ("body_low", "body_high")
    ends = {"open": first, "close": second, "high": "high", "low": "low"}
    return {"type": "candlestick", "x": x, **{theirs: series.values(ours) for theirs, ours in ends.items()}}


_MAKERS: dict[str, _Maker] = {
    "bar": _bar, "histogram": _histogram, "area": _area, "band": _area, "box": _box, "violin": _box, "heatmap": _grid,
    "contour": _grid, "surface3d": _space, "scatter3d": _space, "sunburst": _tree, "treemap": _tree,
    "icicle": _tree, "sankey": _sankey, "gantt": _gantt, "candlestick": _candles, "rule": _rule,
    "pie": lambda s, x, y: {"type": "pie", "labels": x, "values": y, "sort": False},
    "donut": lambda s, x, y: {"type": "pie", "labels": x, "values": y, "hole": 0.4, "sort": False},
    "funnel": lambda s, x, y: {"type": "funnel", "x": x, "y": y},
    "waterfall": lambda s, x, y: {"type": "waterfall", "x": x, "y": y},
    "choropleth": lambda s, x, y: {"type": "choropleth", "locations": x, "z": s.values("value")},
    "indicator": lambda s, x, y: {"type": "indicator", "mode": "number", "value": s.values("value")},
    "table": lambda s, x, y: {"type": "table", "header": {"values": x}, "cells": {"values": s.values("cells")}},
}  # fmt: skip
