"""`Chart` as a plotly figure dict. Covers what Vega-Lite cannot say: polar, 3-D, trees, Sankey, gauges, maps,
contours.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ci_integrations.charts.model import Axis, Figure, Panel, Series

_NATIVE = "application/vnd.plotly.v1+json"
_SPACE = ("scatter3d", "surface3d", "bar3d")
_ALONE = ("pie", "donut", "sunburst", "treemap", "icicle", "sankey", "indicator", "table")


def to_plotly(figure: Figure) -> dict[str, Any]:
    """`{"data": [...], "layout": {...}}`; plotly's own figure as it came when there is one."""
    native = figure.native or {}
    if native.get("mime") == _NATIVE and isinstance(native.get("spec"), dict):
        return dict(native["spec"])
    written: dict[str, Any] = {"data": [], "layout": {"annotations": []}}
    title = figure.title or (figure.panels[0].title if len(figure.panels) == 1 else None)
    if title:
        written["layout"]["title"] = {"text": title}
    for n, panel in enumerate(figure.panels):
        _panel(written, panel, n, len(figure.panels))
    return written


def _domain(n: int, count: int, panel: Panel) -> tuple[list[float], list[float]]:
    columns = int(panel.position.get("columns") or 0) or (1 if count == 1 else 2)
    rows = -(-count // columns)
    row, column = divmod(n, columns)
    width, height = 1 / columns, 1 / rows
    gap = 0.12 if count > 1 else 0.0
    x = [column * width + gap * width / 2, (column + 1) * width - gap * width / 2]
    y = [1 - (row + 1) * height + gap * height, 1 - row * height - gap * height / 2]
    return [round(v, 4) for v in x], [round(v, 4) for v in y]


def _panel(written: dict[str, Any], panel: Panel, n: int, count: int) -> None:
    x, y = _domain(n, count, panel)
    layout, suffix = written["layout"], "" if n == 0 else str(2 * n + 1)
    if count > 1 and panel.title:
        layout["annotations"].append({"text": panel.title, "x": sum(x) / 2, "y": y[1], "xref": "paper", "yref": "paper",
                                      "showarrow": False, "yanchor": "bottom"})  # fmt: skip
    polar = panel.kind in ("polar", "radar")
    flat = any(s.kind not in (*_SPACE, *_ALONE, "choropleth") for s in panel.series) and not polar
    if flat:
        _flat_axes(layout, panel, suffix, (x, y), n)
    for place, series in enumerate(panel.series):
        trace = _trace(series, panel, polar=polar)
        if trace is None:
            continue
        if series.kind == "area" and panel.barmode == "stack":
            trace |= {"stackgroup": f"{n}{series.axis or ''}"}
            trace.pop("fill", None)
        trace.setdefault("name", series.name or f"series {place + 1}")
        trace["showlegend"] = series.name is not None
        _put(trace, layout, series, (x, y), n)
        written["data"].append(trace)
    if panel.barmode:
        layout["barmode"] = "overlay" if panel.barmode == "overlay" else panel.barmode


def _put(trace: dict[str, Any], layout: dict[str, Any], series: Series, domain: Any, n: int) -> None:
    """Where the trace stands in the figure."""
    place = {"x": domain[0], "y": domain[1]}
    kind = str(trace["type"])
    number = "" if n == 0 else str(n + 1)
    if kind in ("scatter3d", "surface", "mesh3d"):
        trace["scene"] = f"scene{number}"
        layout.setdefault(f"scene{number}", {"domain": place})
    elif kind in ("scatterpolar", "barpolar"):
        trace["subplot"] = f"polar{number}"
        layout.setdefault(f"polar{number}", {"domain": place})
    elif kind == "choropleth":
        trace["geo"] = f"geo{number}"
        layout.setdefault(f"geo{number}", {"domain": place})
    elif kind in ("pie", "sunburst", "treemap", "icicle", "sankey", "indicator", "table"):
        trace["domain"] = place
    else:
        suffix = "" if n == 0 else str(2 * n + 1)
        trace["xaxis"], trace["yaxis"] = f"x{suffix}", f"y{suffix}"
        if series.axis == "y2":
            trace["yaxis"] = f"y{2 * n + 2}"


def _flat_axes(layout: dict[str, Any], panel: Panel, suffix: str, domain: Any, n: int) -> None:
    layout[f"xaxis{suffix}"] = _axis(panel.x) | {"domain": domain[0], "anchor": f"y{suffix}"}
    layout[f"yaxis{suffix}"] = _axis(panel.y) | {"domain": domain[1], "anchor": f"x{suffix}"}
    if panel.y2 is not None:
        layout[f"yaxis{2 * n + 2}"] = _axis(panel.y2) | {"overlaying": f"y{suffix}", "side": "right"}


_TYPES = {"datetime": "date", "categorical": "category", "log": "log", "linear": "linear"}


def _axis(axis: Axis | None) -> dict[str, Any]:
    if axis is None:
        return {}
    found: dict[str, Any] = {"type": _TYPES.get(axis.scale or "", "-")}
    if axis.label:
        found["title"] = {"text": axis.label}
    if axis.inverted:
        found["autorange"] = "reversed"
    return found


def _trace(series: Series, panel: Panel, *, polar: bool) -> dict[str, Any] | None:
    x, y, extra = series.values("x"), series.values("y"), series.extra
    if polar:
        return _polar(series, x, y)
    maker = _MAKERS.get(series.kind)
    if maker is not None:
        found: dict[str, Any] | None = maker(series, x, y)
        return found
    if series.kind == "rule":
        return _rule(series)
    mode = {"line": "lines", "step": "lines", "stem": "markers"}.get(series.kind, "markers")
    trace: dict[str, Any] = {"type": "scatter", "mode": mode, "x": x, "y": y}
    if series.kind == "step":
        trace["line"] = {"shape": "hv"}
    if isinstance(extra.get("color"), list) and series.kind == "scatter":
        trace["marker"] = {"color": series.values("color"), "showscale": True}
    return trace | _errors(series, y)


def _errors(series: Series, values: Any) -> dict[str, Any]:
    low, high = series.values("err_low"), series.values("err_high")
    if not (isinstance(low, list) and isinstance(high, list) and isinstance(values, list)):
        return {}
    pairs = [zip(high, values, strict=False), zip(values, low, strict=False)]
    plus, minus = ([None if a is None or b is None else a - b for a, b in pair] for pair in pairs)
    which = "error_x" if series.orientation == "h" else "error_y"
    return {which: {"type": "data", "array": plus, "arrayminus": minus}}


def _polar(series: Series, x: Any, y: Any) -> dict[str, Any]:
    words = bool(x) and isinstance(x[0], str)
    trace: dict[str, Any] = {"type": "barpolar" if series.kind == "bar" else "scatterpolar", "theta": x, "r": y}
    if not words:
        trace["thetaunit"] = "radians"
    elif series.kind != "bar" and x:
        trace |= {"theta": [*x, x[0]], "r": [*y, y[0]]}
    return trace


def _rule(series: Series) -> dict[str, Any] | None:
    """A rule as a line over the whole panel, where its ends are known; plotly has no endless line as a trace."""
    axis, value = series.extra.get("axis"), series.values("value")
    low, high = series.values("low"), series.values("high")
    if not isinstance(value, list):
        value = [value]
    if not isinstance(low, list) or not isinstance(high, list):
        trace = {"x": value, "y": [None] * len(value)} if axis == "x" else {"x": [None] * len(value), "y": value}
        return {"type": "scatter", "mode": "lines", **trace}
    along = [v for pair in zip(low, high, strict=True) for v in (*pair, None)]
    across = [v for at in value for v in (at, at, None)]
    trace = {"x": across, "y": along} if axis == "x" else {"x": along, "y": across}
    return {"type": "scatter", "mode": "lines", **trace}


def _bar(series: Series, x: Any, y: Any) -> dict[str, Any]:
    horizontal = series.orientation == "h" and series.kind == "bar"
    trace: dict[str, Any] = {"type": "bar", "x": x, "y": y}
    if horizontal:
        trace["orientation"] = "h"
    if "base" in series.extra:
        trace["base"] = series.values("base")
    return trace | _errors(series, x if horizontal else y)


def _histogram(series: Series, x: Any, y: Any) -> dict[str, Any]:
    if x is not None and y is not None:
        return _bar(series, x, y) | {"width": _width(series)}
    return {"type": "histogram", **({"x": x} if x is not None else {"y": y})}


def _width(series: Series) -> Any:
    edges = series.values("edges")
    if not isinstance(edges, list) or not all(isinstance(v, (int, float)) for v in edges):
        return None
    return [b - a for a, b in pairwise(edges)]


def _area(series: Series, x: Any, y: Any) -> dict[str, Any]:
    low = series.values("y0")
    trace: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": x, "y": y, "fill": "tozeroy"}
    if isinstance(low, list) and isinstance(x, list) and isinstance(y, list):
        trace |= {"x": [*x, *reversed(x)], "y": [*y, *reversed(low)], "fill": "toself"}
    return trace


def _box(series: Series, x: Any, y: Any) -> dict[str, Any]:
    horizontal = series.orientation == "h"
    if "q1" not in series.extra or series.kind == "violin":
        kind = "violin" if series.kind == "violin" and y is not None else "box"
        trace: dict[str, Any] = {"type": kind, "x": x, "y": y}
        if "q1" not in series.extra:
            return trace | ({"orientation": "h"} if horizontal else {})
    theirs = {"q1": "q1", "median": "median", "q3": "q3", "lowerfence": "whislo", "upperfence": "whishi"}
    stats = {key: value for key, ours in theirs.items() if (value := series.values(ours)) is not None}
    return {"type": "box", ("y" if horizontal else "x"): x, "orientation": "h" if horizontal else "v", **stats}


def _heat(series: Series, x: Any, y: Any) -> dict[str, Any]:
    return {"type": "contour" if series.kind == "contour" else "heatmap", "x": x, "y": y, "z": series.values("z")}


def _surface(series: Series, x: Any, y: Any) -> dict[str, Any]:
    z = series.values("z")
    grid = isinstance(z, list) and bool(z) and isinstance(z[0], list)
    if series.kind == "surface3d":
        return {"type": "surface" if grid else "mesh3d", "x": x, "y": y, "z": z}
    return {"type": "scatter3d", "mode": "markers", "x": x, "y": y, "z": z}


def _tree(series: Series, x: Any, y: Any) -> dict[str, Any]:
    parents = series.values("parent") or [""] * len(x or ())
    return {"type": series.kind, "labels": x, "parents": parents, "values": series.values("value")}


def _sankey(series: Series, x: Any, y: Any) -> dict[str, Any]:
    source, target = series.values("source") or [], series.values("target") or []
    labels = list(dict.fromkeys([*source, *target]))
    link = {"source": [labels.index(v) for v in source], "target": [labels.index(v) for v in target],
            "value": series.values("value")}  # fmt: skip
    return {"type": "sankey", "node": {"label": labels}, "link": link}


def _gantt(series: Series, x: Any, y: Any) -> dict[str, Any]:
    start, end = series.values("start") or [], series.values("end") or []
    lines = {"x": [v for pair in zip(start, end, strict=False) for v in (*pair, None)],
             "y": [v for task in y or () for v in (task, task, None)]}  # fmt: skip
    return {"type": "scatter", "mode": "lines", "line": {"width": 16}, **lines}


def _candles(series: Series, x: Any, y: Any) -> dict[str, Any]:
    names = {"open": "open", "close": "close"} if "open" in series.extra else {"open": "body_low", "close": "body_high"}
    ends = {theirs: series.values(ours) for theirs, ours in (names | {"high": "high", "low": "low"}).items()}
    return {"type": "candlestick", "x": x, **ends}


_MAKERS: dict[str, Any] = {
    "bar": _bar, "histogram": _histogram, "area": _area, "band": _area, "box": _box, "violin": _box, "heatmap": _heat,
    "contour": _heat, "surface3d": _surface, "scatter3d": _surface, "sunburst": _tree, "treemap": _tree,
    "icicle": _tree, "sankey": _sankey, "gantt": _gantt, "candlestick": _candles,
    "pie": lambda s, x, y: {"type": "pie", "labels": x, "values": y, "sort": False},
    "donut": lambda s, x, y: {"type": "pie", "labels": x, "values": y, "hole": 0.4, "sort": False},
    "funnel": lambda s, x, y: {"type": "funnel", "x": x, "y": y},
    "waterfall": lambda s, x, y: {"type": "waterfall", "x": x, "y": y},
    "choropleth": lambda s, x, y: {"type": "choropleth", "locations": x, "z": s.values("value")},
    "indicator": lambda s, x, y: {"type": "indicator", "mode": "number", "value": s.values("value")},
    "table": lambda s, x, y: {"type": "table", "header": {"values": x}, "cells": {"values": s.values("cells")}},
}  # fmt: skip
