"""`Chart` as a Vega-Lite specification. None when the grammar cannot say it: polar, 3-D, Sankey, trees, gauges,
contours.
"""

from __future__ import annotations

from typing import Any

from ci_integrations.charts.export.vega_lite_bars import band, bars, boxes, errors, histogram
from ci_integrations.charts.export.vega_lite_channels import (
    MAX_ROWS,
    NotExpressible,
    are_numbers,
    axes_of,
    channel,
    data_of,
)
from ci_integrations.charts.model import Axis, Figure, Panel, Series

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_COLORS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]


def to_vega_lite(figure: Figure) -> dict[str, Any] | None:
    try:
        views = [_view(panel) for panel in figure.panels]
    except NotExpressible:
        return None
    if not views:
        return None
    spec: dict[str, Any] = {"$schema": SCHEMA}
    if figure.title:
        spec["title"] = figure.title
    if len(views) == 1:
        return {**spec, **views[0], **({"title": figure.title} if figure.title and "title" not in views[0] else {})}
    columns = max((int(panel.position.get("columns") or 0) for panel in figure.panels), default=0)
    return {**spec, "concat": views, "columns": columns or 2}


def _view(panel: Panel) -> dict[str, Any]:
    on: dict[str | None, list[dict[str, Any]]] = {}
    for n, series in enumerate(panel.series):
        on.setdefault(series.axis, []).extend(_layers(series, panel, n))
    if not any(on.values()):
        raise NotExpressible(panel.kind)
    view: dict[str, Any] = {"layer": next(iter(on.values())), "width": 400, "height": 260}
    if panel.title:
        view["title"] = panel.title
    if len(on) > 1:  # all series of one axis share it, so that each stands there once
        view["layer"] = [{"layer": layers} for layers in on.values()]
        view["resolve"] = {"scale": {axis[0]: "independent" for axis in on if axis}}
    return view


def _layers(series: Series, panel: Panel, n: int) -> list[dict[str, Any]]:
    maker = _MAKERS.get(series.kind)
    if maker is None or panel.kind in ("polar", "radar"):
        raise NotExpressible(series.kind)
    layers: list[dict[str, Any]] = maker(series, panel)
    for layer in layers:
        _stand(layer["encoding"].get("y"), axes_of(series, panel)[1])
        for which, (near, far) in {"x": ("bottom", "top"), "y": ("left", "right")}.items():
            if getattr(panel, f"{which}2") is not None and which in layer["encoding"]:
                side = far if series.axis == f"{which}2" else near
                held = layer["encoding"][which]
                held["axis"] = {**held.get("axis", {}), "orient": side}
        # One colour per series, unless the colours are data.
        if "color" not in layer["encoding"]:
            layer["encoding"]["color"] = _color(series, panel, n)
    return layers


def _stand(channel: dict[str, Any] | None, axis: Axis | None) -> None:
    """Vega-Lite writes the first category of a y axis at the top; we mean the bottom unless the axis is inverted."""
    if channel is not None and channel.get("type") in ("nominal", "ordinal"):
        channel["scale"] = {"reverse": not (axis is not None and axis.inverted)}


def _color(series: Series, panel: Panel, n: int) -> dict[str, Any]:
    if series.name is None and series.kind == "band" and (line := _line_within(series, panel)) is not None:
        return _color(line, panel, panel.series.index(line))
    if series.name is None:
        return {"value": _COLORS[n % len(_COLORS)]}
    names = list(dict.fromkeys(s.name for s in panel.series if s.name))
    colors = [_COLORS[i % len(_COLORS)] for i in range(len(names))]
    return {"datum": series.name, "type": "nominal", "title": None, "scale": {"domain": names, "range": colors}}


def _line_within(band: Series, panel: Panel) -> Series | None:
    """The line around which a band without a name was drawn: it has the band's colour."""
    high, low, at = band.values("y"), band.values("y0"), band.values("x")
    if not isinstance(high, list) or not isinstance(low, list):
        return None
    for line in panel.series:
        middle = line.values("y") if line.kind == "line" and line.values("x") == at else None
        if isinstance(middle, list) and all(a <= m <= b for a, m, b in zip(low, middle, high, strict=True)
                                            if None not in (a, m, b)):  # fmt: skip
            return line
    return None


def _plain(mark: Any) -> Any:
    def make(series: Series, panel: Panel) -> list[dict[str, Any]]:
        x, y = series.values("x"), series.values("y")
        if x is None or y is None:
            raise NotExpressible("no points")
        ax, ay = axes_of(series, panel)
        n = list(range(len(x)))
        encoding = {"x": channel("x", ax, x), "y": channel("y", ay, y)}
        lists: dict[str, Any] = {"x": x, "y": y, "n": n}
        if "line" in str(mark):
            encoding["order"] = {"field": "n"}
        for key in ("size", "color"):
            values = series.values(key) if key in series.extra else None
            if series.kind == "scatter" and isinstance(values, list) and len(values) == len(x) and are_numbers(values):
                lists[key] = values
                encoding[key] = {
                    "field": key,
                    "type": "quantitative",
                    "title": panel.color_label if key == "color" else None,
                }
        drawn = {**mark, "point": True} if series.kind == "line" and None in y else mark  # a value between two gaps
        layers = [{"data": data_of(**lists), "mark": drawn, "encoding": encoding}]
        return [*layers, *errors(series, panel)]

    return make


