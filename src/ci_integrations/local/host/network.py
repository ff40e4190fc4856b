"""The network of a sandbox, if it is given one, is an allow-listing CONNECT proxy on the host.

A sandbox has a network namespace of its own with loopback alone. `open_network` lets a listening socket be made
*inside* that namespace and passed out; the host accepts on it and connects on the code's behalf. So there is no route
to the host: every connection is a name that this module resolves and an address that `NetworkRules` judges. Only TCP
passes; names are resolved here, so no DNS is needed inside. Only `local/server` uses this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

import h11

from ci_integrations.local.host.addresses import NetworkRules, Refused
from ci_integrations.local.host.packet_socket import readable
from ci_integrations.local.protocol.contract import PORT, Entry, Sandbox

MAX_CONNECTIONS = 64
"""Connections of one sandbox at one time; the next one is cut."""
MAX_HEAD = 16 * 1024
"""Bytes of a request's head."""
HEAD_SECONDS = 20.0
CONNECT_SECONDS = 20.0
IDLE_SECONDS = 300.0
CHUNK = 64 * 1024
_LOOKUPS = 4
"""Names resolved at one time, in threads of the sandbox's own: slow name servers delay no other sandbox."""
LISTENER = Entry("ci_integrations.local.guest.listener:listen", {"guarded": True})
"""Makes the listening socket inside. Guarded, so that no other process of the sandbox can swap the descriptor."""


def proxy_envs() -> dict[str, str]:
    """Returns the variables that let a process of a sandbox find the proxy."""
    # Both cases: curl reads http_proxy in lower case only, as HTTP_PROXY could come from a CGI request's header.
    url = f"http://127.0.0.1:{PORT}"
    both = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), url)
    return both | {"PIP_PROXY": url} | dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1,::1")


class Network:
    """Is the proxy of one sandbox. `close()` cuts every connection."""

    def __init__(self, rules: NetworkRules) -> None:
        self._rules = rules
        self._resolvers = ThreadPoolExecutor(_LOOKUPS, "resolver")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, sandbox: Sandbox) -> None:
        """Begins to accept connections of the sandbox. Raises OSError when it gives no listening socket."""
        listener = await _listener(sandbox)
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=MAX_HEAD)

    def update(self, rules: NetworkRules) -> None:
        """Puts other rules in force. All connections are cut, also those that the new rules would let through."""
        self._rules = rules
        self._cut()

    def close(self) -> None:
        """Stops accepting, and cuts every connection."""
        if self._server is not None:
            self._server.close()
        self._cut()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def _cut(self) -> None:
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            await self._handle(reader, writer)
        except Refused as refusal:
            _answer(writer, refusal.status, str(refusal))
        except (OSError, EOFError, asyncio.LimitOverrunError, h11.ProtocolError, ValueError):
            _answer(writer, "400 Bad Request", "not a proxy request that could be served")
        finally:
            self._open.discard(writer)
            await _finish(writer)  # a task that ends with an open writer leaves a ResourceWarning

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads one request and serves it. Raises Refused, and other errors for what is no request."""
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        request = _parsed(head)
        target = request.target.decode("ascii")
        if request.method == b"CONNECT":
            host, port = _authority(target, None)
            self._rules.check_request(host, port, None)
            upstream = await self._connect(host, port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            if parts.scheme != "http":
                raise Refused("400 Bad Request", "only CONNECT and http:// requests are served")
            host, port = _authority(parts.netloc.rpartition("@")[2], 80)
            if is_index := self._rules.is_index(host, port):
                self._rules.check_request(host, port, parts.path if request.method in (b"GET", b"HEAD") else None)
            upstream = await self._connect(host, port)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            upstream[1].write(_origin_form(request, path.encode("ascii")))
            if is_index:  # one request was judged: no further one may follow on this connection
                await _one_way(upstream, writer)
                return
        await _both_ways((reader, writer), upstream)

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to an address that was resolved once and judged. Raises Refused."""
        self._rules.check_name(host, port)
        # Resolved here and connected by address: a second lookup of the name could give another address (rebinding).
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        lookup = asyncio.get_running_loop().run_in_executor(self._resolvers, look_up)
        try:
            found = await asyncio.wait_for(lookup, CONNECT_SECONDS)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise Refused("502 Bad Gateway", f"{host} could not be resolved") from error
        failure: Exception | None = None
        for address in dict.fromkeys(str(info[4][0]) for info in found):
            self._rules.check_address(host, port, address)
            try:
                return await asyncio.wait_for(asyncio.open_connection(address, port), CONNECT_SECONDS)
            except (OSError, TimeoutError) as error:
                failure = error
        raise Refused("502 Bad Gateway", f"{host}:{port} could not be reached") from failure


