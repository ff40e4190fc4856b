"""Shows charts to models whose LlamaIndex class drops pictures in tool messages: a user message carries them.

`OpenAI` (chat completions), `AzureOpenAI`, `OpenAILike` and `Groq` drop them silently, and so do ReActAgent and
CodeActAgent with every model. docs/llamaindex.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.agent.workflow import CodeActAgent, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ContentBlock, ImageBlock, MessageRole, TextBlock
from llama_index.core.memory import BaseMemory
from llama_index.core.workflow import Context

CAPTION = "Pictures made by the tool calls above:"


class ImageFeedbackMixin:
    """Moves pictures out of the tool messages, into one user message that follows them.

    It stands before an agent class: `class MyAgent(ImageFeedbackMixin, FunctionAgent): ...`.
    """

    last_images: int | None = None
    """Pictures of the tools' that a request shows. None: all of them."""

    async def handle_tool_call_results(self, ctx: Context, results: list[ToolCallResult], memory: BaseMemory) -> None:
        """Hands the results on as the agent does, with the pictures moved."""
        pictures = [block for result in results for block in _pictures(result)]
        handle = super().handle_tool_call_results  # type: ignore[misc]
        await handle(ctx, [_without_pictures(result) for result in results], memory)
        # A call that returns directly ends the run: nobody would read the message.
        ends = any(result.return_direct and not result.tool_output.is_error for result in results)
        if pictures and not ends:
            await self._show(ctx, memory, [TextBlock(text=CAPTION), *pictures])

    async def _show(self, ctx: Context, memory: BaseMemory, blocks: list[ContentBlock]) -> None:
        """Puts the message where the agent's next request is made of: its scratchpad, or, for ReAct, the memory."""
        message = ChatMessage(role=MessageRole.USER, blocks=blocks)
        # ReActAgent has no scratchpad of messages: it keeps its reasoning as text.
        key = getattr(self, "scratchpad_key", None)
        if key is None:
            await memory.aput(message)
            return
        scratchpad = await ctx.store.get(key, default=[])
        await ctx.store.set(key, with_last_pictures([*scratchpad, message], self.last_images))


class ImageFeedbackFunctionAgent(ImageFeedbackMixin, FunctionAgent):
    """FunctionAgent whose model sees the charts."""


class ImageFeedbackReActAgent(ImageFeedbackMixin, ReActAgent):
    """ReActAgent whose model sees the charts."""


class ImageFeedbackCodeActAgent(ImageFeedbackMixin, CodeActAgent):
    """CodeActAgent whose model sees the charts."""


def with_last_pictures(messages: Sequence[ChatMessage], last: int | None) -> list[ChatMessage]:
    """Returns the messages with the last `last` pictures of the tools'. The users' own pictures stay."""
    left, kept = last, list[ChatMessage]()
    for message in reversed(messages):
        if left is not None and message.blocks and message.blocks[0] == TextBlock(text=CAPTION):
            shown = message.blocks[1:][-left:] if left else []
            left -= len(shown)
            if not shown:
                continue
            message = message.model_copy(update={"blocks": [message.blocks[0], *shown]})  # noqa: PLW2901
        kept.append(message)
    return kept[::-1]


def _pictures(result: ToolCallResult) -> list[ImageBlock]:
    return [block for block in result.tool_output.blocks if isinstance(block, ImageBlock)]


def _without_pictures(result: ToolCallResult) -> ToolCallResult:
    """Returns a copy without pictures. The original stays whole for the application."""
    blocks = [block for block in result.tool_output.blocks if not isinstance(block, ImageBlock)]
    output = result.tool_output.model_copy(update={"blocks": blocks})
    return ToolCallResult(
        tool_name=result.tool_name, tool_kwargs=result.tool_kwargs, tool_id=result.tool_id,
        tool_output=output, return_direct=result.return_direct,
    )  # fmt: skip
