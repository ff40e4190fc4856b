"""Reads a Vega-Lite specification (altair) as a `Chart`: views, layers, facets and repeats become panels with data."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from itertools import product

from ci_integrations._names import VEGALITE_MIME as MIME
from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read.entry import PanelDraft
from ci_integrations.charts.read.plain import Json, as_list, as_map, at, maps, number
from ci_integrations.charts.read.vega_lite import marks
from ci_integrations.charts.read.vega_lite.channels import Unit, ordered, title_of
from ci_integrations.charts.read.vega_lite.expressions import Unknown
from ci_integrations.charts.read.vega_lite.transforms import groups, run
from ci_integrations.charts.read.vega_lite.units import Row

MAX_PANELS = 300
"""Panels of one chart; further ones are left out."""
MAX_DEPTH = 12
"""Nesting of views; deeper ones are left out."""
MAX_SEQUENCE = 10**5
"""Rows that a `sequence` may generate."""
_FACETS = ("row", "column", "facet")


@dataclass(frozen=True)
class View:
    """What a view inherits: rows, encodings, the top-level data sets, and notes on what could not be evaluated."""

    datasets: Json
    rows: list[Row] = field(default_factory=list)
    encoding: Json = field(default_factory=dict)
    title: str | None = None
    notes: tuple[str, ...] = ()
    repeat: Json = field(default_factory=dict)
    """What `{"repeat": "column"}` and the like stand for: names of fields."""


def chart(payload: Json) -> Chart | None:
    """Returns the figure, or None when nothing is drawn. Raises on nonsense: the caller catches."""
    panels = _panels(payload, View(as_map(payload.get("datasets"))), 0)
    if not panels:
        return None
    # The title of a figure with one panel is the title of that panel.
    title = title_of(payload.get("title"))
    if len(panels) == 1 and panels[0].title in (None, title):
        panels[0].title, title = title, None
    return Chart.model_validate({
        "title": title, "source": {"library": "altair"}, "panels": [panel.plain() for panel in panels[:MAX_PANELS]],
        "native": {"mime": MIME, "spec": payload},
    })  # fmt: skip


def _panels(spec: object, view: View, depth: int) -> list[PanelDraft]:
    """The panels of a view and of all views in it."""
    if depth > MAX_DEPTH or not isinstance(spec, dict):
        return []
    view = _inherit(spec, view)
    parts = _only(spec, "hconcat", "vconcat", "concat")
    if parts:
        return _all(as_list(next(iter(parts.values()))), replace(view, title=None), depth)
    if {"repeat", "spec"} <= spec.keys():
        return _repeated(spec, view, depth)
    if {"facet", "spec"} <= spec.keys():
        outer = as_map(spec["facet"])
        return _faceted(as_map(spec["spec"]), _only(outer, *_FACETS[:2]) or {"facet": outer}, view, depth)
    # Facets among the channels are the short form of the facet operator.
    facets = _only(view.encoding, *_FACETS)
    if facets and not spec.keys().isdisjoint(("mark", "layer")):
        inner = _without(spec, "encoding", "data", "transform", "title")
        return _faceted(inner, facets, replace(view, encoding=_without(view.encoding, *_FACETS)), depth)
    units = _units(spec, view, depth)
    return [marks.panel(units, view.title)] if units else []


def _all(parts: list[object], view: View, depth: int) -> list[PanelDraft]:
    """The panels of several views that inherit the same."""
    return [panel for part in parts for panel in _panels(part, view, depth + 1)]


def _only(held: Json, *names: str) -> Json:
    """The fields of these names, where there are any."""
    return {name: held[name] for name in names if name in held}


def _without(held: Json, *names: str) -> Json:
    """All fields except those of these names."""
    return {name: value for name, value in held.items() if name not in names}


def _inherit(spec: Json, view: View) -> View:
    """The view with this specification's data, transforms, encoding and title."""
    rows, notes = view.rows, view.notes
    if isinstance(spec.get("data"), dict):
        rows, notes = _rows(as_map(spec["data"]), view)
    try:
        rows = run(rows, [_with_its_data(step, view) for step in maps(spec.get("transform"))])
    except Unknown as unknown:
        notes = (*notes, f"not evaluated: {unknown}")
    encoding = {**view.encoding, **_filled(spec.get("encoding"), view.repeat)}
    return replace(view, rows=rows, encoding=encoding, title=title_of(spec.get("title")) or view.title, notes=notes)


