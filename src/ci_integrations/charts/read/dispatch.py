"""Reads payloads out of the sandbox as typed charts. All of it is hostile input: bounded, checked, never raises.

A payload that is not what its MIME type says gives None, and the caller keeps it as it came.
"""

from __future__ import annotations

from collections.abc import Callable

from ci_integrations._names import BOKEH_MIME, CHART_MIME
from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read.bounds import TROUBLE, bounded
from ci_integrations.charts.read.plain import Json

Reader = Callable[[Json], Chart | None]


def chart_from_mime(mime: str, payload: object) -> Chart | None:
    """Returns the chart in a payload of ours, plotly's, Vega-Lite's or bokeh's; None for others and broken ones."""
    reader = _reader(mime)
    return None if reader is None else _read(reader, payload)


def chart_from_e2b(raw: object) -> Chart | None:
    """Returns E2B's own chart dict as a chart.

    `complete` is False where that shape is known to mislead (bars, boxes, points on dates).
    """
    from ci_integrations.charts.read import e2b

    return _read(e2b.chart, raw)


def _read(reader: Reader, payload: object) -> Chart | None:
    """What the reader makes of a payload; None when it is too large or not what its type says."""
    try:
        return reader(payload) if isinstance(payload, dict) and bounded(payload) else None
    except TROUBLE:
        return None


def _reader(mime: str) -> Reader | None:
    """The reader of a MIME type, or None for one that holds no chart."""
    # Each library's reader is loaded when the first of its charts arrives.
    if mime == CHART_MIME:
        return _own
    if mime.startswith("application/vnd.plotly.v"):
        from ci_integrations.charts.read.plotly.figure import chart as plotly_chart

        return plotly_chart
    if mime.startswith(("application/vnd.vegalite.v", "application/vnd.vega-lite.v")):
        from ci_integrations.charts.read.vega_lite.views import chart as vega_lite_chart

        return vega_lite_chart
    if mime == BOKEH_MIME:
        from ci_integrations.charts.read.bokeh.figure import chart as bokeh_chart

        return bokeh_chart
    return None


def _own(payload: Json) -> Chart | None:
    """A chart in our own schema, as the extractor sends it."""
    chart = Chart.model_validate(payload)
    return chart if chart.panels else None
