"""What plotly's traces and axes mean: one reader per trace type, and the words around them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

WITHOUT_AXES = {
    "pie", "sunburst", "treemap", "icicle", "sankey", "indicator", "table", "parcoords", "parcats", "funnelarea",
}  # fmt: skip
GEO = {"choropleth", "scattergeo", "choroplethmapbox", "scattermapbox", "choroplethmap", "scattermap", "densitymapbox"}
_SPACE = {"scatter3d", "surface", "mesh3d", "cone", "streamtube", "volume", "isosurface"}
_TAG = re.compile(r"<[^<>]{0,200}>")
_TIME = re.compile(r"^\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?)?)?(Z|[+-]\d{2}:?\d{2})?$")


def is_space(trace: dict[str, Any]) -> bool:
    return trace.get("type") in _SPACE


def words(value: Any) -> str | None:
    """A title as plain text: plotly allows a string or `{"text"}`, with a little HTML in it."""
    if isinstance(value, dict):
        value = value.get("text")
    if value is None:
        return None
    text = _TAG.sub("", re.sub(r"<br ?/?>", " ", str(value))).strip()
    return text or None


def number(value: Any) -> float | None:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None


def axis(layout: dict[str, Any], name: str) -> dict[str, Any]:
    """The layout of axis "x", "y2" ..."""
    found = layout.get(f"{name[0]}axis{name[1:]}")
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _pair(trace: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """X and y; the one that is not given is 0, 1, 2 ..., or x0 + n * dx."""
    x, y = trace.get("x"), trace.get("y")
    x = [_level(v) for v in _together(x)] if isinstance(x, list) else None
    y = [_level(v) for v in _together(y)] if isinstance(y, list) else None
    if x is None:
        x = _steps(trace, "x", len(y or ()))
    if y is None:
        y = _steps(trace, "y", len(x or ()))
    return x, y


def _steps(trace: dict[str, Any], which: str, n: int) -> list[Any]:
    start, step = number(trace.get(f"{which}0")) or 0, number(trace.get(f"d{which}")) or 1
    return [start + i * step for i in range(n)]


def _together(values: list[Any]) -> list[Any]:
    """Two-level categories come as two lists, outer and inner."""
    if len(values) == 2 and all(isinstance(v, list) for v in values) and len(values[0]) == len(values[1]):
        outer, found = None, []
        for one, two in zip(*values, strict=True):
            outer = one if one not in (None, "") else outer
            found.append([outer, two])
        return found
    return values


def _level(value: Any) -> Any:
    return "/".join(str(v) for v in value) if isinstance(value, list) else value


def _errors(trace: dict[str, Any], which: str, values: list[Any]) -> dict[str, Any]:
    bar = trace.get(f"error_{which}")
    if not isinstance(bar, dict) or bar.get("visible") is False:
        return {}
    kind = bar.get("type") or ("data" if "array" in bar else "percent")
    size = [number(v) for v in values]
    if kind == "data":
        plus = _list(bar.get("array"))
        minus = _list(bar.get("arrayminus")) or plus
    elif kind == "percent":
        plus = minus = [abs(v) * float(bar.get("value", 10)) / 100 if v is not None else None for v in size]
    elif kind == "constant":
        plus = minus = [float(bar.get("value", 10))] * len(size)
    else:
        return {}
    low, high = ("err_low", "err_high") if which == "y" else ("xerr_low", "xerr_high")
    return {
        low: [a - b if a is not None and number(b) is not None else None for a, b in zip(size, minus, strict=False)],
        high: [a + b if a is not None and number(b) is not None else None for a, b in zip(size, plus, strict=False)],
    }


def scatter(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    x, y = _pair(trace)
    mode = str(trace.get("mode") or ("lines+markers" if len(x) < 20 else "lines"))
    shape = (trace.get("line") or {}).get("shape", "")
    kind = "line" if "lines" in mode else "scatter"
    if kind == "line" and str(shape) in ("hv", "vh", "hvh", "vhv"):
        kind = "step"
    if trace.get("stackgroup") or trace.get("fill") in ("tozeroy", "tozerox", "tonexty", "tonextx"):
        kind = "area"
    extra = _errors(trace, "y", y) | _errors(trace, "x", x) | _marker(trace)
    if mode == "none" and kind == "scatter":
        kind = "area"
    return {"kind": kind, "x": x, "y": y, "extra": extra}


def _marker(trace: dict[str, Any]) -> dict[str, Any]:
    marker = trace.get("marker") or {}
    extra: dict[str, Any] = {}
    for key in ("size", "color"):
        if isinstance(marker.get(key), list):
            extra[key] = [v if number(v) is not None else str(v) for v in marker[key]]
    if isinstance(trace.get("text"), list):
        extra["text"] = [None if v is None else str(v) for v in trace["text"]]
    return extra


def bar(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    lying = trace.get("orientation") == "h"
    x, y = _pair(trace)
    base = trace.get("base")
    extra = _errors(trace, "x" if lying else "y", x if lying else y)
    if lying:
        extra = {key.removeprefix("x"): value for key, value in extra.items()}
    if isinstance(base, list) and lying and (spans := _span(base, x)) is not None:
        return {"kind": "gantt", "x": None, "y": y, "extra": {"start": base, "end": spans}}
    if base is not None:
        extra["base"] = base
    return {"kind": "bar", "x": x, "y": y, "extra": extra, "orientation": "h" if lying else "v"}


def _span(base: list[Any], lengths: list[Any]) -> list[Any] | None:
    """A timeline's bars: ISO starts, lengths in milliseconds."""
    found = []
    for start, length in zip(base, lengths, strict=False):
        if not isinstance(start, str) or not _TIME.match(start) or number(length) is None:
            return None
        found.append((datetime.fromisoformat(start) + timedelta(milliseconds=float(length))).isoformat())
    return found


