"""An `ExecutionResult` on a terminal: tables, charts, errors.

Everything in a result is hostile. It is shown as rich's `Text`, which reads no markup, cut, and without ANSI sequences.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, JustifyMethod, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ci_integrations.results.clean import clean_output, cut
from ci_integrations.results.model import ExecutionError, TableArtifact, TextArtifact
from ci_integrations.results.result import ExecutionResult

MAX_ROWS = 12
MAX_COLUMNS = 9
MAX_CHARS = 6000
"""Of one text, such as an error's traceback."""


def show_result(console: Console, result: ExecutionResult) -> None:
    """Prints what a run gave, except stdout and stderr: those were shown while they came."""
    for part in _parts(result):
        console.print(part)


def show_code(console: Console, code: str) -> None:
    """Prints Python code in a frame, in the terminal's own colours."""
    syntax = Syntax(code.strip(), "python", theme="ansi_dark", background_color="default", word_wrap=True)
    console.print(Panel(syntax, border_style="blue", padding=(0, 1)))


def _parts(result: ExecutionResult) -> Iterator[RenderableType]:
    for event in result.events:
        yield Text(f"note: {clean_output(event.message)}", style="yellow")
    yield from _artifacts(result)
    if result.text is not None and not result.tables:
        yield Text(cut(clean_output(result.text), MAX_CHARS))
    if result.error is not None:
        yield _error(result.error)


def _artifacts(result: ExecutionResult) -> Iterator[RenderableType]:
    """Yields tables, and one line for each of the others. A chart stands for its picture too."""
    tables = {artifact.display for artifact in result.tables}
    pictured = {chart.image for chart in result.charts}
    for artifact in result.artifacts:
        if isinstance(artifact, TableArtifact):
            yield _table(artifact)
        elif isinstance(artifact, TextArtifact) and artifact.display in tables:
            continue  # another form of that table
        elif artifact.id not in pictured and (line := artifact.line()):
            yield Text(line, style="cyan")


def _table(artifact: TableArtifact) -> RenderableType:
    """Returns the first rows and columns of a table. A caption says how large it is, when that is not all."""
    rows, width = artifact.shape or (len(artifact.rows), len(artifact.columns))
    more = len(artifact.columns) > MAX_COLUMNS or rows > MAX_ROWS
    caption = f"{rows} rows x {width} columns" if more else None
    table = Table(caption=caption, border_style="dim", caption_justify="left")
    for number, column in enumerate(artifact.columns[:MAX_COLUMNS]):
        style = "bold" if number < artifact.index else None
        table.add_column(Text(column.name), style=style, justify=_justify(column.dtype), overflow="ellipsis")
    # As `Text`, which rich does not read as markup: `[red]` in a cell stays what it is.
    for row in artifact.rows[:MAX_ROWS]:
        table.add_row(*(Text(_cell(value)) for value in row[:MAX_COLUMNS]))
    return table


def _justify(dtype: str) -> JustifyMethod:
    return "right" if dtype.lower().startswith(("int", "float", "uint")) else "left"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"  # as many digits as numpy and pandas show
    return cut(clean_output(str(value)), 200)


def _error(error: ExecutionError) -> RenderableType:
    body = cut(clean_output(_brief(error.traceback) or error.value), MAX_CHARS)
    return Panel(Text(body), title=Text(f"{error.name}: {error.value}"[:200]), title_align="left", border_style="red")


def _brief(traceback: str) -> str:
    """Returns the frames of the cell and the last line. The frames of libraries in between are in the artifact."""
    lines = traceback.strip().splitlines()
    # IPython begins the frame of the cell with "Cell In", and those of libraries with "File".
    inner = next((n for n, line in enumerate(lines) if line.startswith("File ")), len(lines) - 1)
    return "\n".join([*lines[:inner], *lines[-1:]])
