"""Commands, terminals and ports of a sandbox, with the unmodified SDK."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from e2b import (
    CommandExitException,
    InvalidArgumentException,
    PtySize,
    SandboxException,
    SandboxNotRunningException,
    TimeoutException,
)
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint


def test_output_and_exit_code(shared: Sandbox) -> None:
    seen: list[str] = []
    result = shared.commands.run("echo out; echo err >&2", on_stdout=seen.append)
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0)
    assert seen == ["out\n"]
    with pytest.raises(CommandExitException) as failed:
        shared.commands.run("echo partial; exit 3")
    assert (failed.value.exit_code, failed.value.stdout, failed.value.error) == (3, "partial\n", "exit status 3")


def test_cwd_and_envs(shared: Sandbox) -> None:
    assert shared.commands.run("pwd; echo $A", cwd="/tmp", envs={"A": "b c"}).stdout == "/tmp\nb c\n"
    assert shared.commands.run("pwd").stdout == "/home/user\n"
    assert shared.commands.run("echo $USER $HOME").stdout == "user /home/user\n"
    with pytest.raises(InvalidArgumentException, match="cwd '/nowhere' does not exist"):
        shared.commands.run("true", cwd="/nowhere")


def test_large_output_in_odd_places_is_whole(shared: Sandbox) -> None:
    assert shared.commands.run("python3 -c \"print('x' + 'é' * 3_000_000, end='')\"").stdout == "x" + "é" * 3_000_000


def test_stdin_of_a_background_command(shared: Sandbox) -> None:
    handle = shared.commands.run("cat; echo end", background=True, stdin=True)
    shared.commands.send_stdin(handle.pid, "one\n")
    handle.send_stdin("two\n")
    handle.close_stdin()
    assert handle.wait().stdout == "one\ntwo\nend\n"


def test_a_stream_of_input(shared: Sandbox) -> None:
    handle = shared.commands.run("cat; echo end", background=True, stdin=True)
    shared.commands.stream_input(handle.pid, (f"line {i}\n" for i in range(3)))
    handle.close_stdin()
    assert handle.wait().stdout == "line 0\nline 1\nline 2\nend\n"
    with pytest.raises(SandboxException, match="not found"):
        shared.commands.stream_input(999_999, ["x"])


def test_git_runs_as_a_command(shared: Sandbox) -> None:
    shared.git.init("repo")
    shared.git.configure_user("Ada", "ada@example.org")
    shared.files.write("repo/x", "1")
    shared.git.add("repo")
    shared.git.commit("repo", "first")
    assert shared.git.status("repo").file_status == []


def test_a_command_outlives_its_listener_and_is_found_again(shared: Sandbox) -> None:
    handle = shared.commands.run("for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done; exit 4", background=True)
    handle.disconnect()
    [found] = [process for process in shared.commands.list() if process.pid == handle.pid]
    assert found.cmd == "/bin/bash"
    again = shared.commands.connect(handle.pid)
    with pytest.raises(CommandExitException) as failed:
        again.wait()
    assert failed.value.exit_code == 4
    assert failed.value.stdout.endswith("6\n")
    with pytest.raises(CommandExitException):
        shared.commands.connect(handle.pid).wait()


def test_kill_takes_the_whole_group(shared: Sandbox) -> None:
    handle = shared.commands.run("sleep 1000 & sleep 1000", background=True)
    assert handle.kill() is True
    with pytest.raises(CommandExitException) as failed:
        handle.wait()
    assert (failed.value.exit_code, failed.value.error) == (-1, "signal: killed")
    assert handle.kill() is False
    assert shared.commands.kill(999_999) is False
    assert shared.commands.run("pgrep -c sleep || true").stdout.strip() in ("", "0")


def test_a_timeout_kills_the_command(shared: Sandbox) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutException):
        shared.commands.run("sleep 1000", timeout=1)
    assert time.monotonic() - begun < 4
    time.sleep(0.5)
    assert shared.commands.list() == []


def test_a_command_that_leaves_children_behind_ends(shared: Sandbox) -> None:
    begun = time.monotonic()
    assert shared.commands.run("sleep 30 & echo started").stdout == "started\n"
    assert time.monotonic() - begun < 3
    shared.commands.run("pkill sleep")


def test_only_the_user_is_there(shared: Sandbox) -> None:
    assert shared.commands.run("id -un", user="user").stdout == "user\n"
    with pytest.raises(SandboxException, match="no root"):
        shared.commands.run("true", user="root")


def test_a_command_that_is_not_utf8(shared: Sandbox) -> None:
    assert shared.commands.run(r"printf '\xff\xfeok'").stdout == "\ufffd\ufffdok"


def test_a_terminal(shared: Sandbox) -> None:
    seen = bytearray()
    terminal = shared.pty.create(PtySize(rows=30, cols=100), cwd="/tmp")
    shared.pty.send_stdin(terminal.pid, b"stty size; tty; pwd; echo $TERM\n")
    shared.pty.resize(terminal.pid, PtySize(rows=40, cols=120))
    shared.pty.send_stdin(terminal.pid, b"sleep 0.2; stty size; exit 7\n")
    with pytest.raises(CommandExitException) as ended:
        terminal.wait(on_pty=seen.extend)
    assert ended.value.exit_code == 7
    for words in (b"/dev/pts/", b"/tmp", b"xterm", b"40 120"):
        assert words in seen
    assert shared.pty.kill(terminal.pid) is False


def test_a_kill_in_the_middle_is_told_within_a_second(sandbox: Sandbox) -> None:
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.monotonic())
        sandbox.kill()

    threading.Timer(0.5, kill).start()
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("sleep 1000")
    assert time.monotonic() - killed[0] < 1
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.run("true")


def test_a_kill_while_input_streams_in_is_told_too(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("cat", background=True, stdin=True)

    def endless() -> Iterator[str]:
        while True:
            yield "x" * 1000
            time.sleep(0.01)

    threading.Timer(0.5, sandbox.kill).start()
    with pytest.raises(SandboxNotRunningException):
        sandbox.commands.stream_input(handle.pid, endless())


# -- ports

SERVER = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer(b'')
    def do_POST(self): self.answer(self.rfile.read(int(self.headers['Content-Length'])))
    def answer(self, body):
        said = json.dumps({'path': self.path, 'body': body.decode(), 'headers': dict(self.headers)}).encode()
        self.send_response(200); self.send_header('X-Mine', 'yes'); self.end_headers(); self.wfile.write(said)
http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Handler).serve_forever()
"""


