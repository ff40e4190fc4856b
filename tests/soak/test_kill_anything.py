"""kill -9 of any process of ours at any time: the next request is answered, or refused clearly, and all goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2b import SandboxException
from e2b_code_interpreter import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 40
PATIENCE = 20.0
"""No request may take longer, whatever is killed under it, on a busy machine."""


def victims(server: Any, kind: str) -> list[int]:
    if kind == "zygote":
        return [server.zygote]
    if kind == "agent":
        return list(server.agents)
    return [pid for agent in server.agents for pid in children(agent)]


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Client(threading.Thread):
    """Does what users do, over and over, and notes how it went."""

    def __init__(self, server: Any, stop: threading.Event, seed: int) -> None:
        super().__init__()
        self._options = server.endpoint.sdk_options()
        self._stop_now = stop
        self._random = random.Random(seed)
        self._step = "create"
        self.went: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0

    def run(self) -> None:
        while not self._stop_now.is_set():
            try:
                self._session()
            except SandboxException as error:
                self.went[type(error).__name__] += 1
                self._note_words(error)
            except Exception as error:
                self._unwelcome(error)

    def _unwelcome(self, error: Exception) -> None:
        if self._step == "download" and isinstance(error, httpx.RemoteProtocolError):
            self.went["download broke off"] += 1  # the SDK hands this one through, in the cloud too
        else:
            self.wrong.append(f"{self._step}: {type(error).__name__}: {error}")

    def _note_words(self, error: Exception) -> None:
        if not str(error).strip():
            self.wrong.append(f"{self._step}: {type(error).__name__} without a word")

    def _session(self) -> None:
        sandbox = self._timed("create", lambda: Sandbox.create(request_timeout=PATIENCE, **self._options))
        try:
            for _ in range(6):
                self._act(sandbox)
        finally:
            sandbox.kill(request_timeout=PATIENCE)

    def _act(self, sandbox: Sandbox) -> None:
        step = self._random.choice(("cell", "long cell", "files", "command"))
        if step in ("cell", "long cell"):
            code = "40 + 2" if step == "cell" else "import time; time.sleep(0.2); 42"
            done = self._timed(step, lambda: sandbox.run_code(code, timeout=PATIENCE))
            answer = done.text if done.error is None else f"{done.error.name} in the cell"
            self._note(step, answer, right="42")
        elif step == "files":
            self._timed("upload", lambda: sandbox.files.write("x", "y" * 100_000))
            self._note(step, self._timed("download", lambda: sandbox.files.read("x")), right="y" * 100_000)
        else:
            self._note(step, self._timed(step, lambda: sandbox.commands.run("echo -n here")).stdout, right="here")

    def _note(self, step: str, answer: str | None, right: str) -> None:
        if answer == right:
            self.went["right"] += 1
        elif answer and answer.endswith("in the cell"):
            self.went[answer] += 1
        else:
            self.wrong.append(f"{step}: {answer!r:.200}")

    def _timed(self, step: str, call: Callable[[], Any]) -> Any:
        self._step = step
        began = time.monotonic()
        try:
            return call()
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)


@pytest.mark.parametrize("kind", ["kernel", "agent", "zygote"])
def test_whatever_is_killed_the_server_goes_on(server: Any, show: Callable[[object], None], kind: str) -> None:
    stop = threading.Event()
    clients = [Client(server, stop, seed) for seed in range(4)]
    for client in clients:
        client.start()
    chance = random.Random(kind)
    killed = 0
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        time.sleep(chance.uniform(0, 3 if kind == "zygote" else 0.4))
        with contextlib.suppress(ValueError, IndexError, OSError):  # it has just gone, or none is there yet
            os.kill(chance.choice(victims(server, kind)), signal.SIGKILL)
            killed += 1
    stop.set()
    for client in clients:
        client.join(2 * PATIENCE)
        assert not client.is_alive(), "a request hangs"
    went = sum((client.went for client in clients), Counter())
    show(f"{killed} killed, slowest answer {max(client.slowest for client in clients):.1f} s, {dict(went)}")
    assert killed > 5
    assert [line for client in clients for line in client.wrong] == []
    assert went["right"] > 20  # it comes back between the kills, on a busy machine too
    assert max(client.slowest for client in clients) < PATIENCE
    with Sandbox.create(**server.endpoint.sdk_options()) as sandbox:
        assert sandbox.run_code("1+1").text == "2"
