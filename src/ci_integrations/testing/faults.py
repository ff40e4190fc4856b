"""A proxy between the E2B SDK and any E2B server injects faults into calls, for tests.

It kills or pauses the sandbox, drops or delays the connection, hangs, or answers with an error, at the call and the
moment that a test names. The server may be the local one, a stand-in or the cloud.

    with FaultProxy(server_url) as proxy:
        interpreter = CodeInterpreter(api_key=key, api_url=proxy.url, sandbox_url=proxy.url)
        proxy.inject(Fault("kill", on="execute", call=2, moment="during"))

It speaks plain HTTP/1.1 only, with one connection for each request.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

Kind = Literal["kill", "pause", "drop", "delay", "hang", "status"]
Moment = Literal["before", "during", "after"]

_CHUNK = 65536
_PREPARES = (b"_ci_extractor", b".ci_source/")
"""Texts in the hidden first cell of a kernel, and in the upload of the files that it imports."""
# Calls of the control plane; those to a sandbox are named by their path.
_NAMES = (
    ("POST", "/v2/sandboxes", "create"),
    ("GET", "/v2/sandboxes", "list"),
    ("POST", "/connect", "connect"),
    ("POST", "/pause", "pause"),
    ("POST", "/timeout", "set_timeout"),
    ("DELETE", "/sandboxes/", "kill"),
    ("GET", "/sandboxes/", "get_info"),
)


@dataclass(frozen=True)
class Fault:
    """Says what goes wrong, and when.

    `kill` and `pause` are done to the sandbox of the call, `drop` resets the connection, `delay` waits, `hang` never
    answers, and `status` answers in place of the server.
    """

    kind: Kind
    on: str = field(default="execute", kw_only=True)
    """The name of the call: `create`, `connect`, `get_info`, `set_timeout`, `pause`, `kill`, `list`; `execute`,
    `contexts`; `health`, `files`, `commands`, `filesystem`; or `any`. The requests with which this library prepares a
    kernel (its hidden first cell and the chart extractor's files) do not count."""
    call: int = field(default=1, kw_only=True)
    """Which of these calls, counted from `inject`; the first is 1."""
    times: int = field(default=1, kw_only=True)
    """How many of these calls in a row."""
    moment: Moment = field(default="before", kw_only=True)
    """`before` the request is passed on; `during` the answer, once `marker` has come by; `after` the server has done
    everything, and before the client has heard of it."""
    marker: bytes = field(default=b'"type"', kw_only=True)
    """The bytes of the answer that `during` waits for."""
    seconds: float = field(default=0.0, kw_only=True)
    """How long `delay` waits."""
    status: int = field(default=503, kw_only=True)
    """The HTTP status that `status` answers with."""
    message: str = field(default="injected by FaultProxy", kw_only=True)
    """The message that `status` answers with."""


class FaultProxy:
    """Listens on a port of its own, and passes on every call that no fault is meant for.

    `upstream` is the server's address, `sleep` what `delay` waits with. Use it as a context manager, or call `close`.
    """

    def __init__(self, upstream: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "127.0.0.1", address.port or 80)
        self._sleep = sleep
        self._faults: list[tuple[Fault, int]] = []
        self._mutex = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = threading.Event()
        self.calls: Counter[str] = Counter()
        """How many calls of each name came by, without those that prepare a kernel."""
        self._key = ""  # of the last request that had one: our own calls need it too
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()

    def inject(self, *faults: Fault) -> None:
        """Adds faults; they count calls from now on."""
        with self._mutex:
            self._faults += [(fault, self._seen(fault.on)) for fault in faults]

    def clear(self) -> None:
        """Removes all faults."""
        with self._mutex:
            self._faults.clear()

    def close(self) -> None:
        """Stops listening and cuts every connection."""
        self._closed.set()
        self._listener.close()
        with self._mutex:
            connections = list(self._open)
        for connection in connections:
            _cut(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _seen(self, name: str) -> int:
        """How many calls of that name came by so far."""
        return self.calls.total() if name == "any" else self.calls[name]

    def _accept(self) -> None:
        """Serves each connection in a thread of its own, until `close`."""
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._mutex:
            self._open.add(client)
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = _Request.read(client)
            if request is not None:
                self._handle(client, request)
        except (OSError, ValueError):
            pass  # a side that hangs up, or was closed here, is what this proxy is made for
        finally:
            with self._mutex:
                self._open.discard(client)
            client.close()

    def _handle(self, client: socket.socket, request: _Request) -> None:
        """Passes one request on, or does to it what the fault that is due says."""
        fault = self._due(request)
        if fault is None or (fault.moment != "before" and fault.kind not in ("delay", "hang", "status")):
            self._relay(client, request, fault)
        elif fault.kind == "status":
            _answer(client, fault.status, fault.message)
        elif fault.kind == "drop":
            _cut(client)
        elif fault.kind == "hang":
            self._closed.wait()
        else:
            self._strike(fault, request)
            self._relay(client, request, None)

    def _due(self, request: _Request) -> Fault | None:
        """Counts the request; returns the first fault that it is meant for."""
        with self._mutex:
            self._key = request.headers.get("x-api-key", self._key)
            if request.prepares:
                return None
            self.calls[request.name] += 1
            for fault, before in self._faults:
                number = self._seen(fault.on) - before
                if fault.on in (request.name, "any") and fault.call <= number < fault.call + fault.times:
                    return fault
        return None

    def _strike(self, fault: Fault, request: _Request) -> None:
        """Waits, or kills or pauses the sandbox of the request; other faults are done to the connection."""
        if fault.kind == "delay":
            self._sleep(fault.seconds)
        elif fault.kind == "kill":
            self._control("DELETE", f"/sandboxes/{request.sandbox_id}")
        elif fault.kind == "pause":
            self._control("POST", f"/sandboxes/{request.sandbox_id}/pause")

    def _control(self, method: str, path: str) -> None:
        """Makes a call of our own to the server's control plane and waits for its end."""
        body = b"{}" if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: fault\r\nX-API-KEY: {self._key}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(self._upstream, timeout=10) as server:
            server.sendall(head.encode() + body)
            while server.recv(_CHUNK):
                pass

    def _relay(self, client: socket.socket, request: _Request, fault: Fault | None) -> None:
        """Passes the request on and the answer back; `fault` strikes in the middle of the answer or at its end."""
        with socket.create_connection(self._upstream, timeout=10) as server:
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.sendall(request.raw)
            self._pass_back(client, server, request, fault)

    def _pass_back(  # noqa: C901 - one loop, read from top to bottom
        self, client: socket.socket, server: socket.socket, request: _Request, fault: Fault | None
    ) -> None:
        seen = _head(server)
        # The whole answer, when the client must not hear of it yet; otherwise as much as the marker is looked for in.
        held = fault is not None and fault.moment == "after"
        if not held:
            client.sendall(seen)
        while True:
            if fault is not None and not held and fault.marker in seen.partition(b"\r\n\r\n")[2]:
                self._strike(fault, request)
                if fault.kind == "drop":
                    _cut(client)
                    return
                fault = None
            readable, _, _ = select.select([server, client], [], [])
            if client in readable and not client.recv(1):
                return  # the client left; the server sees it as soon as this connection is closed
            if server not in readable:
                continue
            data = server.recv(_CHUNK)
            if not data:
                break
            if fault is not None:
                seen += data
            if not held:
                client.sendall(data)
        if held and fault is not None:
            self._finish(client, request, fault, seen)

    def _finish(self, client: socket.socket, request: _Request, fault: Fault, answer: bytes) -> None:
        """Strikes after the server has done everything, and drops the answer or hands it on."""
        self._strike(fault, request)
        if fault.kind == "drop":
            _cut(client)
        else:
            client.sendall(answer)


@dataclass
class _Request:
    """Holds one request as it came, but for `Connection: close`, and the name of its call."""

    raw: bytes
    headers: dict[str, str]
    name: str
    sandbox_id: str

    @property
    def prepares(self) -> bool:
        """Returns whether the library itself sends it, before a kernel's first cell."""
        return self.name in ("execute", "files") and any(mark in self.raw for mark in _PREPARES)

    @classmethod
    def read(cls, client: socket.socket) -> _Request | None:
        """Returns the request that a client sends; None when it hangs up before."""
        head, _, body = _read_head(client).partition(b"\r\n\r\n")
        if not head:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while not _complete(headers, body):
            body += client.recv(_CHUNK)
        kept = [line for line in lines if not line.lower().startswith("connection:")]
        raw = "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1") + body
        method, path, _ = first.split(" ", 2)
        return cls(raw, headers, _name(method, path, headers), headers.get("e2b-sandbox-id", ""))


def _read_head(connection: socket.socket) -> bytes:
    """A head and what came with it; empty when the other side hangs up before its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(_CHUNK)
        if not more:
            return b""
        data += more
    return data


def _complete(headers: dict[str, str], body: bytes) -> bool:
    """Whether all of a request's body is there."""
    if "chunked" in headers.get("transfer-encoding", ""):
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(headers.get("content-length", "0"))


def _name(method: str, target: str, headers: dict[str, str]) -> str:
    """The name of a call; "other" for one that no fault can name."""
    path = urlsplit(target).path
    if "e2b-sandbox-port" in headers:  # a call to a sandbox; all others are for the control plane
        first = path.strip("/").partition("/")[0]
        return {"process.Process": "commands", "filesystem.Filesystem": "filesystem"}.get(first, first)
    for verb, part, name in _NAMES:
        if method == verb and (path == part if name in ("create", "list") else part in path):
            return name
    return "other"


def _head(server: socket.socket) -> bytes:
    """The head of an answer and what came with it, changed to say that the connection ends with the answer.

    Raises ConnectionError when the server hangs up before.
    """
    head, _, rest = _read_head(server).partition(b"\r\n\r\n")
    if not head:
        raise ConnectionError("the server hung up")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""]) + rest


def _answer(client: socket.socket, status: int, message: str) -> None:
    body = json.dumps({"code": status, "message": message}).encode()
    # Should-Retry: the SDK would otherwise repeat some calls by itself, and the test would count them.
    head = f"HTTP/1.1 {status} Injected\r\nContent-Type: application/json\r\nShould-Retry: false\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def _cut(connection: socket.socket) -> None:
    """Closes a connection so that the other side sees a reset, as when a machine fails."""
    try:
        # Lingering for 0 seconds: close() then sends RST and not FIN (socket(7)).
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # closed already
    connection.close()