def listening(sandbox: Sandbox, port: int) -> None:
    for _ in range(50):
        if sandbox.run_code(f"import socket; socket.socket().connect_ex(('127.0.0.1', {port}))").text == "0":
            return
        time.sleep(0.1)
    raise AssertionError("nothing listens")


def test_a_port_is_reached_by_its_host(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.files.write("server.py", SERVER)
    sandbox.commands.run("python3 server.py", background=True)
    listening(sandbox, 8000)
    host = sandbox.get_host(8000)
    assert host == f"8000-{sandbox.sandbox_id}.localhost:{urlsplit(endpoint.url).port}"
    answer = httpx.post(endpoint.url + "/a%20b?c=d", content=b"hello", headers={"Host": host, "X-Api-Key": "secret"})
    assert answer.headers["x-mine"] == "yes"
    said = answer.json()
    assert (said["path"], said["body"]) == ("/a%20b?c=d", "hello")
    assert "secret" not in json.dumps(said)
    closed = httpx.get(endpoint.url, headers={"Host": sandbox.get_host(8001)})
    assert closed.status_code == 502
    assert closed.json()["message"] == "The sandbox is running but port is not open"
    assert closed.json()["port"] == 8001


def test_a_closed_sandbox_has_no_ports(endpoint: Endpoint, sandbox: Sandbox) -> None:
    host = sandbox.get_host(8000)
    sandbox.kill()
    answer = httpx.get(endpoint.url, headers={"Host": host})
    assert (answer.status_code, answer.json()["message"]) == (502, "The sandbox was not found")


ECHO = """
import socket
listener = socket.create_server(('127.0.0.1', 8002))
while True:
    connection, _ = listener.accept()
    if not connection.recv(10000): continue
    connection.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n')
    while data := connection.recv(1000): connection.sendall(data[::-1])
    connection.close()
"""


def test_an_upgraded_connection_carries_bytes_both_ways(endpoint: Endpoint, sandbox: Sandbox) -> None:
    sandbox.files.write("echo.py", ECHO)
    sandbox.commands.run("python3 echo.py", background=True)
    listening(sandbox, 8002)
    address = urlsplit(endpoint.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=5) as connection:
        connection.sendall(
            b"GET /socket HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: " + sandbox.get_host(8002).encode() + b"\r\n\r\n"
        )
        head = connection.recv(1000)
        assert head.startswith(b"HTTP/1.1 101")
        connection.sendall(b"abc")
        assert connection.recv(1000) == b"cba"
        sandbox.kill()
        assert connection.recv(1000) == b""


def test_private_traffic_needs_its_token(endpoint: Endpoint) -> None:
    options = endpoint.sdk_options()
    with Sandbox.create(network={"allow_public_traffic": False}, **options) as sandbox:
        assert sandbox.traffic_access_token
        assert sandbox.run_code("1").text == "1"
        refused = httpx.get(endpoint.url, headers={"Host": sandbox.get_host(8000)})
        assert refused.status_code == 403
        assert "e2b-traffic-access-token" in refused.json()["message"]
        token = {"Host": sandbox.get_host(8000), "E2B-Traffic-Access-Token": sandbox.traffic_access_token}
        assert httpx.get(endpoint.url, headers=token).status_code == 502
