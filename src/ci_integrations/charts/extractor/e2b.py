"""Writes E2B's own `e2b/chart`: the same extraction in the shape that the E2B SDK reads into `Result.chart`.

The shape knows line, scatter, bar, pie, box_and_whisker, superchart and unknown. Values are not rounded here.
A figure with more than 20 000 points in one series is `unknown`: that shape has no way to pack numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import pack
from .matplotlib.report import last_of

if TYPE_CHECKING:
    from .foreign import E2BChart, Figure, Json, Panel, Series


_MOST = 20_000
"""Points of one series."""


def chart(figure: Figure) -> E2BChart | None:
    """Returns the figure in E2B's shape; `{}` when nothing is drawn in it or it cannot be read, as E2B has it."""
    try:
        payload = last_of(figure)
        if payload is None:
            return {}
        panels = [_panel(panel, figure) for panel in payload["panels"]]
    except Exception:  # noqa: BLE001 - E2B says {} for what it cannot read
        return {}
    if len(panels) == 1:
        return panels[0]
    return {"type": "superchart", "title": payload["title"], "elements": panels}


def _panel(panel: Panel, figure: Figure) -> E2BChart:
    """Returns one panel; a panel of several kinds, or of a kind that E2B does not know, is `unknown`."""
    kind, title = _TYPES.get(panel["kind"], "unknown"), panel.get("title")
    series = [entry | {key: pack.unpack(entry[key], _MOST) for key in ("x", "y")} for entry in panel["series"]]
    if kind == "unknown" or not _are_all(series, kind):
        return {"type": "unknown", "title": title, "elements": []}
    found = {"type": kind, "title": title, "elements": _ELEMENTS[kind](series)}
    if kind == "pie":
        return found
    x, y = panel.get("x", {}), panel.get("y", {})
    found |= {"x_label": x.get("label"), "y_label": y.get("label"), "x_unit": x.get("unit"), "y_unit": y.get("unit")}
    if kind in ("line", "scatter"):
        found |= _ticks("x", x, panel, figure) | _ticks("y", y, panel, figure)
    return found


def _are_all(series: list[Series], kind: str) -> bool:
    """Says whether E2B's shape for a kind of panel can hold all series; it has no packed columns."""
    packed = any(isinstance(entry[key], dict) for entry in series for key in ("x", "y"))
    return not packed and {_SERIES.get(entry["kind"]) for entry in series} <= {kind, None}


_TYPES = {
    "line": "line", "step": "line", "scatter": "scatter", "bar": "bar", "histogram": "bar", "pie": "pie",
    "donut": "pie", "box": "box_and_whisker",
}  # fmt: skip
_SERIES = {**_TYPES, "rule": None}


def _without_rules(series: list[Series]) -> list[Series]:
    """Returns the series without lines across the panel, which E2B's shape does not know."""
    return [entry for entry in series if entry["kind"] != "rule"]


def _points(series: list[Series]) -> list[E2BChart]:
    """Returns lines or scatters as lists of points."""
    return [
        {
            "label": entry["name"] or f"Line {n + 1}",
            "points": list(map(list, zip(entry["x"], entry["y"], strict=False))),
        }
        for n, entry in enumerate(_without_rules(series))
    ]


def _bars(series: list[Series]) -> list[E2BChart]:
    """Returns every bar with its category and its group."""
    found: list[E2BChart] = []
    for n, entry in enumerate(_without_rules(series)):
        horizontal = entry.get("orientation") == "h" and entry["kind"] == "bar"
        labels, values = (entry["y"], entry["x"]) if horizontal else (entry["x"], entry["y"])
        group = entry["name"] or f"Group {n + 1}"
        found += [{"label": str(label), "group": group, "value": v} for label, v in zip(labels, values, strict=False)]
    return found


def _slices(series: list[Series]) -> list[E2BChart]:
    """Returns slices with their angles in degrees."""
    found: list[E2BChart] = []
    for entry in series:
        total = sum(entry["y"]) or 1.0
        found += [
            {"label": label, "angle": 360.0 * v / total, "radius": 1.0}
            for label, v in zip(entry["x"], entry["y"], strict=True)
        ]
    return found


def _boxes(series: list[Series]) -> list[E2BChart]:
    """Returns each box with its statistics and outliers."""
    names = {"min": "whislo", "first_quartile": "q1", "median": "median", "third_quartile": "q3", "max": "whishi"}
    names["outliers"] = "fliers"
    return [
        {"label": str(label)} | {theirs: entry["extra"][ours][n] for theirs, ours in names.items()}
        for entry in series
        for n, label in enumerate(entry["x"])
    ]


_ELEMENTS = {
    "line": _points, "scatter": _points, "bar": _bars, "pie": _slices, "box_and_whisker": _boxes,
}  # fmt: skip


def _ticks(which: str, axis: Panel, panel: Panel, figure: Figure) -> E2BChart:
    """Returns ticks as E2B gives them: those of the figure's first Axes with this panel's title."""
    source = next((ax for ax in figure.axes if (ax.get_title() or None) == panel.get("title")), figure.axes[0])
    mine = getattr(source, f"{which}axis")
    ticks = [float(v) for v in mine.get_majorticklocs()]
    labels = [text.get_text() for text in mine.get_majorticklabels()]
    values: list[Json] = ticks
    if axis.get("scale") == "datetime":
        from .matplotlib.axes import Axis

        values = list(Axis(source, which).values(ticks))
    return {f"{which}_ticks": values, f"{which}_tick_labels": labels, f"{which}_scale": axis.get("scale", "linear")}
