"""One tool call: what it knows of the graph that made it. For the tools and the middleware."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

Injected = Annotated[Any, InjectedToolArg(), SkipJsonSchema()]
"""langgraph's ToolRuntime as a tool's parameter, without importing langgraph, unseen by the model."""

ImagePolicy = Literal["auto", "always", "never"]

_tool_call_id: ContextVar[str | None] = ContextVar("ci_integrations_tool_call_id", default=None)


RUNTIME: Any = Field(default=None, exclude=True)
"""The field `runtime: Injected = RUNTIME` that stands last in every args_schema here. Without `exclude` the graph's
whole state would be copied on each call."""


@contextmanager
def called_as(tool_call_id: str | None) -> Iterator[None]:
    """Tells `_run` the id of its tool call, which LangChain passes to `run` only."""
    token = _tool_call_id.set(tool_call_id)
    try:
        yield
    finally:
        _tool_call_id.reset(token)


@dataclass(frozen=True, eq=False)
class Call:
    """Where a call comes from and where its output goes while it runs."""

    config: RunnableConfig = field(default_factory=RunnableConfig)
    runtime: Any = None
    tool_call_id: str | None = None
    on_output: Any = None
    """For the interpreter: the live output's sync or async entry, or None."""

    @property
    def run(self) -> object:
        """What tells overlapping runs apart: the calls of one turn belong together."""
        message = self.asking_message()
        return message.id if message is not None and message.id else self

    def once_id(self, code: str) -> str | None:
        """The name under which the result is remembered, so that a replayed graph does not run the code again.

        Not the tool call's id alone: some models count from `call_0` in every turn.
        """
        if self.tool_call_id is None:
            return None
        message = self.asking_message()
        asked = message.id if message is not None else ""
        return f"{asked}/{self.tool_call_id}/{hashlib.sha256(code.encode('utf-8', 'replace')).hexdigest()[:16]}"

    def asking_message(self) -> AIMessage | None:
        """The model's message that made this call, where the graph's state shows it."""
        state = getattr(self.runtime, "state", None)
        messages = state.get("messages") if isinstance(state, dict) else getattr(state, "messages", None)
        last = messages[-1] if isinstance(messages, list) and messages else None
        return last if isinstance(last, AIMessage) else None

    def shows_images(self, policy: ImagePolicy) -> bool:
        """`auto`: yes when the model that called is known to take pictures in a tool message."""
        if policy != "auto":
            return policy == "always"
        message = self.asking_message()
        told = message.response_metadata if message is not None else {}
        provider = told.get("model_provider")
        # OpenAI's chat completions take no picture in a tool message; its responses API does.
        return provider in ("anthropic", "google_genai") or (provider == "openai" and told.get("object") == "response")


def genuine(runtime: Any) -> Any:
    """`runtime` if it is langgraph's; outside of ToolNode a model can forge an argument of that name."""
    return runtime if hasattr(runtime, "emit_output_delta") else None


def call_id(runtime: Any) -> str | None:
    return getattr(runtime, "tool_call_id", None) or _tool_call_id.get()
