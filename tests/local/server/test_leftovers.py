"""What sandboxes leave behind in the server: nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint


def server_pid(endpoint: Endpoint) -> int:
    """The process that listens on the endpoint's port."""
    port = int(endpoint.url.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text().splitlines()
    [inode] = [line.split()[9] for line in lines if f":{port:04X} 00000000:0000 0A" in line]
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if f"socket:[{inode}]" == str(link.readlink()):
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError("nobody listens")


def not_tcp(pid: int) -> int:
    """Descriptors but for the clients' connections, which their pools keep."""
    tcp = {f"socket:[{line.split()[9]}]" for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += str(link.readlink()) not in tcp
        except OSError:
            continue  # closed while we looked
    return found


def busy(endpoint: Endpoint) -> None:
    sandbox = Sandbox.create(**endpoint.sdk_options())
    sandbox.run_code("1")
    sandbox.create_code_context()
    sandbox.files.write("x", "y")
    sandbox.files.watch_dir(".")
    sandbox.commands.run("sleep 1000", background=True)
    sandbox.commands.run("true")
    sandbox.kill()


def test_descriptors_and_processes_go_with_their_sandboxes(endpoint: Endpoint) -> None:
    busy(endpoint)
    pid = server_pid(endpoint)
    time.sleep(0.5)
    before = not_tcp(pid)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(busy, [endpoint] * 12))
    deadline = time.monotonic() + 5
    while (after := not_tcp(pid)) > before:
        assert time.monotonic() < deadline, (before, after)
        time.sleep(0.1)


@pytest.mark.slow
def test_fifty_sandboxes_at_once(endpoint: Endpoint) -> None:
    def work(number: int) -> None:
        with Sandbox.create(**endpoint.sdk_options()) as sandbox:
            sandbox.run_code(f"me = {number}")
            for _ in range(20):
                assert sandbox.run_code("me").text == str(number)
            sandbox.files.write("me", str(number))
            assert sandbox.commands.run("cat me").stdout == str(number)

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(work, range(50)))
