"""What one sandbox sends keeps no other waiting: the server works on it in slices, elsewhere, or not at all."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from e2b.exceptions import SandboxException
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint

PUT = """import os, struct, time
channel = get_ipython().send.__self__._channel.socket
number = get_ipython().send.__self__._request
def put(body): channel.sendall(struct.pack('!I', len(body)) + body)
"""


def test_a_folder_of_many_names_comes_in_pages(sandbox: Sandbox) -> None:
    sandbox.run_code("import os\nos.makedirs('many')\nfor n in range(1203): open(f'many/{n:04}', 'w').close()")
    assert [entry.name for entry in sandbox.files.list("many")] == [f"{n:04}" for n in range(1203)]
    assert sandbox.files.list("/home/user/many")[700].path == "/home/user/many/0700"


def test_a_folder_of_too_many_names_is_refused_and_says_what_to_do(sandbox: Sandbox) -> None:
    sandbox.run_code("import os\nos.makedirs('many')\nfor n in range(10_001): open(f'many/{n}', 'w').close()")
    with pytest.raises(SandboxException, match="more than 10000 entries below .*: list a smaller directory"):
        sandbox.files.list("many")


def test_a_stopped_file_worker_goes_on_or_is_replaced(sandbox: Sandbox) -> None:
    sandbox.files.write("first", "1")
    stop = "import os, signal\nfor name in os.listdir('/proc'):\n    if name.isdigit() and int(name) > 1:\n"
    stop += "        if int(name) != os.getpid():\n            try: os.kill(int(name), signal.SIGSTOP)\n"
    sandbox.run_code(stop + "            except OSError: pass")
    try:
        sandbox.files.write("second", "2")
    except SandboxException as error:
        assert "started anew" in str(error)  # noqa: PT017 - it may also have gone on at once
        sandbox.files.write("second", "2")
    assert sandbox.files.read("second") == "2"


@pytest.mark.parametrize(
    "attack",
    [
        "put(b'{\"a\":[' + b'\"\",' * 3_000_000 + b'1]}')",
        'put(b\'{"id":-1,"type":"display","data":{"a":"\' + b\',\' * 3_000_000 + b\'"}}\')',
        "for _ in range(3000): put(b'{\"id\":-1}')",
    ],
    ids=["values", "commas", "small"],
)
def test_a_kernel_that_sends_what_none_sends_ends_and_the_sandbox_goes_on(sandbox: Sandbox, attack: str) -> None:
    execution = sandbox.run_code(f"{PUT}{attack}\ntime.sleep(60)", timeout=50)
    assert execution.error is not None
    assert execution.error.name == "ContextRestarting"
    assert "killed: " in execution.error.value
    assert not execution.error.traceback
    assert sandbox.run_code("1 + 1").text == "2"


def raw(endpoint: Endpoint) -> socket.socket:
    address = urlsplit(endpoint.url)
    client = socket.create_connection((address.hostname, address.port or 80), 30)
    client.settimeout(30)
    return client


def test_a_head_without_an_end_is_refused(endpoint: Endpoint) -> None:
    with raw(endpoint) as client:
        answer = b""
        try:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nA: ")
            for _ in range(64):
                client.sendall(b"a" * (1 << 20))
            pytest.fail("64 MiB of a header were taken")
        except OSError:
            pass
        try:
            answer = client.recv(100)
        except OSError:
            return  # the rest that it did not read made the kernel reset the connection
        assert answer.startswith(b"HTTP/1.1 431") or not answer


def test_long_but_honest_heads_and_many_requests_on_one_connection_are_served(endpoint: Endpoint) -> None:
    with raw(endpoint) as client:
        for _ in range(5):
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 30_000 + b"\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):  # its body may come after its head
                answer += client.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200")
