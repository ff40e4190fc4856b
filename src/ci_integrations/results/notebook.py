"""How results and artifacts show themselves in a notebook. Used by `results` only.

What came out of a sandbox is not trusted here either: HTML and JavaScript of the code are named, never rendered; table
cells are escaped.
"""

from __future__ import annotations

from html import escape
from typing import Any

from ci_integrations.results.model import Artifact, ChartArtifact, ImageArtifact, TableArtifact
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import artifact_line, render_text, table_text

_MAX_ROWS = 20


def mimebundle(artifact: Artifact) -> dict[str, Any]:
    """The forms of one artifact, richest first for the front end to choose from."""
    plain = {"text/plain": artifact_line(artifact) or artifact.kind}
    match artifact:
        case ImageArtifact() if artifact.data:
            return {**plain, artifact.mime: artifact.data}
        case ChartArtifact():
            return {**artifact.chart._repr_mimebundle_(), **plain}
        case TableArtifact():
            return {"text/plain": table_text(artifact), "text/html": table_html(artifact)}
    return plain


def table_html(table: TableArtifact) -> str:
    """The first rows as an HTML table, every cell escaped."""
    head = "".join(f"<th>{escape(column.name)}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in table.rows[:_MAX_ROWS])
    shape = f"<p>{table.shape[0]:,} rows × {table.shape[1]} columns</p>" if table.shape else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{shape}"


def _cell(value: Any) -> str:
    return "" if value is None else escape(str(value)[:200])


def show(result: ExecutionResult) -> None:
    """As a notebook cell would look: the text, then the pictures and tables."""
    from IPython.display import display

    print(render_text(result))  # noqa: T201 - a notebook's own output
    for artifact in result.artifacts:
        if isinstance(artifact, (ImageArtifact, TableArtifact)):
            display(mimebundle(artifact), raw=True)  # type: ignore[no-untyped-call]