def _rows(data: Json, view: View) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of a data source, and the view's notes with what is missing."""
    values = data.get("values")
    if values is None and "name" in data:
        values = view.datasets.get(str(data["name"]))
    if isinstance(data.get("sequence"), dict):
        return _sequence(as_map(data["sequence"])), view.notes
    if not isinstance(values, list):
        return [], (*view.notes, "the data are not in the specification")
    return [row if isinstance(row, dict) else {"data": row} for row in values], view.notes


def _sequence(told: Json) -> list[Row]:
    """The rows that a generator of numbers makes."""
    start, stop, step = number(told.get("start")) or 0, number(told.get("stop")) or 0, number(told.get("step")) or 1
    name = str(told.get("as") or "data")
    return [{name: start + n * step} for n in range(min(MAX_SEQUENCE, int((stop - start) / step)))]


def _with_its_data(step: Json, view: View) -> Json:
    """A lookup brings the rows of its second table."""
    source = step.get("from") if "lookup" in step else None
    data = at(source, "data")
    if not isinstance(source, dict) or not isinstance(data, dict):
        return step
    rows, notes = _rows(data, replace(view, notes=()))
    return step if notes else {**step, "from": {**source, "rows": rows}}


def _filled(encoding: object, repeat: Json) -> Json:
    """A copy of an encoding in which `{"repeat": "column"}` is the name of a field."""
    found = copy.deepcopy(as_map(encoding))
    for channel in found.values():
        for word in ("field", "datum"):
            which = at(channel, word, "repeat")
            if isinstance(channel, dict) and which is not None:
                channel[word] = repeat.get(str(which))
    return found


def _repeated(spec: Json, view: View, depth: int) -> list[PanelDraft]:
    """One panel for each field; with `layer` all of them in one."""
    told, inner = spec["repeat"], spec["spec"]
    if isinstance(told, list):
        pairs: list[Json] = [{"repeat": name} for name in told]
    elif "layer" in as_map(told):
        layers = [_substituted(as_map(inner), {"layer": name}) for name in as_list(at(told, "layer"))]
        return _panels({"layer": layers}, view, depth + 1)
    else:
        rows, columns = as_list(at(told, "row")) or [None], as_list(at(told, "column")) or [None]
        pairs = [{"row": row, "column": column} for row, column in product(rows, columns)]
    return [panel for pair in pairs for panel in _panels(inner, replace(view, repeat=pair), depth + 1)]


def _substituted(spec: Json, repeat: Json) -> Json:
    """A layer with the field that the repetition gives it."""
    return {**spec, "encoding": _filled(spec.get("encoding"), repeat)}


def _faceted(spec: Json, channels: Json, view: View, depth: int) -> list[PanelDraft]:
    """One panel for each group of rows, with the values that make it for a title."""
    if view.rows == [] and isinstance(spec.get("data"), dict):
        view = replace(view, rows=_rows(as_map(spec["data"]), view)[0])
        spec = _without(spec, "data")
    parts = groups(view.rows, [str(at(channel, "field")) for channel in channels.values()])
    inner = _without(spec, "title")
    found = []
    for key in ordered(parts, list(map(as_map, channels.values()))):
        inside = replace(view, rows=parts[key], title=" / ".join(map(str, key)))
        found += _panels(inner, inside, depth + 1)
    return found


def _units(spec: Json, view: View, depth: int) -> list[Unit]:
    """All layers of one panel as marks with rows and encodings."""
    if "layer" in spec:
        if depth > MAX_DEPTH:
            return []
        parts = [_units(part, _inherit(part, view), depth + 1) for part in maps(spec["layer"])]
        # Layers share their scales unless they say otherwise.
        for which in "xy":
            if at(spec, "resolve", "scale", which) == "independent":
                _separate(parts, which)
        return [unit for part in parts for unit in part]
    mark = spec.get("mark")
    if mark is None:
        return []
    return [Unit({"type": mark} if isinstance(mark, str) else as_map(mark), view.rows, view.encoding, view.notes)]


def _separate(parts: list[list[Unit]], which: str) -> None:
    """Layers with scales of their own: the first one's is the panel's axis, the others' the second."""
    drawn = [part for part in parts if any(unit.has(which) for unit in part)]
    for unit in [unit for part in drawn[1:] for unit in part]:
        unit.second = f"{which}2"
