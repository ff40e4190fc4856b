"""Turns a chart's columns and axes into Vega-Lite's data and encoding channels, for the modules that write marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from ci_integrations.charts.columns import thin
from ci_integrations.charts.model import Axis, Panel, Series

MAX_ROWS = 50_000
"""Marks in one series; longer ones are thinned, their extremes kept."""
_TYPES = {"datetime": "temporal", "categorical": "nominal"}
"""Vega-Lite's types for our scales; every other scale is quantitative."""

Spec: TypeAlias = dict[str, Any]
"""A piece of a Vega-Lite specification, whose keys that grammar defines."""
Values: TypeAlias = list[Any]
"""A decoded column: numbers, words, ISO times, lists of them, or None for what is missing."""


class NotExpressible(Exception):  # noqa: N818 - an answer to a question, not a failure
    """Vega-Lite has no form for this figure: `to_vega_lite` then returns None."""


def channel(field: str, axis: Axis | None, values: Iterable[object] | None) -> Spec:
    """Returns the encoding of `field`: its type, title, scale and number format, as the axis has them.

    Without an axis, or when the axis does not know its scale, the type is taken from `values`.
    """
    axis = axis or Axis()
    kind = _type(axis, values)
    found: Spec = {"field": field, "type": kind, "title": axis.label}
    if kind == "nominal":
        found["sort"] = None  # the order of the data; Vega-Lite sorts by the alphabet otherwise
    options = _scale(axis, kind)
    if options:
        found["scale"] = options
    if kind == "quantitative" and _years(values):
        found["axis"] = {"labelExpr": "datum.value % 1 ? '' : format(datum.value, 'd')"}
    return found


def _type(axis: Axis, values: Iterable[object] | None) -> str:
    """Returns Vega-Lite's type of a column: words are categories on every axis, also on one that says "linear"."""
    kind = _TYPES.get(axis.scale or "", "quantitative")
    return "nominal" if kind == "quantitative" and any(isinstance(v, str) for v in values or ()) else kind


def _scale(axis: Axis, kind: str) -> Spec:
    """Returns the options of a channel's scale: its type, its direction, and that it need not begin at zero."""
    options: Spec = {"type": axis.scale} if axis.scale in ("log", "symlog") and kind == "quantitative" else {}
    if axis.inverted:
        options["reverse"] = True
    return options if kind == "nominal" else options | {"zero": False}


def _years(values: Iterable[object] | None) -> bool:
    """Says whether all are whole numbers that look like years, which are written without a thousands separator."""
    known = [v for v in values or () if v is not None]
    return bool(known) and all(isinstance(v, (int, float)) and v % 1 == 0 and 1500 <= v < 2500 for v in known)


def span(which: str, axis: Axis | None, values: Values | None, first: str, second: str) -> Spec:
    """Returns the two channels of marks that reach from field `first` to field `second` along the axis `which`."""
    return {which: channel(first, axis, values), f"{which}2": {"field": second}}


def quantity(field: str, title: str | None) -> Spec:
    """Returns a channel of numbers that belongs to no axis, such as a colour."""
    return {"field": field, "type": "quantitative", "title": title}


def axes_of(series: Series, panel: Panel) -> dict[str, Axis]:
    """Returns the axes on which a series is drawn, by "x" and "y": the panel's own or its second ones."""
    x, y = panel.x2 if series.axis == "x2" else panel.x, panel.y2 if series.axis == "y2" else panel.y
    return {"x": x or Axis(), "y": y or Axis()}  # a panel without an axis takes the type of its values


def directions(series: Series) -> tuple[str, str]:
    """Returns the axis along which a series' marks are placed, and the axis of their values."""
    return ("y", "x") if series.orientation == "h" else ("x", "y")


def listed(series: Series, name: str) -> Values | None:
    """Returns a decoded column, or None when there is none or it is a single value."""
    values = series.values(name)
    return values if isinstance(values, list) else None


def all_of(series: Series, *names: str) -> list[Values]:
    """Returns decoded columns in the order of their names; an empty list when one of them is missing."""
    found = [values for name in names if (values := listed(series, name)) is not None]
    return found if len(found) == len(names) else []


def needed(series: Series, *names: str) -> list[Values]:
    """Returns decoded columns, as `all_of` does. Raises `NotExpressible` when one of them is missing."""
    found = all_of(series, *names)
    if not found:
        raise NotExpressible(series.kind)
    return found


def layer(data: Spec, mark: str | Spec, encoding: Spec) -> Spec:
    """Returns one layer of a view."""
    return {"data": data, "mark": mark, "encoding": encoding}


def data_of(**lists: object) -> Spec:
    """Returns rows made of the columns in `lists`, as many as the shortest has; other values are left out.

    More than `MAX_ROWS` rows are thinned by their `y`, or by the first column when there is no `y`.
    """
    held = {key: value for key, value in lists.items() if isinstance(value, list)}
    size = min(map(len, held.values()), default=0)
    places = thin((held.get("y") or next(iter(held.values())))[:size], MAX_ROWS) if held else []
    return {"values": [{key: value[n] for key, value in held.items()} for n in places]}


def are_numbers(values: Sequence[object]) -> bool:
    """Says whether a column holds numbers and gaps only."""
    return all(isinstance(v, (int, float)) or v is None for v in values)