def histogram(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    """Plotly bins in the browser: the raw values are the data."""
    which = "y" if not isinstance(trace.get("x"), list) or trace.get("orientation") == "h" else "x"
    extra: dict[str, Any] = {}
    bins = trace.get(f"{which}bins")
    if isinstance(bins, dict):
        extra["bins"] = {key: bins[key] for key in ("start", "end", "size") if key in bins}
        extra = {f"bin_{key}": value for key, value in extra["bins"].items()}
    if trace.get("histnorm"):
        extra["norm"] = str(trace["histnorm"])
    if trace.get("histfunc") not in (None, "count"):
        x, y = _pair(trace)
        return {"kind": "histogram", "x": x, "y": y, "extra": extra | {"function": str(trace["histfunc"])}}
    return {"kind": "histogram", which: _list(trace.get(which)), "extra": extra}


def box(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    kind = "violin" if trace.get("type") == "violin" else "box"
    extra: dict[str, Any] = {}
    for theirs, ours in {"q1": "q1", "median": "median", "q3": "q3", "lowerfence": "whislo", "upperfence": "whishi",
                         "mean": "mean"}.items():  # fmt: skip
        if isinstance(trace.get(theirs), list):
            extra[ours] = trace[theirs]
    lying = trace.get("orientation") == "h"
    series: dict[str, Any] = {"kind": kind, "x": trace.get("x"), "y": trace.get("y"), "extra": extra}
    groups, values = ("y", "x") if lying or (series["y"] is None and "q1" not in extra) else ("x", "y")
    if lying or groups == "y":
        series["orientation"] = "h"
    if series[values] is not None and series[groups] is None and words(trace.get("name")):
        series["group"] = words(trace.get("name"))
    series.pop("group", None)
    return series


def heatmap(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    z = _list(trace.get("z"))
    kind = {"contour": "contour", "histogram2d": "heatmap"}.get(str(trace.get("type")), "heatmap")
    if trace.get("type") in ("histogram2d", "histogram2dcontour"):
        return {"kind": "heatmap", "x": trace.get("x"), "y": trace.get("y"), "extra": {}}
    rows, width = len(z), len(z[0]) if z and isinstance(z[0], list) else 0
    x = _list(trace.get("x")) or _steps(trace, "x", width)
    y = _list(trace.get("y")) or _steps(trace, "y", rows)
    extra: dict[str, Any] = {"z": z}
    contours = trace.get("contours")
    if kind == "contour" and isinstance(contours, dict) and number(contours.get("size")):
        start, end, size = (number(contours.get(key)) for key in ("start", "end", "size"))
        if start is not None and end is not None and size and (end - start) / size < 1000:
            extra["levels"] = [start + n * size for n in range(round((end - start) / size) + 1)]
    return {"kind": kind, "x": x, "y": y, "extra": extra}


def pie(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    """Without values a pie counts its labels; equal labels are one slice."""
    labels, values = _list(trace.get("labels")), _list(trace.get("values"))
    total: dict[str, float] = {}
    for n, label in enumerate(labels):
        total[str(label)] = total.get(str(label), 0) + ((number(values[n]) or 0) if n < len(values) else not values)
    kind = "donut" if number(trace.get("hole")) else "pie"
    if trace.get("type") == "funnelarea":
        kind = "funnel"
    return {"kind": kind, "x": list(total), "y": list(total.values())}


def tree(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {"parent": ["" if p is None else str(p) for p in _list(trace.get("parents"))]}
    if isinstance(trace.get("values"), list):
        extra["value"] = trace["values"]
    if isinstance(trace.get("ids"), list):
        extra["id"] = [str(v) for v in trace["ids"]]
    return {"kind": str(trace["type"]), "x": [str(v) for v in _list(trace.get("labels"))], "extra": extra}


def sankey(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    labels = [str(v) for v in _list((trace.get("node") or {}).get("label"))]
    link = trace.get("link") or {}
    ends = {key: [labels[int(n)] for n in _list(link.get(key))] for key in ("source", "target")}
    return {"kind": "sankey", "extra": {**ends, "value": _list(link.get("value"))}}


def candlestick(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    extra = {key: _list(trace.get(key)) for key in ("open", "high", "low", "close")}
    return {"kind": "candlestick", "x": trace.get("x") or _steps(trace, "x", len(extra["open"])), "extra": extra}


def waterfall(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    x, y = _pair(trace)
    extra = {"measure": [str(v) for v in _list(trace.get("measure"))]} if trace.get("measure") else {}
    lying = trace.get("orientation") == "h"
    return {"kind": "waterfall", "x": x, "y": y, "extra": extra} | ({"orientation": "h"} if lying else {})


def funnel(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    x, y = _pair(trace)
    return {"kind": "funnel", "x": x, "y": y, "orientation": "v" if trace.get("orientation") == "v" else "h"}


def polar(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    x, y = _list(trace.get("theta")), _list(trace.get("r"))
    text = bool(x) and isinstance(x[0], str)
    if len(x) > 2 and text and x[0] == x[-1] and y and y[0] == y[-1]:
        x, y = x[:-1], y[:-1]
    kind = "bar" if trace.get("type") == "barpolar" else "radar" if text else "polar"
    return {"kind": kind, "x": x, "y": y}


def space(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    kind = "scatter3d" if trace.get("type") == "scatter3d" else "surface3d"
    z, extra = _list(trace.get("z")), {}
    if kind == "scatter3d" and str(trace.get("mode", "")).startswith("lines"):
        kind = "line"
    if z and isinstance(z[0], list):
        x, y = trace.get("x") or _steps(trace, "x", len(z[0])), trace.get("y") or _steps(trace, "y", len(z))
        return {"kind": kind, "x": _row(x), "y": _column(y), "extra": {"z": z}}
    extra = {"z": z} | _marker(trace)
    return {"kind": kind, "x": _list(trace.get("x")), "y": _list(trace.get("y")), "extra": extra}


def _row(values: Any) -> Any:
    return values[0] if values and isinstance(values[0], list) else values


def _column(values: Any) -> Any:
    return [row[0] for row in values] if values and isinstance(values[0], list) else values


def geo(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    if "choropleth" in str(trace["type"]):
        return {"kind": "choropleth", "x": _list(trace.get("locations")), "extra": {"value": _list(trace.get("z"))}}
    x, y = trace.get("lon"), trace.get("lat")
    if x is None and trace.get("locations"):
        return {"kind": "scatter", "x": trace["locations"], "extra": _marker(trace)}
    return {"kind": "scatter", "x": _list(x), "y": _list(y), "extra": _marker(trace)}


def indicator(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {"value": trace.get("value")}
    reference = (trace.get("delta") or {}).get("reference")
    if reference is not None:
        extra["reference"] = reference
    return {"kind": "indicator", "name": words(trace.get("title")), "extra": extra}


def table(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    head = [words(v) for v in _list((trace.get("header") or {}).get("values"))]
    cells = _list((trace.get("cells") or {}).get("values"))
    return {"kind": "table", "x": head, "extra": {"cells": cells}}


READERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]] = {
    "scatter": scatter, "scattergl": scatter, "bar": bar, "histogram": histogram, "box": box, "violin": box,
    "heatmap": heatmap, "heatmapgl": heatmap, "contour": heatmap, "histogram2d": heatmap,
    "histogram2dcontour": heatmap, "pie": pie, "funnelarea": pie, "sunburst": tree, "treemap": tree, "icicle": tree,
    "sankey": sankey, "candlestick": candlestick, "ohlc": candlestick, "waterfall": waterfall, "funnel": funnel,
    "scatterpolar": polar, "scatterpolargl": polar, "barpolar": polar, "scatter3d": space, "surface": space,
    "mesh3d": space, "choropleth": geo, "choroplethmapbox": geo, "choroplethmap": geo, "scattergeo": geo,
    "scattermapbox": geo, "scattermap": geo, "indicator": indicator, "table": table,
}  # fmt: skip


def color_title(trace: dict[str, Any], layout: dict[str, Any]) -> str | None:
    """The colour bar's title, on the trace, its marker, or a shared colour axis."""
    marker = trace.get("marker") or {}
    for holder in (trace, marker):
        found = words((holder.get("colorbar") or {}).get("title"))
        if found:
            return found
        shared = holder.get("coloraxis")
        if isinstance(shared, str) and (
            found := words(((layout.get(shared) or {}).get("colorbar") or {}).get("title"))
        ):
            return found
    return None


def domain_of(key: Any, layout: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Where the panel lies in the figure, as fractions."""
    if key[0] == "xy":
        found = [axis(layout, key[1]).get("domain"), axis(layout, key[2]).get("domain")]
    elif key[0] == "scene":
        domain = (layout.get(str(key[1])) or {}).get("domain") or {}
        found = [domain.get("x"), domain.get("y")]
    else:
        found = [[float(v) for v in re.findall(r"[\d.]+", str(part))] for part in key[1:3]]
    whole = [0.0, 1.0]
    return tuple(d if isinstance(d, list) and len(d) == 2 else whole for d in found)  # type: ignore[return-value]


def axis_of(
    name: str, layout: dict[str, Any], series: list[dict[str, Any]], which: str, own: str = ""
) -> dict[str, Any]:
    """An axis as the schema has it; without a type of its own the data tell its scale."""
    spec = axis(layout, name)
    mine = [entry for entry in series if (entry.get("axis") or "")[:1] != which or entry.get("axis") == own]
    found: dict[str, Any] = {"label": words(spec.get("title")), "scale": _scale(spec, mine, which)}
    if isinstance(spec.get("range"), list) and len(spec["range"]) == 2:
        found["limits"] = spec["range"]
    if spec.get("autorange") == "reversed":
        found["inverted"] = True
    if isinstance(spec.get("categoryarray"), list):
        found["categories"] = [str(v) for v in spec["categoryarray"]]
    return found


def _scale(spec: dict[str, Any], series: list[dict[str, Any]], which: str) -> str:
    named = {
        "date": "datetime",
        "category": "categorical",
        "multicategory": "categorical",
        "log": "log",
        "linear": "linear",
    }
    if spec.get("type") in named:
        return named[spec["type"]]
    values = [v for entry in series for v in _scale_values(entry, which) if v is not None]
    if any(isinstance(v, str) for v in values):
        texts = [v for v in values if isinstance(v, str)]
        if all(_TIME.match(v) for v in texts):
            return "datetime"
        return "linear" if all(_numeric(v) for v in texts) else "categorical"
    boxes = [entry for entry in series if entry["kind"] in ("box", "violin")]
    if boxes and all(entry.get("y" if entry.get("orientation") == "h" else "x") is None for entry in boxes):
        return "categorical" if which == ("y" if boxes[0].get("orientation") == "h" else "x") else "linear"
    return "linear"


def _scale_values(entry: dict[str, Any], which: str) -> list[Any]:
    if entry["kind"] == "gantt" and which == "x":
        return list(entry["extra"]["start"])
    return _list(entry.get(which))[:1000]


def _numeric(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def panel_kind(kinds: list[str], series: list[dict[str, Any]]) -> str:
    """One word for all the panel's series."""
    distinct = list(dict.fromkeys(kinds))
    if len(distinct) == 1:
        return distinct[0]
    if set(distinct) <= {"scatter", "line"}:
        return "scatter" if distinct[0] == "scatter" else "line"
    if set(distinct) <= {"area", "line", "step"}:
        return "line" if "line" in distinct else "area"
    for leader in ("candlestick", "box", "violin", "histogram", "heatmap", "surface3d", "scatter3d"):
        if leader in distinct and leader != "histogram":
            return leader
    return "mixed"


def clear_lonely_names(panel: dict[str, Any], layout: dict[str, Any], traces: list[Any]) -> None:
    """Names that plotly made itself ("trace 0") are no names."""
    for entry in panel["series"]:
        if re.fullmatch(r"trace \d+", entry.get("name") or ""):
            entry["name"] = None
