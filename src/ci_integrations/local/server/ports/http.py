"""HTTP requests to ports that programs opened inside a sandbox. They are passed on as they are.

E2B's proxy does this at `https://PORT-ID.domain`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import h11

from ci_integrations.local.host.files import FileError
from ci_integrations.local.server.http import Exchange, HttpError

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord

READ = 64 * 1024
"""Bytes of an answer that are read at once."""
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "upgrade"}
"""Headers about one connection, of which there are two here (RFC 9110, 7.6.1)."""
OURS = {"e2b-sandbox-id", "e2b-sandbox-port", "e2b-traffic-access-token", "x-api-key", "x-access-token"}
"""Headers with this server's own tokens and addresses: what runs in a sandbox must not see them."""


async def forward(record: SandboxRecord, exchange: Exchange, port: int) -> bool:
    """Passes a request on to the port. Returns False when nothing listens there.

    HttpError 502 when the program breaks off or does not speak HTTP.
    """
    try:
        connection = await record.files.connect(port)
    except FileError:
        return False
    with connection:
        await _Relay(connection, exchange).run()
    return True


class _Relay:
    """One request and its answer, through one connection into the sandbox."""

    def __init__(self, connection: socket.socket, exchange: Exchange) -> None:
        self._socket = connection
        self._exchange = exchange
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.CLIENT)

    async def run(self) -> None:
        # In a task: a program may answer before it has read the whole request, and then stop reading.
        sending = asyncio.create_task(self._send_request())
        try:
            await self._pass_answer()
        except (OSError, h11.RemoteProtocolError) as error:
            raise HttpError(502, f"the program on this port broke off: {error}") from None
        finally:
            sending.cancel()
            await asyncio.wait((sending,))

    async def _send_request(self) -> None:
        """Sends the request, then waits for the client to leave and hangs up."""
        scope = self._exchange.scope
        target = scope.get("raw_path") or scope["path"].encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        headers = [(k, v) for k, v in scope["headers"] if k.decode("latin-1") not in HOP_BY_HOP | OURS]
        headers.append((b"connection", b"close"))  # one request for each connection: nothing to keep in step
        await self._say(h11.Request(method=scope["method"], target=target, headers=headers))
        async for chunk in self._exchange.chunks():
            await self._say(h11.Data(data=chunk))
        await self._say(h11.EndOfMessage())
        # A program may be silent for long: it learns at once that nobody waits for its answer any more.
        await self._exchange.gone()
        self._socket.shutdown(socket.SHUT_RDWR)

    async def _say(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            await self._loop.sock_sendall(self._socket, data)

    async def _pass_answer(self) -> None:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._loop.sock_recv(self._socket, READ))
            elif isinstance(event, h11.Response):
                await self._start(event)
            elif isinstance(event, h11.Data):
                await self._exchange.write(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                await self._exchange.finish()
                return
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("closed without an answer")

    async def _start(self, response: h11.Response) -> None:
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers]
        await self._exchange.start(response.status_code, [(k, v) for k, v in headers if k not in HOP_BY_HOP])
