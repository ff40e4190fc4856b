"""What a run gives back: `ExecutionResult` and its artifacts. Frozen, typed, JSON-safe, free of any framework.

`result.model_dump(mode="json")` is plain JSON (schema `ci_integrations/execution@1`): it survives `json`, msgpack and
every checkpointer unchanged, and `ExecutionResult.model_validate` gives the typed view back. Bytes are base64 text in
`data`, or, with a store, a reference in `ref`; never both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ci_integrations._json import MAX_DEPTH, plain
from ci_integrations.charts.chart import Chart

if TYPE_CHECKING:
    from ci_integrations.results.store import ArtifactStore

SCHEMA: Literal["ci_integrations/execution@1"] = "ci_integrations/execution@1"


class Value(BaseModel):
    """Base of all result types: frozen, keyword-only, every field made plain JSON before it is validated."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True, ser_json_inf_nan="null"
    )

    _depth: ClassVar[int] = MAX_DEPTH
    """What holds other types is deeper than they are: no level cuts what a level below it has let pass."""

    @model_validator(mode="before")
    @classmethod
    def _json_safe(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: _plain_or_model(value, cls._depth) for key, value in data.items()}


def _plain_or_model(value: Any, depth: int) -> Any:
    """Plain JSON, but typed models and sequences of them pass as they are."""
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(item, BaseModel) for item in value):
        return tuple(value)
    return plain(value, depth)


class ExecutionError(Value):
    """The error that ended a cell, in the words of the language that raised it."""

    name: str
    value: str = ""
    traceback: str = ""
    """Cleaned: no ANSI codes, frames of the kernel's own machinery removed."""


class SandboxEvent(Value):
    """Something that happened to the sandbox around this run and that the model must know.

    `type`: `"sandbox_created"`, `"sandbox_resumed"`, `"state_lost"`, `"context_restarted"`, `"interrupted"`,
    `"restored"`, `"not_restored"`, `"connection_lost"` (recovery.py is where they are made).
    """

    type: str
    message: str
    """One plain sentence, shown to the model as it is."""
    reason: str | None = None
    old_sandbox_id: str | None = None
    new_sandbox_id: str | None = None
    lost: tuple[str, ...] = ()
    """Names of variables that are gone."""
    restored: tuple[str, ...] = ()
    """What is back: `"package pandas"`, `"file /home/user/a.csv"`, `"setup code"`."""
    not_restored: tuple[str, ...] = ()


class Truncation(Value):
    """What was cut, in characters or bytes left out. Zero: nothing was."""

    stdout: int = 0
    stderr: int = 0
    results: int = 0


class ArtifactBase(Value):
    """What all artifacts share."""

    _depth = MAX_DEPTH + 8

    id: str
    """Unique within the result: `"a0"`, `"a1"`, ..."""
    display: int = 0
    """Artifacts with one display index are forms of one and the same displayed object."""
    main: bool = False
    """True for the value of the cell's last expression, false for what was displayed on the way."""
    name: str | None = None
    """A file name to save it under."""
    alt: str | None = None
    """The displayed object's own text form, such as `<Figure size 640x480 with 1 Axes>`."""
    note: str | None = None
    """Why it is not complete, or not what it seems."""
    ref: str | None = None
    """Where the payload is when it is not here: `sha256:<hex>` in an `ArtifactStore`; `content:<id>`, in the content of
    the message that this came with."""

    def read(self, store: ArtifactStore | None = None) -> bytes:
        """The artifact as bytes: the picture, the text as UTF-8, data as JSON.

        Raises `ArtifactError` when the payload lies in a store and `store` was not given or no longer has it.
        """
        from ci_integrations.results.payload import artifact_bytes

        return artifact_bytes(self, store)

    def save(self, path: str | Path, store: ArtifactStore | None = None) -> Path:
        """Write the artifact to `path` on this machine; a directory gets a file named after the artifact."""
        from ci_integrations.results.payload import save_artifact

        return save_artifact(self, Path(path), store)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """In a notebook: the picture, the chart in its interactive form, the table."""
        from ci_integrations.results.notebook import mimebundle

        return mimebundle(self)  # type: ignore[arg-type]  # every artifact is one of the union


class _Bytes(ArtifactBase):
    mime: str
    data: str | None = Field(None, repr=False)
    """Base64 text without line breaks; None when `ref` says where the bytes are."""
    size: int | None = None
    """Bytes, decoded."""
    sha256: str | None = None


class ImageArtifact(_Bytes):
    """A picture: PNG, JPEG, GIF or WebP."""

    kind: Literal["image"] = "image"
    width: int | None = None
    height: int | None = None


class PdfArtifact(_Bytes):
    kind: Literal["pdf"] = "pdf"
    mime: str = "application/pdf"


class ChartArtifact(ArtifactBase):
    """A figure as data. Its picture, when there is one, is the image artifact whose id is `image`."""

    kind: Literal["chart"] = "chart"
    chart: Chart
    image: str | None = None


class Column(Value):
    name: str
    dtype: str


class TableArtifact(ArtifactBase):
    """A DataFrame or Series: the first rows as data, the whole shape, the index kept as leading columns."""

    kind: Literal["table"] = "table"
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    shape: tuple[int, int] | None = None
    """Rows and columns of the whole table, index not counted."""
    index: int = 0
    """How many leading columns are the index."""
    markdown: str | None = None


class TextArtifact(ArtifactBase):
    kind: Literal["html", "markdown", "latex", "svg", "javascript"]
    text: str


class JsonArtifact(ArtifactBase):
    kind: Literal["json"] = "json"
    data: Any = None


class FileArtifact(ArtifactBase):
    """A file in the sandbox that the code wrote; its bytes are fetched on demand."""

    kind: Literal["file"] = "file"
    path: str
    size: int | None = None
    sha256: str | None = None
    mime: str | None = None
    url: str | None = None
    """A signed download address, where the backend has one."""


class OtherArtifact(ArtifactBase):
    """Any other MIME type, kept as it came."""

    kind: Literal["other"] = "other"
    mime: str
    data: Any = None


Artifact = Annotated[
    ImageArtifact
    | PdfArtifact
    | ChartArtifact
    | TableArtifact
    | TextArtifact
    | JsonArtifact
    | FileArtifact
    | OtherArtifact,
    Field(discriminator="kind"),
]
