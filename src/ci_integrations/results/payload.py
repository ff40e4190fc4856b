"""Saves artifacts as files on this machine.

Sees artifacts through a Protocol, because `model.py` imports this module.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from ci_integrations._errors import ArtifactError

_ENDINGS = {
    "html": ".html", "markdown": ".md", "latex": ".tex", "svg": ".svg", "javascript": ".js", "json": ".json",
    "chart": ".chart.json", "table": ".table.json", "pdf": ".pdf",
}  # fmt: skip
_MAX_NAME = 200
"""Characters of a file name."""

S_contra = TypeVar("S_contra", contravariant=True)


class Readable(Protocol[S_contra]):
    """What is needed of an artifact to save it."""

    @property
    def id(self) -> str:
        """Unique within the result."""

    @property
    def kind(self) -> str:
        """What it is: `"image"`, `"table"` ..."""

    @property
    def name(self) -> str | None:
        """The file name that it was given."""

    def read(self, store: S_contra | None = None) -> bytes:
        """Returns its bytes. Raises `ArtifactError` when they cannot be had."""


def save_artifact(artifact: Readable[S_contra], path: Path, store: S_contra | None) -> Path:
    """Writes one artifact; see `ArtifactBase.save`."""
    if path.is_dir():
        path = path / file_name(artifact)
    path.write_bytes(artifact.read(store))
    return path


def save_artifacts(artifacts: Iterable[Readable[S_contra]], directory: Path, store: S_contra | None) -> list[Path]:
    """Writes all artifacts; see `ExecutionResult.save_all`.

    Two artifacts of one name get different files. One that fails stops no other: `ArtifactError` is raised at the end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    saved: list[Path] = []
    failed: list[str] = []
    for artifact in artifacts:
        path = directory / file_name(artifact)
        if path in saved:
            path = directory / f"{artifact.id}-{path.name}"
        try:
            saved.append(save_artifact(artifact, path, store))
        except ArtifactError as error:
            failed.append(str(error))
    if failed:
        raise ArtifactError(f"saved {len(saved)} artifacts, but not: {'; '.join(failed)}")
    return saved


def file_name(artifact: Readable[S_contra]) -> str:
    """Returns a plain name, never a path: it may come from hostile code."""
    given = artifact.name or (getattr(artifact, "path", None) if artifact.kind == "file" else None)
    if given:
        # Backslashes separate folders where the file is saved on Windows.
        name = PurePosixPath(str(given).replace("\\", "/")).name.replace("\0", "")
        if name not in ("", ".", ".."):
            return name[:_MAX_NAME]
    return f"{artifact.id}{_ending(artifact)}"


def _ending(artifact: Readable[S_contra]) -> str:
    if artifact.kind in ("image", "other"):
        return mimetypes.guess_extension(getattr(artifact, "mime", "")) or ".bin"
    return _ENDINGS.get(artifact.kind, ".bin")
