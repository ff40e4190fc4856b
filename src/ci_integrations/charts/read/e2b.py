"""E2B's own chart dicts as a `Chart`: the fallback when our extractor is off.

E2B's extractor is silently wrong on a fifth of matplotlib's figures (bars with equal heights, histograms, box
plots read
as lines, points over dates). What has such a shape is marked `complete: false` with the reason.
"""

from __future__ import annotations

from typing import Any

from ci_integrations.charts.chart import Chart

_REASON = "from E2B's chart: {}"
_DOUBT = {
    "bar": "bars, histograms and lying bars look alike there, and labels are matched by order",
    "box_and_whisker": "box numbers are rounded, and lying boxes look like standing ones",
    "pie": "only angles are known, and nested pies are run together",
    "unknown": "the kind of chart is not known there",
}


def chart(raw: dict[str, Any]) -> Chart | None:
    """None for `{}`. Raises on nonsense: the caller catches."""
    if not raw.get("type"):
        return None
    several = raw["type"] == "superchart"
    panels = [_panel(part) for part in raw["elements"]] if several else [_panel(raw)]
    title = raw.get("title") if several else None
    return Chart.model_validate({"title": title or None, "source": {"library": "matplotlib"}, "panels": panels})


def _panel(raw: dict[str, Any]) -> dict[str, Any]:
    kind = str(raw.get("type"))
    elements = [item for item in raw.get("elements") or [] if isinstance(item, dict)]
    panel: dict[str, Any] = {"kind": _KINDS.get(kind, "mixed"), "title": raw.get("title") or None, "complete": True}
    if kind != "pie":
        panel |= {which: _axis(raw, which) for which in ("x", "y")}
    panel["series"] = _READERS[kind](elements) if kind in _READERS else []
    doubt = _DOUBT.get(kind) or _doubt(kind, raw, elements)
    panel["complete"] = doubt is None
    panel["notes"] = [_REASON.format(doubt)] if doubt else []
    return panel


def _doubt(kind: str, raw: dict[str, Any], elements: list[dict[str, Any]]) -> str | None:
    """Why a line or scatter chart cannot be trusted, or None."""
    if not elements:
        return "flat lines are dropped there as grid lines"
    for which, place in (("x", 0), ("y", 1)):
        values = [point[place] for item in elements for point in item.get("points") or []]
        if raw.get(f"{which}_scale") == "datetime" and any(isinstance(value, (int, float)) for value in values):
            return "dates came as day numbers"
        if raw.get(f"{which}_scale") == "categorical" and any(isinstance(value, (int, float)) for value in values):
            return "categories came as positions"
    if kind == "line" and len(elements) >= 5:
        return "box plots and stems look like lines there"
    return "lines of two equal ends are dropped there, and the number of axes is not told" if kind == "line" else None


def _axis(raw: dict[str, Any], which: str) -> dict[str, Any]:
    return {key: raw.get(f"{which}_{key}") or None for key in ("label", "scale", "unit")}


def _points(elements: list[dict[str, Any]], kind: str, auto: str) -> list[dict[str, Any]]:
    found = []
    for n, item in enumerate(elements):
        label = item.get("label")
        points = item.get("points") or []
        found.append({"name": None if label == f"{auto} {n + 1}" else label, "kind": kind,
                      "x": [p[0] for p in points], "y": [p[1] for p in points]})  # fmt: skip
    return found


def _bars(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in elements:
        groups.setdefault(str(item.get("group")), []).append(item)
    return [
        {"name": None if name.startswith("Group ") else name, "kind": "bar", "x": [i.get("label") for i in items],
         "y": [i.get("value") for i in items]}
        for name, items in groups.items()
    ]  # fmt: skip


def _slices(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    x, y = ([item.get(key) for item in elements] for key in ("label", "angle"))
    return [{"name": None, "kind": "pie", "x": x, "y": y, "extra": {"values_are": "degrees"}}]


def _boxes(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"q1": "first_quartile", "median": "median", "q3": "third_quartile", "whislo": "min", "whishi": "max"}
    extra: dict[str, Any] = {ours: [item.get(theirs) for item in elements] for ours, theirs in names.items()}
    extra["fliers"] = [list(item.get("outliers") or ()) for item in elements]
    return [{"name": None, "kind": "box", "x": [item.get("label") for item in elements], "extra": extra}]


_KINDS = {"line": "line", "scatter": "scatter", "bar": "bar", "pie": "pie", "box_and_whisker": "box"}
_READERS: dict[str, Any] = {
    "line": lambda items: _points(items, "line", "Line"), "scatter": lambda items: _points(items, "scatter", "Group"),
    "bar": _bars, "pie": _slices, "box_and_whisker": _boxes,
}  # fmt: skip
