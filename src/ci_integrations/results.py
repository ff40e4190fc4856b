"""What a run gives back: `ExecutionResult` and its artifacts. Frozen, typed, JSON-safe, free of any framework.

`result.model_dump(mode="json")` is plain JSON (schema `ci_integrations/execution@1`): it survives `json`, msgpack and
every checkpointer unchanged, and `ExecutionResult.model_validate` gives the typed view back. Bytes are base64 text in
`data`, or, with a store, a reference in `ref`; never both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ci_integrations._json import MAX_DEPTH, plain
from ci_integrations.charts.model import Chart

if TYPE_CHECKING:
    from e2b_code_interpreter import Execution

    from ci_integrations.store import ArtifactStore

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
        from ci_integrations._files import artifact_bytes

        return artifact_bytes(self, store)

    def save(self, path: str | Path, store: ArtifactStore | None = None) -> Path:
        """Write the artifact to `path` on this machine; a directory gets a file named after the artifact."""
        from ci_integrations._files import save_artifact

        return save_artifact(self, Path(path), store)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """In a notebook: the picture, the chart in its interactive form, the table."""
        from ci_integrations._notebook import mimebundle

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


class ExecutionResult(Value):
    """Everything that one run gave. `json.loads(json.dumps(r.model_dump(mode="json"), allow_nan=False))` is itself."""

    _depth = MAX_DEPTH + 16

    schema_: Literal["ci_integrations/execution@1"] = Field(SCHEMA, alias="schema")
    code: str = ""
    language: str = "python"
    text: str | None = None
    """The main result as text, or None."""
    stdout: str = ""
    stderr: str = ""
    error: ExecutionError | None = None
    artifacts: tuple[Artifact, ...] = ()
    events: tuple[SandboxEvent, ...] = ()
    execution_count: int | None = None
    duration: float | None = None
    """Seconds."""
    backend: str | None = None
    """`"e2b"` or `"local"`."""
    sandbox_id: str | None = None
    context_id: str | None = None
    template_id: str | None = None
    truncated: Truncation = Truncation()
    incomplete: bool = False
    """True when the run ended before the cell did: timeout, lost sandbox, lost connection, cancellation."""

    @property
    def ok(self) -> bool:
        """True when the cell ran to its end without an error."""
        return self.error is None and not self.incomplete

    @property
    def charts(self) -> tuple[ChartArtifact, ...]:
        return tuple(a for a in self.artifacts if isinstance(a, ChartArtifact))

    @property
    def tables(self) -> tuple[TableArtifact, ...]:
        return tuple(a for a in self.artifacts if isinstance(a, TableArtifact))

    @property
    def images(self) -> tuple[ImageArtifact, ...]:
        return tuple(a for a in self.artifacts if isinstance(a, ImageArtifact))

    @property
    def files(self) -> tuple[FileArtifact, ...]:
        return tuple(a for a in self.artifacts if isinstance(a, FileArtifact))

    def formats(self) -> tuple[str, ...]:
        """The kinds of artifact there are, each once, in order."""
        return tuple(dict.fromkeys(self._kinds()))

    def save_all(self, directory: str | Path, store: ArtifactStore | None = None) -> list[Path]:
        """Write every artifact into `directory` (made when missing); returns the paths, in order.

        Raises `ArtifactError`, after the others were written, when the bytes of some cannot be had any more.
        """
        from ci_integrations._files import save_artifacts

        return save_artifacts(self.artifacts, Path(directory), store)

    def _ipython_display_(self) -> None:
        from ci_integrations._notebook import show

        show(self)

    def _kinds(self) -> Iterator[str]:
        if self.text is not None:
            yield "text"
        for artifact in self.artifacts:
            yield artifact.mime if isinstance(artifact, OtherArtifact) else artifact.kind

    @classmethod
    def from_execution(cls, execution: Execution, **known: Any) -> Self:
        """The same for the SDK's own `Execution`; `known` fields (`code=`, `sandbox_id=` ...) are taken as given."""
        from ci_integrations.envelope import result_from_execution

        return cls.model_validate(result_from_execution(execution, **known).model_dump(mode="json"))

    @classmethod
    def from_message(cls, message: Any) -> Self:
        """The typed view of a LangChain `ToolMessage`, a LlamaIndex `ToolOutput`, or a plain dict.

        Raises `ValueError` when there is no execution in it.
        """
        for candidate in (message, getattr(message, "artifact", None), getattr(message, "raw_output", None)):
            if isinstance(candidate, cls):
                return candidate
            if isinstance(candidate, dict) and candidate.get("schema") == SCHEMA:
                return cls.model_validate(_with_shown_pictures(candidate, getattr(message, "content", None)))
        raise ValueError(f"no {SCHEMA} in this {type(message).__name__}: was it made by a CodeInterpreterTool?")


def _with_shown_pictures(execution: dict[str, Any], content: Any) -> dict[str, Any]:
    """A picture that a message shows to the model has its bytes in the message's content only: put back from there."""
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    shown = {f"content:{block.get('id')}": block.get("base64") for block in blocks}
    artifacts = [
        artifact | {"data": shown[artifact["ref"]], "ref": None} if artifact.get("ref") in shown else artifact
        for artifact in execution.get("artifacts") or []
    ]
    return execution | {"artifacts": artifacts}
