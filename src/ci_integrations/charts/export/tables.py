"""Writes a figure's numbers as tables: Markdown for a model, a pandas DataFrame for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ci_integrations.charts import columns
from ci_integrations.charts.columns import thin
from ci_integrations.charts.export.vega_lite_channels import Values
from ci_integrations.charts.export.words import MAX_PANELS, MAX_SERIES, escape
from ci_integrations.charts.model import Axis, Figure, Panel, Series

if TYPE_CHECKING:
    from pandas import DataFrame

_Columns: TypeAlias = dict[str, Values]
"""Decoded columns by their names: x, y and those in `extra`."""
_Row: TypeAlias = dict[str, object]


def to_markdown(figure: Figure, max_rows: int = 20) -> str:
    """Returns a heading and a table for each panel, with at most `max_rows` rows for each series."""
    parts = [f"**{escape(figure.title)}**"] if figure.title else []
    for panel in figure.panels[:MAX_PANELS]:
        parts.append(f"**{escape(panel.title or panel.kind)}** ({escape(panel.kind)})")
        parts += [_series_table(series, panel, max_rows) for series in panel.series[:MAX_SERIES]]
    return "\n\n".join(part for part in parts if part)


def _series_table(series: Series, panel: Panel, max_rows: int) -> str:
    """Returns one series as a table, or as one line when it has no columns or they are in files."""
    raw = _columns_of(series)
    if any(map(columns.is_elsewhere, raw.values())):
        return f"**{escape(series.name or series.kind)}**: {series.n} values in a file in the sandbox"
    held = _of_one_length({key: columns.decode(value) for key, value in raw.items()})
    if not held:
        return _scalars(series)
    first = next(iter(held.values()))
    # Thinned by y, so that the extremes that the description names are in the table.
    body = [[column[row] for column in held.values()] for row in thin(held.get("y") or first, max_rows)]
    table = table_markdown([_heading(key, series, panel) for key in held], body, len(first))
    return f"**{escape(series.name)}**\n\n{table}" if series.name else table


def _columns_of(series: Series) -> dict[str, object]:
    return {"x": series.x, "y": series.y} | {key: value for key, value in series.extra.items() if _is_column(value)}


def _of_one_length(decoded: dict[str, object]) -> _Columns:
    """Returns the columns that can stand in one table: flat lists, as long as the longest of them."""
    return _longest({key: value for key, value in decoded.items() if isinstance(value, list) and not _nested(value)})


def _longest(lists: _Columns) -> _Columns:
    """Returns the columns that are as long as the longest of them."""
    size = max(map(len, lists.values()), default=0)
    return {key: value for key, value in lists.items() if len(value) == size}


def _scalars(series: Series) -> str:
    """Returns a series without columns, such as a gauge, as one line; empty when it holds nothing."""
    known = ((key, value) for key, value in series.extra.items() if not _is_column(value))
    words = ", ".join(f"{escape(key)} {escape(value)}" for key, value in known)
    return f"**{escape(series.name or series.kind)}**: {words}" if words else ""


def _is_column(value: object) -> bool:
    return isinstance(value, list) or columns.is_packed(value)


def _nested(value: Values) -> bool:
    """Says whether a column holds lists; fifty values are looked at, so that a long column costs nothing."""
    return any(isinstance(item, list) for item in value[:50])


def _heading(key: str, series: Series, panel: Panel) -> str:
    """Returns the label of the axis that a column belongs to, or the column's own name."""
    if series.axis and series.axis[0] == key:
        key = series.axis
    axis = getattr(panel, key, None) if key[:1] in ("x", "y") else None
    return axis.label if isinstance(axis, Axis) and axis.label else key


def table_markdown(names: Sequence[str], rows: Sequence[Sequence[object]], total: int) -> str:
    """Returns a Markdown table; a last line says how many rows there are in all when some are missing."""
    lines = ["| " + " | ".join(escape(name) for name in names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join("" if v is None else escape(v) for v in row) + " |" for row in rows]
    if len(rows) < total:
        lines.append(f"\n({len(rows)} of {total} rows)")
    return "\n".join(lines)


def to_dataframe(figure: Figure) -> DataFrame:
    """Returns a pandas DataFrame in long form, one row for each mark.

    Raises `ImportError` without pandas, and `ArtifactError` when a column is in a file in the sandbox.
    """
    import pandas as pd

    return pd.DataFrame(list(_rows(figure)))


def _rows(figure: Figure) -> Iterator[_Row]:
    """Yields every mark of the figure with the panel and the series that it belongs to."""
    for number, panel in enumerate(figure.panels):
        for place, series in enumerate(panel.series):
            named = {"panel": number, "panel_title": panel.title, "series": series.name or str(place)}
            head = named | {"kind": series.kind, "axis": series.axis}
            yield from (head | row for row in _marks(series))


def _marks(series: Series) -> Iterator[_Row]:
    """Yields one dict for each mark of a series; a heat map has one for each cell."""
    extra = {key: columns.decode(value) for key, value in series.extra.items()}
    x, y, z = series.values("x"), series.values("y"), extra.get("z")
    if isinstance(z, list) and _nested(z[:1]):
        yield from _cells(x or (), y or (), z)
        return
    yield from _along({"x": x, "y": y, **extra})


def _along(values: dict[str, object]) -> Iterator[_Row]:
    """Yields one dict for each mark, with what all marks share."""
    lists = {key: value for key, value in values.items() if isinstance(value, list)}
    scalars = {key: value for key, value in values.items() if key not in lists and key not in ("x", "y")}
    whole = _longest(lists)
    rows = zip(*whole.values(), strict=True) if whole else [()]
    yield from (dict(zip(whole, row, strict=True)) | scalars for row in rows)


def _cells(x: Sequence[object], y: Sequence[object], z: Sequence[Sequence[object]]) -> Iterator[_Row]:
    """Yields the cells of a grid; a row or column without a place has its number for one."""
    for i, row in enumerate(z):
        for j, value in enumerate(row):
            yield {"x": x[j] if j < len(x) else j, "y": y[i] if i < len(y) else i, "z": value}
