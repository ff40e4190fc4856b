"""A bokeh document (as the extractor sends it) as a `Chart`: figures become panels, glyph renderers become series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ci_integrations.charts import columns
from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read import combine
from ci_integrations.charts.read.bokeh import annotations as bokeh_marks
from ci_integrations.charts.read.bokeh.document import Columns, Document, data_of, factor, numbers_only, values_of

MIME = "application/vnd.ci-bokeh.v1+json"
_KINDS = {
    "Line": "line", "Step": "step", "Scatter": "scatter", "Circle": "scatter", "Marker": "scatter", "VBar": "bar",
    "HBar": "bar", "Quad": "histogram", "Wedge": "pie", "AnnularWedge": "donut", "Rect": "heatmap", "Image": "heatmap",
    "VArea": "area", "HArea": "area", "Patch": "area", "VAreaStep": "area", "Segment": "rule", "MultiLine": "line",
    "Text": "", "HexTile": "hexbin", "Square": "scatter", "Triangle": "scatter", "Diamond": "scatter",
    "Cross": "scatter", "VSpan": "rule", "HSpan": "rule",
}  # fmt: skip


def chart(payload: dict[str, Any]) -> Chart | None:
    """The figures of the document, or None when there is none. Raises on nonsense: the caller catches."""
    doc = Document(payload["doc"])
    figures = [m for m in doc.models.values() if m.get("name") in ("Figure", "figure", "Plot", "GMap")]
    panels = [panel for figure in reversed(figures) if (panel := _panel(doc, figure)) is not None]
    if not panels:
        return None
    panels = _in_order(doc, payload["doc"], figures, panels)
    return Chart.model_validate(
        {"source": {"library": "bokeh"}, "panels": panels, "native": {"mime": MIME, "spec": payload}}
    )


def _in_order(
    doc: Document, raw: dict[str, Any], figures: list[Any], panels: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """As they stand in the layout: by where each figure's id comes first in the document."""
    order: list[str] = []

    def visit(item: Any, depth: int) -> None:
        if depth > 60:
            return
        if isinstance(item, dict):
            if item.get("name") in ("Figure", "figure", "Plot", "GMap"):
                order.append(str(item.get("id")))
                return
            for child in item.values():
                visit(child, depth + 1)
        elif isinstance(item, list) and not numbers_only(item):
            for child in item:
                visit(child, depth + 1)

    visit(raw.get("roots"), 0)
    return sorted(panels, key=lambda panel: order.index(panel["_id"]) if panel["_id"] in order else len(order))


def _panel(doc: Document, figure: dict[str, Any]) -> dict[str, Any] | None:
    panel: dict[str, Any] = {"kind": "", "series": [], "complete": True, "notes": [], "_id": str(figure.get("id"))}
    legend = _legend(doc, figure)
    for raw in doc.get(figure, "renderers") or []:
        renderer = doc.model(raw)
        if renderer.get("name") == "ContourRenderer":
            panel["series"].append(bokeh_marks.contour(doc, renderer))
            panel["complete"] = False
            panel["notes"].append("a contour has its levels, but not the grid behind them")
        if renderer.get("name") != "GlyphRenderer" or doc.get(renderer, "visible") is False:
            continue
        _glyph(doc, renderer, legend, panel)
    bokeh_marks.beside(doc, figure, panel)
    if not panel["series"] and panel["complete"]:
        return None
    panel["title"] = _words(doc, doc.get(figure, "title"))
    stacked = _unstack(panel["series"])
    panel["series"] = combine.boxes(panel["series"])
    bokeh_marks.attach_errors(panel["series"])
    panel["series"] = combine.stems(combine.candles(panel["series"]))
    axes = {which: _axis(doc, figure, which) for which in "xy"}
    for entry in panel["series"]:
        entry.pop("_flat", None)
        for which in [which for which in "xy" if axes[which]["scale"] == "datetime"]:
            bokeh_marks.times(entry, which)
    kinds = [entry["kind"] for entry in panel["series"]]
    panel["kind"] = _kind(kinds)
    if panel["kind"] not in ("pie", "donut"):
        panel |= axes
        _second(doc, figure, panel)
    if stacked or sum(kind == "bar" for kind in kinds) > 1:
        panel["barmode"] = "stack" if stacked else "group"
    bar = [m for m in (doc.model(v) for v in [*(doc.get(figure, "right") or []), *(doc.get(figure, "left") or [])])
           if m.get("name") == "ColorBar"]  # fmt: skip
    if bar:
        panel["color_label"] = _words(doc, doc.get(bar[0], "title"))
    return panel


