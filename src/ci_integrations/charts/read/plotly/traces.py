"""Reads plotly's traces as series: one reader for each type of trace.

A reader takes one trace without packed arrays. Names, second axes and panels are the business of `figure`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from ci_integrations.charts.columns import is_number
from ci_integrations.charts.read.entry import ERRORS, Entry, band, category, heat_map
from ci_integrations.charts.read.plain import Json, as_column, as_list, as_map, at, lists, minus, number, plus, rank
from ci_integrations.charts.read.plotly.layout import is_time, words

WITHOUT_AXES = {"pie", "sunburst", "treemap", "icicle", "sankey", "indicator", "table", "parcoords", "parcats",
                "funnelarea"}  # fmt: skip
GEO = {"choropleth", "scattergeo", "choroplethmapbox", "scattermapbox", "choroplethmap", "scattermap", "densitymapbox"}
SPACE = {"scatter3d", "surface", "mesh3d", "cone", "streamtube", "volume", "isosurface"}
_CLEAR = re.compile(r"^(transparent|rgba\([^)]*,\s*0?\.?0*\s*\))$")
WHOLE = {"percent": 100.0, "fraction": 1.0}
"""What stacks add up to under plotly's `barnorm` or `groupnorm`; for other words amounts are drawn."""
_STAIRS = ("hv", "vh", "hvh", "vhv")
"""Shapes of a line that goes in steps."""
_FILLS = ("tozeroy", "tozerox", "tonexty", "tonextx")
"""Fills that make a line an area."""
_MAX_LEVELS = 1000
"""Levels of one contour plot."""


def is_horizontal(trace: Json) -> bool:
    """True when the trace has its values in x."""
    return trace.get("orientation") == "h"


def _pair(trace: Json) -> tuple[list[object], list[object]]:
    """X and y; the one that is not given is 0, 1, 2 ..., or x0 + n * dx."""
    x, y = (_levels(as_list(trace.get(which))) for which in "xy")
    return x or _steps(trace, "x", len(y)), y or _steps(trace, "y", len(x))


def _steps(trace: Json, which: str, n: int) -> list[object]:
    """The places of `n` values without places of their own."""
    start, step = number(trace.get(f"{which}0")) or 0, number(trace.get(f"d{which}")) or 1
    return [start + i * step for i in range(n)]


def _levels(values: list[object]) -> list[object]:
    """Categories of two levels, which come as two lists (outer and inner), each as one text."""
    pair = list(map(as_list, values))
    if list(map(type, values)) == [list, list] and len(pair[0]) == len(pair[1]):
        outer: object = None
        values = []
        for one, two in zip(*pair, strict=True):
            # An outer category stands once, above the first of its inner ones.
            outer = one if one not in (None, "") else outer
            values.append([outer, two])
    return list(map(category, values))


def _errors(trace: Json, which: str, values: list[object]) -> Json:
    """The ends of error bars, as absolute values; nothing when there are none or their kind is unknown."""
    bar = trace.get(f"error_{which}")
    if not isinstance(bar, dict) or bar.get("visible") is False:
        return {}
    # Without a type plotly.js takes the array, or ten per cent when there is none.
    kind = bar.get("type") or ("data" if "array" in bar else "percent")
    size = list(map(number, values))
    reach = as_list(bar.get("array")) if kind == "data" else _reach(str(kind), bar, size)
    if reach is None:
        return {}
    below = (as_list(bar.get("arrayminus")) or reach) if kind == "data" else reach
    low, high = ERRORS[which]
    return {low: list(map(minus, size, below)), high: list(map(plus, size, reach))}


def _reach(kind: str, bar: Json, size: list[float | None]) -> list[object] | None:
    """How far error bars by a rule go to each side; None when plotly has no such rule."""
    told = number(bar.get("value", 10)) or 0.0
    rules: dict[str, Callable[[float], float]] = {
        "percent": lambda value: abs(value) * told / 100, "sqrt": lambda value: abs(value) ** 0.5,
        "constant": lambda value: told,
    }  # fmt: skip
    rule = rules.get(kind)
    return None if rule is None else [None if value is None else rule(value) for value in size]


