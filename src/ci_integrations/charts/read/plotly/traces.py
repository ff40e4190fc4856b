"""What plotly's traces and axes mean: one reader per trace type, and the words around them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ci_integrations.charts.read.plotly.layout import TIME, number, value_list, words

WITHOUT_AXES = {
    "pie", "sunburst", "treemap", "icicle", "sankey", "indicator", "table", "parcoords", "parcats", "funnelarea",
}  # fmt: skip
GEO = {"choropleth", "scattergeo", "choroplethmapbox", "scattermapbox", "choroplethmap", "scattermap", "densitymapbox"}
_SPACE = {"scatter3d", "surface", "mesh3d", "cone", "streamtube", "volume", "isosurface"}


def is_space(trace: dict[str, Any]) -> bool:
    return trace.get("type") in _SPACE


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
        plus = value_list(bar.get("array"))
        minus = value_list(bar.get("arrayminus")) or plus
    elif kind == "percent":
        plus = minus = [abs(v) * float(bar.get("value", 10)) / 100 if v is not None else None for v in size]
    elif kind == "sqrt":
        plus = minus = [abs(v) ** 0.5 if v is not None else None for v in size]
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
    found: dict[str, Any] = {"kind": kind, "x": x, "y": y, "extra": extra}
    if trace.get("fill") == "toself" and (half := _mirrored(x)):
        return found | _between(x[:half], y[:half], y[half:][::-1])
    if trace.get("fill") == "tonexty" and not trace.get("stackgroup"):
        found["_to_next"] = True
    line = trace.get("line") or {}
    if mode == "lines" and (line.get("width") == 0 or _CLEAR.match(str(line.get("color") or ""))):
        found["_unseen"] = True
    return found


_CLEAR = re.compile(r"^(transparent|rgba\([^)]*,\s*0?\.?0*\s*\))$")


def _mirrored(x: list[Any]) -> int:
    """Half the length when the second half goes back where the first came: the outline of a band."""
    half = len(x) // 2
    return half if half > 1 and len(x) % 2 == 0 and x[:half] == x[half:][::-1] else 0


def _between(x: list[Any], one: list[Any], two: list[Any]) -> dict[str, Any]:
    pairs = [sorted((a, b)) if number(a) is not None and number(b) is not None else (None, None)
             for a, b in zip(one, two, strict=True)]  # fmt: skip
    return {"kind": "band", "x": x, "y": [high for _, high in pairs], "extra": {"y0": [low for low, _ in pairs]}}


def bands(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A fill to the trace before is a band between both; an edge without a line of its own is drawn only by it."""
    found: list[dict[str, Any]] = []
    for entry in entries:
        before = found[-1] if found else {}
        unseen = entry.pop("_unseen", False)
        if entry.pop("_to_next", False) and before.get("x") == entry["x"]:
            band = {**entry, **_between(entry["x"], before["y"], entry["y"])}
            if before.get("_unseen"):
                found.pop()
            found += [band] if unseen else [band, {**entry, "kind": "line"}]
            continue
        found.append(entry | ({"_unseen": True} if unseen else {}))
    for entry in found:
        entry.pop("_unseen", None)
    return found


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
        if not isinstance(start, str) or not TIME.match(start) or number(length) is None:
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
    return {"kind": "histogram", which: value_list(trace.get(which)), "extra": extra}


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
    z = value_list(trace.get("z"))
    kind = {"contour": "contour", "histogram2d": "heatmap"}.get(str(trace.get("type")), "heatmap")
    if trace.get("type") in ("histogram2d", "histogram2dcontour"):
        return {"kind": "heatmap", "x": trace.get("x"), "y": trace.get("y"), "extra": {}}
    if z and not any(isinstance(row, list) for row in z):
        trace = trace | _from_cells(value_list(trace.get("x")), value_list(trace.get("y")), z)
        z = trace["z"]
    rows, width = len(z), len(z[0]) if z and isinstance(z[0], list) else 0
    x = value_list(trace.get("x")) or _steps(trace, "x", width)
    y = value_list(trace.get("y")) or _steps(trace, "y", rows)
    extra: dict[str, Any] = {"z": z}
    contours = trace.get("contours")
    if kind == "contour" and isinstance(contours, dict) and number(contours.get("size")):
        start, end, size = (number(contours.get(key)) for key in ("start", "end", "size"))
        if start is not None and end is not None and size and (end - start) / size < 1000:
            extra["levels"] = [start + n * size for n in range(round((end - start) / size) + 1)]
    return {"kind": kind, "x": x, "y": y, "extra": extra}


def _from_cells(x: list[Any], y: list[Any], z: list[Any]) -> dict[str, list[Any]]:
    """Three columns, one row per cell, as a matrix; numbers in order, categories as they come."""
    columns, rows = (_places(values) for values in (x, y))
    if len(columns) * len(rows) > 1_000_000:
        raise ValueError("too many cells")
    cells = {(a, b): value for a, b, value in zip(x, y, z, strict=False)}
    return {"x": columns, "y": rows, "z": [[cells.get((a, b)) for a in columns] for b in rows]}


def _places(values: list[Any]) -> list[Any]:
    found = list(dict.fromkeys(values))
    return sorted(found) if all(number(v) is not None for v in found) else found


