"""Answers a conversation about files and DataFrames: each message may be about the answer to the last one.

chat = CodeInterpreterQueryEngine(files=["sales.csv"], llm=llm).as_chat_engine()
chat.chat("Revenue by region?")
chat.chat("And only the two largest of them?")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from threading import Thread
from typing import Protocol

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine, StreamingAgentChatResponse
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer
from llama_index.core.tools import ToolOutput

from ci_integrations._closing import AsyncClosing, Closing
from ci_integrations.llamaindex.analysis.conversation import Conversation, turns_of

AnyAnswer = Response | StreamingResponse | AsyncStreamingResponse


class Answers(Protocol):
    """What answers the messages: a `CodeInterpreterQueryEngine`."""

    @property
    def conversation(self) -> Conversation:
        """What was asked before."""

    def ask(self, question: str, *, streaming: bool) -> AnyAnswer:
        """Answers a question and waits."""

    async def aask(self, question: str, *, streaming: bool) -> AnyAnswer:
        """Answers a question, awaited."""

    def close(self) -> None:
        """Ends what the engine has opened."""

    async def aclose(self) -> None:
        """Ends it, awaited."""


class CodeInterpreterChatEngine(Closing, AsyncClosing, BaseChatEngine):
    """Answers messages with programs over the data of `engine`, which is its own: `engine.as_chat_engine()` makes one.

    The model is told of the earlier messages with their programs, and its program finds what the last one came to as
    `last_result`. `memory`: keeps the messages; None: one that holds all of them within 100 000 tokens. A
    `chat_history=` that is given with a message takes the place of what was kept. Sources of an answer are the query
    engine's response: `answer.sources[0].raw_output.charts`.
    """

    def __init__(self, engine: Answers, memory: BaseMemory | None = None) -> None:
        self._engine = engine
        self._memory = memory or ChatMemoryBuffer.from_defaults(token_limit=100_000)
        engine.conversation.turns = turns_of(self.chat_history)

    @property
    def chat_history(self) -> list[ChatMessage]:
        """The messages so far."""
        return self._memory.get_all()

    def chat(self, message: str, chat_history: list[ChatMessage] | None = None) -> AgentChatResponse:
        """Answers a message and waits."""
        self._take(chat_history)
        answer = self._engine.ask(message, streaming=False)
        self._keep(message, str(answer))
        return AgentChatResponse(str(answer), sources=[_source(message, answer)], metadata=answer.metadata)

    async def achat(self, message: str, chat_history: list[ChatMessage] | None = None) -> AgentChatResponse:
        """Answers a message, awaited."""
        self._take(chat_history)
        answer = await self._engine.aask(message, streaming=False)
        self._keep(message, str(answer))
        return AgentChatResponse(str(answer), sources=[_source(message, answer)], metadata=answer.metadata)

    def stream_chat(self, message: str, chat_history: list[ChatMessage] | None = None) -> StreamingAgentChatResponse:
        """Answers a message in words that come one after the other, once its program has run."""
        self._take(chat_history)
        answer = self._engine.ask(message, streaming=True)
        if not isinstance(answer, StreamingResponse):
            raise TypeError(f"{type(answer).__name__} is no stream")
        self._memory.put(ChatMessage(role=MessageRole.USER, content=message))
        said = StreamingAgentChatResponse(chat_stream=_pieces(answer), sources=[_source(message, answer)])
        thread = Thread(target=said.write_response_to_history, args=(self._memory,), daemon=True)
        said.write_response_to_history_thread = thread
        thread.start()
        return said

    async def astream_chat(
        self, message: str, chat_history: list[ChatMessage] | None = None
    ) -> StreamingAgentChatResponse:
        """Answers a message as `stream_chat` does, awaited."""
        self._take(chat_history)
        answer = await self._engine.aask(message, streaming=True)
        if not isinstance(answer, AsyncStreamingResponse):
            raise TypeError(f"{type(answer).__name__} is no asynchronous stream")
        await self._memory.aput(ChatMessage(role=MessageRole.USER, content=message))
        said = StreamingAgentChatResponse(achat_stream=_apieces(answer), sources=[_source(message, answer)])
        said._ensure_async_setup()  # noqa: SLF001 - core's own engines call it, and have no other way
        said.awrite_response_to_history_task = asyncio.create_task(said.awrite_response_to_history(self._memory))
        return said

    def reset(self) -> None:
        """Forgets the conversation."""
        self._memory.reset()
        self._engine.conversation.clear()

    def close(self) -> None:
        """Ends the engine's kernel and session."""
        self._engine.close()

    async def aclose(self) -> None:
        """Ends them, awaited."""
        await self._engine.aclose()

    def _take(self, chat_history: list[ChatMessage] | None) -> None:
        if chat_history is not None:
            self._memory.set(chat_history)
            self._engine.conversation.turns = turns_of(chat_history)

    def _keep(self, message: str, answer: str) -> None:
        self._memory.put(ChatMessage(role=MessageRole.USER, content=message))
        self._memory.put(ChatMessage(role=MessageRole.ASSISTANT, content=answer))


def _source(message: str, answer: AnyAnswer) -> ToolOutput:
    return ToolOutput(
        content=str(answer) if isinstance(answer, Response) else "", tool_name="query_engine",
        raw_input={"query": message}, raw_output=answer,
    )  # fmt: skip


def _pieces(answer: StreamingResponse) -> Generator[ChatResponse, None, None]:
    said = ""
    for piece in answer.response_gen:
        said += piece
        yield _piece(said, piece)


async def _apieces(answer: AsyncStreamingResponse) -> AsyncGenerator[ChatResponse, None]:
    said = ""
    async for piece in answer.response_gen:
        said += piece
        yield _piece(said, piece)


def _piece(said: str, piece: str) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=said), delta=piece)
