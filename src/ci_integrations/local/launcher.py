"""Starts the local server for this Python process: a child process, started once, shared by all threads.

The child gets its options on a pipe that only this process holds. However this process ends, the server reads the end
of that pipe and ends too.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ci_integrations.local import container

STOP_SECONDS = 3.0
"""How long the child may take to end its sandboxes before it is killed."""


class LocalServerError(RuntimeError):
    """The local server did not start. The message is for people and names the remedy."""


@dataclass(frozen=True)
class Endpoint:
    """A local server that answers."""

    url: str
    token: str = field(repr=False)
    """The API key that it wants: a random one for each server, unless the options name one."""
    level: str
    """The level of isolation that its sandboxes have."""

    def sdk_options(self) -> dict[str, str]:
        """Returns the arguments that lead the E2B SDK's calls to this server, without changing the environment.

        The server is named as its own proxy: it takes such requests as any other, and a proxy of the environment's, in
        whatever spelling, is not asked. The SDK has no word for "no proxy".
        """
        return {"api_url": self.url, "sandbox_url": self.url, "api_key": self.token, "proxy": self.url}


class _Server:
    """One child process. Raises LocalServerError when it does not start."""

    def __init__(self, options: Mapping[str, object]) -> None:
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
        """Sends the options and waits for the answer, which is empty when the child ends without one."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the pipes were asked for")
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def _read(self, answer: bytes) -> Endpoint:
        """Returns the address in the child's answer. Raises LocalServerError with what it said instead."""
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
        """Ends the server and all its sandboxes."""
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
        """Lets go of the server in a fork: it is the parent's, and copies of its pipes would keep it alive."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.returncode = 0  # otherwise Popen warns that a child of this process still runs


def _start(options: Mapping[str, object]) -> container.Start:
    """Returns how to start the server: as it is on Linux, and in a container elsewhere."""
    if not container.wanted(options):
        return container.Start([sys.executable, "-m", "ci_integrations.local.server", "--child"], options, "")
    try:
        return container.prepare(options)
    except container.NoContainerError as error:
        raise LocalServerError(str(error)) from None


class _State:
    """The servers of this process, by their options as JSON. A fork starts without any."""

    def __init__(self) -> None:
        self.servers: dict[str, _Server] = {}
        self.lock = threading.Lock()


_state = _State()


def local_endpoint(**options: Any) -> Endpoint:
    """Returns the local server of this process. The first call starts it; a server that died is replaced.

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
    """Returns the server of this process whose address is `url`, or None. Starts nothing."""
    with _state.lock:
        return next((server.endpoint for server in _state.servers.values() if server.endpoint.url == url), None)


def stop_local_servers() -> None:
    """Ends what `local_endpoint` started. This is also done when the process exits."""
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
