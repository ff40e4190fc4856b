"""Reads bokeh's glyphs as series: one reader for each kind of glyph.

A glyph draws one mark for each row of its data source; its properties name the columns or hold one value for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ci_integrations.charts.columns import is_number
from ci_integrations.charts.read.bokeh.document import Columns, values_of
from ci_integrations.charts.read.entry import Entry, across, band, heat_map, rule
from ci_integrations.charts.read.plain import amounts, as_list, as_map, low_high, middles, minus, number, numbers

_PLAIN = {
    "Line": "line", "Step": "step", "Scatter": "scatter", "Circle": "scatter", "Marker": "scatter", "Patch": "area",
    "Square": "scatter", "Triangle": "scatter", "Diamond": "scatter", "Cross": "scatter",
}  # fmt: skip
"""Glyphs with one mark, or one corner, for each row."""
WEDGES = {"Wedge": "pie", "AnnularWedge": "donut"}
"""Glyphs that are slices."""
WORDS = ("Text",)
"""Glyphs that hold no data."""


def read(cols: Columns, legend: object) -> list[Entry] | None:
    """Returns the series of one glyph, or None when it is not known. `legend` is what `_legend` in `figure` found."""
    name = str(cols.glyph.get("name"))
    if name in WEDGES:
        return [_wedges(cols, WEDGES[name], legend)]
    if name in _READERS:
        return _READERS[name](cols)
    if name not in _PLAIN:
        return None
    found = Entry(_PLAIN[name], cols.column("x"), cols.column("y"))
    if found.kind == "scatter" and "field" in as_map(cols.raw("size")):
        found.extra["size"] = cols.column("size")
    return [found]


def _lines(cols: Columns) -> list[Entry]:
    """One line for each row of a `MultiLine`."""
    xs, ys = (list(map(values_of, as_list(cols.held(name)))) for name in ("xs", "ys"))
    return [Entry("line", x, y) for x, y in zip(xs, ys, strict=False)]


def _segments(cols: Columns) -> list[Entry]:
    """Segments along one axis are rules with two ends; others keep their four coordinates."""
    x0, y0, x1, y1 = cols.columns("x0", "y0", "x1", "y1")
    for axis, places, same, one, two in (("x", x0, x1, y0, y1), ("y", y0, y1, x0, x1)):
        if places == same and all(map(is_number, [*one, *two])):
            low, high = low_high(one, two)
            return [Entry("rule", extra={"axis": axis, "value": places, "low": low, "high": high})]
    return [Entry("rule", extra={"x0": x0, "y0": y0, "x1": x1, "y1": y1})]


def _spans(cols: Columns) -> list[Entry]:
    """Rules across the whole panel, one for each row."""
    axis = "x" if cols.glyph.get("name") == "VSpan" else "y"
    return [rule(axis, value) for value in cols.column(axis) or []]


def _bar(cols: Columns) -> list[Entry]:
    """Bars; those that do not start at zero have lengths over a base."""
    is_lying = cols.glyph.get("name") == "HBar"
    at, end, base, orientation = ("y", "right", "left", "h") if is_lying else ("x", "top", "bottom", "v")
    places, values, bases = cols.columns(at, end, base)
    found = across(at, places, values, "bar")
    found.orientation, found.dodged = orientation, cols.is_dodged(at)
    # In a stack both ends are running sums, and their difference is the value.
    if any(bases):
        found.put(found.value_axis, list(map(minus, values, bases)))
        found.extra = {"base": bases, "end": values}
    found.stack = "" if cols.is_expression(end) else None
    return [found]


def _quad(cols: Columns) -> list[Entry]:
    """Rectangles between edges, which are the bins of a histogram."""
    left, right, top, bottom = cols.columns("left", "right", "top", "bottom")
    values = [minus(end, base or 0) for end, base in zip(top, bottom or [0] * len(top), strict=False)]
    return [Entry("histogram", middles(left, right), values, extra={"edges": [*left, *right[-1:]]})]


def _wedges(cols: Columns, kind: str, legend: object) -> Entry:
    """Slices by their angles; the legend's column has the names, and a column of the same proportions the values."""
    angles = amounts(map(minus, *reversed(cols.columns("start_angle", "end_angle"))))
    field = as_map(legend).get("field")
    names = list(map(str, values_of(cols.data.get(str(field)))))
    places = names or [f"slice {n + 1}" for n in range(len(angles))]
    for key, raw in cols.data.items():
        values = numbers(values_of(raw))
        if key != field and "angle" not in key and _in_proportion(values, angles):
            return Entry(kind, places, values)
    return Entry(kind, places, angles, extra={"values_are": "radians"})


