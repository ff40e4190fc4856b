"""Connections that leave HTTP (WebSocket): bytes go both ways between a client and a port in a sandbox, unread.

uvicorn hands the connection over, with the request that asked for it, as it would hand it to a WebSocket library.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from ci_integrations.local.host.files import FileError
from ci_integrations.local.protocol.contract import SandboxDead
from ci_integrations.local.server.http import HttpError
from ci_integrations.local.server.ports.http import OURS

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord

READ = 64 * 1024
"""Bytes that are read at once from the sandbox."""
BUFFERED = 256 * 1024
"""Bytes that wait for the sandbox before the client is no longer read."""
Find = Callable[[dict[str, str]], Awaitable[tuple["SandboxRecord", int]]]
"""Finds the sandbox and port that headers name. Raises HttpError when the client may not go there."""


class Tunnel(asyncio.Protocol):
    """One connection that was upgraded. uvicorn makes it, with keywords that are for its own protocols."""

    def __init__(self, find: Find, **_: Any) -> None:
        self._find = find
        self._record: SandboxRecord | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()  # cleared by asyncio, through pause_writing, while the client is slow
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Takes what the client sends. The first call is the request itself, which uvicorn writes out again."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(data))
            return
        if self._writer is None:
            self._waiting += data
        else:
            self._writer.write(data)
        self._hold_back()

    def _hold_back(self) -> None:
        """Stops reading from the client when the sandbox takes its bytes too slowly."""
        size = len(self._waiting) if self._writer is None else self._writer.transport.get_write_buffer_size()
        if size > BUFFERED:
            self._client.pause_reading()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.cut()

    def cut(self) -> None:
        """Closes both ends, at once: the sandbox was paused or killed, or one side is gone."""
        self._client.abort()
        if self._task is not None:
            self._task.cancel()

    async def _run(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        try:
            record, port = await self._find(headers)
            connection = await record.files.connect(port)
        except HttpError as error:
            self._refuse(error.status, error.message)
        except (FileError, SandboxDead):
            self._refuse(502, "The sandbox is running but port is not open")
        else:
            reader, self._writer = await asyncio.open_connection(sock=connection)
            # The head goes on as the client wrote it, but for the server's own headers.
            kept = [line for line in lines if line.partition(":")[0].lower() not in OURS]
            await self._pump(record, reader, self._writer, "\r\n".join(kept).encode("latin-1"))

    def _refuse(self, status: int, message: str) -> None:
        """Answers by hand and closes: the connection has left uvicorn's HTTP."""
        body = message.encode()
        head = f"HTTP/1.1 {status} Refused\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        self._client.write(head.encode() + body)
        self._client.close()

    async def _pump(
        self, record: SandboxRecord, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        record.exchanges.add(self)
        draining = asyncio.create_task(self._keep_draining(writer))
        try:
            writer.write(head + bytes(self._waiting))
            while data := await reader.read(READ):
                self._client.write(data)
                await self._writable.wait()
        except OSError:
            pass  # the program inside broke off: so do we
        finally:
            record.exchanges.discard(self)
            draining.cancel()
            writer.close()
            self._client.close()

    async def _keep_draining(self, writer: asyncio.StreamWriter) -> None:
        """Reads from the client again once the sandbox has taken what was sent."""
        with contextlib.suppress(OSError):
            while True:
                await writer.drain()
                self._client.resume_reading()
                await asyncio.sleep(0.02)  # drain() returns at once while little is waiting
