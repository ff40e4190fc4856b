"""Bounds the head of a request: its bytes, and the time that it takes to come. A body has its limits in its handler."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
"""Bytes of one request's line and headers together."""
HEAD_SECONDS = 20.0
"""How long a head may take, from its first byte; and how long a new connection may be silent."""
_REFUSED = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedHeads(HttpToolsProtocol):
    """Is uvicorn's protocol, which itself keeps whatever is sent before a head has ended, for as long as that takes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._left = MAX_HEAD
        self._in_head = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._timer is None:  # the first byte of a further request on this connection
                self._begin()
            # What is parsed at once may be a whole head and much of a body, but no more than one read of the loop.
            self._left -= len(data)
        super().data_received(data)
        if self._in_head and self._left < 0 and not self.transport.is_closing():
            self.transport.write(_REFUSED)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._left = True, MAX_HEAD

    def _begin(self) -> None:
        self._in_head, self._left = True, MAX_HEAD
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _end(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
