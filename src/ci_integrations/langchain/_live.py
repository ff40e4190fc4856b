"""Output while a cell runs: to langgraph's `tools` and `custom` streams, and to callbacks (`astream_events`).

Every delta is plain JSON: `{"type": "stdout"|"stderr"|"result"|"error"|"status", "text": ..., "timestamp": ...}`; a
result also says what it is, as `"artifacts": [{"kind": ..., "mime": ...}]`, without its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun

from ci_integrations.langchain._redaction import Redactor

EVENT = "code_interpreter"
"""The name of the custom event, and of the key around a delta on the `custom` stream."""

RunManager = CallbackManagerForToolRun | AsyncCallbackManagerForToolRun


class Live:
    """Where one call's output goes. `runtime` is langgraph's ToolRuntime, or None outside of a graph."""

    def __init__(
        self, runtime: Any, run_manager: RunManager | None, tool_call_id: str | None, redactor: Redactor
    ) -> None:
        self._runtime = runtime
        self._manager = run_manager
        self._call_id = tool_call_id
        self._redactor = redactor
        self._held = {"stdout": "", "stderr": ""}
        self._last_time = 0.0

    def tell(self, event: Any) -> None:
        """For a blocking run."""
        for data in self._redacted(delta(event)):
            self._to_streams(data)
            self._to_callbacks(data)

    async def atell(self, event: Any) -> None:
        """For a run that is awaited: a slow listener holds the kernel's output back instead of piling it up."""
        for data in self._redacted(delta(event)):
            self._to_streams(data)
            await self._to_async_callbacks(data)

    def end(self) -> None:
        """The run is over: what was held back turned out to be no secret."""
        for data in self._rest():
            self._to_streams(data)
            self._to_callbacks(data)

    async def aend(self) -> None:
        for data in self._rest():
            self._to_streams(data)
            await self._to_async_callbacks(data)

    def _to_streams(self, data: dict[str, Any]) -> None:
        if self._runtime is not None:
            self._runtime.emit_output_delta(data)
            self._runtime.stream_writer({EVENT: {"tool_call_id": self._call_id, **data}})

    def _to_callbacks(self, data: dict[str, Any]) -> None:
        if isinstance(self._manager, CallbackManagerForToolRun) and self._manager.handlers:
            self._manager.get_child().on_custom_event(EVENT, data, run_id=self._manager.run_id)

    async def _to_async_callbacks(self, data: dict[str, Any]) -> None:
        if isinstance(self._manager, AsyncCallbackManagerForToolRun) and self._manager.handlers:
            await self._manager.get_child().on_custom_event(EVENT, data, run_id=self._manager.run_id)

    def _redacted(self, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not self._redactor:
            yield data
            return
        self._last_time = data["timestamp"]
        whole = self._held.get(data["type"], "") + data["text"]
        if data["type"] in self._held:
            kept = len(whole) - self._redactor.held_back(whole)
            self._held[data["type"]], whole = whole[kept:], whole[:kept]
        if whole or data["type"] not in self._held:
            yield data | {"text": self._redactor.text(whole)}

    def _rest(self) -> Iterator[dict[str, Any]]:
        for kind, text in self._held.items():
            if text:
                yield {"type": kind, "text": self._redactor.text(text), "timestamp": self._last_time}
        self._held = dict.fromkeys(self._held, "")


def delta(event: Any) -> dict[str, Any]:
    """An `OutputEvent` as JSON."""
    data: dict[str, Any] = {"type": event.kind, "text": event.text, "timestamp": event.timestamp}
    if event.artifacts:
        data["artifacts"] = [_described(artifact) for artifact in event.artifacts]
    return data


def _described(artifact: Any) -> dict[str, Any]:
    mime = getattr(artifact, "mime", None)
    return {"kind": artifact.kind, **({"mime": mime} if mime else {})}
