"""Starts the local server for this Python process: a child of its own, once, shared by all threads, gone with it.

The way in for the rooms above. The child is exec'd, gets its options and lives on a pipe that only this process
holds: however this process ends, the server reads the end of that pipe and goes.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from ci_integrations.local import container

STOP_SECONDS = 3.0


class LocalServerError(RuntimeError):
    """The local server did not start. The message is for people and names the remedy."""


@dataclass(frozen=True)
class Endpoint:
    """A local server that answers."""

    url: str
    token: str = field(repr=False)
    level: str

    def sdk_options(self) -> dict[str, str]:
        """What the E2B SDK's calls take to come here."""
        return {"api_url": self.url, "sandbox_url": self.url, "api_key": self.token}


class _Server:
    """One child process."""

    def __init__(self, options: dict[str, Any]) -> None:
        start = _start(options)
        self._process = subprocess.Popen(
            start.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl+C at a terminal stops a cell, not the server
        )
        try:
            answer = self._ask(json.dumps(dict(start.options)).encode() + b"\n")
        except BaseException as error:
            self.stop()
            if isinstance(error, BrokenPipeError):
                raise LocalServerError("the local server ended at once; its own words are on stderr") from None
            raise
        endpoint = self._read(answer)
        self.endpoint = replace(endpoint, url=start.url or endpoint.url)

    def _ask(self, line: bytes) -> bytes:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the pipes were asked for")
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def _read(self, answer: bytes) -> Endpoint:
        if not answer:
            self.stop()
            code = self._process.returncode
            raise LocalServerError(f"the local server ended with code {code}; its own words are on stderr")
        value = json.loads(answer)
        if "error" in value:
            self.stop()
            raise LocalServerError(value["error"])
        return Endpoint(**value)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends it and every sandbox of it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """In a fork: the server is the parent's; our copies of its pipes must not keep it alive."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.returncode = 0


def _start(options: dict[str, Any]) -> container.Start:
    """On Linux the server as it is, elsewhere in a container."""
    if not container.wanted(options):
        return container.Start([sys.executable, "-m", "ci_integrations.local.server", "--child"], options, "")
    try:
        return container.prepare(options)
    except container.NoContainerError as error:
        raise LocalServerError(str(error)) from None


class _State:
    """Of this process; a fork starts with a fresh one."""

    def __init__(self) -> None:
        self.servers: dict[str, _Server] = {}
        self.lock = threading.Lock()


_state = _State()


def local_endpoint(**options: Any) -> Endpoint:
    """The local server of this process, started by the first call; a server that died is replaced.

    `options` are those of `local.server.main.Options`; calls with equal options share one server. Where this is not
    Linux, or with `isolation="container"`, it runs in a container (Docker or Podman). Raises LocalServerError.
    """
    key = json.dumps(options, sort_keys=True)
    with _state.lock:
        server = _state.servers.get(key)
        if server is not None and not server.alive:
            _state.servers.pop(key).stop()
            server = None
        if server is None:
            server = _state.servers[key] = _Server(options)
        return server.endpoint


def running_at(url: str) -> Endpoint | None:
    """The server of this process whose address is `url`, if there is one."""
    with _state.lock:
        return next((server.endpoint for server in _state.servers.values() if server.endpoint.url == url), None)


def stop_local_servers() -> None:
    """Ends what `local_endpoint` started. Also done when the process exits."""
    with _state.lock:
        while _state.servers:
            _state.servers.popitem()[1].stop()


def _after_fork() -> None:
    inherited = _state.servers
    _state.__init__()  # type: ignore[misc]  # the lock may be held by a thread that the fork does not have
    for server in inherited.values():
        server.forget()


atexit.register(stop_local_servers)
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
