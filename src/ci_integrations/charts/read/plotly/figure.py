"""Reads plotly's JSON figure as a `Chart`. Traces say what they are; axes, subplots and facets come from the layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from ci_integrations._names import PLOTLY_MIME as MIME
from ci_integrations.charts import columns
from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read import combine
from ci_integrations.charts.read.entry import Entry, of_kind
from ci_integrations.charts.read.plain import Json, as_map, at, grouped, maps, number
from ci_integrations.charts.read.plotly import shapes, traces
from ci_integrations.charts.read.plotly.layout import Draft, Place, axis, axis_of, color_title, domain_of, words

MAX_TRACES = 2000
"""Traces of one figure that are looked at."""
_NEAR = 0.02
"""Fraction of the figure by which a subplot's title may stand off its domain."""
# `relative` is a stack whose negative parts go down.
_MODES = {"relative": "stack"}
_Note = tuple[float, float, str]
"""The place of an annotation in the figure, and its words."""
_AUTOMATIC = re.compile(r"trace \d+")


def chart(payload: Json) -> Chart | None:
    """Returns the figure, or None when it has no trace. Raises on nonsense: the caller catches."""
    figure = as_map(unpack(payload))
    layout, data = as_map(figure.get("layout")), maps(figure.get("data"))
    if not data:
        return None
    panels = _panels(data[:MAX_TRACES], layout)
    # Bands first: an edge that is not drawn is no series, and no part of a whole.
    for panel in panels:
        panel.series = traces.bands(panel.series)
        _shares(panel, layout)
    shapes.add(panels, layout)
    title = words(layout.get("title"))
    if len(panels) == 1:
        panels[0].title, title = title, None
    else:
        _titles(panels, layout)
    for panel in panels:
        _finish(panel, layout)
        if payload.get("frames"):
            panel.lack("of an animation, what is shown first")
    return Chart.model_validate({
        "title": title,
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
    if (scene := _scene(trace, kind)) is not None:
        return Place("scene", scene)
    return Place("geo", "geo") if kind in traces.GEO else Place("xy", *(_home(trace, layout, which) for which in "xy"))


def _scene(trace: Json, kind: str) -> str | None:
    """The name of the space that a trace is drawn in; None for one in the plane of x and y."""
    # Any of these names moves a trace out of the plane of x and y.
    named = [trace[name] for name in ("scene", "geo", "polar", "subplot") if name in trace]
    if named or kind.startswith(("scatterpolar", "barpolar")):
        return str(next(iter(named), None) or trace.get("subplot") or "polar")
    return "scene" if kind in traces.SPACE else None


def _home(trace: Json, layout: Json, which: str) -> str:
    """The axis of the trace's panel: the trace's own, or the one that it lies over."""
    name = _axis_name(trace, which)
    below = axis(layout, name).get("overlaying")
    # "free" lies over none.
    return below if isinstance(below, str) and below != "free" else name


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
    stacks = grouped((entry.stack, entry) for entry in panel.series)
    # `barnorm` stands in the layout, `groupnorm` in any one trace of a stack.
    bars = of_kind(stacks.pop(None, ()), "bar", "histogram")
    _share(panel, bars, traces.WHOLE.get(str(layout.get("barnorm"))), together=True)
    for stack in stacks.values():
        whole = next(filter(None, (entry.share_of for entry in stack)), None)
        _share(panel, stack, whole, together=all(entry.x == stack[0].x for entry in stack))


def _share(panel: Draft, entries: list[Entry], whole: float | None, *, together: bool) -> None:
    """Makes shares of `whole` of the entries, or notes that it cannot: it takes numbers `together` at their places."""
    if whole is None:
        return
    if together and not of_kind(entries, "histogram"):
        combine.shares(entries, whole)
    else:
        panel.lack("amounts: the shares that are drawn are not computed")


def _titles(panels: list[Draft], layout: Json) -> None:
    """Subplot and column titles are annotations above each domain, row titles stand upright beside it.

    A panel of a grid has both.
    """
    notes = grouped(chain.from_iterable(map(_free_note, maps(layout.get("annotations")))))
    for panel in panels:
        panel.title = _title(*domain_of(panel.place, layout), notes.get(False, []), notes.get(True, []))


def _title(across: Sequence[float], up: Sequence[float], columns: list[_Note], rows: list[_Note]) -> str | None:
    """The title of the panel over this domain: above it, beside it, or both."""
    above = [(y, text) for x, y, text in columns if _is_near(x, across)]
    # In a grid with row titles the columns have theirs once, above the topmost panel.
    near = [text for y, text in above if y > up[1] - _NEAR and (rows or y < up[1] + _NEAR)]
    beside = [text for _, y, text in rows if _is_near(y, up)]
    return " / ".join([*near[:1], *beside[:1]]) or None


def _is_near(place: float, domain: Sequence[float]) -> bool:
    """True for a place at the middle of a domain."""
    return abs(place - sum(domain) / 2) < _NEAR


def _free_note(note: Json) -> list[tuple[bool, _Note]]:
    """Whether an annotation stands upright, and its place and words; none unless on the paper and without an arrow."""
    if note.get("xref") != "paper" or note.get("showarrow"):
        return []
    x, y, text = number(note.get("x")), number(note.get("y")), words(note.get("text"))
    upright = number(note.get("textangle")) in (90, -90)
    return [] if x is None or y is None or text is None else [(upright, (x, y, text))]


def _finish(panel: Draft, layout: Json) -> None:
    """Gives the panel its kind, its bar mode, its axes, and the name of a single number for a title."""
    panel.series = combine.joined(panel.series)
    mode = str(layout.get("barmode") or "group")
    combine.settle(panel, _MODES.get(mode, mode))
    if panel.place.kind == "xy":
        homes = {"x": panel.place.x, "y": panel.place.y, **panel.second}
        panel.axes = {name: axis_of(home, layout, panel.series, name) for name, home in homes.items()}
    elif panel.place.kind == "scene":
        panel.axes = _scene_axes(layout, panel.place.x)
    if panel.kind == "indicator" and len(panel.series) == 1:
        panel.title = panel.title or panel.series[0].name


def _scene_axes(layout: Json, scene: str) -> dict[str, Json]:
    """The labelled axes of a space."""
    labels = ((which, words(at(layout, scene, f"{which}axis", "title"))) for which in "xyz")
    return {which: {"label": label} for which, label in labels if label}
