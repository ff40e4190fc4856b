"""A LlamaIndex LLM follows a script here, to test agents, query engines and workflows without a model or a key.

It works with every supported llama-index-core (0.12.52 to 0.14); core's own scripted fake exists only since 0.14.10.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

from ci_integrations._errors import MissingDependencyError

try:
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata, MessageRole
    from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from llama_index.core.llms.llm import ToolSelection
    from llama_index.core.tools import BaseTool
except ModuleNotFoundError as missing:
    raise MissingDependencyError("ScriptedLLM", "llamaindex") from missing
from pydantic import PrivateAttr

Turn = str | ChatMessage | Callable[[list[ChatMessage]], "str | ChatMessage"]
"""One turn of a script: text, a whole message (`tool_call` makes one), or a function that makes one from the messages
that the model is shown."""


_ids = itertools.count(1)


class ScriptEndedError(AssertionError):
    """The model was asked once more than the script has turns."""


def tool_call(name: str, /, **arguments: object) -> ChatMessage:
    """Returns the message of a model that calls the tool `name` with `arguments`."""
    return tool_calls((name, arguments))


def tool_calls(*calls: tuple[str, Mapping[str, object]]) -> ChatMessage:
    """Returns the message of a model that calls several tools at once: `tool_calls(("a", {"x": 1}), ("b", {}))`."""
    # In additional_kwargs, where 0.12 and 0.13 look for them; 0.14 reads these as well as blocks.
    selections = [
        ToolSelection(tool_id=f"call_{next(_ids)}", tool_name=name, tool_kwargs=dict(arguments))
        for name, arguments in calls
    ]
    return ChatMessage(role=MessageRole.ASSISTANT, content="", additional_kwargs={"tool_calls": selections})


class ScriptedLLM(FunctionCallingLLM):
    """Says `turns` one after the other, whatever it is asked. Several threads may use it.

    `seen` holds the messages of every request, `tools_seen` the tools offered with it. `function_calling=False` makes
    it a model for ReActAgent. Raises `ScriptEndedError` when it is asked more often than the script has turns.
    """

    function_calling: bool = True

    _turns: list[Turn] = PrivateAttr()
    _seen: list[list[ChatMessage]] = PrivateAttr(default_factory=list)
    _tools_seen: list[list[str]] = PrivateAttr(default_factory=list)
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, turns: Sequence[Turn], *, function_calling: bool = True, **kwargs: Any) -> None:
        super().__init__(function_calling=function_calling, **kwargs)
        self._turns = list(turns)

    @classmethod
    def class_name(cls) -> str:
        return "ScriptedLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """Returns what core asks before it calls the model. The context window is large, so that nothing is cut."""
        return LLMMetadata(
            is_chat_model=True, is_function_calling_model=self.function_calling, model_name="scripted",
            context_window=1_000_000,
        )  # fmt: skip

    @property
    def seen(self) -> list[list[ChatMessage]]:
        """Returns the messages of each request so far, oldest request first."""
        return self._seen

    @property
    def tools_seen(self) -> list[list[str]]:
        """Returns the names of the tools offered with each request so far, oldest request first."""
        return self._tools_seen

    @property
    def left(self) -> int:
        """Returns how many turns have not been said."""
        return len(self._turns) - len(self._seen)

    def _answer(self, messages: Sequence[ChatMessage], tools: Sequence[BaseTool] = ()) -> ChatResponse:
        """Says the next turn, and notes what it was shown. Raises ScriptEndedError."""
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

    def _completion(self, prompt: str, *, streamed: bool = False) -> CompletionResponse:
        """Says the next turn as a completion; when it is streamed, all of it is the only piece."""
        answer = self._answer([ChatMessage(role=MessageRole.USER, content=prompt)])
        text = answer.message.content or ""
        return CompletionResponse(text=text, delta=text if streamed else None, raw=answer.raw)

    # Sync and async do not call each other: core's callback decorators would report such a request twice.

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages, kwargs.get("tools", ()))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages, kwargs.get("tools", ()))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        return _stream(self._answer(messages, kwargs.get("tools", ())))

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        return _astream(self._answer(messages, kwargs.get("tools", ())))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: object) -> CompletionResponse:  # noqa: FBT001, FBT002
        return self._completion(prompt)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: object) -> CompletionResponse:  # noqa: FBT001, FBT002
        return self._completion(prompt)

    @llm_completion_callback()
    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002
        **kwargs: object,
    ) -> Generator[CompletionResponse, None, None]:
        return _stream(self._completion(prompt, streamed=True))

    @llm_completion_callback()
    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002
        **kwargs: object,
    ) -> AsyncGenerator[CompletionResponse, None]:
        return _astream(self._completion(prompt, streamed=True))

    def _prepare_chat_with_tools(  # noqa: PLR0917 - core calls it so
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002
        tool_required: bool = False,  # noqa: FBT001, FBT002
        **kwargs: object,
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
        **kwargs: object,
    ) -> list[ToolSelection]:
        """Returns the tool calls of an answer. Raises ValueError when there must be one and is none."""
        calls = [_selection(call) for call in _said_calls(response.message)]
        if error_on_no_tool_call and not calls:
            raise ValueError(f"expected a tool call, the script said {response.message.content!r}")
        return calls


T = TypeVar("T")


def _stream(answer: T) -> Generator[T, None, None]:
    yield answer


async def _astream(answer: T) -> AsyncGenerator[T, None]:
    yield answer


def _said_calls(message: ChatMessage) -> list[Any]:
    """The calls in `additional_kwargs`, which every version knows, and those in blocks, which core 0.14 writes."""
    blocks = [block for block in message.blocks if getattr(block, "block_type", "") == "tool_call"]
    return [*message.additional_kwargs.get("tool_calls", []), *blocks]


def _selection(call: Any) -> ToolSelection:
    """A call in any of its forms as a ToolSelection."""
    if isinstance(call, ToolSelection):
        return call
    if isinstance(call, dict):  # a saved Context gives a model back as a dict
        return ToolSelection.model_validate(call)
    # A block of core 0.14, whose arguments are a dict or, from some providers, JSON text.
    arguments = json.loads(call.tool_kwargs or "{}") if isinstance(call.tool_kwargs, str) else call.tool_kwargs
    return ToolSelection(tool_id=call.tool_call_id or "call", tool_name=call.tool_name, tool_kwargs=arguments)