def scatter(trace: Json) -> Entry:
    """Reads points, lines and areas: plotly tells them apart by `mode` and `fill`."""
    x, y = _pair(trace)
    # plotly.js adds markers when there are fewer than twenty points.
    mode = str(trace.get("mode") or ("lines+markers" if len(x) < 20 else "lines"))
    fill, line, stack = trace.get("fill"), as_map(trace.get("line")), trace.get("stackgroup")
    if fill == "toself" and (half := _mirrored(x)):
        return band("x", x[:half], y[:half], y[half:][::-1])
    extra = _errors(trace, "y", y) | _errors(trace, "x", x) | _marker(trace)
    found = Entry(_drawn(trace, mode), x, y, extra=extra)
    found.fills_to_previous = fill == "tonexty" and not stack
    clear = line.get("width") == 0 or _CLEAR.match(str(line.get("color") or "")) is not None
    found.unseen = mode == "lines" and clear
    if stack:
        found.stack, found.share_of = str(stack), WHOLE.get(str(trace.get("groupnorm")))
    return found


def _drawn(trace: Json, mode: str) -> str:
    """The kind of a scatter trace."""
    # `mode: none` leaves only the fill.
    if trace.get("stackgroup") or trace.get("fill") in _FILLS or mode == "none":
        return "area"
    if "lines" not in mode:
        return "scatter"
    return "step" if str(at(trace, "line", "shape")) in _STAIRS else "line"


def _mirrored(x: list[object]) -> int:
    """Half the length when the second half goes back where the first came: the outline of a band."""
    half = len(x) // 2
    return half if half > 1 and len(x) % 2 == 0 and x[:half] == x[half:][::-1] else 0


def bands(entries: list[Entry]) -> list[Entry]:
    """A fill to the trace before is a band between both; an edge without a line of its own is drawn only by it."""
    found: list[Entry] = []
    for entry in entries:
        before = found[-1] if found else None
        if before is None or not entry.fills_to_previous or before.x != entry.x:
            found.append(entry)
            continue
        between = band("x", entry.column("x"), before.column("y"), entry.column("y"))
        between.name, between.axis = entry.name, entry.axis
        # That edge was drawn only to be filled up to.
        if before.unseen:
            found.pop()
        found.append(between)
        if not entry.unseen:
            entry.kind = "line"
            found.append(entry)
    return found


def _marker(trace: Json) -> Json:
    """Sizes, colours and texts of points, where each point has its own."""
    styles = lists(as_map(trace.get("marker")), "size", "color")
    texts = lists(trace, "text")
    return {
        **{key: [value if is_number(value) else str(value) for value in values] for key, values in styles.items()},
        **{key: [None if value is None else str(value) for value in values] for key, values in texts.items()},
    }


def bar(trace: Json) -> Entry:
    """Reads bars; horizontal ones with dates for bases are the spans of a timeline."""
    x, y = _pair(trace)
    base = trace.get("base")
    which, values, orientation = ("x", x, "h") if is_horizontal(trace) else ("y", y, "v")
    spans = _spans(base, x) if which == "x" and isinstance(base, list) else None
    if spans is not None:
        return Entry("gantt", None, y, extra={"start": base, "end": spans})
    # Bars reach along one axis only, so their error bars need no word for it.
    extra = {key.removeprefix("x"): value for key, value in _errors(trace, which, values).items()}
    if base is not None:
        extra["base"] = base
    return Entry("bar", x, y, extra=extra, orientation=orientation)


def _spans(base: list[object], lengths: list[object]) -> list[object] | None:
    """The ends of a timeline's bars: the starts are ISO texts, the lengths milliseconds."""
    found: list[object] = []
    for start, length in zip(base, lengths, strict=False):
        if not is_time(start) or not is_number(length):
            return None
        found.append((datetime.fromisoformat(str(start)) + timedelta(milliseconds=float(length))).isoformat())
    return found


def histogram(trace: Json) -> Entry:
    """Reads the raw values: plotly bins them in the browser."""
    # Raw values in y alone make horizontal bars.
    which = "y" if not isinstance(trace.get("x"), list) or is_horizontal(trace) else "x"
    bins = as_map(trace.get(f"{which}bins"))
    extra: Json = {f"bin_{key}": bins[key] for key in ("start", "end", "size") if key in bins}
    if trace.get("histnorm"):
        extra["norm"] = str(trace["histnorm"])
    if trace.get("histfunc") not in (None, "count"):
        return Entry("histogram", *_pair(trace), extra=extra | {"function": str(trace["histfunc"])})
    found = Entry("histogram", extra=extra)
    found.put(which, as_list(trace.get(which)))
    return found


