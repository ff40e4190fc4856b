"""Defines artifacts, events and errors: the parts of a result. Frozen, typed, JSON-safe, free of any framework.

`result.model_dump(mode="json")` is plain JSON (schema `ci_integrations/execution@1`): it survives `json`, msgpack and
every checkpointer unchanged, and `ExecutionResult.model_validate` gives the typed view back. Bytes are base64 text in
`data`, or, with a store, a reference in `ref`; never both.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field

from ci_integrations._errors import ArtifactError
from ci_integrations._fetching import fetched
from ci_integrations._json import MAX_DEPTH
from ci_integrations._names import PDF
from ci_integrations.charts.chart import Chart
from ci_integrations.results import tables
from ci_integrations.results.clean import as_name, bytes_in_words, one_line
from ci_integrations.results.payload import save_artifact
from ci_integrations.results.value import Value
from ci_integrations.results.whole import whole_table

if TYPE_CHECKING:
    import pandas as pd

SCHEMA: Literal["ci_integrations/execution@1"] = "ci_integrations/execution@1"

Bundle = dict[str, object]
"""The forms of one object for a notebook, by MIME type."""


class Store(Protocol):
    """Where payloads are that are not in the result, such as an `ArtifactStore`."""

    def load(self, artifact: Artifact) -> Artifact:
        """Returns `artifact` with its payload. Raises `ArtifactError` when the payload is missing or has changed."""


class ExecutionError(Value):
    """Tells the error that ended a cell, in the words of the language that raised it."""

    name: str
    value: str = ""
    traceback: str = ""
    """Cleaned: no ANSI codes, frames of the kernel's own machinery removed."""


class SandboxEvent(Value):
    """Tells what happened to the sandbox around this run and what the model must know of it.

    `type`: `"sandbox_created"`, `"sandbox_resumed"`, `"state_lost"`, `"context_restarted"`, `"interrupted"`,
    `"restored"`, `"not_restored"`, `"table_changed"`, `"kernel_ahead"`, `"kernel_is_another"`,
    `"connection_lost"` (`_core/notices.py` makes them).
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
    """What is not back, in the same words."""


class KernelStamp(Value):
    """Says in which kernel a cell ran, for a later call of the same conversation to go on there.

    It is signed together with the conversation's name: what a message says is no proof.
    """

    schema_: Literal["ci_integrations/kernel@1"] = Field("ci_integrations/kernel@1", alias="schema")
    id: str
    """Names the kernel's process: a restarted kernel has another one."""
    count: int
    """The cell's number in it."""
    signature: str = ""


class Truncation(Value):
    """Counts what was left out: characters of the streams, artifacts, files that the code wrote and that are not named,
    folders that were not searched for them (said once). Zero means that nothing was.
    """

    stdout: int = 0
    stderr: int = 0
    results: int = 0
    files: int = 0
    folders: int = 0


class ArtifactBase(Value):
    """Holds the fields and methods that all artifacts share."""

    _depth = MAX_DEPTH + 8

    if TYPE_CHECKING:  # as a field it would come first in every dump

        @property
        def kind(self) -> str:
            """What it is: `"image"`, `"table"` ..."""

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
    """Where the payload is when it is not here: `sha256:<hex>` in a store, `content:<id>` in its message's content."""

    def read(self, store: Store | None = None) -> bytes:
        """Returns the artifact as bytes: the picture, the text as UTF-8, data as JSON.

        Raises `ArtifactError` when the payload lies in a store and `store` was not given or no longer has it.
        """
        if self.ref is None:
            return self.payload()
        if store is None:
            raise ArtifactError(f"artifact {self.id} lies in a store: give it, artifact.read(store)")
        return store.load(self).payload()  # type: ignore[arg-type]  # every artifact is one of the union

    def save(self, path: str | Path, store: Store | None = None) -> Path:
        """Writes the artifact to `path` on this machine; a directory gets a file named after the artifact.

        Raises `ArtifactError`, as `read` does.
        """
        return save_artifact(self, Path(path), store)

    def payload(self) -> bytes:
        """Returns what `read` does, for an artifact whose payload is here."""
        raise NotImplementedError

    def describe(self) -> str:
        """Returns one line for a reader who has text only; empty when the result's text shows the artifact itself."""
        raise NotImplementedError

    def line(self) -> str:
        """Returns `describe` and the note in brackets, so that a text-only model can reason on it and cite it."""
        described = self.describe()
        note = f" ({self.note})" if self.note else ""
        return f"[{described}{note}]" if described else ""

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        """Returns for a notebook: the picture, the chart in its interactive form, the table; never HTML of the code."""
        return {"text/plain": self.line() or self.kind}


class _Bytes(ArtifactBase):
    mime: str
    # Not in `repr`: a debugger or a failing assertion would print megabytes.
    data: str | None = Field(None, repr=False)
    """Base64 text without line breaks; None when `ref` says where the bytes are."""
    size: int | None = None
    """Bytes, decoded."""
    sha256: str | None = None

    def payload(self) -> bytes:
        return base64.b64decode(self.data or "")


class ImageArtifact(_Bytes):
    """Holds a picture: PNG, JPEG, GIF or WebP."""

    kind: Literal["image"] = "image"
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""

    def describe(self) -> str:
        pixels = f" {self.width}x{self.height}" if self.width and self.height else ""
        return f"image {self.id}: {self.mime}{pixels}, {bytes_in_words(self.size)}"

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        picture = {self.mime: self.data} if self.data else {}
        return {**super()._repr_mimebundle_(), **picture}


