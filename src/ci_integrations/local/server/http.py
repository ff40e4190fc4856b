"""One HTTP request and its answer, on bare ASGI. Everything in `local/server/` that speaks HTTP uses this module.

No web framework is used: its layers would add tenths of a millisecond to every cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, cast
from urllib.parse import parse_qsl

from ci_integrations.local.protocol.contract import MiB

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_BODY_LIMIT = 16 * MiB
"""Of a control-plane or code-interpreter request. A cell with 16 MiB of source is a mistake."""
_PIECE = 1 << 18
"""Bytes of an answer that are written at once."""
_FINISH_SECONDS = 0.5
"""How long the rest of a body is read whose answer is an error."""


class ClientGone(Exception):  # noqa: N818 - a state
    """The client closed the connection."""


class HttpError(Exception):
    """An answer that is an error: raised anywhere below `App`, which sends it.

    `message` is for the person at the other end. `extra` are further fields of the JSON body.
    """

    def __init__(self, status: int, message: str, *, plain: bool = False, **extra: object) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.plain = plain
        """E2B's code interpreter answers in plain text; its API, its proxy and envd answer in JSON."""
        self.extra = extra
        self.headers: list[tuple[str, str]] = []

    def content(self) -> dict[str, object]:
        """Returns the JSON body. The SDK's generated parsers fail with a KeyError without `code` and `message`."""
        return {"code": self.status, "message": self.message, **self.extra}


def check_variables(values: Mapping[str, str], *, plain: bool = False) -> None:
    """Raises HttpError 400 for a name or value that no process can have in its environment.

    That is an empty name, `=` in a name, a NUL, and a lone surrogate, which has no UTF-8.
    """
    for name, value in values.items():
        try:
            bad = not name or "=" in name or "\0" in name + value or not (name + value).encode()
        except UnicodeEncodeError:
            bad = True
        if bad:
            raise HttpError(400, f"{name[:100]!r} cannot be the name or value of an environment variable", plain=plain)


class Exchange:
    """A request and its answer. `cut()` ends it from outside, whatever its handler is doing."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        self.started = False
        """Whether the status was sent: an error can then only be told by closing the connection."""
        self.complete = False
        """Whether the last byte was sent."""
        self.was_cut = False
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        self._body_read = False

    # -- the request

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the URL. Of several values with one name, the last one counts."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    @property
    def raw_path(self) -> str:
        """The path before percent-decoding: the id of a snapshot may hold an encoded slash, `ns%2Fname`."""
        raw = self.scope.get("raw_path") or self.path.encode()
        return str(raw.decode("latin-1")).partition("?")[0]

    async def receive(self) -> Message:
        """Returns the next ASGI message of the client."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._body_read = True
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the body as it arrives. Raises ClientGone."""
        while not self._body_read:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if body := message.get("body", b""):
                yield body

    async def body(self, limit: int = JSON_BODY_LIMIT) -> bytes:
        """Returns the whole body. Raises ClientGone, and HttpError 413 when it is larger than `limit` bytes."""
        parts, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise HttpError(413, f"the request body is larger than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def json(self, limit: int = JSON_BODY_LIMIT) -> object:
        """Returns the body as JSON, `{}` when it is empty. Raises HttpError 400 when it is not JSON."""
        raw = await self.body(limit)
        if not raw.strip():
            return {}
        try:
            found: object = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, f"the request body is not JSON: {error}") from None
        return found

    async def gone(self) -> None:
        """Returns when the client has closed the connection. To be called only after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # -- the answer

    async def start(self, status: int, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Sends the status and the headers."""
        self.started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(k.encode("latin-1"), v.encode("latin-1", "replace")) for k, v in headers],
            }
        )

    async def write(self, body: bytes) -> None:
        """Sends a piece of the body. Waits while the client reads more slowly than this server writes."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self, body: bytes = b"") -> None:
        """Sends the last piece of the body."""
        self.complete = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def reply(
        self, status: int, body: bytes = b"", content_type: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Sends a whole answer."""
        # RFC 9110, 8.6: an answer with status 204 has no Content-Length.
        known = [] if status == 204 else [("content-length", str(len(body)))]
        if content_type:
            known.append(("content-type", content_type))
        await self.start(status, [*known, *headers])
        await self.finish(body)

    async def reply_json(self, status: int, value: object, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Sends a whole answer in JSON."""
        await self.reply(status, json.dumps(value).encode(), "application/json; charset=utf-8", headers)

    async def reply_error(self, error: HttpError) -> None:
        """Sends an error. Does nothing when the answer has begun: without its end the client knows that it broke."""
        if self.started:
            return
        sends = self.method not in ("GET", "DELETE")
        if sends and not self.was_cut:  # its task is still being cancelled
            await self._let_finish()
        close = [("connection", "close")] if sends and not self._body_read else []
        headers = [*error.headers, *close]
        if error.plain:
            await self.reply(error.status, error.message.encode(), "text/plain; charset=utf-8", headers)
            return
        await self.reply_json(error.status, error.content(), headers)

    async def _let_finish(self) -> None:
        """Reads what the client is still sending: it would otherwise see a broken pipe instead of the answer."""
        with contextlib.suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(_FINISH_SECONDS):
                async for _ in self.chunks():
                    pass

    # -- the end from outside

    def cut(self) -> None:
        """Stops the work of this request: its task is cancelled and nothing more of its answer is sent."""
        if not self.complete and not self.was_cut:
            self.was_cut = True
            self._task.cancel()

    async def gated_send(self, message: Message) -> None:
        """Sends for an ASGI application that is only hosted here. After `cut()` its messages are dropped."""
        if self.was_cut:
            return
        self.started = True
        body = message.get("body", b"")
        for start in range(0, len(body) - _PIECE, _PIECE):
            await self.write(body[start : start + _PIECE])
            message = {**message, "body": body[start + _PIECE :]}
        self.complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)
