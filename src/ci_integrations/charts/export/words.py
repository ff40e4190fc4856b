"""Charts and tables in words: the sentence a model reads, Markdown tables, and the long data frame.

Text out of the sandbox is escaped for Markdown and HTML. Whole numbers are shown in full, others with ten significant
digits in tables and six in sentences, large ones with ten there too.
"""

from __future__ import annotations

import re
from typing import Any

from ci_integrations.charts import columns
from ci_integrations.charts.model import Axis, Figure, Panel, Series

MAX_PANELS = 12
MAX_SERIES = 12
MAX_NAME = 80
_LARGE = 1e5
_EXACT = 2**53
_SPECIAL = re.compile(r"([\\`\[|])")
"""What ends a table cell or begins code or a link; numbers, dates and units stay as they are."""


def short(value: Any, digits: int = 6) -> str:
    """A number with so many digits, anything else as its text, cut to a readable length."""
    if value is None:
        return "?"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = " ".join(str(value).split())
        return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < _EXACT:
        return f"{value:.0f}"
    return f"{value:.{digits if abs(value) < _LARGE else 10}g}"


def escape(value: Any) -> str:
    """Text that is no table border, code, link or HTML, on one line; else as a reader would write it."""
    return _SPECIAL.sub(r"\\\1", short(value, digits=10)).replace("<", "&lt;")


def describe(figure: Figure) -> str:
    """One or two sentences for each panel."""
    how = {"saved": " (saved to a file)", "closed": " (closed without being shown)"}.get(figure.source.how, "")
    head = f"Figure “{short(figure.title)}”" if figure.title else "Figure"
    parts = [_panel_words(panel) for panel in figure.panels[:MAX_PANELS]]
    more = len(figure.panels) - len(parts)
    many = f" with {len(figure.panels)} panels" if len(figure.panels) > 1 else ""
    tail = f" … and {more} more panels." if more > 0 else ""
    if len(parts) == 1:
        return f"{head}{how}: {parts[0]}"
    return f"{head}{how}{many}: " + " ".join(f"[{n + 1}] {part}" for n, part in enumerate(parts)) + tail


def _panel_words(panel: Panel) -> str:
    title = f" “{short(panel.title)}”" if panel.title else ""
    axes = [
        _axis_words(name, axis) for name in ("x", "y", "y2", "x2", "z") if (axis := getattr(panel, name)) is not None
    ]
    axes += [f"colour: {short(panel.color_label)}"] if panel.color_label else []
    shown = [_series_words(series) for series in panel.series[:MAX_SERIES]]
    more = len(panel.series) - len(shown)
    text = f"{panel.kind} chart{title}" + (f"; {', '.join(axes)}" if axes else "") + ". " + "; ".join(shown)
    text += f"; and {more} more series" if more > 0 else ""
    if not panel.complete:
        text += f". Incomplete: {'; '.join(short(note) for note in panel.notes[:3]) or 'not all of it could be read'}"
    return text + "."


def _axis_words(name: str, axis: Axis) -> str:
    label = f" {short(axis.label)}" if axis.label else ""
    scale = f" ({axis.scale})" if axis.scale and axis.scale != "linear" else ""
    return f"{name}:{label}{scale}" if label or scale else name


def _series_words(series: Series) -> str:
    name = f"“{short(series.name)}”" if series.name else series.kind
    value, at = ("x", "y") if series.orientation == "h" and series.kind != "histogram" else ("y", "x")
    column = getattr(series, value)
    numbers = columns.numbers_of(column)
    if not numbers:
        return f"{name}{_other_words(series)}"
    count = columns.length(column)
    words = f"{name}, n={count}, {value} from {short(min(numbers))} to {short(max(numbers))}"
    return words + _extremes(series, value, at, count)


def _extremes(series: Series, value: str, at: str, count: int) -> str:
    """Where the highest and the lowest value stand, for series that are read point by point."""
    if columns.is_elsewhere(getattr(series, value)) or columns.is_elsewhere(getattr(series, at)):
        return " (numbers in a file in the sandbox)"
    if series.kind in ("scatter", "scatter3d", "hexbin", "quiver") or count < 2:
        return ""
    values, places = series.values(value), series.values(at) or []
    known = [(v, n) for n, v in enumerate(values) if isinstance(v, (int, float)) and n < len(places)]
    if not known:
        return ""
    high, low = max(known), min(known)
    return f" (highest at {short(places[high[1]])}, lowest at {short(places[low[1]])})"


def _other_words(series: Series) -> str:
    """Series told by their extra columns: medians, z ranges, rules."""
    if series.kind == "rule":
        return _rule_words(series)
    for key in ("median", "z", "value", "close", "end"):
        numbers = columns.numbers_of(series.extra.get(key)) if isinstance(series.extra.get(key), (list, dict)) else []
        if numbers:
            return f", n={series.n}, {key} from {short(min(numbers))} to {short(max(numbers))}"
    return f", n={series.n}"


def _rule_words(series: Series) -> str:
    value, start, end = (_first(series.extra.get(key)) for key in ("value", "start", "end"))
    axis = series.extra.get("axis", "")
    if start is not None and end is not None:
        return f" band from {axis}={short(start)} to {axis}={short(end)}"
    return f" line at {axis}={short(value)}"


def _first(value: Any) -> Any:
    return next(iter(value), None) if isinstance(value, list) else value
