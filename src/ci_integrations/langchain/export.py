"""Takes out of a conversation what it produced: artifacts, files on this machine, a notebook that runs again."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from ci_integrations._adapters.attachments import Attachment
from ci_integrations._adapters.harvest import artifacts_from, results_from, save_artifacts
from ci_integrations.langchain._attachments import attachments
from ci_integrations.results.model import (
    Artifact,
    ExecutionError,
    ImageArtifact,
    JsonArtifact,
    OtherArtifact,
    PdfArtifact,
    TableArtifact,
    TextArtifact,
)
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import render_text

__all__ = ["artifacts_from", "results_from", "save_artifacts", "to_notebook"]

Json = dict[str, object]

MAX_EMBEDDED = 1024 * 1024
"""Bytes of a user's file that a notebook carries."""
_TEXT_MIMES = {
    "html": "text/html",
    "markdown": "text/markdown",
    "latex": "text/latex",
    "svg": "image/svg+xml",
    "javascript": "application/javascript",
}


def to_notebook(source: object, path: str | Path | None = None, *, title: str | None = None) -> dict[str, Any]:
    """Returns the conversation as a Jupyter notebook (nbformat 4.5) that runs again.

    Words become Markdown, code goes with its outputs, attached files are written by a cell. A cell that raised is
    tagged `raises-exception`, so that a run goes on after it; one that was stopped, or is in a language other than
    Python and bash, is shown and not run.

    `source` is a state or its messages. With `path` the notebook is also written there.
    """
    cells = [_markdown(f"# {title}")] if title else []
    for message in _messages(source):
        cells.extend(_cells(message))
    notebook = {
        "cells": [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    if path is not None:
        Path(path).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return notebook


def _messages(source: object) -> list[object]:
    """Returns the messages of a state, a StateSnapshot, a list of messages, or one message."""
    if isinstance(source, BaseMessage):
        return [source]
    source = getattr(source, "values", source) if not isinstance(source, Mapping) else source
    if isinstance(source, Mapping):
        source = source.get("messages", [])
    return list(source) if isinstance(source, Iterable) else []


def _cells(message: object) -> Iterator[Json]:
    if isinstance(message, HumanMessage):
        quoted = "\n".join(f"> {line}" for line in message.text.splitlines())
        yield _markdown(f"**User**\n\n{quoted}")
        yield from map(_attached, attachments([message]))
    elif isinstance(message, AIMessage) and message.text.strip():
        yield _markdown(message.text)
    elif isinstance(message, ToolMessage):
        yield from (cell for result in results_from(message) for cell in _ran(result))


def _ran(result: ExecutionResult) -> Iterator[Json]:
    """Yields a cell that runs again; words where it would not: stopped, or in a language that Jupyter has not."""
    if result.language == "tool":  # such as `list_files`: there is no code that a notebook could run
        return
    if result.incomplete or result.language not in ("python", "bash"):
        yield _markdown(f"{_fenced(result.code, result.language)}\n\n{_fenced(render_text(result))}")
        return
    source = result.code if result.language == "python" else f"%%bash\n{result.code}"
    yield {
        "cell_type": "code",
        "execution_count": result.execution_count,
        # nbconvert, nbclient and Jupyter go on after a cell with this tag.
        "metadata": {"tags": ["raises-exception"]} if result.error else {},
        "outputs": list(_outputs(result)),
        "source": source,
    }


def _attached(file: Attachment) -> Json:
    """Returns a cell that writes the user's file to where the code looks for it."""
    name = file.path.rpartition("/")[2]
    if len(file.data) > MAX_EMBEDDED:
        return _markdown(f"(Put the file `{name}` beside this notebook: it is too large to be in it.)")
    encoded = base64.b64encode(file.data).decode()
    return _code(f'import base64, pathlib\n\npathlib.Path({name!r}).write_bytes(base64.b64decode("{encoded}"));')


def _fenced(text: str, language: str = "") -> str:
    # Longer than any row of backticks inside, as CommonMark asks for.
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall(r"`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _markdown(text: str) -> Json:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(source: str) -> Json:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}


def _outputs(result: ExecutionResult) -> Iterator[Json]:
    for name, said in (("stdout", result.stdout), ("stderr", result.stderr)):
        if said:
            yield {"output_type": "stream", "name": name, "text": said}
    # One object may have several artifacts, such as a table as rows and as HTML: they are one output in a notebook.
    displays = {a.display: a.main for a in result.artifacts}
    for display, main in displays.items():
        data = _bundle(result, display, main=main)
        if data:
            yield _displayed(data, result.execution_count if main else None, main=main)
    if result.text is not None and not any(displays.values()):
        yield _displayed({"text/plain": result.text}, result.execution_count, main=True)
    if result.error is not None:
        yield _raised(result.error)


def _raised(error: ExecutionError) -> Json:
    trace = error.traceback.splitlines() or [f"{error.name}: {error.value}"]
    return {"output_type": "error", "ename": error.name, "evalue": error.value, "traceback": trace}


def _displayed(data: Json, count: int | None, *, main: bool) -> Json:
    if main:
        return {"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def _bundle(result: ExecutionResult, display: int, *, main: bool) -> Json:
    """Returns one displayed object in all its forms, by MIME type."""
    forms = [a for a in result.artifacts if a.display == display]
    data = dict(pair for a in forms for pair in _form(a))
    # Jupyter expects `text/plain` in every bundle: it is what a viewer shows that knows no other form.
    alt = result.text if main else next((a.alt for a in forms if a.alt), None)
    return {**data, "text/plain": alt} if alt and "text/plain" not in data and forms else data


def _form(artifact: Artifact) -> Iterator[tuple[str, object]]:
    match artifact:
        case ImageArtifact() | PdfArtifact() if artifact.data:
            yield artifact.mime, artifact.data
        case TextArtifact():
            yield _TEXT_MIMES[artifact.kind], artifact.text
        case TableArtifact() if artifact.markdown:
            yield "text/markdown", artifact.markdown
        case JsonArtifact():
            yield "application/json", artifact.data
        case OtherArtifact():
            yield artifact.mime, artifact.data
