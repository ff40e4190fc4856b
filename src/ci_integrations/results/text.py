"""What the model reads of an `ExecutionResult`: one text within a budget, and a few pictures. Framework-free.

Both adapters show a model the same words. The rules: never base64, never empty, errors say "Error" in the text, what
was cut is said, lost state is said first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from ci_integrations.results.clean import IN_ARTIFACT, clean_output, cut, strip_ansi, without_base64
from ci_integrations.results.model import (
    Artifact,
    ChartArtifact,
    ExecutionError,
    FileArtifact,
    ImageArtifact,
    JsonArtifact,
    OtherArtifact,
    PdfArtifact,
    SandboxEvent,
    TableArtifact,
    TextArtifact,
)
from ci_integrations.results.result import ExecutionResult

MAX_CHARS = 20_000
LEAST_CHARS = 200
"""A smaller budget is taken for this one."""

_MIN_SHARE = 400
_MAX_ARTIFACT_LINES = 40
_FRAME = re.compile(r"^(?:Cell In|File |Input In)|(?<=\(most recent call last\))(?:Cell In|File )", re.MULTILINE)
_OWN_FRAME = re.compile(r"Cell In|Input In|File (?:/home/user|~)/")
_OBJECT_REPR = re.compile(r"<.*object.*>")


def render_text(result: ExecutionResult, *, max_chars: int = MAX_CHARS, whole: str = IN_ARTIFACT) -> str:
    """The run in words, at most `max_chars` characters (200 at least). `whole` says where the uncut text is."""
    budget = max(LEAST_CHARS, max_chars)
    parts = (
        (heading, without_base64(text))
        for heading, text in (*(("", line) for line in event_lines(result.events)), *_body(result))
    )
    sections = [part for part in parts if part[1]]
    if not sections:
        return "(no output)"
    text = "\n".join(_fit(sections, budget, whole))
    return cut(text, budget, whole)


def event_lines(events: Iterable[SandboxEvent]) -> list[str]:
    """What happened to the sandbox, as the model reads it."""
    return [f"[{' '.join(strip_ansi(event.message).split())}]" for event in events]


def _body(result: ExecutionResult) -> Iterator[tuple[str, str]]:
    """(heading, text) in reading order."""
    yield "", clean_output(result.stdout)
    yield "stderr:", clean_output(result.stderr)
    yield "", _main(result)
    yield "", _error(result.error)
    yield "", "\n".join(_artifact_lines(result))
    yield "", _notes(result)


def _fit(sections: list[tuple[str, str]], budget: int, whole: str) -> Iterator[str]:
    """Short sections whole; the long ones share what is left, none below `_MIN_SHARE` characters."""
    left = budget - sum(len(heading) + 2 for heading, _ in sections)
    waiting = sorted(range(len(sections)), key=lambda n: len(sections[n][1]))
    share = {}
    for done, n in enumerate(waiting):
        share[n] = min(len(sections[n][1]), max(_MIN_SHARE, left // (len(waiting) - done)))
        left -= share[n]
    for n, (heading, text) in enumerate(sections):
        yield (f"{heading}\n" if heading else "") + cut(text, share[n], whole)


def _main(result: ExecutionResult) -> str:
    """The value of the last expression. Prefixed, because some providers parse a bare number or JSON."""
    forms = [artifact for artifact in result.artifacts if artifact.main]
    for artifact in forms:
        if isinstance(artifact, TableArtifact):
            return f"Out:\n{table_text(artifact)}"
        if isinstance(artifact, TextArtifact) and artifact.kind in ("markdown", "latex"):
            return f"Out:\n{artifact.text}"
    if result.text is None or (forms and _OBJECT_REPR.fullmatch(result.text)):
        return ""
    return f"Out: {clean_output(result.text)}"


def table_text(table: TableArtifact, max_rows: int = 20) -> str:
    """The table as Markdown with its whole shape."""
    shape = f"shape {table.shape}" if table.shape else ""
    return f"{table.markdown or _markdown(table, max_rows)}\n{shape}".strip()


def _markdown(table: TableArtifact, max_rows: int) -> str:
    names = [_cell(column.name) for column in table.columns]
    lines = [_row(names), _row(["---"] * len(names))]
    lines += [_row([_cell(value) for value in row]) for row in table.rows[:max_rows]]
    if len(table.rows) > max_rows:
        lines.append(f"... {len(table.rows) - max_rows} more rows in the artifact")
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return " ".join(strip_ansi(text).replace("|", "\\|").split())[:200]


def _error(error: ExecutionError | None) -> str:
    if error is None:
        return ""
    headline = f"Error: {error.name}: {error.value}".rstrip(": ")
    trace = cut(user_frames(error.traceback).strip(), 4000)
    hint = _hint(error)
    return "\n".join(part for part in (cut(headline, 2000), trace, hint) if part)


def user_frames(trace: str) -> str:
    """An IPython traceback with the frames of libraries left out, when there are frames of the user's own."""
    starts = [match.start() for match in _FRAME.finditer(trace)]
    frames = [trace[start:end] for start, end in zip(starts, [*starts[1:], len(trace)], strict=False)]
    own = [frame for frame in frames if _OWN_FRAME.match(frame)]
    if not own or len(own) == len(frames):
        return trace
    last_line = trace.rstrip().rpartition("\n")[2]
    kept = "\n".join(frame.strip() for frame in own)
    told = f"[{len(frames) - len(own)} frames of libraries left out]"
    return f"{trace[: starts[0]]}{kept}\n{told}" + ("" if kept.endswith(last_line) else f"\n{last_line}")


