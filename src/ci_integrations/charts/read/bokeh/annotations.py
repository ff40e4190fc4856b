"""What bokeh draws beside glyphs: rules, whiskers, bands; images and hexagons; and times on time axes."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from ci_integrations.charts.read.bokeh.document import Columns, Document, data_of, factor, values_of

Entry = dict[str, Any]
_ON_AXIS = {
    "x": {"x", "x0", "edges", "start", "end", "xerr_low", "xerr_high"},
    "y": {"y", "y0", "open", "high", "low", "close", "body_low", "body_high", "err_low", "err_high"},
}


def beside(doc: Document, figure: dict[str, Any], panel: dict[str, Any]) -> None:
    """Spans and boxes as rules, slopes as lines, bands, whiskers as error bars of their own; the rest is noted."""
    sides = ("center", "left", "right", "above", "below", "renderers")
    models = [doc.model(raw) for side in sides for raw in doc.get(figure, side) or []]
    readers = {"Span": _span, "Band": _spread, "Whisker": _spread, "BoxAnnotation": _box, "Slope": _slope}
    for model in models:
        name = str(model.get("name"))
        found = readers[name](doc, model) if name in readers and doc.get(model, "visible") is not False else None
        if found is not None:
            panel["series"].append(found)
        elif name in ("Arrow", "BoxAnnotation", "PolyAnnotation"):
            panel["complete"] = False
            panel["notes"].append(f"a {name} is not read")


def _box(doc: Document, model: dict[str, Any]) -> Entry | None:
    """A box that reaches from edge to edge of the plot is a band across it."""
    ends = {which: [doc.get(model, side) for side in sides] for which, sides in _SIDES.items()}
    at = [which for which, pair in ends.items() if all(isinstance(v, (int, float)) for v in pair)]
    if len(at) != 1:
        return None
    [axis] = at
    low, high = ends[axis]
    return {"name": None, "kind": "rule", "extra": {"axis": axis, "start": [low], "end": [high], "value": [low, high]}}


_SIDES = {"x": ("left", "right"), "y": ("bottom", "top")}


def _slope(doc: Document, model: dict[str, Any]) -> Entry | None:
    gradient, start = doc.get(model, "gradient"), doc.get(model, "y_intercept")
    if not all(isinstance(v, (int, float)) for v in (gradient, start)):
        return None
    return {"name": None, "kind": "line", "x": [0, 1], "y": [start, start + gradient], "extra": {"infinite": True}}


def _span(doc: Document, model: dict[str, Any]) -> Entry:
    axis = "y" if doc.get(model, "dimension") in (None, "width") else "x"
    return {"name": None, "kind": "rule", "extra": {"axis": axis, "value": doc.get(model, "location")}}


def spans(cols: Columns, axis: str) -> list[Entry]:
    """Rules across the whole panel, one for each row."""
    return [{"kind": "rule", "extra": {"axis": axis, "value": value}} for value in cols.column(axis) or []]


def _spread(doc: Document, model: dict[str, Any]) -> Entry:
    data = data_of(doc, doc.get(model, "source"))
    base, low, high = (_column(data, doc.get(model, name)) for name in ("base", "lower", "upper"))
    at, value = ("y", "x") if doc.get(model, "dimension") == "width" else ("x", "y")
    if model.get("name") == "Band":
        return {"name": None, "kind": "band", at: base, value: high, "extra": {f"{value}0": low}}
    names = ("xerr_low", "xerr_high") if value == "x" else ("err_low", "err_high")
    return {"name": None, "kind": "errorbar", at: base, "extra": dict(zip(names, (low, high), strict=True))}


def _column(data: dict[str, Any], spec: Any) -> list[Any]:
    field = spec.get("field") if isinstance(spec, dict) else spec
    return [factor(v) for v in values_of(data.get(str(field)))]


def attach_errors(entries: list[Entry]) -> None:
    """Whiskers at the places of a bar or a point series are its error bars."""
    for error in [entry for entry in entries if entry["kind"] == "errorbar"]:
        at = "x" if "x" in error else "y"
        owner = next((e for e in entries if e["kind"] in ("bar", "scatter", "line") and e.get(at) == error[at]), None)
        if owner is None:
            continue
        lying = owner.get("orientation") == "h"
        owner["extra"] = (owner.get("extra") or {}) | {
            key.removeprefix("x") if lying else key: value for key, value in error["extra"].items()
        }
        entries.remove(error)


def segments(x0: list[Any], y0: list[Any], x1: list[Any], y1: list[Any]) -> Entry:
    """Segments along one axis are rules with two ends; others keep their four coordinates."""
    for axis, at, same, one, two in (("x", x0, x1, y0, y1), ("y", y0, y1, x0, x1)):
        if at == same and not any(v is None or isinstance(v, str) for v in [*one, *two]):
            ends = [sorted(pair) for pair in zip(one, two, strict=True)]
            low, high = [pair[0] for pair in ends], [pair[1] for pair in ends]
            return {"kind": "rule", "extra": {"axis": axis, "value": at, "low": low, "high": high}}
    return {"kind": "rule", "extra": {"x0": x0, "y0": y0, "x1": x1, "y1": y1}}


def images(cols: Columns) -> list[Entry]:
    """Each matrix of an image glyph as a heat map over the middles of its cells, from the lower left corner."""
    spec = cols.raw("image")
    held = cols.data.get(str(spec.get("field"))) if isinstance(spec, dict) else None
    places = [cols.column(key) or [] for key in ("x", "y", "dw", "dh")]
    found: list[Entry] = []
    for raw, x, y, width, height in zip(held if isinstance(held, list) else [], *places, strict=False):
        z = values_of(raw)
        rows, columns = len(z), len(z[0])
        xs = [x + (n + 0.5) * width / columns for n in range(columns)]
        ys = [y + (n + 0.5) * height / rows for n in range(rows)]
        found.append({"kind": "heatmap", "x": xs, "y": ys, "extra": {"z": z}})
    return found


def contour(doc: Document, renderer: dict[str, Any]) -> Entry:
    levels = [v for v in values_of(doc.get(renderer, "levels")) if isinstance(v, (int, float))]
    return {"name": None, "kind": "contour", "extra": {"levels": levels}}


def hexagons(cols: Columns) -> Entry:
    """Hexagons by their middles; the column that colours them, or their counts, is their value."""
    q, r, size = cols.column("q") or [], cols.column("r") or [], float(cols.raw("size") or 1)
    stretch = float(cols.raw("aspect_scale") or 1)
    if cols.raw("orientation") == "flattop":
        x, y = [1.5 * size * a for a in q], [-math.sqrt(3) * size * (b + a / 2) for a, b in zip(q, r, strict=True)]
        x = [v * stretch for v in x]
    else:
        x, y = [math.sqrt(3) * size * (a + b / 2) for a, b in zip(q, r, strict=True)], [-1.5 * size * b for b in r]
        y = [v * stretch for v in y]
    color = cols.raw("fill_color")
    field = color.get("field") if isinstance(color, dict) else None
    values = values_of(cols.data.get(str(field or "counts")))
    return {"kind": "hexbin", "x": x, "y": y, "extra": {"value": values} if values else {}}


def times(entry: Entry, axis: str) -> None:
    """Milliseconds since 1970 as ISO-8601, in all that stands on this axis; lying bars there are spans."""
    extra = entry.get("extra") or {}
    if entry["kind"] == "bar" and axis == "x" and entry.get("orientation") == "h":
        starts = extra.pop("base", None) or [0] * len(entry["x"])
        ends = [None if None in (a, b) else a + b for a, b in zip(starts, entry["x"], strict=True)]
        entry["kind"], entry["x"], entry["extra"] = "gantt", None, extra | {"start": starts, "end": ends}
        extra = entry["extra"]
    keys = set(_ON_AXIS[axis])
    if entry["kind"] == "rule" and "axis" in extra:
        keys = {"value", "start", "end"} if extra["axis"] == axis else {"low", "high"}
    elif entry["kind"] == "rule":
        keys = {f"{axis}0", f"{axis}1"}
    for holder in (entry, extra):
        for key in keys & set(holder):
            values = holder[key]
            holder[key] = [_iso(v) for v in values] if isinstance(values, list) else _iso(values)


def _iso(value: Any) -> Any:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
        return value
    return (datetime(1970, 1, 1) + timedelta(milliseconds=value)).isoformat()  # noqa: DTZ001 - bokeh knows no zones
