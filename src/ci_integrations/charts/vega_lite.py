"""`Chart` as a Vega-Lite specification. None when the grammar cannot say it: polar, 3-D, Sankey, trees, gauges,
contours.
"""

from __future__ import annotations

from typing import Any

from ci_integrations.charts.model import Axis, Chart, Panel, Series

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MAX_ROWS = 50_000
"""Marks in one series; longer ones are thinned, their extremes kept."""
_COLORS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]


class _Unsayable(Exception):  # noqa: N818 - likewise an answer
    """Vega-Lite has no words for this."""


def to_vega_lite(chart: Chart) -> dict[str, Any] | None:
    try:
        views = [_view(panel) for panel in chart.panels]
    except _Unsayable:
        return None
    if not views:
        return None
    spec: dict[str, Any] = {"$schema": SCHEMA}
    if chart.title:
        spec["title"] = chart.title
    if len(views) == 1:
        return {**spec, **views[0], **({"title": chart.title} if chart.title and "title" not in views[0] else {})}
    columns = max((int(panel.position.get("columns") or 0) for panel in chart.panels), default=0)
    return {**spec, "concat": views, "columns": columns or 2}


def _view(panel: Panel) -> dict[str, Any]:
    layers = [layer for n, series in enumerate(panel.series) for layer in _layers(series, panel, n)]
    if not layers:
        raise _Unsayable(panel.kind)
    view: dict[str, Any] = {"layer": layers, "width": 400, "height": 260}
    if panel.title:
        view["title"] = panel.title
    if panel.y2 is not None:
        view["resolve"] = {"scale": {"y": "independent"}}
    return view


def _layers(series: Series, panel: Panel, n: int) -> list[dict[str, Any]]:
    maker = _MAKERS.get(series.kind)
    if maker is None or panel.kind in ("polar", "radar"):
        raise _Unsayable(series.kind)
    layers: list[dict[str, Any]] = maker(series, panel)
    for layer in layers:
        _stand(layer["encoding"].get("y"), _axes(series, panel)[1])
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


_TYPES = {"datetime": "temporal", "categorical": "nominal"}


def _channel(field: str, axis: Axis | None, values: Any, *, second: bool = False) -> dict[str, Any]:
    scale = axis.scale if axis is not None and axis.scale else _guess(values)
    found: dict[str, Any] = {"field": field, "type": _TYPES.get(scale, "quantitative")}
    if found["type"] == "quantitative" and any(isinstance(v, str) for v in values or ()):
        found["type"] = "nominal"
    found["title"] = axis.label if axis is not None else None
    options: dict[str, Any] = {}
    if scale in ("log", "symlog") and found["type"] == "quantitative":
        options["type"] = scale
    if axis is not None and axis.inverted:
        options["reverse"] = True
    if found["type"] == "nominal":
        found["sort"] = None
    elif field != "size":
        options["zero"] = False
    if options:
        found["scale"] = options
    if second:
        found["axis"] = {"orient": "right"}
    return found


def _guess(values: Any) -> str:
    return "categorical" if any(isinstance(v, str) for v in values or ()) else "linear"


def _axes(series: Series, panel: Panel) -> tuple[Axis | None, Axis | None]:
    return (panel.x2 if series.axis == "x2" else panel.x), (panel.y2 if series.axis == "y2" else panel.y)


def _data(**lists: Any) -> dict[str, Any]:
    from ci_integrations.charts.words import thin

    held = {key: value for key, value in lists.items() if isinstance(value, list)}
    size = min((len(value) for value in held.values()), default=0)
    places = thin((held.get("y") or next(iter(held.values())))[:size], MAX_ROWS) if held else []
    return {"values": [{key: value[n] for key, value in held.items()} for n in places]}


