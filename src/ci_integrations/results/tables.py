"""Writes the rows of a table as Markdown for a model and as HTML for a notebook. Knows no artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from ci_integrations.results.clean import strip_ansi

MAX_ROWS = 20
"""Rows that are shown of a longer table."""
MAX_COLUMNS = 40
"""Columns that are shown of a wider table."""
_MAX_CHARS = 12_000
"""Characters of all rows together: of long rows fewer are shown."""
_LEAST_ROWS = 3
_MAX_CELL = 200
"""Characters of one cell."""
Rows = Sequence[Sequence[object]]


def markdown(names: Sequence[str], rows: Rows, total: int | None = None) -> str:
    """Returns the first rows as a Markdown table within a budget; a last line says what is not shown of it.

    Values are as they are; what is missing is empty. `total`: the rows of the whole table, where `rows` are its first.
    """
    shown = [_row(names[:MAX_COLUMNS]), _row(["---"] * len(names[:MAX_COLUMNS]))]
    room = _MAX_CHARS
    for number, row in enumerate(rows[:MAX_ROWS]):
        line = _row(row[:MAX_COLUMNS])
        room -= len(line)
        if room < 0 and number >= _LEAST_ROWS:
            break
        shown.append(line)
    more = _more(len(shown) - 2, max(len(rows), total or 0), len(names))
    return "\n".join([*shown, *more])


def _more(rows: int, of: int, columns: int) -> list[str]:
    said = [f"{rows} of {of} rows"] if rows < of else []
    if columns > MAX_COLUMNS:
        said.append(f"{MAX_COLUMNS} of {columns} columns")
    return ["", f"({', '.join(said)})"] if said else []


def html(names: Sequence[str], rows: Rows, shape: tuple[int, int] | None) -> str:
    """Returns the first rows as an HTML table, every cell escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_html_cell(value)}</td>' for value in row)}</tr>" for row in rows[:MAX_ROWS])
    size = f"<p>{shape[0]:,} rows × {shape[1]} columns</p>" if shape else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{size}"


def _row(values: Sequence[object]) -> str:
    return f"| {' | '.join(map(_cell, values))} |"


def _cell(value: object) -> str:
    said = "" if value is None else value if isinstance(value, str) else _plain(value)
    # A line break would end the row and a bar the cell.
    said = strip_ansi(said.replace("\r", "\\r").replace("\n", "\\n")).replace("|", "\\|")
    return said if len(said) <= _MAX_CELL else f"{said[: _MAX_CELL - 1]}…"


def _plain(value: object) -> str:
    return str(value) if isinstance(value, (bool, int, float)) else json.dumps(value, ensure_ascii=False)


def _html_cell(value: object) -> str:
    return "" if value is None else escape(str(value)[:_MAX_CELL])
