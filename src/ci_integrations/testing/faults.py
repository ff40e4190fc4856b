"""Faults on the wire, for tests: a proxy between the E2B SDK and any E2B server (the local one, a stand-in, the cloud's
address) that kills, pauses, drops, delays, hangs or answers with an error, at the call and the moment you name.

    with FaultProxy(server_url) as proxy:
        interpreter = CodeInterpreter(api_key=key, api_url=proxy.url, sandbox_url=proxy.url)
        proxy.inject(Fault("kill", on="execute", call=2, moment="during"))

Plain HTTP/1.1 only; one connection per request.
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
_PREPARES = (b"_ci_extractor", b".ci_extractor/")
"""In the hidden first cell of a kernel, and in the upload of the files that it imports."""
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
    """What goes wrong, and when."""

    kind: Kind
    on: str = field(default="execute", kw_only=True)
    """`create`, `connect`, `get_info`, `set_timeout`, `pause`, `kill`, `list`; `execute`, `contexts`; `health`,
    `files`, `commands`, `filesystem`; or `any`. What this library sends to prepare a kernel (its hidden first cell and
    the chart extractor's files) is none of them."""
    call: int = field(default=1, kw_only=True)
    """Which of these calls, counted from `inject`; the first is 1."""
    times: int = field(default=1, kw_only=True)
    """How many of them in a row."""
    moment: Moment = field(default="before", kw_only=True)
    """Before the request is passed on; during the answer, once `marker` has come by; after the server has done it
    all and before the client has heard of it."""
    marker: bytes = field(default=b'"type"', kw_only=True)
    """What `during` waits for."""
    seconds: float = field(default=0.0, kw_only=True)
    """For `delay`."""
    status: int = field(default=503, kw_only=True)
    """For `status`."""
    message: str = field(default="injected by FaultProxy", kw_only=True)


class FaultProxy:
    """Listens on a port of its own and passes on what it is not told to spoil."""

    def __init__(self, upstream: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname or "127.0.0.1", address.port or 80)
        self._sleep = sleep
        self._faults: list[tuple[Fault, int]] = []
        self._mutex = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = threading.Event()
        self.calls: Counter[str] = Counter()
        """How many calls of each name came by; without what prepares a kernel."""
        self._key = ""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()

    def inject(self, *faults: Fault) -> None:
        """From now on these go wrong too."""
        with self._mutex:
            self._faults += [(fault, self._seen(fault.on)) for fault in faults]

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._mutex:
            self._faults.clear()

    def close(self) -> None:
        """Stop listening and cut every connection."""
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
        return self.calls.total() if name == "any" else self.calls[name]

    def _accept(self) -> None:
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
        """What is done to the sandbox, or to time."""
        if fault.kind == "delay":
            self._sleep(fault.seconds)
        elif fault.kind == "kill":
            self._control("DELETE", f"/sandboxes/{request.sandbox_id}")
        elif fault.kind == "pause":
            self._control("POST", f"/sandboxes/{request.sandbox_id}/pause")

    def _control(self, method: str, path: str) -> None:
        """A control-plane call of our own."""
        body = b"{}" if method == "POST" else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: fault\r\nX-API-KEY: {self._key}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(self._upstream, timeout=10) as server:
            server.sendall(head.encode() + body)
            while server.recv(_CHUNK):
                pass

    def _relay(self, client: socket.socket, request: _Request, fault: Fault | None) -> None:
        """Pass the request on and the answer back; `fault` strikes in the middle of it or at its end."""
        with socket.create_connection(self._upstream, timeout=10) as server:
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.sendall(request.raw)
            self._pass_back(client, server, request, fault)

    def _pass_back(  # noqa: C901 - one loop, read from top to bottom
        self, client: socket.socket, server: socket.socket, request: _Request, fault: Fault | None
    ) -> None:
        seen = _head(server)
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
                return  # the server sees it too, as soon as this connection is closed
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
        """The server has done it all; the client has heard nothing yet."""
        self._strike(fault, request)
        if fault.kind == "drop":
            _cut(client)
        else:
            client.sendall(answer)


@dataclass
class _Request:
    """One request, as it came, and what it is called."""

    raw: bytes
    headers: dict[str, str]
    name: str
    sandbox_id: str

    @property
    def prepares(self) -> bool:
        """True for what the library itself sends before a kernel's first cell."""
        return self.name in ("execute", "files") and any(mark in self.raw for mark in _PREPARES)

    @classmethod
    def read(cls, client: socket.socket) -> _Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(_CHUNK)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while not _complete(headers, body):
            body += client.recv(_CHUNK)
        kept = [line for line in lines if not line.lower().startswith("connection:")]
        raw = "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1") + body
        method, path, _ = first.split(" ", 2)
        return cls(raw, headers, _name(method, path, headers), headers.get("e2b-sandbox-id", ""))


def _complete(headers: dict[str, str], body: bytes) -> bool:
    if "chunked" in headers.get("transfer-encoding", ""):
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(headers.get("content-length", "0"))


def _name(method: str, target: str, headers: dict[str, str]) -> str:
    path = urlsplit(target).path
    if "e2b-sandbox-port" in headers:
        first = path.strip("/").partition("/")[0]
        return {"process.Process": "commands", "filesystem.Filesystem": "filesystem"}.get(first, first)
    for verb, part, name in _NAMES:
        if method == verb and (path == part if name in ("create", "list") else part in path):
            return name
    return "other"


def _head(server: socket.socket) -> bytes:
    """The head of an answer and what came with it, with word that the connection ends with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = server.recv(_CHUNK)
        if not more:
            raise ConnectionError("the server hung up")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""]) + rest


def _answer(client: socket.socket, status: int, message: str) -> None:
    body = json.dumps({"code": status, "message": message}).encode()
    head = f"HTTP/1.1 {status} Injected\r\nContent-Type: application/json\r\nShould-Retry: false\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def _cut(connection: socket.socket) -> None:
    """Close without goodbye: the other side sees a reset."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # closed already
    connection.close()