def _plain(mark: Any) -> Any:
    def make(series: Series, panel: Panel) -> list[dict[str, Any]]:
        x, y = series.values("x"), series.values("y")
        if x is None or y is None:
            raise _Unsayable("no points")
        ax, ay = _axes(series, panel)
        n = list(range(len(x)))
        encoding = {"x": _channel("x", ax, x), "y": _channel("y", ay, y, second=series.axis == "y2")}
        lists: dict[str, Any] = {"x": x, "y": y, "n": n}
        if "line" in str(mark):
            encoding["order"] = {"field": "n"}
        for key in ("size", "color"):
            values = series.values(key) if key in series.extra else None
            if series.kind == "scatter" and isinstance(values, list) and len(values) == len(x) and _numbers(values):
                lists[key] = values
                encoding[key] = {
                    "field": key,
                    "type": "quantitative",
                    "title": panel.color_label if key == "color" else None,
                }
        layers = [{"data": _data(**lists), "mark": mark, "encoding": encoding}]
        return [*layers, *_errors(series, panel)]

    return make


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(v, (int, float)) or v is None for v in values)


def _errors(series: Series, panel: Panel) -> list[dict[str, Any]]:
    low, high = series.values("err_low"), series.values("err_high")
    if not isinstance(low, list) or not isinstance(high, list):
        return []
    at, value = ("y", "x") if series.orientation == "h" else ("x", "y")
    ax, ay = _axes(series, panel)
    axis = {"x": ax, "y": ay}
    places = series.values(at)
    encoding = {
        at: _channel(at, axis[at], places),
        value: _channel("low", axis[value], low),
        f"{value}2": {"field": "high"},
    }
    if series.kind == "bar":
        encoding |= _beside(series, panel, at, encoding) | {"color": {"value": "black"}}
    return [{"data": _data(**{at: places, "low": low, "high": high}), "mark": "rule", "encoding": encoding}]


def _beside(series: Series, panel: Panel, at: str, encoding: dict[str, Any]) -> dict[str, Any]:
    """The place of a bar among those of its group."""
    if panel.barmode != "group" or not series.name or encoding[at]["type"] != "nominal":
        return {}
    return {f"{at}Offset": {"datum": series.name, "type": "nominal"}}


def _bars(series: Series, panel: Panel) -> list[dict[str, Any]]:
    lying = series.orientation == "h" and series.kind != "histogram"
    at, value = ("y", "x") if lying else ("x", "y")
    ax, ay = _axes(series, panel)
    axis = {"x": ax, "y": ay}
    places, values = series.values(at), series.values(value)
    if not isinstance(places, list) or not isinstance(values, list):
        raise _Unsayable("raw values in bins")
    base = series.values("base")
    bases = base if isinstance(base, list) else [base or 0] * len(values)
    ends = (
        [None if v is None else v + (b or 0) for v, b in zip(values, bases, strict=False)]
        if _numbers(bases)
        else series.values("end")
    )
    if not isinstance(ends, list):
        raise _Unsayable("lengths of time without their ends")
    encoding = {
        at: _channel(at, axis[at], places), value: _channel("end", axis[value], ends), f"{value}2": {"field": "base"},
    }  # fmt: skip
    mark: dict[str, Any] = {"type": "bar", "tooltip": True}
    if series.kind == "histogram" or encoding[at]["type"] != "nominal":
        mark["width" if at == "x" else "height"] = max(2, round(300 / max(1, len(places))))
    encoding |= _beside(series, panel, at, encoding)
    layer = {"data": _data(**{at: places, "base": bases, "end": ends}), "mark": mark, "encoding": encoding}
    return [layer, *_errors(series, panel)]


def _histogram(series: Series, panel: Panel) -> list[dict[str, Any]]:
    if series.y is not None and series.x is not None:
        return _bars(series, panel)
    which = "x" if series.x is not None else "y"
    values = series.values(which)
    ax, ay = _axes(series, panel)
    channel = _channel("v", ax if which == "x" else ay, values) | {"bin": {"maxbins": 30}}
    channel.pop("scale", None)
    other = {"aggregate": "count", "type": "quantitative"}
    encoding = {which: channel, ("y" if which == "x" else "x"): other}
    return [{"data": _data(v=values), "mark": "bar", "encoding": encoding}]


