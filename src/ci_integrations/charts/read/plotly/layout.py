"""Reads what stands in plotly's layout: titles, axes with their scales, domains, colour bars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ci_integrations.charts.read.entry import Entry, PanelDraft, of_kind
from ci_integrations.charts.read.plain import Json, as_list, as_map, at

_TAG = re.compile(r"<[^<>]{0,200}>")
_TIME = re.compile(r"^\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?)?)?(Z|[+-]\d{2}:?\d{2})?$")
_NUMBERS = re.compile(r"[\d.]+")
_SCALES = {"date": "datetime", "category": "categorical", "multicategory": "categorical", "log": "log",
           "linear": "linear"}  # fmt: skip
_LOOKED_AT = 1000
"""Values of one series that tell the scale of an axis without a type."""


@dataclass(frozen=True)
class Place:
    """Where a trace is drawn. Traces with equal places share one panel."""

    kind: str
    """`xy` (x and y are names of axes), `scene` and `geo` (x is its name), or `domain` (x and y are its ends)."""
    x: str = ""
    y: str = ""
    cell: str = ""
    """The row and column of a domain in a grid."""


@dataclass(eq=False)
class Draft(PanelDraft):
    """A panel with its place in the figure."""

    place: Place = field(kw_only=True)
    second: dict[str, str] = field(default_factory=dict)
    """`"x2"` and `"y2"` to plotly's name of the axis that lies over the panel's own."""


def words(value: object) -> str | None:
    """Returns a title as plain text: plotly allows a string or `{"text"}`, with a little HTML in it."""
    if isinstance(value, dict):
        value = value.get("text")
    if value is None:
        return None
    # A line break is the only tag that separates words.
    return _TAG.sub("", re.sub(r"<br ?/?>", " ", str(value))).strip() or None


def is_time(value: object) -> bool:
    """True for a text that plotly takes for a date."""
    return isinstance(value, str) and _TIME.match(value) is not None


def axis(layout: Json, name: str) -> Json:
    """Returns the layout of axis "x", "y2" ..."""
    return as_map(layout.get(f"{name[0]}axis{name[1:]}"))


def color_title(trace: Json, layout: Json) -> str | None:
    """Returns the colour bar's title: on the trace, its marker, or a shared colour axis."""
    for holder in (trace, as_map(trace.get("marker"))):
        found = words(at(holder, "colorbar", "title"))
        if found is None:
            found = words(at(layout, str(holder.get("coloraxis")), "colorbar", "title"))
        if found:
            return found
    return None


def domain_of(place: Place, layout: Json) -> tuple[Sequence[float], Sequence[float]]:
    """Returns where the panel lies in the figure, as fractions from left to right and from bottom to top."""
    if place.kind == "xy":
        x, y = axis(layout, place.x).get("domain"), axis(layout, place.y).get("domain")
    elif place.kind == "scene":
        x, y = at(layout, place.x, "domain", "x"), at(layout, place.x, "domain", "y")
    else:
        x, y = place.x, place.y
    return _fractions(x), _fractions(y)


def _fractions(domain: object) -> Sequence[float]:
    """The two ends of a domain; the whole figure when it has none."""
    found = list(map(float, _NUMBERS.findall(str(domain))))
    return found if len(found) == 2 else (0.0, 1.0)


def axis_of(home: str, layout: Json, series: list[Entry], name: str) -> Json:
    """Returns plotly's axis `home` as the schema has it under `name`; without a type the data tell its scale."""
    spec, which = axis(layout, home), name[0]
    mine = [entry for entry in series if (entry.axis or "")[:1] != which or entry.axis == name]
    found: Json = {"label": words(spec.get("title")), "scale": _scale(spec, mine, which)}
    limits = as_list(spec.get("range"))
    if len(limits) == 2:
        found["limits"] = limits
    if spec.get("autorange") == "reversed":
        found["inverted"] = True
    if isinstance(spec.get("categoryarray"), list):
        found["categories"] = list(map(str, as_list(spec["categoryarray"])))
    return found


def _scale(spec: Json, series: list[Entry], which: str) -> str:
    """The scale of an axis by its type, or by what stands on it."""
    told = _SCALES.get(str(spec.get("type")))
    if told is not None:
        return told
    # plotly.js guesses the type in the browser, so that this repeats its guess.
    texts = [value for entry in series for value in _scale_values(entry, which) if isinstance(value, str)]
    if not texts:
        return "categorical" if _named_boxes(series, which) else "linear"
    if all(map(is_time, texts)):
        return "datetime"
    return "linear" if all(map(_numeric, texts)) else "categorical"


def _named_boxes(series: list[Entry], which: str) -> bool:
    """True for the axis on which boxes without places of their own stand: on the names of their traces."""
    boxes = of_kind(series, "box", "violin")
    return bool(boxes) and not any(entry.places for entry in boxes) and which != boxes[0].value_axis


def _scale_values(entry: Entry, which: str) -> list[object]:
    """The first values of a series on an axis; the bars of a timeline have theirs in `extra`."""
    spans = entry.kind == "gantt" and which == "x"
    return as_list(entry.extra["start"] if spans else entry.column(which))[:_LOOKED_AT]


def _numeric(text: str) -> bool:
    """True for a number written as text, which plotly draws on a linear axis."""
    try:
        float(text)
    except ValueError:
        return False
    return True