def pie(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    """Without values a pie counts its labels; equal labels are one slice."""
    labels, values = value_list(trace.get("labels")), value_list(trace.get("values"))
    total: dict[str, float] = {}
    for n, label in enumerate(labels):
        total[str(label)] = total.get(str(label), 0) + ((number(values[n]) or 0) if n < len(values) else not values)
    kind = "donut" if number(trace.get("hole")) else "pie"
    if trace.get("type") == "funnelarea":
        kind = "funnel"
    return {"kind": kind, "x": list(total), "y": list(total.values())}


def tree(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {"parent": ["" if p is None else str(p) for p in value_list(trace.get("parents"))]}
    if isinstance(trace.get("values"), list):
        extra["value"] = trace["values"]
    labels = [str(v) for v in value_list(trace.get("labels"))]
    if isinstance(trace.get("ids"), list):
        extra["id"] = [str(v) for v in trace["ids"]]
        extra["parent"] = _named_parents(labels, extra["id"], extra["parent"])
    return {"kind": str(trace["type"]), "x": labels, "extra": extra}


def _named_parents(labels: list[str], ids: list[str], parents: list[str]) -> list[str]:
    """Plotly express makes ids of its own, "all/north/oslo": a parent then has its label, if no other node has it."""
    rows = list(zip(labels, ids, parents, strict=False))
    if len(rows) < len(parents) or any(own != (f"{up}/{label}" if up else label) for label, own, up in rows):
        return parents
    sole = {own: label for label, own, _ in rows if labels.count(label) == 1}
    return [sole.get(parent, parent) for parent in parents]


def sankey(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    labels = [str(v) for v in value_list((trace.get("node") or {}).get("label"))]
    link = trace.get("link") or {}
    ends = {key: [labels[int(n)] for n in value_list(link.get(key))] for key in ("source", "target")}
    return {"kind": "sankey", "extra": {**ends, "value": value_list(link.get("value"))}}


def candlestick(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    extra = {key: value_list(trace.get(key)) for key in ("open", "high", "low", "close")}
    return {"kind": "candlestick", "x": trace.get("x") or _steps(trace, "x", len(extra["open"])), "extra": extra}


def waterfall(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    x, y = _pair(trace)
    extra = {"measure": [str(v) for v in value_list(trace.get("measure"))]} if trace.get("measure") else {}
    lying = trace.get("orientation") == "h"
    return {"kind": "waterfall", "x": x, "y": y, "extra": extra} | ({"orientation": "h"} if lying else {})


def funnel(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    x, y = _pair(trace)
    return {"kind": "funnel", "x": x, "y": y, "orientation": "v" if trace.get("orientation") == "v" else "h"}


def polar(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    x, y = value_list(trace.get("theta")), value_list(trace.get("r"))
    text = bool(x) and isinstance(x[0], str)
    if len(x) > 2 and text and x[0] == x[-1] and y and y[0] == y[-1]:
        x, y = x[:-1], y[:-1]
    kind = "bar" if trace.get("type") == "barpolar" else "radar" if text else "polar"
    return {"kind": kind, "x": x, "y": y}


def space(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    kind = "scatter3d" if trace.get("type") == "scatter3d" else "surface3d"
    z, extra = value_list(trace.get("z")), {}
    if kind == "scatter3d" and str(trace.get("mode", "")).startswith("lines"):
        kind = "line"
    if z and isinstance(z[0], list):
        x, y = trace.get("x") or _steps(trace, "x", len(z[0])), trace.get("y") or _steps(trace, "y", len(z))
        return {"kind": kind, "x": _row(x), "y": _column(y), "extra": {"z": z}}
    extra = {"z": z} | _marker(trace)
    return {"kind": kind, "x": value_list(trace.get("x")), "y": value_list(trace.get("y")), "extra": extra}


def _row(values: Any) -> Any:
    return values[0] if values and isinstance(values[0], list) else values


def _column(values: Any) -> Any:
    return [row[0] for row in values] if values and isinstance(values[0], list) else values


def geo(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    if "choropleth" in str(trace["type"]):
        return {
            "kind": "choropleth",
            "x": value_list(trace.get("locations")),
            "extra": {"value": value_list(trace.get("z"))},
        }
    x, y = trace.get("lon"), trace.get("lat")
    if x is None and trace.get("locations"):
        return {"kind": "scatter", "x": trace["locations"], "extra": _marker(trace)}
    return {"kind": "scatter", "x": value_list(x), "y": value_list(y), "extra": _marker(trace)}


def indicator(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {"value": trace.get("value")}
    reference = (trace.get("delta") or {}).get("reference")
    if reference is not None:
        extra["reference"] = reference
    return {"kind": "indicator", "name": words(trace.get("title")), "extra": extra}


def table(trace: dict[str, Any], layout: dict[str, Any]) -> dict[str, Any]:
    head = [words(v) for v in value_list((trace.get("header") or {}).get("values"))]
    cells = value_list((trace.get("cells") or {}).get("values"))
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


def panel_kind(kinds: list[str], series: list[dict[str, Any]]) -> str:
    """One word for all the panel's series."""
    distinct = list(dict.fromkeys(kinds)) or ["mixed"]
    if len(distinct) == 1:
        return distinct[0]
    if set(distinct) <= {"scatter", "line"}:
        return "scatter" if distinct[0] == "scatter" else "line"
    if set(distinct) <= {"area", "band", "line", "step"}:
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
