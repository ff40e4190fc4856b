"""Saves artifacts into a directory, under names that people like and that no sandbox can turn into paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ci_integrations._errors import ArtifactError
from ci_integrations.errors import SandboxError
from ci_integrations.results.model import Artifact, ChartArtifact, FileArtifact, ImageArtifact, TableArtifact
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    from ci_integrations.interpreter import CodeInterpreter

MAX_FILE = 64 * 1024 * 1024
"""Bytes of one file that the code wrote; larger ones stay in the sandbox."""


def with_numbers(interpreter: CodeInterpreter, result: ExecutionResult) -> ExecutionResult:
    """Returns `result` with those columns, too long to be sent, that the sandbox still has. Call it before closing."""
    artifacts = tuple(_with_numbers(interpreter, artifact) for artifact in result.artifacts)
    return result.model_copy(update={"artifacts": artifacts})


def _with_numbers(interpreter: CodeInterpreter, artifact: Artifact) -> Artifact:
    if not isinstance(artifact, ChartArtifact) or not artifact.chart.files:
        return artifact
    from e2b import SandboxException

    try:  # a column of more than a few thousand values stays in the sandbox as a file, and is fetched here
        return artifact.model_copy(update={"chart": artifact.chart.load(interpreter.download)})
    except (ArtifactError, SandboxError, SandboxException):
        return artifact  # changed or gone; its JSON says where they were


def save_result(
    interpreter: CodeInterpreter, result: ExecutionResult, directory: Path, prefix: str = "", *, tables: bool = True
) -> list[Path]:
    """Saves pictures, charts and tables as JSON, and the files that the code wrote. Returns the paths, in order.

    Each name begins with `prefix`, except those of files, which keep the names that the code gave them. Raises OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    saved = []
    for artifact, name in _named(result, prefix):
        data = None if isinstance(artifact, TableArtifact) and not tables else _bytes(interpreter, artifact)
        if data is not None:
            path = directory / name
            path.write_bytes(data)
            saved.append(path)
    return saved


def _named(result: ExecutionResult, prefix: str) -> Iterator[tuple[Artifact, str]]:
    """Yields the artifacts that are saved, with their file names. A chart and its picture share a name."""
    titles = {chart.image: _slug(_title(chart)) or f"chart-{n}" for n, chart in enumerate(result.charts, 1)}
    for number, artifact in enumerate(result.artifacts, 1):
        match artifact:
            case ImageArtifact():
                yield artifact, f"{prefix}{titles.get(artifact.id) or f'image-{number}'}.{_ending(artifact.mime)}"
            case ChartArtifact():
                yield artifact, f"{prefix}{titles[artifact.image]}.json"
            case TableArtifact():
                yield artifact, f"{prefix}table-{number}.json"
            case FileArtifact():
                yield artifact, _file_name(artifact.path)


def _ending(mime: str) -> str:
    """Returns what a MIME type is called in a file name: `image/svg+xml` is `svg`."""
    return _slug(mime.partition("/")[2].partition("+")[0]) or "bin"


def _title(artifact: ChartArtifact) -> str | None:
    """Returns the figure's title, or the first title of a panel."""
    titles = [artifact.chart.title, *(panel.title for panel in artifact.chart.panels)]
    return next(filter(None, titles), None)


def _bytes(interpreter: CodeInterpreter, artifact: Artifact) -> bytes | None:
    """Returns the content of an artifact, None for one that has none or is too large."""
    if not isinstance(artifact, FileArtifact):
        return artifact.read()
    if (artifact.size or 0) > MAX_FILE:
        return None
    return interpreter.download(artifact.path)


def _slug(text: str | None) -> str:
    return re.sub(r"[^a-z0-9]+", "-", (text or "").lower()).strip("-")[:60]


def _file_name(path: str) -> str:
    # No leading dot: a sandbox must not write `.env` or `.bashrc` beside the user's own files.
    name = re.sub(r"[^\w.\- ]+", "_", path.rsplit("/", 1)[-1]).lstrip(".")[:100]
    return name or "file"