_BOX = {"q1": "q1", "median": "median", "q3": "q3", "lowerfence": "whislo", "upperfence": "whishi", "mean": "mean"}


def box(trace: Json) -> Entry:
    """Reads boxes and violins, by their numbers or by the values they are made of."""
    extra: Json = {_BOX[theirs]: values for theirs, values in lists(trace, *_BOX).items()}
    kind = "violin" if trace.get("type") == "violin" else "box"
    found = Entry(kind, as_column(trace.get("x")), as_column(trace.get("y")), extra=extra)
    if is_horizontal(trace) or (found.y is None and "q1" not in extra):
        found.orientation = "h"
    return found


def heatmap(trace: Json) -> Entry:
    """Reads heat maps and contours; two-dimensional histograms keep their raw values."""
    if trace.get("type") in ("histogram2d", "histogram2dcontour"):
        return Entry("heatmap", as_column(trace.get("x")), as_column(trace.get("y")))
    x, y, z = (as_list(trace.get(which)) for which in "xyz")
    # Single cells in three columns, instead of a matrix.
    if z and list not in map(type, z):
        found = heat_map(_places(x), _places(y), zip(x, y, z, strict=False))
    else:
        found = _matrix("heatmap", trace, x, y, z)
    if trace.get("type") == "contour":
        found.kind = "contour"
        if levels := _contours(as_map(trace.get("contours"))):
            found.extra["levels"] = levels
    return found


def _matrix(kind: str, trace: Json, x: list[object], y: list[object], z: list[object]) -> Entry:
    """A matrix over its places, which are counted where they are not given."""
    width = len(as_list(z[0])) if z else 0
    return Entry(kind, x or _steps(trace, "x", width), y or _steps(trace, "y", len(z)), extra={"z": z})


def _contours(told: Json) -> list[float]:
    """The levels of a contour plot, where its layout tells them."""
    start, end, size = (number(told.get(key)) for key in ("start", "end", "size"))
    if start is None or end is None or not size or (end - start) / size >= _MAX_LEVELS:
        return []
    return [start + n * size for n in range(round((end - start) / size) + 1)]


def _places(values: list[object]) -> list[object]:
    """Each place once: numbers in order, categories as they come."""
    found = list(dict.fromkeys(values))
    return sorted(found, key=rank) if all(map(is_number, found)) else found


def pie(trace: Json) -> Entry:
    """Reads slices. Without values a pie counts its labels; equal labels are one slice."""
    labels, values = as_list(trace.get("labels")), as_list(trace.get("values"))
    total: dict[str, float] = {}
    for n, label in enumerate(labels):
        total[str(label)] = total.get(str(label), 0) + ((number(values[n]) or 0) if n < len(values) else not values)
    kind = "funnel" if trace.get("type") == "funnelarea" else "donut" if number(trace.get("hole")) else "pie"
    return Entry(kind, list(total), list(total.values()))


def tree(trace: Json) -> Entry:
    """Reads sunbursts, treemaps and icicles: each node with its parent and its value."""
    parents = ["" if parent is None else str(parent) for parent in as_list(trace.get("parents"))]
    labels = _texts(trace.get("labels"))
    given = lists(trace, "values", "ids")
    extra: Json = {"parent": parents}
    if "values" in given:
        extra["value"] = given["values"]
    if "ids" in given:
        ids = _texts(given["ids"])
        extra |= {"id": ids, "parent": _named_parents(labels, ids, parents)}
    return Entry(str(trace["type"]), labels, extra=extra)


def _texts(values: object) -> list[str]:
    """The items of a list as texts."""
    return list(map(str, as_list(values)))


def _named_parents(labels: list[str], ids: list[str], parents: list[str]) -> list[str]:
    """Plotly express makes ids of its own, "all/north/oslo": a parent then has its label, if no other node has it."""
    made = [f"{parent}/{label}" if parent else label for label, parent in zip(labels, parents, strict=False)]
    if len(made) < len(parents) or made != ids[: len(made)]:
        return parents
    sole = {own: label for label, own in zip(labels, made, strict=False) if labels.count(label) == 1}
    return [sole.get(parent, parent) for parent in parents]


def sankey(trace: Json) -> Entry:
    """Reads flows by the labels of their two nodes."""
    labels = _texts(at(trace, "node", "label"))
    link = as_map(trace.get("link"))
    ends = {key: [labels[int(n)] for n in as_list(link.get(key)) if is_number(n)] for key in ("source", "target")}
    return Entry("sankey", extra={**ends, "value": as_list(link.get("value"))})


