"""What the way out lets through: names, addresses, disguises; held against a proxy that serves real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from types import SimpleNamespace

import pytest

from ci_integrations.local.guest import listener
from ci_integrations.local.host import network
from ci_integrations.local.host.addresses import NetworkRules, Refused, is_public
from ci_integrations.local.host.network import Network
from ci_integrations.local.protocol import packages
from ci_integrations.local.protocol.packages import TrustedIndex


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "::127.0.0.1",
        "fe80::1%eth0",
    ],
)  # fmt: skip
def test_private_and_reserved_addresses_are_closed_in_every_disguise(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_open(address: str) -> None:
    assert is_public(address)


def test_an_allow_list_is_exact_and_knows_suffixes() -> None:
    rules = NetworkRules(allow=("pypi.example", "*.data.example", "1.1.1.0/24"))
    for host in ("pypi.example", "PyPI.example.", "a.data.example", "1.1.1.1"):
        rules.check_name(host, 443)
    for host in ("evilpypi.example", "pypi.example.evil", "data.example.evil", "1.1.2.1"):
        with pytest.raises(Refused):
            rules.check_name(host, 443)


@pytest.mark.parametrize("address", ["1.1.1.1", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::"])
def test_a_denied_address_is_denied_in_every_disguise(address: str) -> None:
    rules = NetworkRules(deny=("1.1.1.0/24",))
    with pytest.raises(Refused, match="denied"):
        rules.check_address(address, 443, address)
    rules.check_address("1.1.2.1", 443, "1.1.2.1")


async def test_slow_name_servers_of_one_sandbox_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(network.socket, "getaddrinfo", lambda *_, **__: go_on.wait(10) and [])
    attacker = Network(NetworkRules())
    waiting = [asyncio.ensure_future(attacker._connect(f"{n}.example", 80)) for n in range(64)]
    await asyncio.sleep(0.1)
    try:
        async with asyncio.timeout(2):
            await asyncio.to_thread(lambda: None)  # the threads that everybody shares
    finally:
        go_on.set()
    assert {type(end) for end in await asyncio.gather(*waiting, return_exceptions=True)} == {Refused}
    attacker.close()


async def through_proxy(rules: NetworkRules, request: bytes) -> bytes:
    """What a client inside the sandbox is answered."""
    proxy = Network(rules)
    door = socket.create_server(("127.0.0.1", 0))
    door.settimeout(0)
    proxy._server = await asyncio.start_server(proxy._serve, sock=door, limit=network.MAX_HEAD)
    reader, writer = await asyncio.open_connection(*door.getsockname()[:2])
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    proxy.close()
    return answer


async def web_server() -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def index_at(port: int, *folders: str) -> NetworkRules:
    return NetworkRules(index=TrustedIndex("localhost", port, is_plain=bool(folders), folders=folders))


@pytest.mark.parametrize("path", ["/simple/x/", "/packages/x-1.0.tar.gz"])
async def test_packages_of_a_plain_index_at_a_private_address_are_served(path: str) -> None:
    server, port = await web_server()
    request = f"GET http://localhost:{port}{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert b"200 OK" in await through_proxy(index_at(port, "/simple/", "/packages/"), request)
    server.close()


@pytest.mark.parametrize(
    "line",
    [
        "GET http://localhost:{port}/admin/users",
        "GET http://localhost:{port}/simple/../admin/users",
        "GET http://localhost:{port}/simple/%2e%2E/admin",
        "GET http://localhost:{port}/simple//admin",
        "GET http://localhost:{port}/simple/..\\admin",
        "POST http://localhost:{port}/simple/x/",
        "CONNECT localhost:{port}",
    ],
)
async def test_the_rest_of_a_plain_index_at_a_private_address_is_closed(line: str) -> None:
    server, port = await web_server()
    request = f"{line.format(port=port)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert (await through_proxy(index_at(port, "/simple/"), request)).startswith(b"HTTP/1.1 403")
    server.close()


@pytest.mark.parametrize(
    ("address", "passed"),
    [
        ("https://pypi.example/simple/", True),
        ("http://10.1.2.3:8081/repository/pypi-all/simple", True),
        ("https://mirror.example/api/pypi/py3-remote/simple/", True),
        ("https://mirror.example/TOKEN-abc123/simple/", False),
        ("https://mirror.example/0123456789abcdef0123456789abcdef/simple/", False),
        ("https://me:secret@mirror.example/simple/", False),
        ("https://mirror.example/simple/?token=x", False),
    ],
)
def test_an_index_with_a_secret_in_its_address_is_not_passed_on(monkeypatch, address: str, passed: bool) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", address)
    assert packages.pip_envs().get("PIP_INDEX_URL") == (address if passed else None)


async def test_a_private_address_is_refused_and_the_same_one_served_when_the_operator_trusts_it() -> None:
    server, port = await web_server()
    request = f"GET http://localhost:{port}/simple/?x=1 HTTP/1.1\r\nHost: localhost\r\nProxy-Secret: s\r\n\r\n".encode()
    refused = await through_proxy(NetworkRules(), request)
    assert refused.startswith(b"HTTP/1.1 403")
    assert b"private, local or reserved" in refused
    served = await through_proxy(index_at(port), request)
    assert b"GET /simple/?x=1 HTTP/1.1\r\nConnection: close\r\nHost: localhost" in served
    assert b"Proxy-Secret" not in served
    server.close()


async def test_connect_tunnels_and_closes_with_the_far_end() -> None:
    server, port = await web_server()
    request = f"CONNECT localhost:{port} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode()
    served = await through_proxy(index_at(port), request)
    assert served.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
    server.close()


@pytest.mark.parametrize(
    "head",
    [
        "GET http://localhost:{port}/ HTTP/1.1\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\nHost: a\n\nGET http://localhost:{port}/b HTTP/1.1\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: a\r\nbroken line\r\n\r\n",
        "GET http://localhost:{port}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET http://localhost:{port}/a b HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_a_head_that_two_parsers_may_read_differently_is_not_passed_on(head: str) -> None:
    server, port = await web_server()
    rules = index_at(port)
    answer = await through_proxy(rules, head.format(port=port).encode())
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert answer.endswith(b"\r\n\r\nnot a proxy request that could be served\n")
    server.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\xff\xfe\r\n\r\n", b"GET\r\n\r\n", b"CONNECT :0 HTTP/1.1\r\n\r\n", b"CONNECT a:b HTTP/1.1\r\n\r\n",
        b"GET ftp://example.com/ HTTP/1.1\r\n\r\n", b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"x" * 40_000 + b"\r\n\r\n",
        b"CONNECT [::1]:80 HTTP/1.1\r\n\r\n", b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n",
        b"CONNECT 0x7f000001:80 HTTP/1.1\r\n\r\n", b"CONNECT 2130706433:80 HTTP/1.1\r\n\r\n",
    ],
)  # fmt: skip
async def test_nonsense_and_closed_addresses_get_an_error_and_no_connection(request_bytes: bytes) -> None:
    answer = await through_proxy(NetworkRules(), request_bytes)
    assert answer.split(b" ")[1] in (b"400", b"403", b"502")


def test_the_listening_socket_is_made_by_the_one_who_is_asked() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        listener.listen(theirs, {})
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    with socket.socket(fileno=fds[0]) as made:
        assert made.getsockname() == ("127.0.0.1", network.PORT)


async def test_a_sandbox_that_passes_no_socket_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)

    async def spawn(_entry: object) -> SimpleNamespace:
        theirs.close()
        return SimpleNamespace(control=ours, close=ours.close)

    with pytest.raises(OSError, match="no listening socket"):
        await network.open_network(SimpleNamespace(spawn=spawn), NetworkRules())  # type: ignore[arg-type]
