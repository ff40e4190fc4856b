"""Writes the rows of a table as Markdown for a model and as HTML for a notebook. Knows no artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from ci_integrations.results.clean import strip_ansi

MAX_ROWS = 20
"""Rows that are shown of a longer table."""
_MAX_CELL = 200
"""Characters of one cell."""

Rows = Sequence[Sequence[object]]


def markdown(names: Sequence[str], rows: Rows) -> str:
    """Returns the first rows as a Markdown table; a last line says how many more there are in the artifact."""
    lines = [_row(names), _row(["---"] * len(names)), *map(_row, rows[:MAX_ROWS])]
    if len(rows) > MAX_ROWS:
        lines.append(f"... {len(rows) - MAX_ROWS} more rows in the artifact")
    return "\n".join(lines)


def html(names: Sequence[str], rows: Rows, shape: tuple[int, int] | None) -> str:
    """Returns the first rows as an HTML table, every cell escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_html_cell(value)}</td>' for value in row)}</tr>" for row in rows[:MAX_ROWS])
    size = f"<p>{shape[0]:,} rows × {shape[1]} columns</p>" if shape else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{size}"


def _row(values: Sequence[object]) -> str:
    return f"| {' | '.join(map(_cell, values))} |"


def _cell(value: object) -> str:
    # A line break would end the row and a bar the cell.
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return " ".join(strip_ansi(text).replace("|", "\\|").split())[:_MAX_CELL]


def _html_cell(value: object) -> str:
    return "" if value is None else escape(str(value)[:_MAX_CELL])
