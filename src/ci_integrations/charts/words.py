"""Charts and tables in words: the sentence a model reads, Markdown tables, and the long data frame.

Text out of the sandbox is escaped for Markdown and HTML. Whole numbers are shown in full, others with ten significant
digits in tables and six in sentences, large ones with ten there too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ci_integrations.charts import columns
from ci_integrations.charts.model import Axis, Chart, Panel, Series

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


def describe(chart: Chart) -> str:
    """One or two sentences for each panel."""
    how = {"saved": " (saved to a file)", "closed": " (closed without being shown)"}.get(chart.source.how, "")
    head = f"Figure “{short(chart.title)}”" if chart.title else "Figure"
    parts = [_panel_words(panel) for panel in chart.panels[:MAX_PANELS]]
    more = len(chart.panels) - len(parts)
    many = f" with {len(chart.panels)} panels" if len(chart.panels) > 1 else ""
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


def to_markdown(chart: Chart, max_rows: int = 20) -> str:
    """A heading and a table for each panel."""
    parts = [f"**{escape(chart.title)}**"] if chart.title else []
    for panel in chart.panels[:MAX_PANELS]:
        parts.append(f"**{escape(panel.title or panel.kind)}** ({escape(panel.kind)})")
        parts += [_series_table(series, panel, max_rows) for series in panel.series[:MAX_SERIES]]
    return "\n\n".join(part for part in parts if part)


def _series_table(series: Series, panel: Panel, max_rows: int) -> str:
    raw = {"x": series.x, "y": series.y} | {key: value for key, value in series.extra.items() if _is_column(value)}
    if any(columns.is_elsewhere(value) for value in raw.values()):
        return f"**{escape(series.name or series.kind)}**: {series.n} values in a file in the sandbox"
    held = {key: columns.decode(value) for key, value in raw.items()}
    held = {key: value for key, value in held.items() if isinstance(value, list) and not _nested(value)}
    if not held:
        scalars = ", ".join(
            f"{escape(key)} {escape(value)}" for key, value in series.extra.items() if not _is_column(value)
        )
        return f"**{escape(series.name or series.kind)}**: {scalars}" if scalars else ""
    size = max(len(value) for value in held.values())
    held = {key: value for key, value in held.items() if len(value) == size}
    rows = thin(held.get("y") or next(iter(held.values())), max_rows)
    names = [_heading(series.axis if series.axis and series.axis[0] == key else key, panel) for key in held]
    body = [[held[key][row] for key in held] for row in rows]
    table = table_markdown(names, body, size)
    return f"**{escape(series.name)}**\n\n{table}" if series.name else table


def _is_column(value: Any) -> bool:
    return isinstance(value, list) or columns.is_packed(value)


def _nested(value: list[Any]) -> bool:
    return any(isinstance(item, list) for item in value[:50])


def _heading(key: str, panel: Panel) -> str:
    axis = getattr(panel, key, None) if key[:1] in ("x", "y") else None
    return axis.label if isinstance(axis, Axis) and axis.label else key


def thin(values: Sequence[Any], most: int) -> list[int]:
    """Places of at most `most` values: even steps, each step's lowest and highest kept, first and last too."""
    n = len(values)
    if n <= most:
        return list(range(n))
    if most < 4:
        return list(range(max(0, most)))
    chosen = {0, n - 1}
    steps = max(1, (most - 2) // 2)
    for step in range(steps):
        places = range(step * n // steps, (step + 1) * n // steps)
        known = [p for p in places if isinstance(values[p], (int, float)) and not isinstance(values[p], bool)]
        if known:
            chosen |= {min(known, key=lambda p: values[p]), max(known, key=lambda p: values[p])}
        elif places:
            chosen.add(places[0])
    return sorted(chosen)[:most]


def table_markdown(names: Sequence[str], rows: Sequence[Sequence[Any]], total: int) -> str:
    """A Markdown table; a last line says how many rows there are in all when some are missing."""
    lines = ["| " + " | ".join(escape(name) for name in names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join("" if v is None else escape(v) for v in row) + " |" for row in rows]
    if len(rows) < total:
        lines.append(f"\n({len(rows)} of {total} rows)")
    return "\n".join(lines)


def to_dataframe(chart: Chart) -> Any:
    """Long form: one row per mark."""
    import pandas as pd

    return pd.DataFrame(list(_rows(chart)))


def _rows(chart: Chart) -> Iterator[dict[str, Any]]:
    for number, panel in enumerate(chart.panels):
        for place, series in enumerate(panel.series):
            head = {
                "panel": number,
                "panel_title": panel.title,
                "series": series.name or str(place),
                "kind": series.kind,
            }
            yield from ({**head, "axis": series.axis, **row} for row in _marks(series))


def _marks(series: Series) -> Iterator[dict[str, Any]]:
    """One dict per mark; a heat map has one per cell."""
    extra = {key: columns.decode(value) for key, value in series.extra.items()}
    x, y, z = series.values("x"), series.values("y"), extra.get("z")
    if isinstance(z, list) and z and isinstance(z[0], list):
        for i, row in enumerate(z):
            for j, value in enumerate(row):
                yield {"x": x[j] if x and j < len(x) else j, "y": y[i] if y and i < len(y) else i, "z": value}
        return
    size = max((len(v) for v in (x, y, *extra.values()) if isinstance(v, list)), default=1)
    lists = {key: v for key, v in {"x": x, "y": y, **extra}.items() if isinstance(v, list) and len(v) == size}
    scalars = {key: v for key, v in extra.items() if not isinstance(v, list)}
    for n in range(size):
        yield {**{key: v[n] for key, v in lists.items()}, **scalars}
