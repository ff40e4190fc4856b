"""Writes what the model reads of a result: one text within a budget. Framework-free.

Both adapters show a model the same words. The rules: never base64, never empty, errors say "Error" in the text, what
was cut is said, lost state is said first. A line of ours cannot be printed: see `clean.quoted`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ci_integrations._names import SERVER_MARK
from ci_integrations.results.clean import IN_ARTIFACT, clean_output, cut, one_line, quoted, strip_ansi, without_base64
from ci_integrations.results.model import Artifact, ExecutionError, SandboxEvent, TableArtifact, TextArtifact
from ci_integrations.results.record import ExecutionRecord

MAX_CHARS = 20_000
"""Characters of the text, unless the caller says otherwise."""
LEAST_CHARS = 200
"""A smaller budget is taken for this one."""

_MIN_SHARE = 400
"""Characters that every section gets at least."""
_MAX_ARTIFACT_LINES = 40
_MAX_HEADLINE, _MAX_TRACE = 2000, 4000
"""Characters of an error's first line and of its traceback."""
# IPython joins the heading of a traceback and its first frame without a line break; see `clean_traceback`.
_FRAME = re.compile(r"^(?:Cell In|File |Input In)|(?<=\(most recent call last\))(?:Cell In|File )", re.MULTILINE)
_OWN_FRAME = re.compile(r"Cell In|Input In|File (?:/home/user|~)/")
_OBJECT_REPR = re.compile(r"<.*object.*>")


def render_text(result: ExecutionRecord, *, max_chars: int = MAX_CHARS, whole: str = IN_ARTIFACT) -> str:
    """Returns the run in words, at most `max_chars` characters (200 at least). `whole` says where the uncut text is."""
    budget = max(LEAST_CHARS, max_chars)
    events = [("", line) for line in event_lines(result.events)]
    parts = [(heading, without_base64(text)) for heading, text in (*events, *_body(result)) if text]
    if not parts:
        return "(no output)"
    said = "\n".join(f"{heading}\n{text}" if heading else text for heading, text in parts)
    return said if len(said) <= budget else cut("\n".join(_fit(parts, budget, whole)), budget, whole)


def event_lines(events: Iterable[SandboxEvent]) -> list[str]:
    """Returns what happened to the sandbox, as the model reads it."""
    return [f"[{' '.join(strip_ansi(event.message).split())}]" for event in events]


def _body(result: ExecutionRecord) -> Iterator[tuple[str, str]]:
    """Yields (heading, text) in reading order."""
    yield "", quoted(clean_output(result.stdout))
    theirs, ours = _by_whom(result)
    yield "stderr:", quoted(clean_output(theirs))
    yield "", _main(result)
    yield "", _error(result.error)
    yield "", "\n".join(_artifact_lines(result))
    yield "", _notes(result, ours)