def _in_proportion(values: list[float], angles: list[float]) -> bool:
    """True when the values are the angles times one factor."""
    whole = math.fsum(angles)
    ratio = math.fsum(values) / whole if whole and len(values) == len(angles) else 0.0
    # The angles were computed from the values: only rounding separates them.
    return bool(ratio) and all(abs(v - a * ratio) <= 1e-9 * abs(v) for v, a in zip(values, angles, strict=True))


def _rects(cols: Columns) -> list[Entry]:
    """Rectangles coloured by a column are a heat map over their places."""
    x, y, values = cols.columns("x", "y", "fill_color")
    # Without colours by value they are marks, such as the caps of whiskers.
    if not any(map(is_number, values)):
        return [Entry("scatter", x, y, flat=len(set(cols.column("height") or ())) == 1)]
    return [heat_map(list(dict.fromkeys(x)), list(dict.fromkeys(y)), zip(x, y, values, strict=False))]


def _area(cols: Columns) -> list[Entry]:
    """An area from zero or from the area below it, or a band between two columns."""
    is_lying = cols.glyph.get("name") == "HArea"
    at, value, orientation = ("y", "x", "h") if is_lying else ("x", "y", None)
    names = (f"{value}1", f"{value}2")
    places, (one, two) = cols.column(at), cols.columns(*names)
    one, two = one or [0] * len(two), two or [0] * len(one)
    found = band(at, places, one, two)
    # An area has its lower edge at zero, or on the area below it in a stack.
    if any(map(cols.is_expression, names)):
        low = found.extra.pop(f"{value}0")
        found.put(value, list(map(minus, found.column(value), as_list(low))))
        found.kind, found.stack = "area", ""
    elif not any(one) or not any(two):
        found.kind, found.extra = "area", {}
    found.orientation = orientation
    return [found]


def _images(cols: Columns) -> list[Entry]:
    """Each matrix of an image glyph as a heat map over the middles of its cells, from the lower left corner."""
    found = []
    for raw, *box in zip(as_list(cols.held("image")), *cols.columns("x", "y", "dw", "dh"), strict=False):
        z, (x, y, width, height) = values_of(raw), amounts(box)
        xs, ys = _cells(x, width, len(as_list(z[0]))), _cells(y, height, len(z))
        found.append(Entry("heatmap", xs, ys, extra={"z": z}))
    return found


def _cells(start: float, length: float, n: int) -> list[float]:
    """The middles of `n` cells side by side."""
    return [start + (i + 0.5) * length / n for i in range(n)]


def _hexagons(cols: Columns) -> list[Entry]:
    """Hexagons by their middles; the column that colours them, or their counts, is their value."""
    size, stretch = number(cols.raw("size")) or 1.0, number(cols.raw("aspect_scale")) or 1.0
    q, r = map(amounts, cols.columns("q", "r"))
    # Axial coordinates: one runs along the flat sides, the other is slanted by half a hexagon.
    flat = cols.raw("orientation") == "flattop"
    along, slanted = (q, r) if flat else (r, q)
    straight = [1.5 * size * a * stretch for a in along]
    other = [math.sqrt(3) * size * (b + a / 2) for a, b in zip(along, slanted, strict=True)]
    x, down = (straight, other) if flat else (other, straight)
    values = values_of(cols.data.get(str(as_map(cols.raw("fill_color")).get("field") or "counts")))
    return [Entry("hexbin", x, [-v for v in down], extra={"value": values} if values else {})]


_READERS: dict[str, Callable[[Columns], list[Entry]]] = {
    "VBar": _bar, "HBar": _bar, "Quad": _quad, "Rect": _rects, "Image": _images, "HexTile": _hexagons, "VArea": _area,
    "VAreaStep": _area, "HArea": _area, "MultiLine": _lines, "Segment": _segments, "VSpan": _spans, "HSpan": _spans,
}  # fmt: skip
