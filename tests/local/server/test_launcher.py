"""The server as this process's child: one for all threads, gone with its parent, clear when it cannot start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ci_integrations.local.launcher import Endpoint, LocalServerError, local_endpoint

USER = """
import sys, time, os, threading
from ci_integrations.local.launcher import local_endpoint
from e2b_code_interpreter import Sandbox
endpoint = local_endpoint()
sandbox = Sandbox.create(**endpoint.sdk_options())
sandbox.run_code("x = 1")
sandbox.commands.run("sleep 1000", background=True)
print(endpoint.url, flush=True)
"""


def processes_of(group: set[int]) -> set[int]:
    """Those of `group` that are alive."""
    return {pid for pid in group if Path(f"/proc/{pid}").exists() and "Z" not in state_of(pid)}


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def descendants(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while new := {child for child, parent in parents.items() if parent in found} - found:
        found |= new
    return found - {pid}


def user_process(tail: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", USER + textwrap.dedent(tail)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def assert_gone_within_a_second(pids: set[int]) -> None:
    deadline = time.monotonic() + 1
    while alive := processes_of(pids):
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in alive]
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_a_second_after_the_parent_was_killed(number: int) -> None:
    process, _ = user_process("time.sleep(100)")
    pids = descendants(process.pid)
    assert len(pids) >= 3
    process.send_signal(number)
    process.wait()
    assert_gone_within_a_second(pids)
    assert process.stdout is not None
    process.stdout.close()


def test_nothing_is_left_after_a_normal_end() -> None:
    process, url = user_process("")
    process.wait(10)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert process.stdout is not None
    process.stdout.close()


def test_a_fork_that_outlives_its_parent_does_not_keep_the_server() -> None:
    process, url = user_process("if os.fork() == 0: time.sleep(4); os._exit(0)\ntime.sleep(100)")
    time.sleep(0.3)
    pids = {pid for pid in descendants(process.pid) if b"-c" not in Path(f"/proc/{pid}/cmdline").read_bytes()}
    process.kill()
    process.wait()
    assert_gone_within_a_second(pids)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert process.stdout is not None
    process.stdout.close()


def test_a_fork_starts_a_server_of_its_own() -> None:
    process, url = user_process(
        """
        if os.fork() == 0:
            print(local_endpoint().url, flush=True)
            os._exit(0)
        os.wait()
        assert sandbox.run_code("x").text == "1"
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() not in ("", url)
    assert process.wait(10) == 0
    process.stdout.close()


def test_the_thread_that_started_it_may_end(endpoint: Endpoint) -> None:
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(local_endpoint, pool=0).result()
    time.sleep(0.6)
    assert httpx.get(started.url + "/health").json()["status"] == "ok"


def test_all_threads_share_one_server(endpoint: Endpoint) -> None:
    with ThreadPoolExecutor(20) as pool:
        assert {pool.submit(local_endpoint).result().url for _ in range(40)} == {endpoint.url}


def test_a_server_that_died_is_replaced() -> None:
    first = local_endpoint(pool=0, log_json=True)
    port = first.url.rpartition(":")[2]
    [pid] = [pid for pid in descendants(os.getpid()) if listens(pid, int(port))]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while (second := local_endpoint(pool=0, log_json=True)).url == first.url:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert httpx.get(second.url + "/health").status_code == 200


def listens(pid: int, port: int) -> bool:
    wanted = f":{port:04X} 00000000:0000 0A"
    lines = Path("/proc/net/tcp").read_text().splitlines()
    inodes = {line.split()[9] for line in lines if wanted in line}
    return any(target in {f"socket:[{inode}]" for inode in inodes} for target in descriptors(pid))


def descriptors(pid: int) -> list[str]:
    """What the descriptors of a living process point to; they come and go while we look."""
    found = []
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return found


def test_what_the_engine_refuses_is_told() -> None:
    with pytest.raises(LocalServerError, match="nonsense"):
        local_endpoint(isolation="nonsense")


def test_the_token_is_in_no_repr_argv_or_environment(endpoint: Endpoint) -> None:
    assert endpoint.token not in repr(endpoint)
    for pid in descendants(os.getpid()):
        for name in ("cmdline", "environ"):
            try:
                assert endpoint.token.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue


def test_the_foreground_server_ends_cleanly_at_a_signal() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_integrations.local.server"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    values = dict(process.stdout.readline().removeprefix("export ").strip().split("=") for _ in range(3))
    with httpx.Client(base_url=values["E2B_API_URL"], headers={"X-API-KEY": values["E2B_API_KEY"]}) as client:
        assert client.post("/v2/sandboxes", json={"templateID": "base"}).status_code == 201
    pids = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert_gone_within_a_second(pids)
    process.stdout.close()


def test_other_machines_are_only_let_in_with_a_token() -> None:
    command = [sys.executable, "-m", "ci_integrations.local.server", "--host", "0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert "token" in ended.stderr