def candlestick(trace: Json) -> Entry:
    """Reads candlesticks and OHLC bars."""
    extra: Json = {key: as_list(trace.get(key)) for key in ("open", "high", "low", "close")}
    x = as_column(trace.get("x")) or _steps(trace, "x", len(as_list(trace.get("open"))))
    return Entry("candlestick", x, extra=extra)


def waterfall(trace: Json) -> Entry:
    """Reads waterfalls; `measure` says which bars are changes and which are totals."""
    extra: Json = {"measure": _texts(trace["measure"])} if trace.get("measure") else {}
    return Entry("waterfall", *_pair(trace), extra=extra, orientation="h" if is_horizontal(trace) else None)


def funnel(trace: Json) -> Entry:
    """Reads funnels, which are horizontal unless they say otherwise."""
    return Entry("funnel", *_pair(trace), orientation="v" if trace.get("orientation") == "v" else "h")


def polar(trace: Json) -> Entry:
    """Reads polar traces; over categories they are radars, whose closing point is left out."""
    x, y = as_list(trace.get("theta")), as_list(trace.get("r"))
    text = isinstance(_first(x), str)
    # A radar repeats its first corner to close its outline.
    if len(x) > 2 and text and y and (x[0], y[0]) == (x[-1], y[-1]):
        x, y = x[:-1], y[:-1]
    return Entry("bar" if trace.get("type") == "barpolar" else "radar" if text else "polar", x, y)


def _first(values: list[object]) -> object:
    """The first of the values; None without one."""
    return values[0] if values else None


def space(trace: Json) -> Entry:
    """Reads points, lines and surfaces in three dimensions."""
    kind = "scatter3d" if trace.get("type") == "scatter3d" else "surface3d"
    if kind == "scatter3d" and str(trace.get("mode", "")).startswith("lines"):
        kind = "line"
    x, y, z = (as_list(trace.get(which)) for which in "xyz")
    if not isinstance(_first(z), list):
        return Entry(kind, x, y, extra={"z": z, **_marker(trace)})
    # Places may come as a whole grid, of which one row and one column tell everything.
    if isinstance(row := _first(x), list):
        x = row
    if isinstance(_first(y), list):
        y = [as_list(row)[0] for row in y]
    return _matrix(kind, trace, x, y, z)


def geo(trace: Json) -> Entry:
    """Reads maps: regions with values, or points by longitude and latitude or by the names of places."""
    places = as_list(trace.get("locations"))
    if "choropleth" in str(trace["type"]):
        return Entry("choropleth", places, extra={"value": as_list(trace.get("z"))})
    if trace.get("lon") is None and places:
        return Entry("scatter", places, extra=_marker(trace))
    return Entry("scatter", as_list(trace.get("lon")), as_list(trace.get("lat")), extra=_marker(trace))


def indicator(trace: Json) -> Entry:
    """Reads a single number and what it is compared with."""
    extra: Json = {"value": trace.get("value")}
    reference = at(trace, "delta", "reference")
    if reference is not None:
        extra["reference"] = reference
    return Entry("indicator", name=words(trace.get("title")), extra=extra)


def table(trace: Json) -> Entry:
    """Reads a table: its header, and its cells by column."""
    head = list(map(words, as_list(at(trace, "header", "values"))))
    return Entry("table", head, extra={"cells": as_list(at(trace, "cells", "values"))})


READERS: dict[str, Callable[[Json], Entry]] = {
    "scatter": scatter, "scattergl": scatter, "bar": bar, "histogram": histogram, "box": box, "violin": box,
    "heatmap": heatmap, "heatmapgl": heatmap, "contour": heatmap, "histogram2d": heatmap,
    "histogram2dcontour": heatmap, "pie": pie, "funnelarea": pie, "sunburst": tree, "treemap": tree, "icicle": tree,
    "sankey": sankey, "candlestick": candlestick, "ohlc": candlestick, "waterfall": waterfall, "funnel": funnel,
    "scatterpolar": polar, "scatterpolargl": polar, "barpolar": polar, "scatter3d": space, "surface": space,
    "mesh3d": space, "choropleth": geo, "choroplethmapbox": geo, "choroplethmap": geo, "scattergeo": geo,
    "scattermapbox": geo, "scattermap": geo, "indicator": indicator, "table": table,
}  # fmt: skip
