"""Files that a user attached to a message: put into the sandbox, and named to the model instead of sent as bytes.

Where a file will be is decided by its name and its content alone, so the model can be told before a sandbox exists.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage

FOLDER = "/home/user"
MAX_BYTES = 100 * 1024 * 1024
"""Of one attachment."""
_SEEN_BY_MODELS = frozenset({"image"})
"""Block types that stay in the request; PDF files do as well."""
_TYPES = frozenset({"file", "image", "audio", "video", "text-plain"})


@dataclass(frozen=True)
class Attachment:
    """One file of a user's message."""

    path: str
    data: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()[:16]


def attachments(messages: Iterable[AnyMessage]) -> list[Attachment]:
    """Every attached file, each content once; two files of one name get different paths."""
    found: dict[tuple[str, bytes], Attachment] = {}
    taken: set[str] = set()
    for block in _blocks(messages):
        file = _file(block)
        if file is None or (file.path, file.data) in found:
            continue
        placed = file if file.path not in taken else Attachment(_other(file), file.data)
        found[file.path, file.data] = placed
        taken.add(placed.path)
    return list(found.values())


def named_instead(messages: list[AnyMessage], placed: list[Attachment], failed: Mapping[str, str]) -> list[AnyMessage]:
    """The request's messages with each file told by its path; pictures and PDFs are sent along as well.

    `failed` says, by path, why a file is not in the sandbox.
    """
    paths = {file.data: _where(file, failed.get(file.path)) for file in placed}
    return [_named(message, paths) if isinstance(message, HumanMessage) else message for message in messages]


def _named(message: HumanMessage, paths: dict[bytes, str]) -> HumanMessage:
    if not isinstance(message.content, list):
        return message
    blocks = [told for block in message.content_blocks for told in _told(dict(block), paths)]
    return message.model_copy(update={"content": blocks}) if paths else message


def _told(block: dict[str, Any], paths: dict[bytes, str]) -> Iterator[dict[str, Any]]:
    file = _file(block)
    where = paths.get(file.data) if file is not None else None
    if where is None:
        yield block
        return
    if block["type"] in _SEEN_BY_MODELS or block.get("mime_type") == "application/pdf":
        yield block
    yield {"type": "text", "text": where}


def _where(file: Attachment, failure: str | None) -> str:
    if failure is not None:
        return f"[attached file {file.path.rpartition('/')[2]}: could not be put into the sandbox: {failure}]"
    return f"[attached file, in the sandbox: {file.path} ({len(file.data):,} bytes)]"


def _blocks(messages: Iterable[AnyMessage]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if isinstance(message, HumanMessage) and isinstance(message.content, list):
            yield from (dict(block) for block in message.content_blocks)


def _file(block: dict[str, Any]) -> Attachment | None:
    """None for what is no file, or lies at an address, or is too large, or is no base64."""
    if block.get("type") not in _TYPES:
        return None
    data = _data(block)
    if data is None or not 0 < len(data) <= MAX_BYTES:
        return None
    return Attachment(f"{FOLDER}/{_name(block, data)}", data)


def _data(block: dict[str, Any]) -> bytes | None:
    if block["type"] == "text-plain" and isinstance(block.get("text"), str):
        return str(block["text"]).encode()
    encoded = block.get("base64")
    if not isinstance(encoded, str) or len(encoded) > MAX_BYTES * 4 // 3 + 4:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def _name(block: dict[str, Any], data: bytes) -> str:
    """The file's own name without any folder, made safe; else one from its content."""
    extras = block.get("extras") or {}
    given = next(
        (str(v) for k in ("filename", "file_name", "name", "title") if (v := block.get(k) or extras.get(k))), ""
    )
    name = re.sub(r"[^\w.\- ]", "_", re.split(r"[/\\]", given)[-1]).strip(". ")[:120]
    if name:
        return name
    ending = mimetypes.guess_extension(str(block.get("mime_type") or "")) or (".txt" if "text" in block else ".bin")
    return f"attachment-{hashlib.sha256(data).hexdigest()[:8]}{ending}"


def _other(file: Attachment) -> str:
    stem, dot, ending = file.path.rpartition(".")
    return f"{stem}-{file.digest[:8]}.{ending}" if dot else f"{file.path}-{file.digest[:8]}"
