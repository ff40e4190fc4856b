"""Writes a figure's numbers as tables: Markdown and DataFrames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ci_integrations.charts import columns
from ci_integrations.charts.columns import thin
from ci_integrations.charts.export.words import MAX_PANELS, MAX_SERIES, escape
from ci_integrations.charts.model import Axis, Figure, Panel, Series


def to_markdown(figure: Figure, max_rows: int = 20) -> str:
    """A heading and a table for each panel."""
    parts = [f"**{escape(figure.title)}**"] if figure.title else []
    for panel in figure.panels[:MAX_PANELS]:
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


def table_markdown(names: Sequence[str], rows: Sequence[Sequence[Any]], total: int) -> str:
    """A Markdown table; a last line says how many rows there are in all when some are missing."""
    lines = ["| " + " | ".join(escape(name) for name in names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join("" if v is None else escape(v) for v in row) + " |" for row in rows]
    if len(rows) < total:
        lines.append(f"\n({len(rows)} of {total} rows)")
    return "\n".join(lines)


def to_dataframe(figure: Figure) -> Any:
    """Long form: one row per mark."""
    import pandas as pd

    return pd.DataFrame(list(_rows(figure)))


def _rows(figure: Figure) -> Iterator[dict[str, Any]]:
    for number, panel in enumerate(figure.panels):
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