def _band(series: Series, panel: Panel) -> list[dict[str, Any]]:
    value = "x" if series.orientation == "h" else "y"
    at = "y" if value == "x" else "x"
    ax, ay = _axes(series, panel)
    axis = {"x": ax, "y": ay}
    places, ends = series.values(at), series.values(value)
    low = series.values(f"{value}0")
    low = low if isinstance(low, list) else [0] * len(places or ())
    encoding = {
        at: _channel(at, axis[at], places),
        value: _channel("high", axis[value], ends),
        f"{value}2": {"field": "low"},
    }
    mark = {"type": "area", "opacity": 0.5, "orient": "horizontal" if value == "x" else "vertical"}
    return [{"data": _data(**{at: places, "high": ends, "low": low}), "mark": mark, "encoding": encoding}]


def _rule(series: Series, panel: Panel) -> list[dict[str, Any]]:
    which, value = series.extra.get("axis"), series.values("value")
    if which not in ("x", "y") or value is None:
        raise _Unsayable("rule")
    axis = dict(zip("xy", _axes(series, panel), strict=True))
    values = value if isinstance(value, list) else [value]
    encoding: dict[str, Any] = {which: _channel("v", axis[which], values)}
    lists: dict[str, Any] = {"v": values}
    low, high = series.values("low"), series.values("high")
    if isinstance(low, list) and isinstance(high, list):
        other = "y" if which == "x" else "x"
        encoding |= {other: _channel("low", axis[other], low), f"{other}2": {"field": "high"}}
        lists |= {"low": low, "high": high}
    return [{"data": _data(**lists), "mark": "rule", "encoding": encoding}]


def _boxes(series: Series, panel: Panel) -> list[dict[str, Any]]:
    """From statistics when they are known, from raw values otherwise."""
    lying = series.orientation == "h"
    at, value = ("y", "x") if lying else ("x", "y")
    ax, ay = _axes(series, panel)
    axis = {"x": ax, "y": ay}
    stats = {key: series.values(key) for key in ("q1", "median", "q3")}
    if not all(isinstance(v, list) for v in stats.values()):
        places, values = series.values(at), series.values(value)
        if not isinstance(values, list):
            raise _Unsayable("no box")
        places = places if isinstance(places, list) else [series.name or ""] * len(values)
        encoding = {at: _channel(at, axis[at], places), value: _channel("v", axis[value], values)}
        return [{"data": _data(**{at: places, "v": values}), "mark": "boxplot", "encoding": encoding}]
    places = series.values("x")
    low, high = (
        series.values("whislo") or series.values("min") or stats["q1"],
        series.values("whishi") or series.values("max") or stats["q3"],
    )
    data = _data(g=places, low=low, high=high, **stats)
    group = _channel("g", axis[at], places)
    group["type"] = "nominal"
    group.pop("scale", None)

    def layer(mark: Any, first: str, second: str | None = None) -> dict[str, Any]:
        encoding = {at: group, value: _channel(first, axis[value], stats["q1"])}
        if second:
            encoding[f"{value}2"] = {"field": second}
        return {"data": data, "mark": mark, "encoding": encoding}

    tick = {"type": "tick", "color": "white", "orient": "horizontal" if value == "y" else "vertical"}
    median = layer(tick, "median")
    median["encoding"]["color"] = {"value": "white"}
    boxes = [layer("rule", "low", "high"), layer({"type": "bar", "size": 20}, "q1", "q3"), median]
    loose = [(place, v) for place, row in zip(places, series.values("fliers") or [], strict=False) for v in row or ()]
    if loose:
        data = _data(g=[place for place, _ in loose], v=[v for _, v in loose])
        encoding = {at: group, value: _channel("v", axis[value], [v for _, v in loose])}
        boxes.append({"data": data, "mark": "point", "encoding": encoding})
    return boxes


