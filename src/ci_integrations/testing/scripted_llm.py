"""A LlamaIndex LLM that follows a script: agents, query engines and workflows under test without a model or a key.

For every supported llama-index-core (0.12.52 to 0.14); core's own scripted fake exists only since 0.14.10.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any

from ci_integrations._errors import MissingDependencyError

try:
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata, MessageRole
    from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from llama_index.core.llms.llm import ToolSelection
except ModuleNotFoundError as missing:
    raise MissingDependencyError("ScriptedLLM", "llamaindex") from missing
from pydantic import PrivateAttr

Turn = str | ChatMessage | Callable[[list[ChatMessage]], "str | ChatMessage"]
"""What the model says: text, a whole message (`tool_call` makes one), or a function of the messages it is shown."""


_ids = itertools.count(1)


class ScriptEndedError(AssertionError):
    """The model was asked once more than the script has turns."""


def tool_call(name: str, /, **arguments: Any) -> ChatMessage:
    """The message of a model that calls the tool `name` with `arguments`."""
    return tool_calls((name, arguments))


def tool_calls(*calls: tuple[str, dict[str, Any]]) -> ChatMessage:
    """The message of a model that calls several tools at once: `tool_calls(("a", {"x": 1}), ("b", {}))`."""
    selections = [
        ToolSelection(tool_id=f"call_{next(_ids)}", tool_name=name, tool_kwargs=arguments) for name, arguments in calls
    ]
    return ChatMessage(role=MessageRole.ASSISTANT, content="", additional_kwargs={"tool_calls": selections})


class ScriptedLLM(FunctionCallingLLM):
    """Says `turns` one after the other, whatever it is asked; thread-safe.

    `seen` holds the messages of every request, `tools_seen` the tools offered with it. `function_calling=False` makes
    it a model for ReActAgent. Raises `ScriptEndedError` when the script is over.
    """

    function_calling: bool = True

    _turns: list[Turn] = PrivateAttr()
    _seen: list[list[ChatMessage]] = PrivateAttr(default_factory=list)
    _tools_seen: list[list[str]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, turns: Sequence[Turn], *, function_calling: bool = True, **kwargs: Any) -> None:
        super().__init__(function_calling=function_calling, **kwargs)
        self._turns = list(turns)

    @classmethod
    def class_name(cls) -> str:
        return "ScriptedLLM"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            is_chat_model=True, is_function_calling_model=self.function_calling, model_name="scripted",
            context_window=1_000_000,
        )  # fmt: skip

    @property
    def seen(self) -> list[list[ChatMessage]]:
        """The messages of each request so far."""
        return self._seen

    @property
    def tools_seen(self) -> list[list[str]]:
        """The names of the tools offered with each request so far."""
        return self._tools_seen

    @property
    def left(self) -> int:
        """How many turns have not been said."""
        return len(self._turns) - len(self._seen)

    def _answer(self, messages: Sequence[ChatMessage], tools: Sequence[Any] = ()) -> ChatResponse:
        shown = list(messages)
        with self._lock:
            number = len(self._seen)
            if number >= len(self._turns):
                last = shown[-1].content if shown else ""
                raise ScriptEndedError(f"the script has {number} turns, and the model was asked again: {last!r}")
            self._seen.append(shown)
            self._tools_seen.append([tool.metadata.get_name() for tool in tools])
        turn = self._turns[number]
        said = turn(shown) if callable(turn) else turn
        message = said if isinstance(said, ChatMessage) else ChatMessage(role=MessageRole.ASSISTANT, content=said)
        return ChatResponse(message=message, delta=message.content or "", raw={"turn": number})

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages, kwargs.get("tools", ()))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages, kwargs.get("tools", ()))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        answer = self._answer(messages, kwargs.get("tools", ()))

        def chunks() -> Generator[ChatResponse, None, None]:
            yield answer

        return chunks()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        answer = self._answer(messages, kwargs.get("tools", ()))

        async def chunks() -> AsyncGenerator[ChatResponse, None]:
            yield answer

        return chunks()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        answer = self._answer([ChatMessage(role=MessageRole.USER, content=prompt)])
        return CompletionResponse(text=answer.message.content or "", raw=answer.raw)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002
        answer = self._answer([ChatMessage(role=MessageRole.USER, content=prompt)])
        return CompletionResponse(text=answer.message.content or "", raw=answer.raw)

    @llm_completion_callback()
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> Generator[CompletionResponse, None, None]:
        answer = self._answer([ChatMessage(role=MessageRole.USER, content=prompt)])

        def chunks() -> Generator[CompletionResponse, None, None]:
            text = answer.message.content or ""
            yield CompletionResponse(text=text, delta=text, raw=answer.raw)

        return chunks()

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> AsyncGenerator[CompletionResponse, None]:
        answer = self._answer([ChatMessage(role=MessageRole.USER, content=prompt)])

        async def chunks() -> AsyncGenerator[CompletionResponse, None]:
            text = answer.message.content or ""
            yield CompletionResponse(text=text, delta=text, raw=answer.raw)

        return chunks()

    def _prepare_chat_with_tools(  # noqa: PLR0917 - core calls it so
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002
        tool_required: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if user_msg is not None:
            asked = user_msg if isinstance(user_msg, ChatMessage) else ChatMessage(role="user", content=user_msg)
            messages.append(asked)
        return {"messages": messages, "tools": list(tools)}

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> list[ToolSelection]:
        calls = [_selection(call) for call in _said_calls(response.message)]
        if error_on_no_tool_call and not calls:
            raise ValueError(f"expected a tool call, the script said {response.message.content!r}")
        return calls


def _said_calls(message: ChatMessage) -> list[Any]:
    """Calls in `additional_kwargs`, as every version knows them, or in blocks, as core 0.14 writes them."""
    blocks = [block for block in message.blocks if getattr(block, "block_type", "") == "tool_call"]
    return [*message.additional_kwargs.get("tool_calls", []), *blocks]


def _selection(call: Any) -> ToolSelection:
    """Restored from a saved Context it is a dict."""
    if isinstance(call, ToolSelection):
        return call
    if isinstance(call, dict):
        return ToolSelection.model_validate(call)
    arguments = json.loads(call.tool_kwargs or "{}") if isinstance(call.tool_kwargs, str) else call.tool_kwargs
    return ToolSelection(tool_id=call.tool_call_id or "call", tool_name=call.tool_name, tool_kwargs=arguments)
