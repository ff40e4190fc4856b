"""A laboratory for hostile code: a real engine, a fresh sandbox for each attack, a neighbour that must not notice.

Runs as whoever runs pytest: `.ci/ordinary-user` runs this folder again as an ordinary user.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.local.host.context import Context, open_context
from ci_integrations.local.host.engine import start_engine
from ci_integrations.local.protocol.contract import EngineError, Limits, MiB, Sandbox, SandboxSpec

from .items import PRELUDE

LEVELS = ("namespaces", "bubblewrap", "landlock")
SMALL = Limits(
    memory=300 * MiB, processes=64, open_files=256, disk=64 * MiB, inodes=2000, output=8 * MiB, results=8 * MiB
)
ENV_NAME = "CI_ABUSE_CANARY"


@dataclass
class Host:
    """What the host has that no sandbox may reach: a file, a secret, sockets, a process."""

    secret: str
    file: Path
    port: int
    unix: Path
    pid: int
    servers: list[socket.socket] = field(default_factory=list)

    def names(self) -> str:
        """Python source that tells the attack where they are: the secret itself in two halves."""
        half = len(self.secret) // 2
        return (
            f"CANARY_FILE = {str(self.file)!r}\nHOST_PORT = {self.port}\nHOST_SOCKET = {str(self.unix)!r}\n"
            f"HOST_PID = {self.pid}\nENV_NAME = {ENV_NAME!r}\n"
            f"CANARY_SECRET = ''.join([{self.secret[:half]!r}, {self.secret[half:]!r}])\n"
            "ALIVE_CHECK = lambda: os.path.exists('/proc/1')\n"
        )


class Lab:
    """One engine on a loop of its own, driven from plain functions."""

    def __init__(self, level: str, host: Host) -> None:
        self.level, self.host = level, host
        self._contexts: dict[str, list[Context]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.engine = self.call(start_engine(isolation=level))  # type: ignore[arg-type]
        self.neighbour = self.sandbox()
        self.neighbour_context = self.context(self.neighbour)

    def call(self, work: Coroutine[Any, Any, Any], timeout: float = 60) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def sandbox(self, limits: Limits = SMALL) -> Sandbox:
        return self.call(self.engine.create(SandboxSpec(sandbox_id=secrets.token_hex(6), limits=limits)))

    def context(self, sandbox: Sandbox) -> Context:
        context = self.call(open_context(sandbox))
        self._contexts.setdefault(sandbox.sandbox_id, []).append(context)
        return context

    def discard(self, sandbox: Sandbox) -> None:
        for context in self._contexts.pop(sandbox.sandbox_id, []):
            self.call(context.close())
        if not sandbox.dead.done():
            self.call(sandbox.kill())

    def run(self, context: Context, code: str, timeout: float = 60) -> list[dict[str, Any]]:
        return self.call(_events(context, code), timeout)

    def attack(self, context: Context, source: str) -> dict[str, Any]:
        """The verdict of one attack, or how the kernel ended."""
        code = f"{PRELUDE}\n{self.host.names()}\n{source}\nrun_attack(attack)"
        return verdict_of(self.run(context, code))

    def assert_neighbour_unharmed(self) -> None:
        assert text_of(self.run(self.neighbour_context, "6 * 7")) == "42"

    def assert_still_creates(self) -> None:
        sandbox = self.sandbox()
        assert text_of(self.run(self.context(sandbox), "1 + 1")) == "2"
        self.discard(sandbox)

    def close(self) -> None:
        self.discard(self.neighbour)
        self.call(self.engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _events(context: Context, code: str) -> list[dict[str, Any]]:
    return [event async for event in context.execute(code)]


def verdict_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    for line in stdout_of(events).splitlines():
        if line.startswith("VERDICT "):
            return json.loads(line.removeprefix("VERDICT "))
    died = next((event["reason"] for event in events if event["type"] == "died"), None)
    error = next((event for event in events if event["type"] == "error"), None)
    return {"through": False, "errno": None, "error": "died" if died else "no verdict", "detail": f"{died} {error}"}


def stdout_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "stdout")


def text_of(events: list[dict[str, Any]]) -> str | None:
    return next((e["data"].get("text/plain") for e in events if e["type"] == "display" and e["is_main_result"]), None)


def on_host(host: Host, source: str) -> dict[str, Any]:
    """The same attack in a plain Python on the host: the control that shows that it works at all."""
    code = f"{PRELUDE}\n{host.names()}\n{source}\nrun_attack(attack)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {ENV_NAME: host.secret},
    )
    return verdict_of([{"type": "stdout", "text": run.stdout}, {"type": "error", "text": run.stderr}])


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "secret"
        file.write_text(secret)
        file.chmod(0o644)
        listeners = [_greeting("127.0.0.1"), _greeting(f"{folder}/socket"), _greeting(f"\0{secret}")]
        marker = "import sys, time; time.sleep(600)"
        envs = os.environ | {ENV_NAME: secret}
        process = subprocess.Popen([sys.executable, "-c", marker, "ci-abuse-neighbour"], env=envs)
        yield Host(secret, file, listeners[0].getsockname()[1], Path(folder) / "socket", process.pid)
        process.kill()
        process.wait()
        for listener in listeners:
            listener.close()


def _greeting(address: str) -> socket.socket:
    """A service that says hello to whoever connects."""
    inet = address == "127.0.0.1"
    listener = socket.socket(socket.AF_INET if inet else socket.AF_UNIX)
    listener.bind((address, 0) if inet else address)
    if address.startswith("/"):
        Path(address).chmod(0o777)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"hello")

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.fixture(scope="session", params=LEVELS)
def lab(request: pytest.FixtureRequest, host: Host) -> Iterator[Lab]:
    os.environ[ENV_NAME] = host.secret
    try:
        lab = Lab(request.param, host)
    except EngineError as error:
        if request.param == os.environ.get("CI_REQUIRE_LEVEL"):
            raise
        pytest.skip(f"this machine cannot reach the level {request.param}: {error}")
    finally:
        del os.environ[ENV_NAME]
    yield lab
    lab.close()


@pytest.fixture
def sandbox(lab: Lab) -> Iterator[Sandbox]:
    """Fresh for each attack; afterwards the neighbour answers and the engine still creates (items 77 and 78)."""
    sandbox = lab.sandbox()
    yield sandbox
    lab.discard(sandbox)
    lab.assert_neighbour_unharmed()


@pytest.fixture
def context(lab: Lab, sandbox: Sandbox) -> Context:
    return lab.context(sandbox)
