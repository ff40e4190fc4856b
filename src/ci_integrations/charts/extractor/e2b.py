"""E2B's own `e2b/chart`: the same extraction in the shape that the E2B SDK reads into `Result.chart`.

The shape knows line, scatter, bar, pie, box_and_whisker, superchart and unknown. Values are not rounded here.
A figure with more than 20 000 points in one series is told as `unknown`: that shape has no way to pack numbers.
"""

from __future__ import annotations

from typing import Any

from . import pack
from .matplotlib.report import last_of

_MOST = 20_000


def chart(figure: Any) -> dict[str, Any] | None:
    """The figure in E2B's shape; `{}` when nothing is drawn in it, as E2B has it."""
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


def _panel(panel: dict[str, Any], figure: Any) -> dict[str, Any]:
    series = panel["series"]
    kind = _TYPES.get(panel["kind"], "unknown")
    series = [{**entry, "x": pack.unpack(entry["x"], _MOST), "y": pack.unpack(entry["y"], _MOST)} for entry in series]
    if any(isinstance(entry[key], dict) for entry in series for key in ("x", "y")):
        kind = "unknown"
    title = panel.get("title")
    if kind == "unknown" or {_SERIES.get(entry["kind"]) for entry in series} - {kind, None}:
        return {"type": "unknown", "title": title, "elements": []}
    found = {"type": kind, "title": title, "elements": _ELEMENTS[kind](series)}
    if kind == "pie":
        return found
    x, y = panel.get("x", {}), panel.get("y", {})
    found |= {"x_label": x.get("label"), "y_label": y.get("label"), "x_unit": x.get("unit"), "y_unit": y.get("unit")}
    if kind in ("line", "scatter"):
        found |= _ticks("x", x, panel, figure) | _ticks("y", y, panel, figure)
    return found


_TYPES = {
    "line": "line", "step": "line", "scatter": "scatter", "bar": "bar", "histogram": "bar", "pie": "pie",
    "donut": "pie", "box": "box_and_whisker",
}  # fmt: skip
_SERIES = {**_TYPES, "rule": None}


def _points(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    named = [entry for entry in series if entry["kind"] != "rule"]
    return [
        {
            "label": entry["name"] or f"Line {n + 1}",
            "points": [list(p) for p in zip(entry["x"], entry["y"], strict=False)],
        }
        for n, entry in enumerate(named)
    ]


def _bars(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for n, entry in enumerate(one for one in series if one["kind"] != "rule"):
        lying = entry.get("orientation") == "h" and entry["kind"] == "bar"
        labels, values = (entry["y"], entry["x"]) if lying else (entry["x"], entry["y"])
        group = entry["name"] or f"Group {n + 1}"
        found += [{"label": str(label), "group": group, "value": v} for label, v in zip(labels, values, strict=False)]
    return found


def _slices(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for entry in series:
        total = sum(entry["y"]) or 1.0
        found += [
            {"label": label, "angle": 360.0 * v / total, "radius": 1.0}
            for label, v in zip(entry["x"], entry["y"], strict=True)
        ]
    return found


def _boxes(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for entry in series:
        extra = entry["extra"]
        for n, label in enumerate(entry["x"]):
            found.append({
                "label": str(label), "min": extra["whislo"][n], "first_quartile": extra["q1"][n],
                "median": extra["median"][n], "third_quartile": extra["q3"][n], "max": extra["whishi"][n],
                "outliers": extra["fliers"][n],
            })  # fmt: skip
    return found


_ELEMENTS = {
    "line": _points, "scatter": _points, "bar": _bars, "pie": _slices, "box_and_whisker": _boxes,
}  # fmt: skip


def _ticks(which: str, axis: dict[str, Any], panel: dict[str, Any], figure: Any) -> dict[str, Any]:
    """Ticks as E2B gives them: of the figure's first axes that fits this panel's labels."""
    source = next((ax for ax in figure.axes if (ax.get_title() or None) == panel.get("title")), figure.axes[0])
    mine = getattr(source, f"{which}axis")
    ticks = [float(v) for v in mine.get_majorticklocs()]
    labels = [text.get_text() for text in mine.get_majorticklabels()]
    values: list[Any] = ticks
    if axis.get("scale") == "datetime":
        from .matplotlib.axes import Axis

        values = list(Axis(source, which).values(ticks))
    return {f"{which}_ticks": values, f"{which}_tick_labels": labels, f"{which}_scale": axis.get("scale", "linear")}
