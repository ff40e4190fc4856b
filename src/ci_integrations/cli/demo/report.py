"""`report.html`: the demo as one self-contained page, in a light and a dark form.

Its content comes out of a sandbox and is hostile: everything is escaped, and the page's policy allows no script and no
address outside of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ci_integrations._version import __version__
from ci_integrations.results.clean import clean_output, cut
from ci_integrations.results.model import ChartArtifact, ExecutionError, ImageArtifact, TableArtifact
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    from ci_integrations.charts import Panel
    from ci_integrations.cli.demo.story import Story, Turn

MAX_ROWS = 20
MAX_POINTS = 12
"""Rows of a table and points of a series that the page shows; all of them are in the files."""
MAX_SERIES = 12
"""Of one panel."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(story: Story, path: Path) -> Path:
    """Writes the page and returns its path. Raises OSError."""
    path.write_text("\n".join(_page(story)), encoding="utf-8")
    return path


def _page(story: Story) -> Iterator[str]:
    title = f"What the agent found in {story.data}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # Escaping alone would do; the policy holds as well if one place forgets it.
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield f"<title>{escape(title)}</title><style>{_style()}</style></head><body><main>"
    yield f"<h1>{escape(title)}</h1>"
    yield from _facts(story)
    # The conclusion comes first: that is what a reader wants to know.
    for conclusion in (turn for turn in story.turns if turn.result is None):
        yield f'<section class="conclusion"><h2>Conclusion</h2>{escape(conclusion.text)}</section>'
    cells = ((turn, turn.result) for turn in story.turns if turn.result is not None)
    for number, (turn, result) in enumerate(cells, 1):
        yield from _turn(number, turn, result)
    yield from _footer(story)
    yield "</main></body></html>"


