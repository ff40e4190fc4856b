"""The way out of a sandbox, when it was asked for: an allow-listing CONNECT proxy on the host.

A sandbox has a network namespace of its own with nothing but loopback. `open_network` has a listening socket made
*inside* that namespace and passed out; the host accepts on it and connects on the code's behalf. So there is no route
to the host: every connection is a name that this module resolves and an address that it judges. Loopback, link-local,
private, shared and reserved ranges and cloud metadata stay closed, also when a public name resolves to them. Only TCP;
names are resolved here, so no DNS is needed inside. Used by `local/server` only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from urllib.parse import urlsplit

from ci_integrations.local.sandbox.api import Entry, Sandbox

PORT = 3128
"""Of the proxy, on the sandbox's own loopback."""
MAX_CONNECTIONS = 64
MAX_HEAD = 16 * 1024
HEAD_SECONDS = 20.0
CONNECT_SECONDS = 20.0
IDLE_SECONDS = 300.0
CHUNK = 64 * 1024
_LOOKUPS = 4
"""Names resolved at one time, in threads of the sandbox's own: slow name servers hold up nobody else."""
METADATA = frozenset({"168.63.129.16"})
"""Cloud metadata at a public address: Azure's."""

log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - a verdict, not a fault
    """Not let through; the message is sent to the client."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a sandbox may reach."""

    allow: tuple[str, ...] = ()
    """Host names, `*.suffix` patterns, addresses or networks; empty: everything public."""
    deny: tuple[str, ...] = ()
    trusted: frozenset[tuple[str, int]] = frozenset()
    """(host, port) pairs the operator configured, such as the package index; allowed at private addresses too."""

    def check_name(self, host: str, port: int) -> None:
        """`Refused` when the rules on names alone say no."""
        if (host, port) in self.trusted:
            return
        if _matches(host, self.deny):
            raise Refused("403 Forbidden", f"{host} is denied by the sandbox's network rules")
        if self.allow and not _matches(host, self.allow):
            raise Refused("403 Forbidden", f"{host} is not among the hosts that this sandbox may reach")

    def check_address(self, host: str, port: int, address: str) -> None:
        """`Refused` when `host` has resolved to an address that stays closed."""
        if (host, port) in self.trusted:
            return
        if not is_public(address) or is_ours(address) or is_ours(_plain(address)):
            raise Refused("403 Forbidden", f"{host} is at a private, local or reserved address, which stays closed")
        if _matches(address, self.deny) or _matches(_plain(address), self.deny):
            raise Refused("403 Forbidden", f"{host} is at an address denied by the sandbox's network rules")


def is_public(address: str) -> bool:
    """True for a unicast address of the public internet, looked at through IPv4-in-IPv6 disguises too."""
    ip = ipaddress.ip_address(_plain(address))
    return ip.is_global and not ip.is_multicast and str(ip) not in METADATA and not _site_local(ip)


def _plain(address: str) -> str:
    """The address that packets to `address` arrive at: an IPv4 one out of its IPv6 disguise."""
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or _nat64(ip)
        if inner is not None:
            return str(inner)
    return str(ip)


def _site_local(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """fec0::/10 and the local NAT64 range, which older Pythons take for public."""
    local = (ipaddress.ip_network("fec0::/10"), ipaddress.ip_network("64:ff9b:1::/48"))
    return isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in local)


def is_ours(address: str) -> bool:
    """Whether it is this host's own, public or not: its services trust who comes from here. Asked by binding to it."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    inside = ip in ipaddress.ip_network("64:ff9b::/96") or ip in ipaddress.ip_network("::/96")
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if inside else None


def _matches(host: str, patterns: Iterable[str]) -> bool:
    return any(_match(host.lower().rstrip("."), pattern.lower()) for pattern in patterns)


def _match(host: str, pattern: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(pattern, strict=False)
    return fnmatchcase(host, pattern)


def listen(control: socket.socket, _config: Mapping[str, object]) -> None:
    """Inside the sandbox: a listening socket on its loopback, handed to the host."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", PORT))
        listener.listen(128)
        socket.send_fds(control, [b"L"], [listener.fileno()])


def proxy_envs() -> dict[str, str]:
    """What every process of a sandbox with a network needs in its environment."""
    url = f"http://127.0.0.1:{PORT}"
    both = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), url)
    return both | {"PIP_PROXY": url} | dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1,::1")


class Network:
    """The proxy of one sandbox. `close()` cuts every connection."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._resolvers = ThreadPoolExecutor(_LOOKUPS, "resolver")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, sandbox: Sandbox) -> None:
        listener = await _listener(sandbox)
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=MAX_HEAD)

    def update(self, rules: Rules) -> None:
        """From now on; connections that the new rules would refuse are cut with all others."""
        self._rules = rules
        self._cut()

    def close(self) -> None:
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
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError):
            _answer(writer, "400 Bad Request", "not a proxy request that could be served")
        finally:
            self._open.discard(writer)
            await _finish(writer)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        method, target, version = _request_line(head)
        if method == "CONNECT":
            upstream = await self._connect(*_authority(target, None))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            if parts.scheme != "http":
                raise Refused("400 Bad Request", "only CONNECT and http:// requests are served")
            upstream = await self._connect(*_authority(parts.netloc.rpartition("@")[2], 80))
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            upstream[1].write(_origin_form(head, f"{method} {path} {version}"))
        await _both_ways((reader, writer), upstream)

    async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to an address that was resolved once and judged: what is checked is what is used."""
        self._rules.check_name(host, port)
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


async def open_network(sandbox: Sandbox, rules: Rules) -> Network:
    """Give `sandbox` a way out under `rules`. The caller sets `proxy_envs()` and closes the result."""
    network = Network(rules)
    await network.start(sandbox)
    return network


async def _listener(sandbox: Sandbox) -> socket.socket:
    child = await sandbox.spawn(Entry(f"{__name__}:listen", {"guarded": True}))
    try:
        if child.control is None:
            raise OSError("the sandbox gave no control socket")
        fd = await asyncio.wait_for(_received_fd(child.control), CONNECT_SECONDS)
    finally:
        child.close()
    listener = socket.socket(fileno=fd)
    listener.settimeout(0)
    return listener


async def _received_fd(control: socket.socket) -> int:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(control.fileno(), ready.set)
    try:
        await ready.wait()
        _, fds, _, _ = socket.recv_fds(control, 1, 1, socket.MSG_CMSG_CLOEXEC)
    finally:
        loop.remove_reader(control.fileno())
    if not fds:
        raise OSError("the sandbox passed no listening socket")
    return fds[0]


def _request_line(head: bytes) -> tuple[str, str, str]:
    method, target, version = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    return method, target, version


def _authority(authority: str, default_port: int | None) -> tuple[str, int]:
    parts = urlsplit(f"//{authority}")
    port = parts.port or default_port
    if not parts.hostname or port is None:
        raise Refused("400 Bad Request", "a host and a port are needed")
    return parts.hostname, port


def _origin_form(head: bytes, request_line: str) -> bytes:
    """The request as the origin server expects it; one request for each connection."""
    lines = head.split(b"\r\n")[1:]
    kept = [line for line in lines if not line.lower().startswith((b"proxy-", b"connection:"))]
    return b"\r\n".join([request_line.encode(), b"Connection: close", *kept])


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both_ways(left: _Stream, right: _Stream) -> None:
    try:
        await asyncio.gather(_pump(left[0], right[1]), _pump(right[0], left[1]))
    finally:
        await _finish(right[1])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await asyncio.wait_for(reader.read(CHUNK), IDLE_SECONDS):
        writer.write(data)
        await writer.drain()
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
