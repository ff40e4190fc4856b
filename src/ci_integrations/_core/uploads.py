"""Describes the files that a session sends into its sandbox, and keeps what is needed to send them again."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ci_integrations._errors import ConfigurationError
from ci_integrations._names import HOME

KEPT_BYTES = 64 * 1024 * 1024
"""How much of uploads that were given as bytes a session keeps, to be able to upload them again."""


@dataclass
class Upload:
    """Describes a file that was put into the sandbox, and where it came from."""

    path: str
    sha256: str
    size: int
    source: Path | None = None
    data: bytes | None = field(default=None, repr=False)


def uploads_from(files: object) -> Iterator[Upload]:
    """Yields what the `files=` option names: `{path in the sandbox: local path or bytes}`, or local paths."""
    if files is None:
        return
    if isinstance(files, Mapping):
        for remote, source in files.items():
            yield upload_from(source, remote)
    elif isinstance(files, Sequence) and not isinstance(files, str):
        for source in files:
            yield upload_from(source, posixpath.join(HOME, Path(source).name))
    else:
        raise ConfigurationError("files= is a mapping {path in the sandbox: local path or bytes} or a list of paths")


def upload_from(source: object, remote: str) -> Upload:
    """Returns one file to be uploaded, with its content's hash. Relative paths are below the home directory.

    Raises ConfigurationError for what is neither bytes nor a file that exists.
    """
    remote = posixpath.join(HOME, remote)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return Upload(remote, hashlib.sha256(data).hexdigest(), len(data), data=data)
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigurationError(f"a file to upload is a local path or bytes, not {type(source).__name__}")
    path = Path(source)
    if not path.is_file():
        raise ConfigurationError(f"there is no file {str(source)!r} to upload")
    return Upload(remote, hash_of(path), path.stat().st_size, source=path.resolve())


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def keep_bytes(uploads: Mapping[str, Upload]) -> None:
    """Forgets the oldest bytes beyond `KEPT_BYTES`. After a loss of the sandbox, its notice names those files."""
    total = 0
    for upload in reversed(list(uploads.values())):
        total += len(upload.data or b"")
        if total > KEPT_BYTES:
            upload.data = None


def came_from(uploads: Mapping[str, Upload], file: Mapping[str, object], *, commanded: bool) -> str | None:
    """Says where a file came from that changed between two cells; None for what this session or another uploaded.

    `file` are the fields of a `FileArtifact`, and `between`: what its kernel says. `commanded`: a command has run since
    the cell before.
    """
    upload = uploads.get(str(file["path"]))
    if upload is not None and (file["sha256"] or upload.sha256) == upload.sha256 and file["size"] == upload.size:
        return None
    who = [
        *(["in the background"] if file["between"] == "background" else []),
        *(["by a command"] if commanded else []),
    ]
    return f"written between two cells, {' or '.join(who)}" if who else None
