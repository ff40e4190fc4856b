"""A LangChain chat model follows a script here, to test agents without a model, a key or a network.

    model = ScriptedChatModel([ScriptedChatModel.call("code_interpreter", code="6 * 7"), "It is 42."])
    agent = create_agent(model, tools=[CodeInterpreterTool()])

LangChain's own fakes do not support `bind_tools`. This one does, so it works in `create_agent`, with middleware, sync
and async, streaming or not.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, PrivateAttr

from ci_integrations._errors import MissingDependencyError

try:
    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
    from langchain_core.messages.tool import tool_call, tool_call_chunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable
    from langchain_core.utils.function_calling import convert_to_openai_tool
except ImportError as missing:
    raise MissingDependencyError("ScriptedChatModel", "langchain") from missing

Turn = str | AIMessage | Exception | Callable[[list[BaseMessage]], "str | AIMessage"]
"""One turn of a script: text, a message (`ScriptedChatModel.call` makes one that calls a tool), an exception to raise,
or a function that makes one from the messages that the model is shown."""


class ScriptedChatModel(BaseChatModel):
    """Says `turns` one after the other, whatever it is asked; the same object may serve several threads.

    `calls` holds the messages of every request, `bound_tools` the names of the tools bound to it, newest last.
    `profile=` is what middleware sees as the model's abilities, for example `{"image_inputs": True}`.
    Raises `RuntimeError` when it is asked more often than the script has turns.
    """

    # Not `list[Turn]`: pydantic has no schema for exceptions.
    turns: list[Any] = Field(default_factory=list)
    name_of_model: str = "scripted"
    """The name under which callbacks and traces see the model."""

    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _bound: list[list[str]] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, turns: Sequence[Turn] = (), **fields: Any) -> None:
        super().__init__(turns=list(turns), **fields)

    @staticmethod
    def call(tool: str, /, *, text: str = "", call_id: str | None = None, **arguments: object) -> AIMessage:
        """Returns the message of a model that calls one tool. The id is unique unless `call_id` gives it."""
        return ScriptedChatModel.parallel_calls((tool, arguments), text=text, call_ids=[call_id] if call_id else None)

    @staticmethod
    def parallel_calls(
        *calls: tuple[str, Mapping[str, object]], text: str = "", call_ids: Sequence[str] | None = None
    ) -> AIMessage:
        """Returns the message of a model that calls several tools at once: `("tool", {"argument": 1}), ...`.

        Raises ValueError when there are `call_ids` and not as many as calls.
        """
        ids = call_ids or [f"call_{uuid.uuid4().hex[:12]}" for _ in calls]
        made = [tool_call(name=name, args=dict(args), id=id_) for (name, args), id_ in zip(calls, ids, strict=True)]
        return AIMessage(text, tool_calls=made)

    @property
    def calls(self) -> list[list[BaseMessage]]:
        """Returns the messages of each request so far, oldest request first."""
        return self._calls

    @property
    def bound_tools(self) -> list[list[str]]:
        """Returns the names of the tools of each `bind_tools` so far, oldest first."""
        return self._bound

    @property
    def _llm_type(self) -> str:
        return self.name_of_model

    def bind_tools(self, tools: Sequence[Any], **kwargs: object) -> Runnable[Any, AIMessage]:
        """Notes the names of `tools`; everything that is a tool to LangChain may be among them."""
        specs = [convert_to_openai_tool(tool) for tool in tools]
        self._bound.append([spec["function"]["name"] for spec in specs])
        return self.bind(tools=specs, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in _pieces(self._next(messages)):
            # The callback comes from the model, not from LangChain: without it `stream_mode="messages"` stays silent.
            chunk = ChatGenerationChunk(message=piece)
            if run_manager is not None:
                run_manager.on_llm_new_token(piece.text, chunk=chunk)
            yield chunk

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        """Says the next turn: returns a message or raises the script's exception. A turn is used up in both cases."""
        with self._lock:
            turn = self._turn(len(self._calls))
            self._calls.append(list(messages))
        said = turn(list(messages)) if callable(turn) else turn
        if isinstance(said, Exception):
            raise said
        # A copy: LangGraph gives a message without an id one, and the same object may be said to several threads.
        return AIMessage(said) if isinstance(said, str) else said.model_copy()

    def _turn(self, number: int) -> Turn:
        if number < len(self.turns):
            turn: Turn = self.turns[number]
            return turn
        raise RuntimeError(f"the script has {len(self.turns)} turns, and the model was asked once more")


def _pieces(message: AIMessage) -> Iterator[AIMessageChunk]:
    """The message as a provider streams it: text word by word, then one chunk for each tool call, then the end."""
    # Content that is a list of blocks goes out whole, as providers do not cut blocks either.
    words = re.findall(r"\s*\S+\s*$|\s*\S+", message.content) if isinstance(message.content, str) else [message.content]
    for word in words:
        yield AIMessageChunk(content=word, id=message.id)
    for index, call in enumerate(message.tool_calls):
        chunk = tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
        yield AIMessageChunk(content="", id=message.id, tool_call_chunks=[chunk])
    last = AIMessageChunk(content="", id=message.id, response_metadata=message.response_metadata)
    last.chunk_position = "last"  # since langchain-core 1.0: only then are the pieces of tool calls parsed strictly
    yield last
