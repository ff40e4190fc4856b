"""Lets agents work with attached files: the files go into the sandbox, and the model is told their paths.

    agent = CodeInterpreterFunctionAgent(tools=[CodeInterpreterTool()], llm=llm)
    await agent.run(user_msg=ChatMessage(role="user", blocks=[TextBlock(text="Sum it up."), DocumentBlock(...)]))

A tool cannot do this alone: LlamaIndex hands it its arguments and the Context, but not the request, nor its call's id.
"""
# No `from __future__ import annotations` here: pydantic reads the mixin's fields from its annotations.

import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from llama_index.core.agent.workflow import AgentOutput, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ContentBlock, MessageRole, TextBlock
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool
from llama_index.core.workflow import Context

from ci_integrations._adapters.attachments import (
    MAX_BYTES,
    Attachment,
    attachment,
    decoded,
    described,
    distinct,
    met,
    staged,
)
from ci_integrations._adapters.outcome import cache_key
from ci_integrations._core.flow import adrive
from ci_integrations._names import PDF
from ci_integrations.llamaindex._run import CALLS
from ci_integrations.llamaindex._sessions import Sessions
from ci_integrations.llamaindex.image_feedback import ImageFeedbackMixin, with_last_pictures

_STAGED = "code_interpreter_attachments"
"""Where a Context's store keeps the sandbox, the digests of its files, and why a file is not there by its path."""
_BYTES = {"image": "image", "audio": "audio", "video": "video", "document": "data"}
"""The field with a block's content, by the block's type."""
_TYPES = {"image": "image_mimetype", "video": "video_mimetype", "document": "document_mimetype"}
_UNNAMED = "input_document"
"""The title that LlamaIndex gives to a document without one."""


class CodeInterpreterAgentMixin(ImageFeedbackMixin):
    """Before an agent class: `class MyAgent(CodeInterpreterAgentMixin, FunctionAgent): ...`.

    Attached files are put into the sandbox when the model calls a tool that works there, and the model is told their
    paths; pictures and PDFs are sent along as well. A tool call that was answered is not run again. Pictures follow the
    tool messages, as with `ImageFeedbackMixin`.
    """

    stage_attachments: bool = True
    """False: attached files are left to the model's provider."""
    last_images: int | None = 2
    """Pictures of the tools' that a request shows. None: all of them."""

    async def take_step(
        self, ctx: Any, llm_input: list[ChatMessage], tools: Sequence[AsyncBaseTool], memory: BaseMemory
    ) -> AgentOutput:
        """Asks the model as the agent does; then stages the files when the model is about to use the sandbox."""
        held = await ctx.store.get(_STAGED, default=None) or {}
        files = attachments(llm_input) if self.stage_attachments else []
        messages = with_last_pictures(named_instead(llm_input, files, held.get("failed", {})), self.last_images)
        # The files are named before a sandbox exists: where they will be depends on their names and contents only.
        output: AgentOutput = await super().take_step(ctx, messages, tools, memory)  # type: ignore[misc]
        of_tools = {tool.metadata.get_name(): getattr(tool, "sessions", None) for tool in tools}
        calls = [call for call in output.tool_calls if isinstance(of_tools.get(call.tool_name), Sessions)]
        turn = uuid.uuid4().hex
        keys = [cache_key(call.tool_id, str(call.tool_kwargs.get("code")), turn) for call in calls]
        # With the turn, because some models count their calls from `call_0` in every turn.
        await ctx.store.set(CALLS, keys)
        if calls and files:
            await self._stage(ctx, cast("Sessions", of_tools[calls[0].tool_name]), files, held)
        return output

    async def _stage(self, ctx: Context, sessions: Sessions, files: list[Attachment], held: dict[str, Any]) -> None:
        session = await sessions.of(ctx)
        interpreter = session.interpreter
        if sessions.is_taken_over(session.key):
            await adrive(met(interpreter))
        # One that took a lost sandbox's place does not have the files.
        present = held.get("files", []) if held.get("sandbox") == interpreter.sandbox_id else []
        there, failed = await adrive(staged(interpreter, files, present))
        await ctx.store.set(_STAGED, {"sandbox": interpreter.sandbox_id, "files": there, "failed": failed})


class CodeInterpreterFunctionAgent(CodeInterpreterAgentMixin, FunctionAgent):
    """FunctionAgent that puts attached files into the sandbox."""


class CodeInterpreterReActAgent(CodeInterpreterAgentMixin, ReActAgent):
    """ReActAgent that puts attached files into the sandbox."""


def attachments(messages: Iterable[ChatMessage]) -> list[Attachment]:
    """Returns every file in the users' messages, each content once; two files of one name get different paths."""
    users = [message for message in messages if message.role == MessageRole.USER]
    return distinct(file for message in users for block in message.blocks if (file := _file(block)) is not None)


def named_instead(messages: list[ChatMessage], files: list[Attachment], failed: Mapping[str, str]) -> list[ChatMessage]:
    """Returns the messages with each file named by its path. `failed` says, by path, why a file is not there."""
    words = {file.data: described(file, failed.get(file.path)) for file in files}
    return [_named(message, words) for message in messages] if words else messages


def _named(message: ChatMessage, words: dict[bytes, str]) -> ChatMessage:
    if message.role != MessageRole.USER:
        return message
    return message.model_copy(update={"blocks": [told for block in message.blocks for told in _told(block, words)]})


def _told(block: ContentBlock, words: dict[bytes, str]) -> list[ContentBlock]:
    file = _file(block)
    if file is None or file.data not in words:
        return [block]
    is_seen = block.block_type == "image" or getattr(block, "document_mimetype", None) == PDF
    return [*([block] if is_seen else []), TextBlock(text=words[file.data])]


def _file(block: object) -> Attachment | None:
    """Returns the file in a content block; None for what is no file, is at an address, or is too large."""
    kind = getattr(block, "block_type", "")
    if kind not in _BYTES:
        return None
    given = getattr(block, "path", None)
    path = Path(given) if given else None
    title = getattr(block, "title", None) or ""
    name = path.name if path else "" if title == _UNNAMED else title
    mime = getattr(block, _TYPES.get(kind, ""), None) or f"{kind}/{getattr(block, 'format', None) or 'x-unknown'}"
    return attachment(_content(path, getattr(block, _BYTES[kind])), name, mime)


def _content(path: Path | None, data: object) -> bytes | None:
    if path is not None:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= MAX_BYTES else None
    # Blocks keep Base64, whatever they were made of; an open file is left to the provider's class.
    return decoded(data.decode("ascii", "replace")) if isinstance(data, bytes) else None