async def open_network(sandbox: Sandbox, rules: NetworkRules) -> Network:
    """Gives `sandbox` a network under `rules`. The caller sets `proxy_envs()` and closes the result. Raises OSError."""
    network = Network(rules)
    await network.start(sandbox)
    return network


async def _listener(sandbox: Sandbox) -> socket.socket:
    """A socket that listens in the sandbox's network namespace, made by a process in there. Raises OSError."""
    child = await sandbox.spawn(LISTENER)
    try:
        if child.control is None:
            raise OSError("the sandbox gave no control socket")
        await asyncio.wait_for(readable(child.control.fileno()), CONNECT_SECONDS)
        _, fds, _, _ = socket.recv_fds(child.control, 1, 1, socket.MSG_CMSG_CLOEXEC)
    finally:
        child.close()
    if not fds:
        raise OSError("the sandbox passed no listening socket")
    listener = socket.socket(fileno=fds[0])
    listener.settimeout(0)
    return listener


def _parsed(head: bytes) -> h11.Request:
    """The request of a head that ends with an empty line. Raises h11.ProtocolError or ValueError."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
    # h11 wants a Host header of HTTP/1.1, which some clients leave out of a CONNECT, where it only repeats the target.
    is_connect = head.startswith(b"CONNECT ")
    connection.receive_data(head.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1) if is_connect else head)
    request = connection.next_event()
    # h11 also ends a head at a bare line feed: what follows would be dropped here, and taken for a body elsewhere.
    if not isinstance(request, h11.Request) or connection.trailing_data[0]:
        raise ValueError("not a request")
    return request


def _authority(authority: str, default_port: int | None) -> tuple[str, int]:
    """Host and port. Raises Refused without one of them, and ValueError for a port that is no number."""
    parts = urlsplit(f"//{authority}")
    port = parts.port or default_port
    if not parts.hostname or port is None:
        raise Refused("400 Bad Request", "a host and a port are needed")
    return parts.hostname, port


def _origin_form(request: h11.Request, path: bytes) -> bytes:
    """The request's head as the origin server expects it; one request for each connection."""
    # Written by hand: h11's writer wants to check the body, which is passed on here as it comes.
    lines = [b"%s %s HTTP/%s" % (request.method, path, request.http_version), b"Connection: close"]
    for name, value in request.headers.raw_items():
        if name.lower() != b"connection" and not name.lower().startswith(b"proxy-"):
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join([*lines, b"", b""])


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both_ways(left: _Stream, right: _Stream) -> None:
    """Copies between two connections until both have ended, or one is silent for `IDLE_SECONDS`."""
    try:
        await asyncio.gather(_pump(left[0], right[1]), _pump(right[0], left[1]))
    finally:
        await _finish(right[1])


async def _one_way(source: _Stream, writer: asyncio.StreamWriter) -> None:
    """Copies an answer until it ends."""
    try:
        await _pump(source[0], writer)
    finally:
        await _finish(source[1])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies one direction until it ends."""
    while data := await asyncio.wait_for(reader.read(CHUNK), IDLE_SECONDS):
        writer.write(data)
        await writer.drain()
    # Half closed, not closed: a client may end its request and still wait for the answer.
    if writer.can_write_eof():
        writer.write_eof()


def _answer(writer: asyncio.StreamWriter, status: str, message: str) -> None:
    body = f"{message}\n".encode(errors="replace")
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(RuntimeError, OSError):
        writer.write(head.encode() + body)


async def _finish(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()
        await writer.wait_closed()