def _heat(series: Series, panel: Panel) -> list[dict[str, Any]]:
    z = series.values("z")
    if not isinstance(z, list) or not z:
        raise _Unsayable("no cells")
    x = series.values("x") or list(range(len(z[0])))
    y = series.values("y") or list(range(len(z)))
    if len(x) * len(y) > MAX_ROWS:
        raise _Unsayable("too many cells")
    rows = [
        {"x": x[j], "y": y[i], "z": v}
        for i, row in enumerate(z)
        for j, v in enumerate(row)
        if j < len(x) and i < len(y)
    ]
    ax, ay = _axes(series, panel)
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
    layers[0]["data"] = _data(x=series.values("x"), y=series.values("y"), value=values)
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
    data = _data(label=series.values("x"), v=series.values("y"), n=list(range(series.n)))
    return [{"data": data, "mark": {"type": "arc", "innerRadius": inner, "outerRadius": outer}, "encoding": encoding}]


def _gantt(series: Series, panel: Panel) -> list[dict[str, Any]]:
    tasks, start, end = series.values("y"), series.values("start"), series.values("end")
    if not all(isinstance(v, list) for v in (tasks, start, end)):
        raise _Unsayable("no spans")
    encoding = {"y": _channel("y", panel.y, tasks), "x": _channel("start", panel.x, start), "x2": {"field": "end"}}
    return [{"data": _data(y=tasks, start=start, end=end), "mark": "bar", "encoding": encoding}]


def _candles(series: Series, panel: Panel) -> list[dict[str, Any]]:
    names = ("open", "close") if "open" in series.extra else ("body_low", "body_high")
    held = {key: series.values(key) for key in ("low", "high", *names)}
    places = series.values("x")
    x = _channel("x", panel.x, places)
    y = _channel("low", panel.y, held["low"])
    data = _data(x=places, **held)
    body = _channel(names[0], panel.y, held[names[0]])
    return [
        {"data": data, "mark": "rule", "encoding": {"x": x, "y": y, "y2": {"field": "high"}}},
        {"data": data, "mark": {"type": "bar", "size": 8}, "encoding": {"x": x, "y": body, "y2": {"field": names[1]}}},
    ]


def _quiver(series: Series, panel: Panel) -> list[dict[str, Any]]:
    """Arrows as short lines from their foot."""
    x, y, u, v = (series.values(key) for key in ("x", "y", "u", "v"))
    if not all(isinstance(values, list) and _numbers(values) for values in (x, y, u, v)):
        raise _Unsayable("no arrows")
    longest = max((abs(a or 0) + abs(b or 0) for a, b in zip(u, v, strict=True)), default=1) or 1
    ends = [[a + (b or 0) / longest for a, b in zip(p, d, strict=True)] for p, d in ((x, u), (y, v))]
    encoding = {
        "x": _channel("x", panel.x, x), "y": _channel("y", panel.y, y), "x2": {"field": "x1"}, "y2": {"field": "y1"},
    }  # fmt: skip
    return [{"data": _data(x=x, y=y, x1=ends[0], y1=ends[1]), "mark": "rule", "encoding": encoding}]


_MAKERS: dict[str, Any] = {
    "line": _plain({"type": "line", "tooltip": True}), "step": _plain({"type": "line", "interpolate": "step-after"}),
    "scatter": _plain({"type": "point", "filled": True, "tooltip": True}), "stem": _plain("point"),
    "errorbar": _plain({"type": "point", "filled": True}), "bar": _bars, "waterfall": _bars, "funnel": _bars,
    "histogram": _histogram, "area": _band, "band": _band, "rule": _rule, "box": _boxes, "violin": _boxes,
    "heatmap": _heat, "hexbin": _hex, "pie": _pie, "donut": _pie, "gantt": _gantt, "candlestick": _candles,
    "quiver": _quiver,
}  # fmt: skip
