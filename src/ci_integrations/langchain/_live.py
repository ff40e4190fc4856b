"""Output while a cell runs: to langgraph's `tools` and `custom` streams, and to callbacks (`astream_events`).

Every delta is plain JSON: `{"type": "stdout"|"stderr"|"result"|"error"|"status", "text": ..., "timestamp": ...}`; a
result also says what it is, as `"artifacts": [{"kind": ..., "mime": ...}]`, without its bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import NotRequired, TypedDict

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun

from ci_integrations._adapters.redaction import LiveRedactor, Redactor
from ci_integrations.interpreter import OutputEvent
from ci_integrations.langchain._call import ToolRuntime
from ci_integrations.results.model import Artifact

EVENT = "code_interpreter"
"""The name of the custom event, and of the key around a delta on the `custom` stream."""

RunManager = CallbackManagerForToolRun | AsyncCallbackManagerForToolRun


class Delta(TypedDict):
    """One part of the output, as plain JSON."""

    type: str
    text: str
    timestamp: float
    artifacts: NotRequired[list[dict[str, str]]]


class Live:
    """Where one call's output goes. `runtime` is langgraph's ToolRuntime, or None outside of a graph.

    What a method returns must be awaited when the call came in by `ainvoke`: a slow listener then holds the kernel's
    output back instead of piling it up.
    """

    def __init__(
        self,
        runtime: ToolRuntime | None,
        run_manager: RunManager | None,
        tool_call_id: str | None,
        redactor: Redactor,
    ) -> None:
        self._runtime = runtime
        # Without handlers there is nobody to tell, and building an event costs more than this look.
        self._manager = run_manager if run_manager is not None and run_manager.handlers else None
        self._call_id = tool_call_id
        self._redacted = LiveRedactor(redactor)

    @property
    def is_heard(self) -> bool:
        """True when somebody listens; otherwise no event has to be made."""
        return self._runtime is not None or self._manager is not None

    def tell(self, event: OutputEvent) -> Awaitable[None] | None:
        """Sends what the running cell gave."""
        return self._send(self._redacted.events(event))

    def end(self) -> Awaitable[None] | None:
        """Sends what was held back: the run is over, so it is not the beginning of a secret."""
        return self._send(self._redacted.rest())

    def _send(self, events: Iterator[OutputEvent]) -> Awaitable[None] | None:
        # The manager's kind says how the call came in; langgraph's streams are plain functions either way.
        if isinstance(self._manager, AsyncCallbackManagerForToolRun):
            return self._asend(self._manager, events)
        for data in map(delta, events):
            self._to_streams(data)
            if self._manager is not None:
                # By the child manager: that is where `dispatch_custom_event` of a tool would send it.
                self._manager.get_child().on_custom_event(EVENT, data, run_id=self._manager.run_id)
        return None

    async def _asend(self, manager: AsyncCallbackManagerForToolRun, events: Iterator[OutputEvent]) -> None:
        for data in map(delta, events):
            self._to_streams(data)
            await manager.get_child().on_custom_event(EVENT, data, run_id=manager.run_id)

    def _to_streams(self, data: Delta) -> None:
        if self._runtime is not None:
            self._runtime.emit_output_delta(data)
            self._runtime.stream_writer({EVENT: {"tool_call_id": self._call_id, **data}})


def delta(event: OutputEvent) -> Delta:
    """Returns an `OutputEvent` as JSON."""
    data: Delta = {"type": event.kind, "text": event.text, "timestamp": event.timestamp}
    if event.artifacts:
        data["artifacts"] = [_described(artifact) for artifact in event.artifacts]
    return data


def _described(artifact: Artifact) -> dict[str, str]:
    mime = getattr(artifact, "mime", None)
    return {"kind": artifact.kind, **({"mime": mime} if mime else {})}
