"""Keeps the bytes of artifacts outside of results and messages, at any fsspec address.

    store = ArtifactStore("file:///var/lib/agent/artifacts")     # or "s3://bucket/prefix", "memory://x"
    small = store.offload(result)                                # large payloads replaced by references
    whole = store.inline(small)                                  # and back, in this process or another

Payloads are stored under their SHA-256, so the same bytes are stored once. Adapters offload what they hand to a
checkpointer. Needs the extra `store`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ci_integrations._errors import ArtifactError, MissingDependencyError
from ci_integrations.charts.chart import Chart
from ci_integrations.results.clean import cut
from ci_integrations.results.model import Artifact
from ci_integrations.results.result import ExecutionResult

INLINE_BYTES = 16 * 1024
"""Payloads up to this size stay in the result."""


Json = dict[str, Any]
"""A result or an artifact, as `model_dump(mode="json")` gives it."""


@dataclass(frozen=True)
class _Payload:
    """Says where an artifact kind keeps its bulk, and how that becomes bytes and comes back."""

    field: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], object]
    empty: Callable[[], object] = lambda: None


def _to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


_BASE64 = _Payload("data", base64.b64decode, lambda raw: base64.b64encode(raw).decode())
_TEXT = _Payload("text", str.encode, bytes.decode, str)
_JSON = _Payload("data", _to_json, json.loads)
_PAYLOADS = {
    "image": _BASE64,
    "pdf": _BASE64,
    # An empty chart, because the artifact must stay valid without its payload.
    "chart": _Payload("chart", _to_json, json.loads, partial(Chart().model_dump, mode="json")),
    "table": _Payload("rows", _to_json, json.loads, list),
    "json": _JSON,
    "other": _JSON,
    **dict.fromkeys(("html", "markdown", "latex", "svg", "javascript"), _TEXT),
}
"""By kind; a file has no payload: it is in the sandbox."""

_TEXTS = ("code", "text", "stdout", "stderr")
"""Fields of a result that are stored like payloads when they are long."""
_ENDS = 2000
"""Characters of such a text that stay in the result."""
_MOST_OF_A_CHARACTER = 4
"""Bytes of one character in UTF-8."""


class ArtifactStore:
    """Stores payloads by their content at `url`. `options` go to fsspec (credentials, endpoints); they are never shown.

    Raises `MissingDependencyError` without the extra `store`.
    """

    def __init__(self, url: str, **options: Any) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise MissingDependencyError("ArtifactStore", "store") from error
        self._fs, self._root = url_to_fs(url, **options)
        self._scheme = url.split("://", 1)[0] if "://" in url else "file"

    def __repr__(self) -> str:
        return f"ArtifactStore({self._scheme}://...)"

    def put(self, data: bytes) -> str:
        """Stores `data`, once; returns its reference, `sha256:<hex>`."""
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if not self._fs.exists(path):
            self._write(path, data)
        return f"sha256:{digest}"

    def read(self, ref: str, *, name: str = "artifact") -> bytes:
        """Returns the bytes behind `ref`.

        Raises `ArtifactError`, which names `name`, when they are missing or are not what was stored.
        """
        digest = ref.removeprefix("sha256:")
        try:
            data: bytes = self._fs.cat_file(self._path(digest))
        except (OSError, ValueError) as error:  # fsspec's backends raise either for what is not there
            raise ArtifactError(f"{name}: its bytes ({ref}) are not in {self!r}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise ArtifactError(f"{name}: its bytes in {self!r} have changed since they were stored ({ref})")
        return data

    def offload(self, result: ExecutionResult, *, inline_bytes: int = INLINE_BYTES) -> ExecutionResult:
        """Returns `result` with every payload larger than `inline_bytes` replaced by a reference."""
        return ExecutionResult.from_plain(self.offload_json(result.model_dump(mode="json"), inline_bytes=inline_bytes))

    def offload_json(self, result: Json, *, inline_bytes: int = INLINE_BYTES) -> Json:
        """Does what `offload` does to a result as plain JSON, which is returned and not changed itself."""
        artifacts = [self._offloaded(artifact, inline_bytes) for artifact in result["artifacts"]]
        return result | self._offloaded_texts(result, inline_bytes) | {"artifacts": artifacts}

    def inline(self, result: ExecutionResult) -> ExecutionResult:
        """Returns `result` with every reference replaced by its payload.

        Raises `ArtifactError` for a payload that is missing or has changed.
        """
        if not result.refs and all(artifact.ref is None for artifact in result.artifacts):
            return result
        texts = {name: self.read(ref, name=name).decode() for name, ref in result.refs.items() if name in _TEXTS}
        artifacts = tuple(self.load(artifact) for artifact in result.artifacts)
        return result.model_copy(update={"artifacts": artifacts, "refs": {}, **texts})

    def load(self, artifact: Artifact) -> Artifact:
        """Returns one artifact with its payload. Raises `ArtifactError` when the payload is missing or has changed."""
        payload = _PAYLOADS.get(artifact.kind)
        if artifact.ref is None or payload is None:
            return artifact
        title = f"artifact {artifact.id}" + (f" ({artifact.name})" if artifact.name else "")
        value = payload.decode(self.read(artifact.ref, name=title))
        fields = artifact.model_dump(mode="json") | {payload.field: value, "ref": None}
        return type(artifact).model_validate(fields)

    def save_all(self, result: ExecutionResult, directory: str | Path) -> list[Path]:
        """Writes every artifact of `result` into `directory` (made when missing); returns the paths."""
        return self.inline(result).save_all(directory)

    def _offloaded_texts(self, result: Json, inline_bytes: int) -> Json:
        """Returns the fields that replace the long texts of a result: their ends, and where the whole is."""
        refs: dict[str, str] = dict(result.get("refs") or {})
        ends: Json = {}
        for name in _TEXTS:
            text = result.get(name) or ""
            if name in refs or len(text) * _MOST_OF_A_CHARACTER <= inline_bytes:
                continue
            data = text.encode("utf-8", "replace")
            if len(data) > inline_bytes:
                refs[name] = self.put(data)
                ends[name] = cut(text, min(_ENDS, inline_bytes), "in the artifact store")
        return ends | {"refs": refs}

    def _offloaded(self, artifact: Json, inline_bytes: int) -> Json:
        payload = _PAYLOADS.get(artifact["kind"])
        if payload is None or artifact["ref"] is not None or not artifact[payload.field]:
            return artifact
        data = payload.encode(artifact[payload.field])
        if len(data) <= inline_bytes:
            return artifact
        return artifact | {payload.field: payload.empty(), "ref": self.put(data)}

    def _path(self, digest: str) -> str:
        # A reference may come from a message that somebody else wrote: it must not lead out of the store.
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ArtifactError("not a reference of this store: expected sha256:<64 hex digits>")
        return f"{self._root}/{digest[:2]}/{digest}"

    def _write(self, path: str, data: bytes) -> None:
        # Whole or not at all: under a name of its own first, then moved into place.
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        draft = f"{path}.{uuid.uuid4().hex}"
        self._fs.pipe_file(draft, data)
        self._fs.mv(draft, path)
