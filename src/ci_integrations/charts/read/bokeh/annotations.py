"""Reads what bokeh draws beside glyphs (rules, whiskers, bands) and turns times on time axes into dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from ci_integrations.charts.columns import is_number
from ci_integrations.charts.read.bokeh.document import Document, data_of, values_of
from ci_integrations.charts.read.entry import ERRORS, OTHER, Entry, PanelDraft, across, category, rule, stripe
from ci_integrations.charts.read.plain import Json, as_list, plus

_ON_AXIS = {
    "x": {"x", "x0", "edges", "start", "end", "xerr_low", "xerr_high"},
    "y": {"y", "y0", "open", "high", "low", "close", "body_low", "body_high", "err_low", "err_high"},
}
_SIDES = ("center", "left", "right", "above", "below", "renderers")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - bokeh knows no zones


def beside(doc: Document, figure: Json, panel: PanelDraft) -> None:
    """Adds spans and boxes as rules, slopes as lines, bands, and whiskers as error bars; notes what is not read."""
    for model in doc.models_of(figure, *_SIDES):
        name = str(model.get("name"))
        reader = _READERS.get(name)
        found = reader(doc, model) if reader is not None and doc.get(model, "visible") is not False else None
        if found is not None:
            panel.series.append(found)
        elif name in ("Arrow", "BoxAnnotation", "PolyAnnotation"):
            panel.lack(f"a {name} is not read")


def _box(doc: Document, model: Json) -> Entry | None:
    """A box that reaches from edge to edge of the plot is a band across it."""
    sides = {"x": ("left", "right"), "y": ("bottom", "top")}
    ends = {axis: [doc.get(model, side) for side in pair] for axis, pair in sides.items()}
    told = [(axis, one, two) for axis, (one, two) in ends.items() if is_number(one) and is_number(two)]
    return stripe(*told[0]) if len(told) == 1 else None


def _slope(doc: Document, model: Json) -> Entry | None:
    """A line through the whole plot, told by two of its points."""
    gradient, start = doc.get(model, "gradient"), doc.get(model, "y_intercept")
    end = plus(start, gradient)
    return None if end is None else Entry("line", [0, 1], [start, end], extra={"infinite": True})


def _span(doc: Document, model: Json) -> Entry:
    """A rule at one place of an axis; `dimension` is the direction in which it runs."""
    return rule("y" if doc.get(model, "dimension") in (None, "width") else "x", doc.get(model, "location"))


def _spread(doc: Document, model: Json) -> Entry:
    """A band, or whiskers, between two columns."""
    data = data_of(doc, doc.get(model, "source"))
    base, low, high = (_column(data, doc.get(model, name)) for name in ("base", "lower", "upper"))
    # `dimension` is where the whiskers reach; their places are on the other axis.
    which = "y" if doc.get(model, "dimension") == "width" else "x"
    if model.get("name") == "Band":
        return across(which, base, high, "band", {f"{OTHER[which]}0": low})
    return across(which, base, None, "errorbar", dict(zip(ERRORS[OTHER[which]], (low, high), strict=True)))


def _column(data: Json, spec: object) -> list[object]:
    """A column that an annotation names, directly or by `{"field"}`."""
    field = spec.get("field") if isinstance(spec, dict) else spec
    return list(map(category, values_of(data.get(str(field)))))


_READERS: dict[str, Callable[[Document, Json], Entry | None]] = {
    "Span": _span, "Band": _spread, "Whisker": _spread, "BoxAnnotation": _box, "Slope": _slope}  # fmt: skip


def times(entry: Entry, axis: str) -> None:
    """Turns milliseconds since 1970 into ISO-8601 in all that stands on this axis; horizontal bars there are spans."""
    if entry.kind == "bar" and axis == "x" and entry.horizontal:
        starts = as_list(entry.extra.pop("base", None)) or [0] * len(entry.values)
        entry.extra |= {"start": starts, "end": list(map(plus, starts, entry.values))}
        entry.kind, entry.x = "gantt", None
    keys = _keys(entry, axis)
    for which in keys & {"x", "y"} & entry.columns().keys():
        entry.put(which, list(map(_date, entry.column(which))))
    entry.extra |= {key: _date(entry.extra[key]) for key in entry.extra.keys() & keys}


def _keys(entry: Entry, axis: str) -> set[str]:
    """The columns of a series that hold values of an axis."""
    if entry.kind != "rule":
        return _ON_AXIS[axis]
    if "axis" not in entry.extra:
        return {f"{axis}0", f"{axis}1"}
    return {"value", "start", "end"} if entry.extra["axis"] == axis else {"low", "high"}


def _date(value: object) -> object:
    """A number of milliseconds as ISO-8601 without a zone, also within a list; anything else as it is."""
    if isinstance(value, list):
        return list(map(_date, value))
    return (_EPOCH + timedelta(milliseconds=value)).isoformat() if is_number(value) else value
