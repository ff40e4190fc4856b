"""POST /files: one body, or many files in a form, each streamed into the sandbox as it arrives.

The SDK sends a form by default and a bare body for a stream or with `gzip=True`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ci_integrations.local.host.files import FileEntry, read_entry
from ci_integrations.local.server.envd.forms import parts
from ci_integrations.local.server.http import Exchange, HttpError

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord

METADATA = re.compile(r"x-metadata-(.+)")
"""A header that becomes metadata of the file; its name is in lower case by then."""
MAX_METADATA = 64
MAX_FILES = 10_000
"""In one request."""
INFLATED = 256 * 1024
"""Bytes that one step of unpacking may give."""


async def receive(record: SandboxRecord, exchange: Exchange) -> None:
    """Writes what the request carries, and answers with the list of files. Raises FileError and HttpError."""
    kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        entries = await _form(record, exchange)
    elif kind == "application/octet-stream":
        entries = [await _single(record, exchange)]
    else:
        raise HttpError(
            400, f"cannot read a body of type {kind!r}: send multipart/form-data or application/octet-stream"
        )
    await exchange.reply_json(200, [_as_json(entry) for entry in entries])


def _as_json(entry: FileEntry) -> dict[str, object]:
    found: dict[str, object] = {"path": entry.path, "name": entry.name, "type": entry.type}
    return {**found, "metadata": entry.metadata} if entry.metadata else found


async def _single(record: SandboxRecord, exchange: Exchange) -> FileEntry:
    path = exchange.query.get("path", "")
    if not path:
        raise HttpError(400, "a path is needed")
    body = _decoded(exchange)
    return await _write(record, path, body, _metadata(exchange))


async def _form(record: SandboxRecord, exchange: Exchange) -> list[FileEntry]:
    only_path = exchange.query.get("path")
    entries: list[FileEntry] = []
    async for filename, data in parts(exchange.headers["content-type"], _decoded(exchange)):
        if len(entries) >= MAX_FILES:
            raise HttpError(400, f"more than {MAX_FILES} files in one request")
        # With one file the SDK names its path twice; with several only in the form.
        if only_path and entries:
            raise HttpError(400, "a path is given, but more than one file")
        path = only_path or filename
        if not path:
            raise HttpError(400, "a file without a path")
        entries.append(await _write(record, path, data, _metadata(exchange)))
    if not entries:
        raise HttpError(400, "no part named 'file' in the form")
    return entries


async def _write(record: SandboxRecord, path: str, data: AsyncIterator[bytes], metadata: dict[str, str]) -> FileEntry:
    async with record.files.channel({"op": "write", "path": path, "metadata": metadata}) as channel:
        await channel.answer()
        async for chunk in data:
            await channel.send(chunk)
        channel.end_of_data()  # the worker answers with the file's entry when it has read the end
        return read_entry((await channel.answer()).get("entry"))


def _metadata(exchange: Exchange) -> dict[str, str]:
    found = {m[1]: value for name, value in exchange.headers.items() if (m := METADATA.fullmatch(name))}
    if len(found) > MAX_METADATA:
        raise HttpError(400, f"more than {MAX_METADATA} metadata headers")
    return found


def _decoded(exchange: Exchange) -> AsyncIterator[bytes]:
    encoding = exchange.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return exchange.chunks()
    if encoding == "gzip":
        return _inflate(exchange.chunks())
    raise HttpError(415, f"content-encoding {encoding!r} is not understood; send gzip or none")


async def _inflate(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Unpacks in bounded pieces: a gzip bomb fills the sandbox's disk, and not the server's memory."""
    unpacker = zlib.decompressobj(wbits=31)  # 31: with a gzip header
    try:
        async for chunk in chunks:
            packed = chunk
            while packed:
                yield unpacker.decompress(packed, INFLATED)
                packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise HttpError(400, f"the body is not gzip: {error}") from None
    if not unpacker.eof:
        raise HttpError(400, "the gzip body ends too early")
