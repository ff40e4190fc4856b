"""Clients that send nonsense, too much, too slowly or nothing: a proper status, and a server that goes on."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest
from e2b_code_interpreter import Sandbox
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_integrations.local.launcher import Endpoint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["templateID", "timeout", "metadata", "envVars", "network", "autoPause", "autoResume", "memory", "duration"]
FIELDS += ["code", "context_id", "language", "env_vars", "cwd", "path", "depth", "process", "pid", "signal", "source"]
FIELDS += ["destination", "recursive", "watcherId", "input", "pty", "allow_internet_access", "iam", "mcp"]
BODIES = (
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5).map(lambda v: json.dumps(v).encode())
    | JSON.map(lambda v: json.dumps(v).encode())
    | st.binary(max_size=200)
)
CONTROL = ["/v2/sandboxes", "/sandboxes", "/sandboxes/{id}", "/sandboxes/{id}/timeout", "/v2/sandboxes/{id}/connect"]
CONTROL += [
    "/sandboxes/{id}/metrics",
    "/sandboxes/metrics",
    "/sandboxes/{id}/refreshes",
    "/templates/a%2Fb",
    "/%00/%ff",
]
DATA = ["/execute", "/contexts", "/contexts/x/restart", "/files", "/health", "/nope", "/"]
RPC = [
    f"/process.Process/{m}" for m in ("List", "Start", "Connect", "SendSignal", "SendInput", "StreamInput", "Update")
]
RPC += [f"/filesystem.Filesystem/{m}" for m in ("Stat", "ListDir", "MakeDir", "Move", "Remove", "WatchDir", "Nope")]
RPC += [
    "/filesystem.Filesystem/CreateWatcher",
    "/filesystem.Filesystem/GetWatcherEvents",
    "/process.Process/CloseStdin",
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
TYPES = ["application/json", "application/connect+json", "application/proto", "multipart/form-data; boundary=x"]
TYPES += ["application/octet-stream", "text/plain", "application/grpc", ""]
QUERY = st.dictionaries(
    st.sampled_from(["path", "username", "signature", "limit", "nextToken", "metadata", "state", "order", "start"]),
    st.text(max_size=30),
    max_size=3,
)
EXPECTED_5XX = {501, 502, 507}


@given(
    method=st.sampled_from(METHODS),
    path=st.sampled_from(CONTROL + DATA + RPC) | st.text(max_size=20).map(lambda t: "/" + t),
    port=st.sampled_from(["49983", "49999", "8000", "0", "x", None]),
    kind=st.sampled_from(TYPES),
    query=QUERY,
    body=BODIES,
)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_request_makes_the_server_fail_or_hang(  # noqa: PLR0917 - drawn by name
    endpoint: Endpoint,
    victim: Sandbox,
    method: str,
    path: str,
    port: str | None,
    kind: str,
    query: dict[str, str],
    body: bytes,
) -> None:
    headers = {"X-API-KEY": endpoint.token, "Content-Type": kind, "Connect-Timeout-Ms": "500"}
    if port is not None:
        headers |= {
            "E2b-Sandbox-Id": victim.sandbox_id,
            "E2b-Sandbox-Port": port,
            "X-Access-Token": str(victim._envd_access_token),
        }
    if method == "DELETE" and path == "/sandboxes/{id}":
        method = "GET"
    url = endpoint.url + path.replace("{id}", victim.sandbox_id)
    try:
        with httpx.stream(method, url, headers=headers, params=query, content=body, timeout=5) as answer:
            status, content = answer.status_code, answer.read()
    except httpx.InvalidURL:
        return
    assert status < 500 or status in EXPECTED_5XX or b"Failed to create context" in content, (status, content)
    if port is None and status >= 400 and method != "HEAD":
        assert answer.json()["code"] == status
        assert isinstance(answer.json()["message"], str)


@pytest.fixture(scope="module")
def victim(endpoint: Endpoint) -> object:
    with Sandbox.create(timeout=900, **endpoint.sdk_options()) as sandbox:
        yield sandbox
        assert sandbox.run_code("6 * 7").text == "42"
        # what the requests made is not counted: sandboxes of random creates end with the server


def connect(endpoint: Endpoint) -> socket.socket:
    address = urlsplit(endpoint.url)
    return socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=5)


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nE2b-Sandbox-Id: a\r\n b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    ],
)
def test_what_is_not_http_gets_a_400_or_is_cut(endpoint: Endpoint, raw: bytes) -> None:
    with connect(endpoint) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(1000)
    assert answer == b"" or answer.split()[1] in (b"400", b"401", b"404")


def test_half_open_connections_hold_nobody_up(endpoint: Endpoint, shared: Sandbox) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(endpoint)).sendall(b"POST /execute HTTP/1.1\r\nContent-Len")
        begun = time.monotonic()
        assert shared.run_code("1").text == "1"
        assert time.monotonic() - begun < 2


def test_an_oversized_body_is_refused_while_it_is_sent(endpoint: Endpoint, shared: Sandbox) -> None:
    def endless() -> object:
        while True:
            yield b" " * (1 << 20)

    headers = {"X-API-KEY": endpoint.token}
    with contextlib.suppress(httpx.WriteError):  # the server may close before the client has looked
        answer = httpx.post(endpoint.url + "/v2/sandboxes", content=endless(), headers=headers, timeout=20)  # type: ignore[arg-type]
        assert answer.status_code == 413
    assert shared.run_code("1").text == "1"


@pytest.mark.parametrize(
    "body",
    [b"nonsense", b"[" * 100_000, b'{"a":' * 100_000, b'{"process":{"tag":"' + b"[" * 100_000],
    ids=["words", "lists", "objects", "string"],
)
@pytest.mark.parametrize("framed", [False, True], ids=["unary", "stream"])
def test_a_message_that_cannot_be_read_is_refused(
    endpoint: Endpoint, shared: Sandbox, body: bytes, *, framed: bool
) -> None:
    """Deep ones once took the whole server along: the native decoder has no end of its recursion."""
    headers = {
        "E2b-Sandbox-Id": shared.sandbox_id,
        "E2b-Sandbox-Port": "49983",
        "X-Access-Token": str(shared._envd_access_token),
        "Content-Type": "application/connect+json" if framed else "application/json",
    }
    path = "Start" if framed else "SendSignal"
    content = b"\0" + len(body).to_bytes(4, "big") + body if framed else body
    answer = httpx.post(f"{endpoint.url}/process.Process/{path}", headers=headers, content=content, timeout=10)
    assert answer.status_code == (200 if framed else 400)
    assert b'"invalid_argument"' in answer.content
    assert shared.commands.run("echo alive").stdout == "alive\n"


@pytest.mark.parametrize("envs", [{"": "x"}, {"a=b": "x"}, {"a": "\0"}, {"a": "\ud800"}])
def test_variables_that_no_process_can_have_are_refused(
    endpoint: Endpoint, shared: Sandbox, envs: dict[str, str]
) -> None:
    headers = {
        "E2b-Sandbox-Id": shared.sandbox_id,
        "E2b-Sandbox-Port": "49999",
        "X-Access-Token": str(shared._envd_access_token),
    }
    answer = httpx.post(
        f"{endpoint.url}/execute", headers=headers, content=json.dumps({"code": "1", "env_vars": envs}), timeout=10
    )
    assert answer.status_code == 400
    assert "environment variable" in answer.text


def test_a_header_of_the_client_never_becomes_a_header_of_the_answer(endpoint: Endpoint, shared: Sandbox) -> None:
    shared.files.write("a\r\nX-Evil: 1", "x")
    headers = {
        "E2b-Sandbox-Id": shared.sandbox_id,
        "E2b-Sandbox-Port": "49983",
        "X-Access-Token": str(shared._envd_access_token),
    }
    answer = httpx.get(endpoint.url + "/files", params={"path": "a\r\nX-Evil: 1"}, headers=headers)
    assert (answer.status_code, answer.text) == (200, "x")
    assert "x-evil" not in answer.headers


def test_a_sandbox_cannot_read_the_tokens_of_others(endpoint: Endpoint, shared: Sandbox) -> None:
    with Sandbox.create(**endpoint.sdk_options()) as other:
        headers = {
            "E2b-Sandbox-Id": other.sandbox_id,
            "E2b-Sandbox-Port": "49983",
            "X-Access-Token": str(shared._envd_access_token),
        }
        assert httpx.get(endpoint.url + "/files", params={"path": "x"}, headers=headers).status_code == 401
        rpc = httpx.post(endpoint.url + "/process.Process/List", json={}, headers=headers)
        assert rpc.status_code == 401
        assert "message" in rpc.json()
