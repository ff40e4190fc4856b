"""Describes one tool call: what it knows of the graph that made it. For the tools and the middleware."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Protocol, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from ci_integrations._adapters.images import ImagePolicy, shows_images
from ci_integrations._adapters.outcome import cache_key
from ci_integrations._core.conversation.seen import Seen
from ci_integrations.interpreter import OutputHandler
from ci_integrations.langchain._seen import asking_message, messages_of, seen_in

Injected = Annotated[Any, InjectedToolArg(), SkipJsonSchema()]
"""langgraph's ToolRuntime as a tool's parameter, without importing langgraph, unseen by the model."""

_tool_call_id: ContextVar[str | None] = ContextVar("ci_integrations_tool_call_id", default=None)


RUNTIME: Any = Field(default=None, exclude=True)
"""The field `runtime: Injected = RUNTIME` that stands last in every args_schema here. Without `exclude` the graph's
whole state would be copied on each call."""


class ToolRuntime(Protocol):
    """langgraph's ToolRuntime, as far as it is used here."""

    state: object
    tool_call_id: str | None
    stream_writer: Callable[[object], object]

    def emit_output_delta(self, delta: object, /) -> object:
        """Sends a part of a running tool's output to the stream `tools`."""


@contextmanager
def called_as(tool_call_id: str | None) -> Iterator[None]:
    """Passes the id of the tool call on to `_run`: LangChain gives it to `run` only."""
    token = _tool_call_id.set(tool_call_id)
    try:
        yield
    finally:
        _tool_call_id.reset(token)


@dataclass(frozen=True, eq=False)
class Call:
    """Where a call comes from and where its output goes while it runs."""

    config: RunnableConfig = field(default_factory=RunnableConfig)
    runtime: ToolRuntime | None = None
    tool_call_id: str | None = None
    on_output: OutputHandler | None = None
    """Gets the output while the call runs; None where nobody listens."""

    @property
    def run(self) -> object:
        """What tells overlapping runs apart: the calls of one turn belong together."""
        message = self.asking_message()
        return message.id if message is not None and message.id else self

    @cached_property
    def seen(self) -> Seen:
        """What the call sees of its conversation."""
        return seen_in(self.config, getattr(self.runtime, "state", None), self.tool_call_id)

    @property
    def thread(self) -> str | None:
        """How the application names the conversation; None where it does not."""
        named = (self.config.get("configurable") or {}).get("thread_id")
        return None if named is None else str(named)

    @property
    def conversation(self) -> object:
        """What tells conversations apart that have no name: the first message's id. None where no graph shows it."""
        return next((messages[0].id for messages in messages_of(getattr(self.runtime, "state", None))), None)

    def cache_key(self, code: str) -> str | None:
        """Returns the name under which the result is kept: see `outcome.cache_key`.

        None where no message with an id asks: some models give each turn's calls the same ids, and an equal call may be
        a new one.
        """
        asked_by = self.seen.asked_by
        return cache_key(self.tool_call_id, code, asked_by) if asked_by else None

    def asking_message(self) -> AIMessage | None:
        """Returns the model's message that made this call, where the graph's state shows it."""
        return asking_message(getattr(self.runtime, "state", None), self.tool_call_id)

    def shows_images(self, policy: ImagePolicy) -> bool:
        """True when the answer may carry pictures. `auto` asks which provider's model made the call."""
        message = self.asking_message()
        told = message.response_metadata if message is not None else {}
        return shows_images(policy, told.get("model_provider"), is_responses_api=told.get("object") == "response")


def genuine(runtime: object) -> ToolRuntime | None:
    """Returns `runtime` if it is langgraph's; outside of ToolNode a model can forge an argument of that name."""
    return cast("ToolRuntime", runtime) if hasattr(runtime, "emit_output_delta") else None


def call_id(runtime: ToolRuntime | None) -> str | None:
    """Returns the id of the tool call, from langgraph or from LangChain's `run`; None without one."""
    return getattr(runtime, "tool_call_id", None) or _tool_call_id.get()