def _hint(error: ExecutionError) -> str:
    if error.name == "ModuleNotFoundError":
        return "Hint: use a package that is there; %pip install NAME needs a sandbox with internet access."
    return ""


def _artifact_lines(result: ExecutionResult) -> Iterator[str]:
    """One line for each artifact; a chart speaks for its own picture."""
    pictured = {chart.image for chart in result.charts}
    tabled = {table.display for table in result.tables}
    told = [a for a in result.artifacts if a.id not in pictured and not _told_by_table(a, tabled)]
    for artifact in told[:_MAX_ARTIFACT_LINES]:
        line = artifact_line(artifact)
        if line:
            yield line
    if len(told) > _MAX_ARTIFACT_LINES:
        yield f"[and {len(told) - _MAX_ARTIFACT_LINES} more artifacts]"


def _told_by_table(artifact: Artifact, tabled: set[int]) -> bool:
    """A main table is shown whole, and the HTML of a table is the same once more."""
    if isinstance(artifact, TextArtifact) and artifact.kind == "html":
        return artifact.display in tabled
    return artifact.main and isinstance(artifact, TableArtifact)


def artifact_line(artifact: Artifact) -> str:
    """One line that names the artifact so that a text-only model can reason on it and cite it."""
    note = f" ({artifact.note})" if artifact.note else ""
    return f"[{_line(artifact)}{note}]" if _line(artifact) else ""


def _line(artifact: Artifact) -> str:
    match artifact:
        case ChartArtifact():
            picture = f", picture {artifact.image}" if artifact.image else ", no picture"
            return f"chart {artifact.id}: {_one_line(artifact.chart.describe(), 600)}{picture}"
        case ImageArtifact():
            return f"image {artifact.id}: {artifact.mime}{_pixels(artifact)}, {_bytes(artifact.size)}"
        case PdfArtifact():
            return f"pdf {artifact.id}: {_bytes(artifact.size)}"
        case TableArtifact():
            names = ", ".join(column.name for column in artifact.columns[:20])
            return f"table {artifact.id}: {artifact.shape or len(artifact.rows)} {_one_line(names, 300)}"
        case FileArtifact():
            return f"file: {_one_line(artifact.path, 300)} ({_bytes(artifact.size)})"
        case TextArtifact():
            return "" if artifact.main and artifact.kind != "html" else _text_line(artifact)
        case JsonArtifact():
            return "" if artifact.main else f"json {artifact.id}: {_one_line(json.dumps(artifact.data), 500)}"
        case OtherArtifact(mime="text/plain"):
            return _one_line(str(artifact.data), 2000)
        case OtherArtifact():
            return f"{_one_line(artifact.mime, 100)} {artifact.id}"


def _text_line(artifact: TextArtifact) -> str:
    if artifact.kind in ("markdown", "latex"):
        return f"{artifact.kind} {artifact.id}: {_one_line(artifact.text, 2000)}"
    return f"{artifact.kind} {artifact.id}: {len(artifact.text):,} characters, kept as artifact"


def _one_line(text: str, limit: int) -> str:
    return cut(" ".join(strip_ansi(text).split()), limit).replace("\n", " ")


def _pixels(image: ImageArtifact) -> str:
    return f" {image.width}x{image.height}" if image.width and image.height else ""


def _bytes(size: int | None) -> str:
    if size is None:
        return "size unknown"
    if size < 1024:
        return f"{size} bytes"
    return f"{size / 1024:.1f} KB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MB"


def _notes(result: ExecutionResult) -> str:
    cuts = result.truncated
    notes = [f"{name} was truncated: {count:,} characters are lost" for name, count in
             (("stdout", cuts.stdout), ("stderr", cuts.stderr)) if count]  # fmt: skip
    if cuts.results:
        notes.append(f"{cuts.results:,} results beyond the limit were dropped")
    return "\n".join(f"[{note}]" for note in notes)
