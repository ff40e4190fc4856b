"""One tool call: what it knows of its graph, how it reaches its session, how its answer is made.

Shared by every tool of this package, so that all have one session, one way to fail and one way to answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from ci_integrations.errors import QueueTimeoutError, SandboxError

FAILURES = (SandboxError, QueueTimeoutError)
"""What happens at run time and becomes an error message; everything else is the programmer's and is raised."""

Injected = Annotated[Any, InjectedToolArg(), SkipJsonSchema()]
"""langgraph's ToolRuntime as a tool's parameter, without importing langgraph, unseen by the model."""

_tool_call_id: ContextVar[str | None] = ContextVar("ci_integrations_tool_call_id", default=None)


class ToolInput(BaseModel):
    """The base of every args_schema here. `exclude`: the graph's whole state would be copied on each call."""

    runtime: Injected = Field(default=None, exclude=True)


@contextmanager
def called_as(tool_call_id: str | None) -> Iterator[None]:
    """Tells `_run` the id of its tool call: LangChain passes it to `run` only."""
    token = _tool_call_id.set(tool_call_id)
    try:
        yield
    finally:
        _tool_call_id.reset(token)


@dataclass(frozen=True)
class Origin:
    """Where a call comes from."""

    config: RunnableConfig = field(default_factory=RunnableConfig)
    runtime: Any = None
    tool_call_id: str | None = None

    @classmethod
    def of(cls, config: RunnableConfig | None, runtime: Any) -> Origin:
        # Outside of ToolNode a model can forge the argument `runtime`: only the real thing has this method.
        genuine = runtime if hasattr(runtime, "emit_output_delta") else None
        return cls(config or {}, genuine, getattr(genuine, "tool_call_id", None) or _tool_call_id.get())

    @property
    def run(self) -> object:
        """What tells overlapping runs apart: calls of one turn belong together."""
        message = self.asking_message()
        return message.id if message is not None and message.id else object()

    def asking_message(self) -> AIMessage | None:
        """The model's message that made this call, where the graph's state shows it."""
        state = getattr(self.runtime, "state", None)
        messages = state.get("messages") if isinstance(state, dict) else getattr(state, "messages", None)
        last = messages[-1] if isinstance(messages, list) and messages else None
        return last if isinstance(last, AIMessage) else None


ImagePolicy = Literal["auto", "always", "never"]


def shows_images(policy: ImagePolicy, origin: Origin) -> bool:
    """`auto`: yes when the model that called is known to take pictures in a tool message."""
    if policy != "auto":
        return policy == "always"
    message = origin.asking_message()
    told = message.response_metadata if message is not None else {}
    provider = told.get("model_provider")
    # OpenAI's chat completions take no picture in a tool message; its responses API does.
    return provider in ("anthropic", "google_genai") or (provider == "openai" and told.get("object") == "response")
