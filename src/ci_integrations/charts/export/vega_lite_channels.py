"""Vega-Lite's data and channels from a chart's columns and axes."""

from __future__ import annotations

from typing import Any

from ci_integrations.charts.model import Axis, Panel, Series

MAX_ROWS = 50_000
"""Marks in one series; longer ones are thinned, their extremes kept."""


class NotExpressible(Exception):  # noqa: N818 - likewise an answer
    """Vega-Lite has no words for this."""


_TYPES = {"datetime": "temporal", "categorical": "nominal"}


def channel(field: str, axis: Axis | None, values: Any) -> dict[str, Any]:
    scale = axis.scale if axis is not None and axis.scale else guess(values)
    found: dict[str, Any] = {"field": field, "type": _TYPES.get(scale, "quantitative")}
    if found["type"] == "quantitative" and any(isinstance(v, str) for v in values or ()):
        found["type"] = "nominal"
    found["title"] = axis.label if axis is not None else None
    options: dict[str, Any] = {}
    if scale in ("log", "symlog") and found["type"] == "quantitative":
        options["type"] = scale
    if axis is not None and axis.inverted:
        options["reverse"] = True
    if found["type"] == "nominal":
        found["sort"] = None
    elif field != "size":
        options["zero"] = False
    if options:
        found["scale"] = options
    if found["type"] == "quantitative" and _years(values):
        found["axis"] = {"labelExpr": "datum.value % 1 ? '' : format(datum.value, 'd')"}
    return found


def _years(values: Any) -> bool:
    """Whole numbers that look like years are written without a thousands separator."""
    known = [v for v in values or () if v is not None]
    return bool(known) and all(isinstance(v, (int, float)) and v % 1 == 0 and 1500 <= v < 2500 for v in known)


def guess(values: Any) -> str:
    return "categorical" if any(isinstance(v, str) for v in values or ()) else "linear"


def axes_of(series: Series, panel: Panel) -> tuple[Axis | None, Axis | None]:
    return (panel.x2 if series.axis == "x2" else panel.x), (panel.y2 if series.axis == "y2" else panel.y)


def data_of(**lists: Any) -> dict[str, Any]:
    from ci_integrations.charts.columns import thin

    held = {key: value for key, value in lists.items() if isinstance(value, list)}
    size = min((len(value) for value in held.values()), default=0)
    places = thin((held.get("y") or next(iter(held.values())))[:size], MAX_ROWS) if held else []
    return {"values": [{key: value[n] for key, value in held.items()} for n in places]}


def are_numbers(values: list[Any]) -> bool:
    return all(isinstance(v, (int, float)) or v is None for v in values)