class PdfArtifact(_Bytes):
    """Holds a PDF document."""

    kind: Literal["pdf"] = "pdf"
    mime: str = PDF

    def describe(self) -> str:
        return f"pdf {self.id}: {bytes_in_words(self.size)}"


class ChartArtifact(ArtifactBase):
    """Holds a figure as data. Its picture, when there is one, is the image artifact whose id is `image`."""

    kind: Literal["chart"] = "chart"
    chart: Chart
    image: str | None = None

    def payload(self) -> bytes:
        return _as_json(self.chart.model_dump(mode="json"))

    def describe(self) -> str:
        picture = f", picture {self.image}" if self.image else ", no picture"
        return f"chart {self.id}: {one_line(self.chart.describe(), 600)}{picture}"

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        return {**self.chart._repr_mimebundle_(), **super()._repr_mimebundle_()}


class Column(Value):
    """Names a column of a table and the type of its values."""

    name: str
    dtype: str


class WholeTable(Value):
    """Says where the whole of a table is, with its dtypes: here, in a store, or in the sandbox."""

    size: int
    """Bytes."""
    sha256: str
    data: str | None = Field(None, repr=False)
    """Base64, of a small table."""
    path: str | None = None
    """In the sandbox."""
    url: str | None = None
    """A signed download address, where the backend has one."""
    ref: str | None = None
    """In an `ArtifactStore`: `sha256:<hex>`."""
    notes: tuple[str, ...] = ()
    """What of it is not as it was in the kernel."""


class TableArtifact(ArtifactBase):
    """Holds a DataFrame or Series: the first rows as data, the whole shape, the index kept as leading columns."""

    kind: Literal["table"] = "table"
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    shape: tuple[int, int] | None = None
    """Rows and columns of the whole table, index not counted."""
    index: int = 0
    """How many leading columns are the index."""
    markdown: str | None = None
    """The first rows as text."""
    whole: WholeTable | None = None
    """Where the whole table is, with its dtypes: see `to_pandas`."""

    def to_pandas(self, source: object = None) -> pd.DataFrame:
        """Returns the whole table with its dtypes, index and names; a Series, or a frame of polars, is one again.

        `source`: where it is fetched from when it is not here: a `CodeInterpreter`, an `ArtifactStore`, a function of
        the path such as `interpreter.download`, or the bytes themselves. None: its signed address, while the sandbox
        is there. Raises `ArtifactError` when it cannot be had, or is not what it was.
        """
        return whole_table(self, source)

    def load(self, source: object = None) -> pd.DataFrame:
        """Returns the whole table, as `to_pandas` does."""
        return self.to_pandas(source)

    def payload(self) -> bytes:
        return _as_json(self.model_dump(mode="json"))

    def describe(self) -> str:
        names = ", ".join(column.name for column in self.columns[:20])
        return f"table {self.id}: {self.shape or len(self.rows)} {one_line(names, 300)}"

    def text(self) -> str:
        """Returns the table as Markdown with its whole shape."""
        shape = f"shape {self.shape}" if self.shape else ""
        height = self.shape[0] if self.shape else None
        return f"{self.markdown or tables.markdown(self._names(), self.rows, height)}\n{shape}".strip()

    def _repr_mimebundle_(self, **_: object) -> Bundle:
        return {"text/plain": self.text(), "text/html": tables.html(self._names(), self.rows, self.shape)}

    def _names(self) -> list[str]:
        return [column.name for column in self.columns]


class TextArtifact(ArtifactBase):
    """Holds a text in a markup or programming language."""

    kind: Literal["html", "markdown", "latex", "svg", "javascript"]
    text: str

    def payload(self) -> bytes:
        return self.text.encode()

    def describe(self) -> str:
        # The value of the last expression is in the text already; of HTML its plain form is.
        if self.main and self.kind != "html":
            return ""
        if self.kind in ("markdown", "latex"):
            return f"{self.kind} {self.id}: {one_line(self.text, 2000)}"
        return f"{self.kind} {self.id}: {len(self.text):,} characters, kept as artifact"


class JsonArtifact(ArtifactBase):
    """Holds a value as plain JSON."""

    kind: Literal["json"] = "json"
    data: Any = None

    def payload(self) -> bytes:
        return _as_json(self.data)

    def describe(self) -> str:
        return "" if self.main else f"json {self.id}: {one_line(json.dumps(self.data), 500)}"


class FileArtifact(ArtifactBase):
    """Names a file in the sandbox that the code wrote; its bytes are fetched on demand."""

    kind: Literal["file"] = "file"
    path: str
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    mime: str | None = None
    url: str | None = None
    """A signed download address, where the backend has one."""

    def payload(self) -> bytes:
        return fetched(self.path, self.url, self.sha256)

    def describe(self) -> str:
        return f"file: {as_name(self.path)} ({bytes_in_words(self.size)})"


class OtherArtifact(ArtifactBase):
    """Holds any other MIME type, kept as it came."""

    kind: Literal["other"] = "other"
    mime: str
    data: Any = None

    def payload(self) -> bytes:
        return _as_json(self.data)

    def describe(self) -> str:
        if self.mime == "text/plain":  # an object without another form, as `print` shows it
            return one_line(str(self.data), 2000)
        return f"{one_line(self.mime, 100)} {self.id}"


def _as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


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
