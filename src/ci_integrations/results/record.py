"""Defines `ExecutionRecord`: the fields of a whole run. `result.py` adds how it is made, saved and displayed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ci_integrations._json import MAX_DEPTH
from ci_integrations.results.model import (
    SCHEMA,
    Artifact,
    ChartArtifact,
    ExecutionError,
    FileArtifact,
    ImageArtifact,
    KernelStamp,
    OtherArtifact,
    SandboxEvent,
    TableArtifact,
    Truncation,
)
from ci_integrations.results.value import Value

RESULT_DEPTH = MAX_DEPTH + 16
"""Levels of nesting that a whole result may have."""


class ExecutionRecord(Value):
    """Holds everything that one run gave, as fields and views of them. Users meet it as `ExecutionResult`."""

    _depth = RESULT_DEPTH

    # `schema` itself is a method of pydantic's BaseModel.
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
    kernel: KernelStamp | None = None
    """Which process of the kernel it was; None where no cell ran or an older version wrote this."""
    template_id: str | None = None
    truncated: Truncation = Truncation()
    incomplete: bool = False
    """True when the run ended before the cell did: timeout, lost sandbox, lost connection, cancellation."""
    refs: dict[str, str] = Field(default_factory=dict)
    """Which of `code`, `text`, `stdout` and `stderr` lie in a store (`sha256:<hex>`); here are their ends only."""
    remembered: bool = False
    """True for the answer to a call that was answered before: its code did not run again."""

    @property
    def ok(self) -> bool:
        """True when the cell ran to its end without an error."""
        return self.error is None and not self.incomplete

    @property
    def charts(self) -> tuple[ChartArtifact, ...]:
        """The figures as data."""
        return tuple(a for a in self.artifacts if isinstance(a, ChartArtifact))

    @property
    def tables(self) -> tuple[TableArtifact, ...]:
        """The tables."""
        return tuple(a for a in self.artifacts if isinstance(a, TableArtifact))

    @property
    def images(self) -> tuple[ImageArtifact, ...]:
        """The pictures."""
        return tuple(a for a in self.artifacts if isinstance(a, ImageArtifact))

    @property
    def files(self) -> tuple[FileArtifact, ...]:
        """The files in the sandbox that the code wrote."""
        return tuple(a for a in self.artifacts if isinstance(a, FileArtifact))

    def formats(self) -> tuple[str, ...]:
        """Returns the kinds of artifact there are, each once, in order."""
        kinds = [a.mime if isinstance(a, OtherArtifact) else a.kind for a in self.artifacts]
        return tuple(dict.fromkeys([*(["text"] if self.text is not None else []), *kinds]))