def _words(doc: Document, value: Any) -> str | None:
    if isinstance(value, dict):
        value = doc.get(value, "text")
    return str(value) if value not in (None, "") else None


def _kind(kinds: list[str]) -> str:
    distinct = [kind for kind in dict.fromkeys(kinds) if kind != "rule"] or kinds[:1] or ["mixed"]
    if len(distinct) == 1:
        return distinct[0]
    if "bar" in distinct:
        return "bar" if set(distinct) <= {"bar", "errorbar"} else "mixed"
    for leader in ("candlestick", "gantt", "histogram", "box", "heatmap"):
        if leader in distinct:
            return leader
    return next((kind for kind in distinct if kind in ("scatter", "line")), "area" if "area" in distinct else "mixed")


def _axis(doc: Document, figure: dict[str, Any], which: str) -> dict[str, Any]:
    sides = ("below", "above") if which == "x" else ("left", "right")
    axes = [doc.model(v) for side in sides for v in doc.get(figure, side) or []]
    axes = [axis for axis in axes if str(axis.get("name", "")).endswith("Axis")]
    plot_range, plot_scale = doc.model(doc.get(figure, f"{which}_range")), doc.model(doc.get(figure, f"{which}_scale"))
    found: dict[str, Any] = {"label": _words(doc, doc.get(axes[0], "axis_label")) if axes else None, "scale": "linear"}
    if plot_range.get("name") == "FactorRange":
        found["scale"] = "categorical"
        found["categories"] = [factor(f) for f in values_of(doc.get(plot_range, "factors"))]
    elif plot_scale.get("name") == "LogScale":
        found["scale"] = "log"
    elif axes and axes[0].get("name") == "DatetimeAxis":
        found["scale"] = "datetime"
    return found


def _second(doc: Document, figure: dict[str, Any], panel: dict[str, Any]) -> None:
    """An extra y range with its own axis on the right is y2."""
    if not any(entry.get("axis") == "y2" for entry in panel["series"]):
        return
    right = [doc.model(v) for v in doc.get(figure, "right") or []]
    axes = [axis for axis in right if str(axis.get("name", "")).endswith("Axis")]
    scale = {"LogAxis": "log", "DatetimeAxis": "datetime"}.get(axes[0]["name"], "linear") if axes else "linear"
    panel["y2"] = {"label": _words(doc, doc.get(axes[0], "axis_label")) if axes else None, "scale": scale}


def _legend(doc: Document, figure: dict[str, Any]) -> dict[str, Any]:
    """Renderer id to its legend label: a text, or `{"field": name}` for one entry per value.

    `legend_group` writes the values itself, each with the index of its first row: the field is the column with these.
    """
    found: dict[str, Any] = {}
    grouped: dict[str, dict[int, str]] = {}
    places = [v for side in ("center", "left", "right", "above", "below") for v in doc.get(figure, side) or []]
    for legend in [doc.model(v) for v in places if doc.model(v).get("name") == "Legend"]:
        for item in doc.get(legend, "items") or []:
            label = doc.get(item, "label")
            label = label if isinstance(label, dict) else {"value": label}
            index = doc.get(item, "index")
            for renderer in doc.get(item, "renderers") or []:
                found[str(renderer.get("id"))] = {"field": label["field"]} if "field" in label else label.get("value")
                if isinstance(index, int):
                    grouped.setdefault(str(renderer.get("id")), {})[index] = str(label.get("value"))
    return found | {key: field for key, rows in grouped.items() if (field := _group_field(doc, key, rows))}


def _group_field(doc: Document, renderer: str, rows: dict[int, str]) -> dict[str, str] | None:
    data = data_of(doc, doc.get(doc.models.get(renderer), "data_source"))
    for name, raw in data.items():
        values = [str(v) for v in values_of(raw)]
        if set(values) == set(rows.values()) and all(values[n] == word for n, word in rows.items() if n < len(values)):
            return {"field": name}
    return None


