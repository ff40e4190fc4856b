"""Charts for models whose LlamaIndex class drops pictures in tool messages: they come in a user message of their own.

Dropped silently by `OpenAI` (chat completions), `AzureOpenAI`, `OpenAILike` and `Groq`, and always by ReActAgent and
CodeActAgent. docs/llamaindex.md has the table.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import CodeActAgent, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock

CAPTION = "Pictures made by the tool calls above:"


class ImageFeedbackMixin:
    """Before an agent class: `class MyAgent(ImageFeedbackMixin, FunctionAgent): ...`.

    Pictures leave the tool messages and follow them in one user message, once.
    """

    async def handle_tool_call_results(self, ctx: Any, results: list[ToolCallResult], memory: Any) -> None:
        """As the agent does, with the pictures moved."""
        pictures = [block for result in results for block in _pictures(result)]
        handle = super().handle_tool_call_results  # type: ignore[misc]
        await handle(ctx, [_without_pictures(result) for result in results], memory)
        ends = any(result.return_direct and not result.tool_output.is_error for result in results)
        if pictures and not ends:
            await self._show(ctx, memory, [TextBlock(text=CAPTION), *pictures])

    async def _show(self, ctx: Any, memory: Any, blocks: list[Any]) -> None:
        """Where the agent's next request is put together: its scratchpad, or, for ReAct, the memory."""
        message = ChatMessage(role=MessageRole.USER, blocks=blocks)
        key = getattr(self, "scratchpad_key", None)
        if key is None:
            await memory.aput(message)
            return
        scratchpad = await ctx.store.get(key, default=[])
        await ctx.store.set(key, [*scratchpad, message])


class ImageFeedbackFunctionAgent(ImageFeedbackMixin, FunctionAgent):
    """FunctionAgent whose model sees the charts."""


class ImageFeedbackReActAgent(ImageFeedbackMixin, ReActAgent):
    """ReActAgent whose model sees the charts."""


class ImageFeedbackCodeActAgent(ImageFeedbackMixin, CodeActAgent):
    """CodeActAgent whose model sees the charts."""


def _pictures(result: ToolCallResult) -> list[Any]:
    return [block for block in result.tool_output.blocks if isinstance(block, ImageBlock)]


def _without_pictures(result: ToolCallResult) -> ToolCallResult:
    """A copy: the original stays whole for the application."""
    blocks = [block for block in result.tool_output.blocks if not isinstance(block, ImageBlock)]
    output = result.tool_output.model_copy(update={"blocks": blocks})
    return ToolCallResult(
        tool_name=result.tool_name, tool_kwargs=result.tool_kwargs, tool_id=result.tool_id,
        tool_output=output, return_direct=result.return_direct,
    )  # fmt: skip