def _rule(series: Series, panel: Panel) -> list[dict[str, Any]]:
    which, value = series.extra.get("axis"), series.values("value")
    if which not in ("x", "y") or value is None:
        raise NotExpressible("rule")
    axis = dict(zip("xy", axes_of(series, panel), strict=True))
    values = value if isinstance(value, list) else [value]
    encoding: dict[str, Any] = {which: channel("v", axis[which], values)}
    lists: dict[str, Any] = {"v": values}
    low, high = series.values("low"), series.values("high")
    if isinstance(low, list) and isinstance(high, list):
        other = "y" if which == "x" else "x"
        encoding |= {other: channel("low", axis[other], low), f"{other}2": {"field": "high"}}
        lists |= {"low": low, "high": high}
    return [{"data": data_of(**lists), "mark": "rule", "encoding": encoding}]


def _heat(series: Series, panel: Panel) -> list[dict[str, Any]]:
    z = series.values("z")
    if not isinstance(z, list) or not z:
        raise NotExpressible("no cells")
    x = series.values("x") or list(range(len(z[0])))
    y = series.values("y") or list(range(len(z)))
    if len(x) * len(y) > MAX_ROWS:
        raise NotExpressible("too many cells")
    rows = [
        {"x": x[j], "y": y[i], "z": v}
        for i, row in enumerate(z)
        for j, v in enumerate(row)
        if j < len(x) and i < len(y)
    ]
    ax, ay = axes_of(series, panel)
    encoding = {
        "x": {"field": "x", "type": "ordinal", "sort": None, "title": ax.label if ax else None},
        "y": {"field": "y", "type": "ordinal", "sort": None, "title": ay.label if ay else None},
        "color": {"field": "z", "type": "quantitative", "title": panel.color_label},
    }
    return [{"data": {"values": rows}, "mark": "rect", "encoding": encoding}]


def _hex(series: Series, panel: Panel) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = _plain({"type": "point", "filled": True, "size": 120, "shape": "circle"})(
        series, panel
    )
    values = series.values("value")
    layers[0]["data"] = data_of(x=series.values("x"), y=series.values("y"), value=values)
    layers[0]["encoding"]["color"] = {"field": "value", "type": "quantitative", "title": panel.color_label}
    return layers


def _pie(series: Series, panel: Panel) -> list[dict[str, Any]]:
    encoding = {
        "theta": {"field": "v", "type": "quantitative", "stack": True},
        "color": {"field": "label", "type": "nominal", "sort": None, "title": None},
        "order": {"field": "n"},
    }
    rings = [one for one in panel.series if one.kind in ("pie", "donut")]
    inner, outer = 60 if panel.kind == "donut" or series.kind == "donut" else 0, 130
    if len(rings) > 1:  # the first one is the outer one, as people draw them
        width = 100 // len(rings)
        outer -= width * rings.index(series)
        inner = outer - width
    data = data_of(label=series.values("x"), v=series.values("y"), n=list(range(series.n)))
    return [{"data": data, "mark": {"type": "arc", "innerRadius": inner, "outerRadius": outer}, "encoding": encoding}]


def _gantt(series: Series, panel: Panel) -> list[dict[str, Any]]:
    tasks, start, end = series.values("y"), series.values("start"), series.values("end")
    if not all(isinstance(v, list) for v in (tasks, start, end)):
        raise NotExpressible("no spans")
    encoding = {"y": channel("y", panel.y, tasks), "x": channel("start", panel.x, start), "x2": {"field": "end"}}
    return [{"data": data_of(y=tasks, start=start, end=end), "mark": "bar", "encoding": encoding}]


def _candles(series: Series, panel: Panel) -> list[dict[str, Any]]:
    names = ("open", "close") if "open" in series.extra else ("body_low", "body_high")
    held = {key: series.values(key) for key in ("low", "high", *names)}
    places = series.values("x")
    x = channel("x", panel.x, places)
    y = channel("low", panel.y, held["low"])
    data = data_of(x=places, **held)
    body = channel(names[0], panel.y, held[names[0]])
    return [
        {"data": data, "mark": "rule", "encoding": {"x": x, "y": y, "y2": {"field": "high"}}},
        {"data": data, "mark": {"type": "bar", "size": 8}, "encoding": {"x": x, "y": body, "y2": {"field": names[1]}}},
    ]


def _quiver(series: Series, panel: Panel) -> list[dict[str, Any]]:
    """Arrows as short lines from their foot."""
    x, y, u, v = (series.values(key) for key in ("x", "y", "u", "v"))
    if not all(isinstance(values, list) and are_numbers(values) for values in (x, y, u, v)):
        raise NotExpressible("no arrows")
    longest = max((abs(a or 0) + abs(b or 0) for a, b in zip(u, v, strict=True)), default=1) or 1
    ends = [[a + (b or 0) / longest for a, b in zip(p, d, strict=True)] for p, d in ((x, u), (y, v))]
    encoding = {
        "x": channel("x", panel.x, x), "y": channel("y", panel.y, y), "x2": {"field": "x1"}, "y2": {"field": "y1"},
    }  # fmt: skip
    return [{"data": data_of(x=x, y=y, x1=ends[0], y1=ends[1]), "mark": "rule", "encoding": encoding}]


_MAKERS: dict[str, Any] = {
    "line": _plain({"type": "line", "tooltip": True}), "step": _plain({"type": "line", "interpolate": "step-after"}),
    "scatter": _plain({"type": "point", "filled": True, "tooltip": True}), "stem": _plain("point"),
    "errorbar": _plain({"type": "point", "filled": True}), "bar": bars, "waterfall": bars, "funnel": bars,
    "histogram": histogram, "area": band, "band": band, "rule": _rule, "box": boxes, "violin": boxes,
    "heatmap": _heat, "hexbin": _hex, "pie": _pie, "donut": _pie, "gantt": _gantt, "candlestick": _candles,
    "quiver": _quiver,
}  # fmt: skip
