"""Reads plotly's JSON figure as a `Chart`. Traces say what they are; axes, subplots and facets come from the layout."""

from __future__ import annotations

import re

from ci_integrations._names import PLOTLY_MIME as MIME
from ci_integrations.charts import columns
from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read import combine
from ci_integrations.charts.read.entry import Entry
from ci_integrations.charts.read.plain import Json, as_map, at, maps, number
from ci_integrations.charts.read.plotly import shapes, traces
from ci_integrations.charts.read.plotly.layout import Draft, Place, axis, axis_of, color_title, domain_of, words

MAX_TRACES = 2000
"""Traces of one figure that are looked at."""
_NEAR = 0.02
"""Fraction of the figure by which a subplot's title may stand off its domain."""
_AUTOMATIC = re.compile(r"trace \d+")


def chart(payload: Json) -> Chart | None:
    """Returns the figure, or None when it has no trace. Raises on nonsense: the caller catches."""
    figure = as_map(unpack(payload))
    layout, data = as_map(figure.get("layout")), maps(figure.get("data"))
    if not data:
        return None
    panels = _panels(data[:MAX_TRACES], layout)
    titled = _titles(panels, layout)
    # Bands first: an edge that is not drawn is no series, and no part of a whole.
    for panel in panels:
        panel.series = traces.bands(panel.series)
        _shares(panel, layout)
    shapes.add(panels, layout)
    for panel in panels:
        _finish(panel, layout)
        if payload.get("frames"):
            panel.lack("of an animation, what is shown first")
    title = words(layout.get("title"))
    single = len(panels) == 1 and not titled
    if single:
        panels[0].title = title
    for panel in panels:
        if panel.kind == "indicator" and len(panel.series) == 1:
            panel.title = panel.title or panel.series[0].name
    return Chart.model_validate({
        "title": None if single else title,
        "source": {"library": "plotly"},
        "panels": [panel.plain() for panel in panels],
        "native": {"mime": MIME, "spec": {key: payload[key] for key in ("data", "layout") if key in payload}},
    })  # fmt: skip


def unpack(value: object) -> object:
    """Returns the value with plotly's packed arrays (`{"dtype", "bdata", "shape"}`) as lists, without its template."""
    if isinstance(value, dict):
        if "bdata" in value and "dtype" in value:
            return _array(value)
        # The template is style, and often larger than the figure.
        return {key: unpack(item) for key, item in value.items() if key != "template"}
    return list(map(unpack, value)) if isinstance(value, list) else value


