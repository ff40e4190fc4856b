"""Files that a user attached to a message: put into the sandbox, and named to the model instead of sent as bytes.

Where a file will be is decided by its name and its content alone, so the model can be told before a sandbox exists.
An adapter reads the files out of its framework's messages; the rules about names, sizes and words are here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial

from ci_integrations._adapters.outcome import is_run_time_failure
from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow
from ci_integrations._names import HOME as FOLDER

MAX_BYTES = 100 * 1024 * 1024
"""Bytes that one attachment may have; a larger one is left to the framework."""

_WITHOUT_EFFECT = "true"
"""A shell command that does nothing. Running it replaces a sandbox that is gone."""


@dataclass(frozen=True)
class Attachment:
    """One file of a user's message."""

    path: str
    data: bytes

    @property
    def digest(self) -> str:
        """The beginning of the content's SHA-256, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()[:16]


def attachment(data: bytes | None, name: str = "", mime: str = "", default_suffix: str = ".bin") -> Attachment | None:
    """Returns the file, with a path made of `name`, or of its content where the user gave no name.

    None for a file without content and for one that is larger than `MAX_BYTES`.
    """
    if data is None or not 0 < len(data) <= MAX_BYTES:
        return None
    # A name may come from anywhere: no folder of it is taken, and no character that a shell would read.
    safe = re.sub(r"[^\w.\- ]", "_", re.split(r"[/\\]", name)[-1]).strip(". ")[:120]
    if not safe:
        digest = hashlib.sha256(data).hexdigest()[:8]
        safe = f"attachment-{digest}{mimetypes.guess_extension(mime) or default_suffix}"
    return Attachment(f"{FOLDER}/{safe}", data)


def decoded(encoded: object) -> bytes | None:
    """Returns the bytes behind Base64 text; None for anything else, and for what would be larger than `MAX_BYTES`."""
    if not isinstance(encoded, str) or len(encoded) > MAX_BYTES * 4 // 3 + 4:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def distinct(files: Iterable[Attachment]) -> list[Attachment]:
    """Returns each content once. Two files of one name get different paths."""
    found: dict[tuple[str, bytes], Attachment] = {}
    taken: set[str] = set()
    for file in files:
        if (file.path, file.data) in found:
            continue
        placed = file if file.path not in taken else Attachment(_other_path(file), file.data)
        found[file.path, file.data] = placed
        taken.add(placed.path)
    return list(found.values())


def described(file: Attachment, failure: str | None = None) -> str:
    """Returns the words that name the file to the model. `failure` says why the file is not in the sandbox."""
    if failure is not None:
        return f"[attached file {file.path.rpartition('/')[2]}: could not be put into the sandbox: {failure}]"
    return f"[attached file, in the sandbox: {file.path} ({len(file.data):,} bytes)]"


def met(session: AnyInterpreter) -> Flow[None]:
    """Finds out whether another process's sandbox is still there; a failure shows itself again at the upload."""
    try:
        yield partial(session.run_command, _WITHOUT_EFFECT)
    except Exception as error:
        if not is_run_time_failure(error, session):
            raise


def staged(
    session: AnyInterpreter, files: Iterable[Attachment], present: Collection[str]
) -> Flow[tuple[list[str], dict[str, str]]]:
    """Uploads the files whose digests are not in `present`.

    Returns (the digests of all files that are there now, why a file is not there by its path).
    """
    there, failures = list(present), dict[str, str]()
    for file in files:
        if file.digest in there:
            continue
        try:
            yield partial(session.upload, file.data, file.path)
            there.append(file.digest)
        except Exception as error:
            if not is_run_time_failure(error, session):
                raise
            failures[file.path] = str(error)[:300]
    return there, failures


def _other_path(file: Attachment) -> str:
    stem, dot, ending = file.path.rpartition(".")
    return f"{stem}-{file.digest[:8]}.{ending}" if dot else f"{file.path}-{file.digest[:8]}"
