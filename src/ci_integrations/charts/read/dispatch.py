"""Payloads out of the sandbox as typed charts, tables and files. All of it is hostile input: bounded, checked,
never raises.

A payload that is not what its MIME type says gives None, and the caller keeps it as it came.
"""

from __future__ import annotations

import math
from typing import Any

from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read.bounds import _TROUBLE, bounded

CHART_MIME = "application/vnd.ci-chart.v1+json"
BOKEH_MIME = "application/vnd.ci-bokeh.v1+json"


def chart_from_mime(mime: str, payload: Any) -> Chart | None:
    """The chart in a MIME payload: ours, plotly's, Vega-Lite's or bokeh's. None when it is none of these or broken."""
    reader = _reader(mime)
    if reader is None or not isinstance(payload, dict):
        return None
    try:
        return reader(payload) if bounded(payload) else None
    except _TROUBLE:
        return None


def _reader(mime: str) -> Any:
    if mime == CHART_MIME:
        return _own
    if mime.startswith("application/vnd.plotly.v"):
        from ci_integrations.charts.read.plotly import figure as readers_plotly

        return readers_plotly.chart
    if mime.startswith(("application/vnd.vegalite.v", "application/vnd.vega-lite.v")):
        from ci_integrations.charts.read.vega_lite import views

        return views.chart
    if mime == BOKEH_MIME:
        from ci_integrations.charts.read.bokeh import figure as readers_bokeh

        return readers_bokeh.chart
    return None


def _own(payload: dict[str, Any]) -> Chart | None:
    chart = Chart.model_validate(payload)
    return chart if chart.panels else None


def chart_from_e2b(raw: Any) -> Chart | None:
    """E2B's own chart dict. `complete` is False where that shape is known to mislead (bars, boxes, points on dates)."""
    from ci_integrations.charts.read import e2b

    try:
        return e2b.chart(raw) if isinstance(raw, dict) and bounded(raw) else None
    except _TROUBLE:
        return None


def finite(value: Any) -> float | None:
    """A JSON number, or None."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None
