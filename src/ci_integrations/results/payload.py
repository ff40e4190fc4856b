"""Saves artifacts as files on this machine.

Sees artifacts through a Protocol, because `model.py` imports this module.
"""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from ci_integrations._errors import ArtifactError
from ci_integrations.results.clean import strip_ansi

_ENDINGS = {
    "html": ".html", "markdown": ".md", "latex": ".tex", "svg": ".svg", "javascript": ".js", "json": ".json",
    "chart": ".chart.json", "table": ".table.json", "pdf": ".pdf",
}  # fmt: skip
_MAX_NAME = 200
"""Bytes of a file name: file systems take 255, and a number may come before it."""
_MOST_NAMES = 1000
"""Numbers that are tried before a name."""

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
    data = artifact.read(store)
    if path.is_dir():
        return _write_new(path, artifact, data, overwrite=False)
    path.write_bytes(data)
    return path


def save_artifacts(
    artifacts: Iterable[Readable[S_contra]], directory: Path, store: S_contra | None, *, overwrite: bool = False
) -> list[Path]:
    """Writes all artifacts; see `ExecutionResult.save_all`.

    Two artifacts of one name get different files. One that fails stops no other: `ArtifactError` is raised at the end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    saved: list[Path] = []
    failed: list[str] = []
    for artifact in artifacts:
        again = overwrite and directory / file_name(artifact) not in saved
        try:
            saved.append(_write_new(directory, artifact, artifact.read(store), overwrite=again))
        except ArtifactError as error:
            failed.append(str(error))
        except OSError as error:
            failed.append(f"{artifact.id}: {error.strerror}")
    if failed:
        raise ArtifactError(f"saved {len(saved)} artifacts, but not: {'; '.join(failed)}")
    return saved


def _write_new(directory: Path, artifact: Readable[S_contra], data: bytes, *, overwrite: bool) -> Path:
    """Writes a file that was not there, or in the place of one. No link is followed: hostile code chose the name."""
    name = file_name(artifact)
    if overwrite:
        (directory / name).unlink(missing_ok=True)
    for candidate in _candidates(artifact.id, name):
        path = directory / candidate
        with contextlib.suppress(FileExistsError), path.open("xb") as file:  # x: O_EXCL, which follows no link
            file.write(data)
            return path
    raise ArtifactError(f"{artifact.id}: {directory} has {_MOST_NAMES} files of that name already")


def _candidates(id_: str, name: str) -> Iterator[str]:
    yield name
    for number in range(_MOST_NAMES):
        yield f"{id_}-{number}-{name}" if number else f"{id_}-{name}"


def file_name(artifact: Readable[S_contra]) -> str:
    """Returns a plain name, never a path: it may come from hostile code."""
    given = artifact.name or (getattr(artifact, "path", None) if artifact.kind == "file" else None)
    if given:
        # Backslashes separate folders where the file is saved on Windows.
        name = PurePosixPath(str(given).replace("\\", "/")).name
        # A file with a dot before its name is hidden, and often one that programs obey.
        name = " ".join(strip_ansi(name).split()).lstrip(". ")
        if name:
            return _shortened(name)
    return f"{artifact.id}{_ending(artifact)}"


def _shortened(name: str) -> str:
    """The name within `_MAX_NAME` bytes, with its ending."""
    raw = name.encode("utf-8", "replace")
    if len(raw) <= _MAX_NAME:
        return raw.decode()
    ending = PurePosixPath(name).suffix.encode("utf-8", "replace")[:20]
    return (raw[: _MAX_NAME - len(ending)].decode("utf-8", "ignore").encode() + ending).decode("utf-8", "ignore")


def _ending(artifact: Readable[S_contra]) -> str:
    if artifact.kind in ("image", "other"):
        return mimetypes.guess_extension(getattr(artifact, "mime", "")) or ".bin"
    return _ENDINGS.get(artifact.kind, ".bin")
