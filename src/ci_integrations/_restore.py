"""What a sandbox is furnished with, at first and again after a loss: packages, files, setup code.

The recipe says what there is to restore; `furnish` does it and says truthfully what is back and what is not.
"""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_integrations.errors import ConfigurationError

if TYPE_CHECKING:
    from ci_integrations._flow import Flow, Life

logger = logging.getLogger("ci_integrations")

HOME = "/home/user"
KEPT_BYTES = 64 * 1024 * 1024
"""How much of uploads that were given as bytes a session keeps, to be able to upload them again."""
INSTALL_SECONDS = 300.0
_CHUNK = 1 << 20


@dataclass
class Upload:
    """A file that was put into the sandbox, and where it came from."""

    path: str
    sha256: str
    size: int
    source: Path | None = None
    data: bytes | None = field(default=None, repr=False)


@dataclass
class Restored:
    """What is back, and what is not, in words for the model."""

    done: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def uploads_from(files: Any) -> Iterator[Upload]:
    """The `files=` option: a mapping from path in the sandbox to local path or bytes, or a list of local paths."""
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


def upload_from(source: Any, remote: str) -> Upload:
    """One file to be uploaded, with its content's hash. Relative paths are below the home directory."""
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
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def keep_bytes(uploads: Mapping[str, Upload]) -> None:
    """Forget the oldest bytes beyond what a session keeps; their loss is then told, not hidden."""
    total = 0
    for upload in reversed(list(uploads.values())):
        total += len(upload.data or b"")
        if total > KEPT_BYTES:
            upload.data = None


def send(life: Life, upload: Upload) -> Flow[None]:
    """Write one file into the sandbox."""
    if upload.source is None:
        yield from life.call(life.sandbox.files.write, upload.path, upload.data)
        return
    with upload.source.open("rb") as stream:
        yield from life.call(life.sandbox.files.write, upload.path, stream)


def restore_file(life: Life, upload: Upload, restored: Restored) -> Flow[None]:
    """Upload again from where it came."""
    if upload.source is None and upload.data is None:
        restored.missing.append(f"file {upload.path} (too big to be kept for a second upload)")
    elif upload.source is not None and not upload.source.is_file():
        restored.missing.append(f"file {upload.path} (its source is no longer there)")
    else:
        changed = upload.source is not None and hash_of(upload.source) != upload.sha256
        yield from send(life, upload)
        restored.done.append(f"file {upload.path}" + (" (changed since it was first uploaded)" if changed else ""))


def install(life: Life, packages: Sequence[str]) -> Flow[str | None]:
    """Install packages with uv where the sandbox has it, else pip. None, or the last words of what went wrong."""
    names = shlex.join(packages)
    logger.info(
        "session %s: installing %s into the sandbox; a template with them baked in starts faster",
        life.session.id, names,
    )  # fmt: skip
    target = '${PIP_TARGET:+--target "$PIP_TARGET"} $([ -n "$PIP_TARGET" ] || echo --system)'
    command = (
        f"{{ command -v uv >/dev/null && uv pip install -q {target} -- {names}; }} || "
        f"python3 -m pip install -q -- {names}"
    )
    try:
        yield from life.call(life.sandbox.commands.run, command, timeout=INSTALL_SECONDS)
    except Exception as error:
        if type(error).__name__ != "CommandExitException":
            raise
        words = str(getattr(error, "stderr", error)).strip()
        offline = any(sign in words for sign in ("name resolution", "dns error"))
        return _OFFLINE if offline else words[-500:] or "no reason given"
    return None


_OFFLINE = (
    "the sandbox has no internet (allow_internet_access=True opens it; in the local sandbox, what is installed in the "
    "Python that runs you is there without it)"
)


def run_setup(life: Life, code: str, timeout: float | None) -> Flow[str | None]:
    """Run the setup code in the default kernel. None, or its error in words."""
    execution = yield from life.call(life.sandbox.run_code, code, timeout=timeout or 0)
    return None if execution.error is None else f"{execution.error.name}: {execution.error.value}"