def _style() -> str:
    """Returns the page's own style sheet, and those of the code's colours for both forms."""
    sheet = (files("ci_integrations.cli") / "report.css").read_text(encoding="utf-8")
    light = HtmlFormatter(style="friendly").get_style_defs(".code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".code")
    own = ".code { background: var(--code) !important; color: inherit; }"
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{sheet}\n{own}"


def _facts(story: Story) -> Iterator[str]:
    """Yields where, by whom and how long."""
    where = {"local": "a local sandbox", "e2b": "E2B"}.get(story.backend or "", "a sandbox")
    model = "a script in the model's place" if story.model == "scripted" else story.model
    yield '<ul class="facts">'
    yield f"<li>run in <b>{where}</b></li><li>written by <b>{escape(model)}</b></li>"
    yield f"<li><b>{len(story.results)}</b> cells, <b>{story.errors}</b> of them failed</li>"
    yield f"<li><b>{story.seconds:.1f}</b> seconds</li></ul>"


def _turn(number: int, turn: Turn, result: ExecutionResult) -> Iterator[str]:
    """Yields one cell: what the agent said, its code, what it printed, its artifacts and its error."""
    yield f'<section class="turn{"" if result.ok else " failed"}"><h2><span>{number}</span>{escape(turn.text)}</h2>'
    code = highlight(result.code.strip(), PythonLexer(), HtmlFormatter(nowrap=True))
    yield f'<details open><summary>code</summary><pre class="code">{code}</pre></details>'
    for event in result.events:
        yield f'<p class="note">{escape(event.message)}</p>'
    if output := clean_output(result.stdout + result.stderr):
        yield f'<pre class="output">{escape(cut(output, 4000))}</pre>'
    yield from _artifacts(result)
    if result.error is not None:
        yield from _error(result.error)
    yield "</section>"


def _artifacts(result: ExecutionResult) -> Iterator[str]:
    """Yields charts with their pictures, pictures without a chart, tables, and a text where there is none of these."""
    images = {image.id: image for image in result.images}
    pictured = {chart.image for chart in result.charts}
    for artifact in result.artifacts:
        match artifact:
            case ChartArtifact():
                yield from _figure(images.get(artifact.image or ""), artifact)
            case ImageArtifact() if artifact.id not in pictured:
                yield from _figure(artifact, None)
            case TableArtifact():
                yield from _table(artifact)
    if result.text is not None and not result.tables and not result.images:
        yield f'<pre class="output">{escape(cut(clean_output(result.text), 4000))}</pre>'


def _figure(image: ImageArtifact | None, chart: ChartArtifact | None) -> Iterator[str]:
    # The picture is part of the page, so that it can be sent to somebody as one file.
    told = chart.chart.describe() if chart else "picture"
    yield "<figure>"
    if image is not None and image.data is not None:
        yield f'<img src="data:{escape(image.mime)};base64,{escape(image.data)}" alt="{escape(told)}">'
    if chart is not None:
        yield f"<figcaption>{escape(told)}</figcaption>"
        yield "<details><summary>the numbers behind it</summary>"
        yield from _numbers(chart)
        yield "</details>"
    yield "</figure>"


def _numbers(artifact: ChartArtifact) -> Iterator[str]:
    """Yields the first points of each series, as they are in the chart's JSON."""
    if artifact.chart.files:
        yield '<p class="note">they were left in the sandbox, which no longer has them</p>'
        return
    for panel in artifact.chart.panels:
        yield from _points(panel)


def _points(panel: Panel) -> Iterator[str]:
    """Yields a small table for each series of a panel, under the labels of its axes."""
    names = [(axis.label if axis else None) or name for axis, name in ((panel.x, "x"), (panel.y, "y"))]
    for series in panel.series[:MAX_SERIES]:
        xs, ys = series.values("x") or [], series.values("y") or []
        more = f": the first {MAX_POINTS} of {len(ys)} points" if len(ys) > MAX_POINTS else ""
        yield f'<p class="note">{escape(series.name or series.kind)}{more}</p>'
        yield from _grid(names, list(zip(xs[:MAX_POINTS], ys[:MAX_POINTS], strict=False)), 0)


def _table(table: TableArtifact) -> Iterator[str]:
    yield from _grid([column.name for column in table.columns], table.rows[:MAX_ROWS], table.index)
    rows, columns = table.shape or (len(table.rows), len(table.columns))
    if rows > min(len(table.rows), MAX_ROWS):
        yield f'<p class="note">the first {min(len(table.rows), MAX_ROWS)} of {rows} rows, {columns} columns</p>'


def _grid(names: list[str], rows: Sequence[Sequence[object]], headings: int) -> Iterator[str]:
    """Yields a table whose first `headings` columns are headings. Columns of numbers stand to the right."""
    columns = [[row[n] for row in rows] for n in range(len(names))]
    classes = [' class="number"' if all(map(_is_number, values)) else "" for values in columns]
    tags = ["th" if n < headings else "td" for n in range(len(names))]
    decimals = list(map(_decimals, columns))
    head = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(classes, names, strict=True))
    yield f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>'
    for row in rows:
        cells = zip(tags, classes, map(_cell, row, decimals), strict=False)
        yield f"<tr>{''.join(f'<{tag}{kind}>{escape(text)}</{tag}>' for tag, kind, text in cells)}</tr>"
    yield "</tbody></table></div>"


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, (int, float))


def _decimals(values: list[object]) -> int:
    """Returns as many decimals as the most exact value shows in six digits, so that the points of a column line up."""
    digits = [f"{value:.6g}".partition(".")[2] for value in values if isinstance(value, float)]
    return max((len(text) for text in digits if "e" not in text), default=0)


def _cell(value: object, decimals: int) -> str:
    # From a billion on in powers of ten: that many digits say nothing.
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{decimals}f}" if abs(value) < 1e9 else f"{value:.6g}"
    return cut(clean_output(str(value)), 120)


def _error(error: ExecutionError) -> Iterator[str]:
    # Colours of IPython's traceback are removed: they are escape sequences for a terminal.
    headline = clean_output(f"{error.name}: {error.value}")
    yield f'<div class="error"><strong>{escape(cut(headline, 500))}</strong>'
    if error.traceback:
        trace = escape(cut(clean_output(error.traceback), 4000))
        yield f"<details><summary>traceback</summary><pre>{trace}</pre></details>"
    yield "</div>"


def _footer(story: Story) -> Iterator[str]:
    """Yields links to the saved files, which are quoted: the sandbox chose their names."""
    yield "<footer><p>The files beside this page:</p><ul>"
    for path in story.saved:
        yield f'<li><a href="{quote(path.name)}">{escape(path.name)}</a></li>'
    yield f"</ul><p>Made by <code>ci-integrations demo</code> {__version__}.</p></footer>"
