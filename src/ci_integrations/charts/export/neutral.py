"""The neutral one-object form of all figures of a run, decoded: what the corpus' scorer reads and people compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ci_integrations.charts.columns import decode
from ci_integrations.charts.model import Axis, Figure, Panel, Series


def to_neutral(charts: Iterable[Any]) -> dict[str, Any]:
    """`{"figure_title", "panels": [...]}` with plain lists; takes `Chart`s or anything that has one as `.chart`."""
    found: list[Figure] = [item if isinstance(item, Figure) else item.chart for item in charts]
    title = next((figure.title for figure in found if figure.title), None)
    return {"figure_title": title, "panels": [_panel(panel) for figure in found for panel in figure.panels]}


def _panel(panel: Panel) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": panel.kind, "title": panel.title}
    for name in ("x", "y", "x2", "y2", "z"):
        axis: Axis | None = getattr(panel, name)
        if axis is not None or name in "xy":
            plain[f"{name}_label"] = axis.label if axis is not None else None
            plain[f"{name}_scale"] = axis.scale if axis is not None else None
    plain["color_label"] = panel.color_label
    plain["complete"] = panel.complete
    plain["series"] = [_series(series) for series in panel.series]
    return plain


def _series(series: Series) -> dict[str, Any]:
    extra = {key: decode(value) for key, value in series.extra.items()}
    if series.orientation is not None and series.kind != "histogram":
        extra["orientation"] = series.orientation
    plain = {"name": series.name, "kind": series.kind, "x": decode(series.x), "y": decode(series.y), "extra": extra}
    return plain | ({"yaxis": series.axis} if series.axis else {})
