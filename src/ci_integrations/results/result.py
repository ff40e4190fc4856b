"""`ExecutionResult`: what one run gave, as users hold it. Made from an SDK execution or read back from a message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from ci_integrations._json import MAX_DEPTH
from ci_integrations.results.model import (
    SCHEMA,
    Artifact,
    ChartArtifact,
    ExecutionError,
    FileArtifact,
    ImageArtifact,
    OtherArtifact,
    SandboxEvent,
    TableArtifact,
    Truncation,
    Value,
)

if TYPE_CHECKING:
    from e2b_code_interpreter import Execution

    from ci_integrations.results.store import ArtifactStore


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
        from ci_integrations.results.payload import save_artifacts

        return save_artifacts(self.artifacts, Path(directory), store)

    def _ipython_display_(self) -> None:
        from ci_integrations.results.notebook import show

        show(self)

    def _kinds(self) -> Iterator[str]:
        if self.text is not None:
            yield "text"
        for artifact in self.artifacts:
            yield artifact.mime if isinstance(artifact, OtherArtifact) else artifact.kind

    @classmethod
    def from_execution(cls, execution: Execution, **known: Any) -> Self:
        """The same for the SDK's own `Execution`; `known` fields (`code=`, `sandbox_id=` ...) are taken as given."""
        from ci_integrations.results.from_e2b import result_from_execution

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