def _fit(sections: list[tuple[str, str]], budget: int, whole: str) -> Iterator[str]:
    """Yields short sections whole; the long ones share what is left, none below `_MIN_SHARE` characters."""
    left = budget - sum(len(heading) + 2 for heading, _ in sections)
    waiting = sorted(range(len(sections)), key=lambda n: len(sections[n][1]))
    share = {}
    for done, n in enumerate(waiting):
        share[n] = min(len(sections[n][1]), max(_MIN_SHARE, left // (len(waiting) - done)))
        left -= share[n]
    for n, (heading, text) in enumerate(sections):
        yield (f"{heading}\n" if heading else "") + cut(text, share[n], whole)


def _main(result: ExecutionRecord) -> str:
    # Prefixed, because some providers parse a bare number or JSON.
    forms = [artifact for artifact in result.artifacts if artifact.main]
    for artifact in forms:
        if isinstance(artifact, TableArtifact):
            return f"Out:\n{quoted(clean_output(artifact.text()))}"
        if isinstance(artifact, TextArtifact) and artifact.kind in ("markdown", "latex"):
            return f"Out:\n{quoted(clean_output(artifact.text))}"
    # `<Figure size ...>` says nothing beside the figure itself.
    if result.text is None or (forms and _OBJECT_REPR.fullmatch(result.text)):
        return ""
    first, *rest = clean_output(result.text).split("\n", 1)
    return "\n".join([f"Out: {first}", *(quoted(line) for line in rest)])


def _error(error: ExecutionError | None) -> str:
    if error is None:
        return ""
    first, *rest = (
        strip_ansi(f"{one_line(error.name, 200)}: {error.value}").replace("\r", "\n").rstrip(": ").split("\n", 1)
    )
    headline = "\n".join([f"Error: {first}", *(quoted(line) for line in rest)])
    trace = cut(user_frames(quoted(strip_ansi(error.traceback))).strip(), _MAX_TRACE)
    return "\n".join(part for part in (cut(headline, _MAX_HEADLINE), trace, _hint(error)) if part)


def user_frames(trace: str) -> str:
    """Returns an IPython traceback without the frames of libraries, when there are frames of the user's own."""
    starts = [match.start() for match in _FRAME.finditer(trace)]
    frames = [trace[start:end] for start, end in zip(starts, [*starts[1:], len(trace)], strict=False)]
    own = [frame for frame in frames if _OWN_FRAME.match(frame)]
    if not own or len(own) == len(frames):
        return trace
    # The last line says what the error is; it may belong to a library's frame.
    last_line = trace.rstrip().rpartition("\n")[2]
    kept = "\n".join(frame.strip() for frame in own)
    told = f"[{len(frames) - len(own)} frames of libraries left out]"
    return f"{trace[: starts[0]]}{kept}\n{told}" + ("" if kept.endswith(last_line) else f"\n{last_line}")


def _hint(error: ExecutionError) -> str:
    if error.name == "ModuleNotFoundError":
        return "Hint: use a package that is there; %pip install NAME needs a sandbox with internet access."
    return ""


def _artifact_lines(result: ExecutionRecord) -> Iterator[str]:
    """Yields one line for each artifact; a chart's line names its picture as well."""
    if not result.artifacts:
        return
    pictured = {chart.image for chart in result.charts}
    tabled = {table.display for table in result.tables}
    told = [a for a in result.artifacts if a.id not in pictured and not _is_in_table(a, tabled)]
    for artifact in told[:_MAX_ARTIFACT_LINES]:
        if line := artifact.line():
            yield line
    more = max(0, len(told) - _MAX_ARTIFACT_LINES) + result.truncated.files
    if more:
        kinds = {artifact.kind for artifact in told[_MAX_ARTIFACT_LINES:]}
        yield f"[and {more:,} more {'files' if kinds <= {'file'} else 'artifacts'}]"


def _is_in_table(artifact: Artifact, tabled: set[int]) -> bool:
    # A main table is shown whole, and the HTML of a table has the same content once more.
    if isinstance(artifact, TextArtifact) and artifact.kind == "html":
        return artifact.display in tabled
    return artifact.main and isinstance(artifact, TableArtifact)


def _by_whom(result: ExecutionRecord) -> tuple[str, list[str]]:
    """Returns what code wrote to stderr, and the lines that the local server added to say what it left out."""
    # A kernel of the kind "jupyter" has no such server between it and us: code could print the mark there.
    if SERVER_MARK not in result.stderr or result.backend != "local" or result.template_id == "jupyter":
        return result.stderr, []
    lines = result.stderr.split("\n")
    ours = [line for line in lines if line.startswith(SERVER_MARK)]
    return "\n".join(line for line in lines if not line.startswith(SERVER_MARK)), ours


def _notes(result: ExecutionRecord, ours: list[str]) -> str:
    cuts = result.truncated
    notes = [f"{name} was truncated: {count:,} characters are lost" for name, count in
             (("stdout", cuts.stdout), ("stderr", cuts.stderr)) if count]  # fmt: skip
    if cuts.results:
        notes.append(f"{cuts.results:,} results beyond the limit were dropped")
    if cuts.folders:
        folders = "1 folder was" if cuts.folders == 1 else f"{cuts.folders:,} folders were"
        notes.append(f"{folders} not searched for new files: too many, or too deep")
    return "\n".join(f"[{note}]" for note in [*(one_line(line, 200) for line in ours), *notes])