def _array(value: Json) -> list[object]:
    """A packed array as a list. Raises `ValueError` when length, type or shape do not fit the data."""
    text, code = str(value["bdata"]), str(value["dtype"])
    # The shape of a matrix comes as a text, "2, 3".
    shape = [int(part) for part in str(value.get("shape") or "").split(",") if part.strip()]
    packed: Json = {"b64": text, "dtype": code, "n": (len(text) * 3 // 4 - text[-2:].count("=")) // int(code[1:])}
    if len(shape) == 2:
        packed["shape"] = shape
    return columns.unpacked(packed, whole=code[0] in "iu")


def _panels(data: list[Json], layout: Json) -> list[Draft]:
    """The visible traces as panels by their places, in the order in which the places first come."""
    found: dict[Place, Draft] = {}
    for trace in data:
        if trace.get("visible") is False:
            continue
        place = _place(trace, layout)
        _add(found.setdefault(place, Draft(place=place)), trace, layout)
    return list(found.values())


def _place(trace: Json, layout: Json) -> Place:
    """Traces on the same x and y axes, or on axes that overlay them, are one panel."""
    kind = str(trace.get("type") or "")
    if kind in traces.WITHOUT_AXES:
        x, y, row, column = (str(at(trace, "domain", key)) for key in ("x", "y", "row", "column"))
        return Place("domain", x, y, f"{row} {column}")
    # Any of these names moves a trace out of the plane of x and y.
    named = next((name for name in ("scene", "geo", "polar", "subplot") if name in trace), None)
    if named is not None or kind.startswith(("scatterpolar", "barpolar")):
        return Place("scene", str(trace.get(named or "") or trace.get("subplot") or "polar"))
    if kind in traces.SPACE:
        return Place("scene", "scene")
    if kind in traces.GEO:
        return Place("geo", "geo")
    homes = []
    for which in "xy":
        name = _axis_name(trace, which)
        below = axis(layout, name).get("overlaying")
        # An axis that lies over another one shares its panel; "free" lies over none.
        homes.append(below if isinstance(below, str) and below != "free" else name)
    return Place("xy", *homes)


def _axis_name(trace: Json, which: str) -> str:
    """The name of the trace's axis: "x", "y2" ..."""
    return str(trace.get(f"{which}axis") or which)


def _add(panel: Draft, trace: Json, layout: Json) -> None:
    """Adds a trace as a series to its panel, or notes that it is not read."""
    reader = traces.READERS.get(str(trace.get("type") or "scatter"))
    if reader is None:
        panel.lack(f"a {trace.get('type')} trace is not read")
        return
    series = reader(trace)
    series.name = series.name or _name(trace)
    for which, home in (("y", panel.place.y), ("x", panel.place.x)):
        own = _axis_name(trace, which)
        if panel.place.kind == "xy" and own != home:
            series.axis = f"{which}2"
            panel.second[series.axis] = own
    panel.color_label = panel.color_label or color_title(trace, layout)
    panel.series.append(series)


def _name(trace: Json) -> str | None:
    """None for the names that plotly makes itself: empty ones, numbers for images, "trace 0"."""
    name = words(trace.get("name")) or ""
    numbered = trace.get("type") in ("heatmap", "contour") and name.isdigit()
    return None if numbered or _AUTOMATIC.fullmatch(name) else name or None


def _shares(panel: Draft, layout: Json) -> None:
    """Bars and stacked areas that plotly draws as shares of all at their place."""
    stacks: dict[str, list[Entry]] = {}
    for entry in panel.series:
        if entry.stack is not None:
            stacks.setdefault(entry.stack, []).append(entry)
    bars = [entry for entry in panel.series if entry.stack is None and entry.kind in ("bar", "histogram")]
    # `groupnorm` stands in any one trace of a stack, `barnorm` in the layout.
    groups = [(next((e.share_of for e in stack if e.share_of), None), stack) for stack in stacks.values()]
    for whole, entries in [*groups, (traces.WHOLE.get(str(layout.get("barnorm"))), bars)]:
        if whole is None:
            continue
        same_places = entries is bars or all(entry.x == entries[0].x for entry in entries)
        if same_places and all(entry.kind != "histogram" for entry in entries):
            combine.shares(entries, whole)
        else:
            panel.lack("amounts: the shares that are drawn are not computed")


def _titles(panels: list[Draft], layout: Json) -> bool:
    """Subplot and column titles are annotations above each domain, row titles stand upright beside it.

    A panel of a grid has both. Returns True when there may be titles.
    """
    if len(panels) < 2:
        return False
    notes = [note for raw in maps(layout.get("annotations")) if (note := _free_note(raw)) is not None]
    rows = [(x, y, text) for x, y, text, upright in notes if upright]
    for panel in panels:
        across, up = domain_of(panel.place, layout)
        above = [(y, text) for x, y, text, upright in notes if not upright and abs(x - sum(across) / 2) < _NEAR]
        # In a grid with row titles the columns have theirs once, above the topmost panel.
        near = [text for y, text in above if y > up[1] - _NEAR and (rows or y < up[1] + _NEAR)]
        beside = [text for _, y, text in rows if abs(y - sum(up) / 2) < _NEAR]
        panel.title = " / ".join([*near[:1], *beside[:1]]) or None
    return True


def _free_note(note: Json) -> tuple[float, float, str, bool] | None:
    """The place and words of an annotation on the paper without an arrow, and whether it stands upright."""
    if note.get("xref") != "paper" or note.get("showarrow"):
        return None
    x, y, text = number(note.get("x")), number(note.get("y")), words(note.get("text"))
    upright = number(note.get("textangle")) in (90, -90)
    return None if x is None or y is None or text is None else (x, y, text, upright)


def _finish(panel: Draft, layout: Json) -> None:
    """Gives the panel its kind, its bar mode and its axes."""
    panel.series = combine.joined(panel.series)
    # `relative` is a stack whose negative parts go down.
    mode = str(layout.get("barmode") or "group")
    combine.settle(panel, "stack" if mode == "relative" else mode)
    place = panel.place
    if place.kind == "xy":
        for name, home in {"x": place.x, "y": place.y, **panel.second}.items():
            panel.axes[name] = axis_of(home, layout, panel.series, name)
    elif place.kind == "scene":
        labels = {which: words(at(layout, place.x, f"{which}axis", "title")) for which in "xyz"}
        panel.axes = {which: {"label": label} for which, label in labels.items() if label}