def _glyph(doc: Document, renderer: dict[str, Any], legend: dict[str, Any], panel: dict[str, Any]) -> None:
    try:
        cols = Columns(doc, renderer)
    except KeyError as unknown:
        panel["complete"] = False
        panel["notes"].append(f"a {unknown.args[0]} is not evaluated")
        return
    kind = _KINDS.get(str(cols.glyph.get("name")))
    if kind is None:
        panel["complete"] = False
        panel["notes"].append(f"a {cols.glyph.get('name')} glyph is not read")
        return
    if not kind:
        return
    label = legend.get(str(renderer.get("id")))
    entries = _series(cols, kind, label)
    names = label if isinstance(label, dict) else None
    for entry in entries:
        entry.setdefault("name", None if names else label)
        entry.setdefault("extra", {})
        if doc.get(renderer, "y_range_name") not in (None, "default"):
            entry["axis"] = "y2"
    if names and kind not in ("pie", "donut"):
        entries = [
            part for entry in entries for part in _by_field(entry, values_of(cols.data.get(str(names["field"]))))
        ]
    panel["series"] += entries


def _by_field(entry: dict[str, Any], values: list[Any]) -> list[dict[str, Any]]:
    """`legend_field`: one series per value, unless every mark has its own."""
    names = list(dict.fromkeys(str(v) for v in values))
    if len(names) < 2 or len(names) == len(values) or len(entry.get("x") or ()) != len(values):
        return [entry]
    found = []
    for name in names:
        chosen = [n for n, v in enumerate(values) if str(v) == name]
        part = {**entry, "name": name}
        for key in ("x", "y"):
            part[key] = [entry[key][n] for n in chosen] if entry.get(key) is not None else None
        part["extra"] = {k: [v[n] for n in chosen] if isinstance(v, list) and len(v) == len(values) else v
                         for k, v in (entry.get("extra") or {}).items()}  # fmt: skip
        found.append(part)
    return found


def _series(cols: Columns, kind: str, label: Any) -> list[dict[str, Any]]:
    if kind in ("pie", "donut"):
        return [_wedges(cols, kind, label)]
    reader = _READERS.get(str(cols.glyph.get("name")))
    if reader is not None:
        return reader(cols)
    entry: dict[str, Any] = {"kind": kind, "x": cols.column("x"), "y": cols.column("y"), "extra": {}}
    size = cols.raw("size")
    if kind == "scatter" and isinstance(size, dict) and "field" in size:
        entry["extra"]["size"] = cols.column("size")
    return [entry]


def _lines(cols: Columns) -> list[dict[str, Any]]:
    xs, ys = _lists_of(cols, "xs"), _lists_of(cols, "ys")
    return [{"kind": "line", "x": x, "y": y} for x, y in zip(xs, ys, strict=False)]


def _segments(cols: Columns) -> list[dict[str, Any]]:
    return [bokeh_marks.segments(*(cols.column(key) or [] for key in ("x0", "y0", "x1", "y1")))]


def _lists_of(cols: Columns, name: str) -> list[list[Any]]:
    spec = cols.raw(name)
    held = cols.data.get(str(spec.get("field"))) if isinstance(spec, dict) else None
    return [values_of(item) for item in held] if isinstance(held, list) else []


def _bar(cols: Columns, at: str, end: str, base: str, orientation: str) -> dict[str, Any]:
    places, ends, bases = cols.column(at) or [], cols.column(end) or [], cols.column(base)
    values: list[Any] = ends
    extra: dict[str, Any] = {}
    if bases is not None and any(bases):
        values = [None if a is None or b is None else a - b for a, b in zip(ends, bases, strict=False)]
        extra |= {"base": bases, "end": ends}
    value_axis = "x" if orientation == "h" else "y"
    entry: dict[str, Any] = {"kind": "bar", "orientation": orientation, "extra": extra}
    entry |= {value_axis: values, ("y" if orientation == "h" else "x"): places}
    stack = cols.raw(end)
    if isinstance(stack, dict) and stack.get("type") == "expr":
        entry["_stack"] = True
    return entry


def _unstack(entries: list[dict[str, Any]]) -> bool:
    return bool(sum(entry.pop("_stack", False) for entry in entries))


