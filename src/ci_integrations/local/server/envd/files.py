"""envd's `/files`: whole files over HTTP. They are streamed in both directions and never held in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import mimetypes
import posixpath
import time
import zlib
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote

from ci_integrations.local.host.files import Channel, FileError
from ci_integrations.local.server.envd import uploads, users
from ci_integrations.local.server.http import Exchange, HttpError

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord

STATUS = {"not_found": 404, "invalid": 400, "denied": 403, "no_space": 507, "too_many": 429, "unsupported": 501}
"""By the kind of a FileError. The SDK makes its own exception of each status: 507 is NotEnoughSpaceException."""

_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A signed address is opened in browsers: a page from a sandbox gets an origin of its own, and no scripts."""


async def serve(record: SandboxRecord, exchange: Exchange) -> None:
    """Answers GET, HEAD and POST /files. Access was checked before, by token or by `signature_is_valid`.

    Raises HttpError.
    """
    try:
        users.check(exchange.query.get("username"))
        users.user_of(exchange.headers.get("authorization"))
        if exchange.method == "POST":
            await uploads.receive(record, exchange)
        else:
            await _download(record, exchange)
    except users.WrongUser as error:
        raise HttpError(501 if error.is_root else 401, str(error)) from None
    except FileError as error:
        raise HttpError(STATUS.get(error.kind, 500), str(error)) from None


def signature(path: str, operation: str, username: str, token: str, expires: str | None) -> str:
    """Returns what the SDK's `download_url` and `upload_url` put into a URL, so that it needs no header.

    `operation` is `read` or `write`. `expires`: seconds since 1970, as digits.
    """
    text = ":".join([path, operation, username, token] + ([expires] if expires else []))
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return "v1_" + digest


def signature_is_valid(query: Mapping[str, str], operation: str, token: str) -> bool:
    """Returns whether a URL was signed with the sandbox's token, and has not expired."""
    expires = query.get("signature_expiration")
    if expires and (not _is_number(expires) or int(expires) < time.time()):
        return False
    wanted = signature(query.get("path", ""), operation, query.get("username", ""), token, expires)
    return hmac.compare_digest(wanted.encode(), query.get("signature", "").encode())


async def _download(record: SandboxRecord, exchange: Exchange) -> None:
    path = exchange.query.get("path", "")
    async with record.files.channel({"op": "read", "path": path}) as channel:
        info = await channel.answer()
        size, name, modified = int(info["size"]), posixpath.basename(str(info["path"])), int(info["modified"])
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = [
            ("content-type", kind),
            # RFC 6266: the form with `*` takes any character, percent-encoded.
            ("content-disposition", f"inline; filename*=utf-8''{quote(name)}"),
            ("x-content-type-options", "nosniff"),
            ("accept-ranges", "bytes"),
            ("vary", "Accept-Encoding"),
            ("last-modified", formatdate(modified / 1e9, usegmt=True)),
        ]
        if kind != "application/pdf":  # browsers show no document of that kind under such a policy, nor run anything
            headers.append(("content-security-policy", _POLICY))
        wanted = _range(exchange.headers.get("range"), size)
        if wanted is not None:
            await _send_range(exchange, channel, headers, wanted, size)
        # The SDK says "gzip, deflate" with every request, and "gzip" alone when its caller wants it packed.
        elif (packed := exchange.headers.get("accept-encoding", "").strip().lower() == "gzip") or size == 0:
            await _send_all(exchange, channel, headers, packed=packed)
        else:
            await _send_bytes(exchange, channel, 200, headers, 0, length=size)


def _is_number(text: str) -> bool:
    """Returns whether `text` is a few ASCII digits. Python's `int` takes other digits too, and is slow with many."""
    return text.isascii() and text.isdigit() and len(text) < 40


Headers = list[tuple[str, str]]


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """Returns (first, last + 1) of the one range of bytes that is asked for, or None to send everything.

    (0, 0) stands for a range that the file does not have.
    """
    unit, _, spec = (header or "").partition("=")
    first, dash, last = spec.strip().partition("-")
    if unit.strip() != "bytes" or not dash or not _is_number(first + last):
        return None
    if not first:
        return max(size - int(last), 0), size
    start, end = int(first), min(int(last) + 1, size) if last else size
    return (start, end) if start < end else (0, 0)


async def _send_range(
    exchange: Exchange, channel: Channel, headers: Headers, wanted: tuple[int, int], size: int
) -> None:
    start, end = wanted
    if start >= end:
        await exchange.reply(416, headers=[("content-range", f"bytes */{size}")])
        return
    headers.append(("content-range", f"bytes {start}-{end - 1}/{size}"))
    await _send_bytes(exchange, channel, 206, headers, start, length=end - start)


async def _send_bytes(
    exchange: Exchange, channel: Channel, status: int, headers: Headers, start: int, *, length: int
) -> None:
    await channel.send_frame({"start": start, "length": length})
    await exchange.start(status, [("content-length", str(length)), *headers])
    sent = 0
    async for chunk in channel.data():
        wanted = chunk[: length - sent]
        sent += len(wanted)
        await exchange.write(wanted)
    if sent == length:
        await exchange.finish()
    # Otherwise the file shrank meanwhile: without an end the connection is closed, and the client knows.


async def _send_all(exchange: Exchange, channel: Channel, headers: Headers, *, packed: bool) -> None:
    """Sends a file without telling its length: one that is compressed on the way, and one whose size is 0.

    Files of /proc have content although their size is 0.
    """
    await channel.send_frame({"start": 0, "length": None})
    packer = zlib.compressobj(1, wbits=31)  # 31: with a gzip header
    await exchange.start(200, [*headers, ("content-encoding", "gzip")] if packed else headers)
    async for chunk in channel.data():
        if data := packer.compress(chunk) if packed else chunk:
            await exchange.write(data)
    await exchange.finish(packer.flush() if packed else b"")
