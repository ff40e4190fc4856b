"""Reads the files that a user attached out of LangChain's messages, and names them to the model instead.

The rules about names, sizes and words are in `_adapters/attachments.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage

from ci_integrations._adapters.attachments import Attachment, attachment, decoded, described, distinct
from ci_integrations._names import PDF

Block = dict[str, Any]
"""One of a message's standard content blocks."""

_SEEN_BY_MODELS = frozenset({"image"})
"""Block types that stay in the request; PDF files do as well."""
_TYPES = frozenset({"file", "image", "audio", "video", "text-plain"})


def attachments(messages: Iterable[object]) -> list[Attachment]:
    """Returns every attached file, each content once; two files of one name get different paths."""
    return distinct(file for block in _blocks(messages) if (file := _file(block)) is not None)


def named_instead(messages: list[AnyMessage], placed: list[Attachment], failed: Mapping[str, str]) -> list[AnyMessage]:
    """Returns the request's messages with each file told by its path; pictures and PDFs are sent along as well.

    `failed` says, by path, why a file is not in the sandbox.
    """
    words = {file.data: described(file, failed.get(file.path)) for file in placed}
    return [_named(message, words) if isinstance(message, HumanMessage) else message for message in messages]


def _named(message: HumanMessage, words: dict[bytes, str]) -> HumanMessage:
    if not words or not isinstance(message.content, list):
        return message
    blocks = [told for block in message.content_blocks for told in _told(dict(block), words)]
    return message.model_copy(update={"content": blocks})


def _told(block: Block, words: dict[bytes, str]) -> Iterator[Block]:
    file = _file(block)
    told = words.get(file.data) if file is not None else None
    if told is None:
        yield block
        return
    # A model that can see the file reads it in the request; its code needs the path as well.
    if block["type"] in _SEEN_BY_MODELS or block.get("mime_type") == PDF:
        yield block
    yield {"type": "text", "text": told}


def _blocks(messages: Iterable[object]) -> Iterator[Block]:
    for message in messages:
        if isinstance(message, HumanMessage) and isinstance(message.content, list):
            # `content_blocks` translates the blocks of every provider into LangChain's own.
            yield from (dict(block) for block in message.content_blocks)


def _file(block: Block) -> Attachment | None:
    """Returns the file in a block; None for what is no file, or is at an address, or is too large, or is no Base64."""
    if block.get("type") not in _TYPES:
        return None
    # Where a block of a provider has the file's name is not agreed on: LangChain keeps unknown fields in `extras`.
    extras, text = block.get("extras") or {}, block.get("text")
    names = (block.get(key) or extras.get(key) for key in ("filename", "file_name", "name", "title"))
    is_text = block["type"] == "text-plain" and isinstance(text, str)
    return attachment(
        str(text).encode() if is_text else decoded(block.get("base64")),
        str(next(filter(None, names), "")),
        str(block.get("mime_type") or ""),
        ".txt" if "text" in block else ".bin",
    )
