"""Writes a figure as the sentences that a model reads, and holds the rules by which numbers and text are shown.

Text from the sandbox is escaped for Markdown and HTML. Whole numbers are shown in full. Other numbers have ten
significant digits in tables and six in sentences; from 100 000 upwards they have ten in sentences too.
"""

from __future__ import annotations

import re

from ci_integrations.charts import columns
from ci_integrations.charts.model import Axis, Figure, Panel, Series

MAX_PANELS = 12
"""Panels that are described or written as tables; the sentence says how many more there are."""
MAX_SERIES = 12
"""Series of one panel, likewise."""
MAX_NAME = 80
"""Characters of one name or label."""
_LARGE = 1e5
"""Numbers from here on are shown with ten significant digits: with six, 123456.7 and 123457.4 would look alike."""
_EXACT = 2**53
"""Floats below this are whole numbers exactly; larger ones are not, so their last digits would be invented."""
_SPECIAL = re.compile(r"([\\`\[|])")
"""What ends a table cell or begins code or a link; numbers, dates and units stay as they are."""
_POINT_CLOUDS = ("scatter", "scatter3d", "hexbin", "quiver")
"""Kinds whose points have no order along an axis, so that the place of the highest one says little."""


def short(value: object, digits: int = 6) -> str:
    """Returns a number with at most `digits` significant digits, anything else as one line of readable length."""
    if value is None:
        return "?"
    # bool is an int in Python; True is a word here.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = " ".join(str(value).split())
        return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < _EXACT:
        return f"{value:.0f}"
    return f"{value:.{digits if abs(value) < _LARGE else 10}g}"


def escape(value: object) -> str:
    """Returns the value's text on one line, with everything escaped that is table border, code, link or HTML."""
    return _SPECIAL.sub(r"\\\1", short(value, digits=10)).replace("<", "&lt;")


def describe(figure: Figure) -> str:
    """Returns one or two sentences for each panel: kind, title, axes, ranges, extremes, counts and what is missing."""
    how = {"saved": " (saved to a file)", "closed": " (closed without being shown)"}.get(figure.source.how, "")
    head = "Figure" + _quoted(figure.title)
    parts = [_panel_words(panel) for panel in figure.panels[:MAX_PANELS]]
    if len(parts) == 1:
        return f"{head}{how}: {parts[0]}"
    many = f" with {len(figure.panels)} panels" if len(figure.panels) > 1 else ""
    more = len(figure.panels) - len(parts)
    tail = f" … and {more} more panels." if more > 0 else ""
    return f"{head}{how}{many}: " + " ".join(f"[{n + 1}] {part}" for n, part in enumerate(parts)) + tail


def _quoted(title: str | None) -> str:
    """Returns a title in quotation marks after a space; empty without a title."""
    return f" “{short(title)}”" if title else ""


def _panel_words(panel: Panel) -> str:
    """Describes one panel; a panel that is not complete says why."""
    known = ((name, getattr(panel, name)) for name in ("x", "y", "y2", "x2", "z"))
    axes = [_axis_words(name, axis) for name, axis in known if axis is not None]
    axes += [f"colour: {short(panel.color_label)}"] if panel.color_label else []
    shown = [_series_words(series) for series in panel.series[:MAX_SERIES]]
    more = len(panel.series) - len(shown)
    head = "; ".join([f"{panel.kind} chart{_quoted(panel.title)}", *filter(None, [", ".join(axes)])])
    tail = f"; and {more} more series" if more > 0 else ""
    return f"{head}. {'; '.join(shown)}{tail}{_missing_words(panel)}."


def _missing_words(panel: Panel) -> str:
    """Says why a panel is not complete, by its first three notes; empty when it is."""
    if panel.complete:
        return ""
    return f". Incomplete: {'; '.join(map(short, panel.notes[:3])) or 'not all of it could be read'}"


def _axis_words(name: str, axis: Axis) -> str:
    """Names an axis with its label, and with its scale when that is not linear."""
    label = f" {short(axis.label)}" if axis.label else ""
    scale = f" ({axis.scale})" if axis.scale and axis.scale != "linear" else ""
    return f"{name}:{label}{scale}" if label or scale else name


def _series_words(series: Series) -> str:
    """Describes one series: its name, how many values it has, and the range of them."""
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
    """Says where the highest and the lowest value are, for series that are read point by point."""
    if any(map(columns.is_elsewhere, (series.x, series.y))):
        return " (numbers in a file in the sandbox)"
    if series.kind in _POINT_CLOUDS or count < 2:
        return ""
    values, places = series.values(value), series.values(at) or []
    known = [(v, n) for n, (v, _) in enumerate(zip(values, places, strict=False)) if isinstance(v, (int, float))]
    if not known:
        return ""
    return f" (highest at {short(places[max(known)[1]])}, lowest at {short(places[min(known)[1]])})"


def _other_words(series: Series) -> str:
    """Describes a series that has no numbers in x and y by one of its extra columns: medians, z values, rules."""
    if series.kind == "rule":
        return _rule_words(series)
    for key in ("median", "z", "value", "close", "end"):
        column = series.extra.get(key)
        numbers = columns.numbers_of(column) if isinstance(column, (list, dict)) else []
        if numbers:
            return f", n={series.n}, {key} from {short(min(numbers))} to {short(max(numbers))}"
    return f", n={series.n}"


def _rule_words(series: Series) -> str:
    """Describes a line across the panel by its value, or a band across it by its two ends."""
    value, start, end = (_first(series.extra.get(key)) for key in ("value", "start", "end"))
    axis = series.extra.get("axis", "")
    if start is not None and end is not None:
        return f" band from {axis}={short(start)} to {axis}={short(end)}"
    return f" line at {axis}={short(value)}"


def _first(value: object) -> object:
    """Returns the first item of a list, any other value as it is."""
    return next(iter(value), None) if isinstance(value, list) else value
