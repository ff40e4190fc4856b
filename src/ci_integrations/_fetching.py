"""Fetches the bytes of a file in a sandbox from its signed address."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ci_integrations._errors import ArtifactError

_FETCH_SECONDS = 60.0
MAX_FETCH = 1 << 30
"""Bytes of one file: it is held in memory, and the code chose its size."""


def fetched(path: str, url: str | None, sha256: str | None) -> bytes:
    """Returns a sandbox file's bytes from its signed address.

    Raises `ArtifactError` when there is no address, no answer, or the hash is not the one of the cell's end.
    """
    if url is None:
        raise ArtifactError(f"{path}: no download address; use CodeInterpreter.download({path!r})")
    import httpx  # here: most results have no file to fetch

    try:
        with httpx.stream("GET", url, timeout=_FETCH_SECONDS) as response:
            response.raise_for_status()
            data = _bounded(path, response.iter_bytes())
    except httpx.HTTPError as error:
        raise ArtifactError(
            f"{path}: could not be fetched, its sandbox may be gone ({type(error).__name__})"
        ) from error
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"{path}: has changed in the sandbox since the cell ended")
    return data


def _bounded(path: str, pieces: Iterable[bytes]) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > MAX_FETCH:
            raise ArtifactError(f"{path}: larger than {MAX_FETCH >> 20} MiB; read it in parts in the sandbox")
    return bytes(data)