def _quad(cols: Columns) -> dict[str, Any]:
    left, right, top, bottom = (cols.column(key) or [] for key in ("left", "right", "top", "bottom"))
    values = [t - (b or 0) for t, b in zip(top, bottom or [0] * len(top), strict=False)]
    centres = [(a + b) / 2 for a, b in zip(left, right, strict=True)]
    return {"kind": "histogram", "x": centres, "y": values, "extra": {"edges": [*left, *right[-1:]]}}


def _wedges(cols: Columns, kind: str, label: Any) -> dict[str, Any]:
    """Slices by their angles; the legend's column has the names, and a column of the same proportions the values."""
    start, end = cols.column("start_angle") or [], cols.column("end_angle") or []
    angles = [b - a for a, b in zip(start, end, strict=False)]
    field = label.get("field") if isinstance(label, dict) else None
    names = (
        [str(v) for v in values_of(cols.data.get(str(field)))]
        if field
        else [f"slice {n + 1}" for n in range(len(angles))]
    )
    for key, raw in cols.data.items():
        values = values_of(raw)
        if key != field and len(values) == len(angles) and all(columns.numbers_of([v]) for v in values):
            ratio = sum(values) / sum(angles) if sum(angles) else 0
            if (
                ratio
                and "angle" not in key
                and all(abs(v - a * ratio) <= 1e-9 * abs(v) for v, a in zip(values, angles, strict=True))
            ):
                return {"kind": kind, "x": names, "y": values, "name": None}
    return {"kind": kind, "x": names, "y": angles, "name": None, "extra": {"values_are": "radians"}}


def _rects(cols: Columns) -> dict[str, Any]:
    """Rectangles coloured by a column are a heat map over their places."""
    x, y = cols.column("x") or [], cols.column("y") or []
    values = cols.column("fill_color")
    if values is None or not any(isinstance(v, (int, float)) for v in values):
        return {"kind": "scatter", "x": x, "y": y, "extra": {}, "_flat": len(set(cols.column("height") or ())) == 1}
    columns_, rows = list(dict.fromkeys(x)), list(dict.fromkeys(y))
    if len(columns_) * len(rows) > 1_000_000:
        raise ValueError("too many cells")
    cells = {(a, b): v for a, b, v in zip(x, y, values, strict=False)}
    z = [[cells.get((a, b)) for a in columns_] for b in rows]
    return {"kind": "heatmap", "x": columns_, "y": rows, "extra": {"z": z}}


def _area(cols: Columns) -> dict[str, Any]:
    lying = cols.glyph.get("name") == "HArea"
    at = cols.column("y" if lying else "x")
    one, two = (cols.column(key) for key in (("x1", "x2") if lying else ("y1", "y2")))
    one, two = one or [0] * len(two or ()), two or [0] * len(one or ())
    stacked = any(isinstance(cols.raw(k), dict) and cols.raw(k).get("type") == "expr" for k in ("y1", "y2", "x1", "x2"))
    if stacked or not any(one) or not any(two):
        values = [max(a, b) - (min(a, b) if stacked else 0) for a, b in zip(one, two, strict=True)]
        entry: dict[str, Any] = {"kind": "area", "extra": {}} | ({"_stack": True} if stacked else {})
    else:
        values = [max(a, b) for a, b in zip(one, two, strict=True)]
        low = [min(a, b) for a, b in zip(one, two, strict=True)]
        entry = {"kind": "band", "extra": {"x0" if lying else "y0": low}}
    return entry | ({"x": values, "y": at, "orientation": "h"} if lying else {"x": at, "y": values})


_READERS: dict[str, Callable[[Columns], list[dict[str, Any]]]] = {
    "VBar": lambda cols: [_bar(cols, "x", "top", "bottom", "v")],
    "HBar": lambda cols: [_bar(cols, "y", "right", "left", "h")],
    "Quad": lambda cols: [_quad(cols)],
    "Rect": lambda cols: [_rects(cols)],
    "Image": bokeh_marks.images,
    "HexTile": lambda cols: [bokeh_marks.hexagons(cols)],
    "VArea": lambda cols: [_area(cols)],
    "VAreaStep": lambda cols: [_area(cols)],
    "HArea": lambda cols: [_area(cols)],
    "MultiLine": _lines,
    "Segment": _segments,
    "VSpan": lambda cols: bokeh_marks.spans(cols, "x"),
    "HSpan": lambda cols: bokeh_marks.spans(cols, "y"),
}
