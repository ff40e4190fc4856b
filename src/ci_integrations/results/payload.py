"""Artifacts as bytes and as files on this machine. Used by `results` only."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ci_integrations._errors import ArtifactError

if TYPE_CHECKING:
    from ci_integrations.results.model import ArtifactBase, FileArtifact
    from ci_integrations.results.store import ArtifactStore

_ENDINGS = {
    "html": ".html", "markdown": ".md", "latex": ".tex", "svg": ".svg", "javascript": ".js", "json": ".json",
    "chart": ".chart.json", "table": ".table.json", "pdf": ".pdf",
}  # fmt: skip
MAX_DOWNLOAD = 1 << 30
"""Bytes that `FileArtifact.read` fetches at most."""


def artifact_bytes(artifact: Any, store: ArtifactStore | None) -> bytes:
    """See `ArtifactBase.read`."""
    if artifact.ref is not None:
        if store is None:
            raise ArtifactError(f"artifact {artifact.id} lies in a store: give it, artifact.read(store)")
        artifact = store.load(artifact)
    match artifact.kind:
        case "image" | "pdf":
            return base64.b64decode(artifact.data or "")
        case "file":
            return _fetched(artifact)
        case "json" | "other":
            return json.dumps(artifact.data, ensure_ascii=False).encode()
        case "chart":
            return json.dumps(artifact.chart.model_dump(mode="json"), ensure_ascii=False).encode()
        case "table":
            return json.dumps(artifact.model_dump(mode="json"), ensure_ascii=False).encode()
    return str(artifact.text).encode()


def _fetched(file: FileArtifact) -> bytes:
    """The file's bytes from its signed address, held to the hash that was taken when the cell ended."""
    if file.url is None:
        raise ArtifactError(f"{file.path}: no download address; use CodeInterpreter.download({file.path!r})")
    import httpx

    try:
        response = httpx.get(file.url, timeout=60.0)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise ArtifactError(
            f"{file.path}: could not be fetched, its sandbox may be gone ({type(error).__name__})"
        ) from error
    if file.sha256 and hashlib.sha256(response.content).hexdigest() != file.sha256:
        raise ArtifactError(f"{file.path}: has changed in the sandbox since the cell ended")
    return response.content


def save_artifact(artifact: ArtifactBase, path: Path, store: ArtifactStore | None) -> Path:
    """See `ArtifactBase.save`."""
    if path.is_dir():
        path = path / file_name(artifact)
    path.write_bytes(artifact.read(store))
    return path


def save_artifacts(artifacts: Iterable[ArtifactBase], directory: Path, store: ArtifactStore | None) -> list[Path]:
    """See `ExecutionResult.save_all`. Two artifacts of one name get different files; one that fails stops no other."""
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


def file_name(artifact: Any) -> str:
    """A plain name, never a path: it may come from hostile code."""
    given = artifact.name or (artifact.path if artifact.kind == "file" else None)
    if given:
        name = PurePosixPath(str(given).replace("\\", "/")).name.replace("\0", "")
        if name not in ("", ".", ".."):
            return name[:200]
    return f"{artifact.id}{_ending(artifact)}"


def _ending(artifact: Any) -> str:
    if artifact.kind in ("image", "other"):
        return mimetypes.guess_extension(artifact.mime) or ".bin"
    return _ENDINGS.get(artifact.kind, ".bin")
