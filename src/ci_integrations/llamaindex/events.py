"""Declares what an execution sends while it runs: workflow events for the stream, instrumentation events for tracing.

Workflow events go to `handler.stream_events()`; all of their fields are plain JSON. Instrumentation events go to
LlamaIndex's dispatcher; they carry figures, never code or output.
"""

from typing import Any

from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.workflow import Event


# Events of a saved Context are serialised: everything in them is plain JSON.
class CodeExecutionStarted(Event):
    """A cell was handed to the sandbox."""

    code: str
    session_id: str


class CodeOutput(Event):
    """The cell gave output. `stream`: `"stdout"`, `"stderr"`, `"result"`, `"error"` or `"status"`."""

    stream: str
    text: str
    session_id: str


class ChartCreated(Event):
    """The cell drew a chart. `artifact`: a chart artifact as plain JSON."""

    artifact: dict[str, Any]
    session_id: str


class CodeExecutionFinished(Event):
    """The cell has ended. `result`: an `ExecutionResult` as plain JSON."""

    result: dict[str, Any]
    session_id: str


class CodeExecutionStartEvent(BaseEvent):
    """An execution begins (for tracing)."""

    session_id: str
    code_length: int

    @classmethod
    def class_name(cls) -> str:
        return "CodeExecutionStartEvent"


class CodeExecutionEndEvent(BaseEvent):
    """An execution has ended (for tracing). `duration` is in seconds; `error` is the error's name."""

    session_id: str
    sandbox_id: str | None = None
    duration: float | None = None
    error: str | None = None
    incomplete: bool = False
    recreated: bool = False
    n_artifacts: int = 0
    n_charts: int = 0

    @classmethod
    def class_name(cls) -> str:
        return "CodeExecutionEndEvent"
