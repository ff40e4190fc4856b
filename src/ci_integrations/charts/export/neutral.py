"""Writes all figures of a run as one neutral, decoded object, which the corpus' scorer reads and people compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ci_integrations.charts.columns import decode
from ci_integrations.charts.model import Axis, Figure, Panel, Series


class HoldsFigure(Protocol):
    """Anything that has its figure as `chart`, such as a `ChartArtifact`."""

    @property
    def chart(self) -> Figure: ...


def to_neutral(charts: Iterable[Figure | HoldsFigure]) -> dict[str, Any]:
    """Returns `{"figure_title", "panels": [...]}` with plain lists.

    Takes `Chart`s or anything that has one as `.chart`. Raises `ArtifactError` when a column is in a file in the
    sandbox.
    """
    found = [item if isinstance(item, Figure) else item.chart for item in charts]
    title = next((figure.title for figure in found if figure.title), None)
    return {"figure_title": title, "panels": [_panel(panel) for figure in found for panel in figure.panels]}


def _panel(panel: Panel) -> dict[str, object]:
    """Returns one panel as a dict; x and y are always named, a second or third axis only where there is one."""
    plain: dict[str, object] = {"kind": panel.kind, "title": panel.title}
    for name in ("x", "y", "x2", "y2", "z"):
        axis: Axis | None = getattr(panel, name)
        if axis is not None or name in "xy":
            known = axis or Axis()
            plain |= {f"{name}_label": known.label, f"{name}_scale": known.scale}
    series = [_series(series) for series in panel.series]
    return plain | {"color_label": panel.color_label, "complete": panel.complete, "series": series}


def _series(series: Series) -> dict[str, object]:
    """Returns one series as a dict with its columns decoded."""
    extra = {key: decode(value) for key, value in series.extra.items()}
    # A histogram has its bins in x whichever way it was drawn: the scorer takes no orientation for it.
    if series.orientation is not None and series.kind != "histogram":
        extra["orientation"] = series.orientation
    plain = {"name": series.name, "kind": series.kind, "x": decode(series.x), "y": decode(series.y), "extra": extra}
    return plain | ({"yaxis": series.axis} if series.axis else {})
