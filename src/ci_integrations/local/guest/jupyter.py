"""The driver for other languages: a real Jupyter kernel, run and spoken to inside the sandbox.

Runs inside the sandbox (an engine `Entry`); zmq and the kernel's connection never leave it. What the kernel prints goes
to our own stdout and stderr, everything else becomes the same frames that the Python kernel sends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ci_integrations.local.guest.dialects import Dialect, dialect
from ci_integrations.local.protocol.frames import Channel

_START_TIMEOUT = 60.0
_POLL = 0.2
"""Seconds between looks whether the kernel still lives."""


def main(control: socket.socket, config: dict[str, Any]) -> None:
    """Serve until the host hangs up or the kernel ends.

    `config`: "argv" with "{connection_file}" in it, "env", "interrupt" ("signal" or "message"), "language" (its
    dialect), "envs", "cwd".
    """
    os.environ.update({**(config.get("env") or {}), **(config.get("envs") or {})})
    with contextlib.suppress(OSError):
        os.chdir(str(config.get("cwd", "")))
    warnings.simplefilter("ignore")  # jupyter_client's, about network interfaces that a sandbox does not have
    driver = Driver(Channel(control), dialect(str(config["language"])))
    driver.run([str(part) for part in config["argv"]], by_message=config.get("interrupt") == "message")


class KernelEndedError(Exception):
    """The kernel's process is gone."""


class Driver:
    def __init__(self, channel: Channel, dialect: Dialect) -> None:
        self._channel = channel
        self._dialect = dialect
        self._count = 0

    def run(self, argv: list[str], *, by_message: bool) -> None:
        """The kernel's end is ours: the host is told by our exit."""
        try:
            self._start(argv, by_message=by_message)
            while (request := self._channel.receive()) is not None:
                self._run(request)
        except KernelEndedError:
            _end_as(self._kernel.wait())
        finally:
            self._kernel.kill()

    def _start(self, argv: list[str], *, by_message: bool) -> None:
        """Run the kernel and wait until it answers."""
        from jupyter_client.blocking.client import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        folder = tempfile.mkdtemp(prefix="kernel-")
        file, _ = write_connection_file(str(Path(folder) / "connection.json"))
        signal.signal(signal.SIGINT, self._on_sigint if by_message else lambda *_: None)
        self._kernel = subprocess.Popen(
            [part.replace("{connection_file}", file) for part in argv],
            preexec_fn=_ignore_sigint if by_message else None,  # noqa: PLW1509 - no thread has been started yet
        )
        self._client = BlockingKernelClient()
        self._client.load_connection_file(file)
        self._client.start_channels(stdin=False, hb=False)
        self._wait_for_the_kernel()
        self._silently(self._dialect.setup)

    def _run(self, request: Mapping[str, Any]) -> None:
        self._count += 1
        code, envs = str(request.get("code", "")), request.get("envs") or {}

        def send(message: dict[str, Any]) -> None:
            self._channel.send({**message, "id": request.get("id")})

        send({"type": "started", "execution_count": self._count})
        self._silently(self._dialect.set_envs(envs))
        error = self._execute(self._dialect.prepare(code), send)
        if error is not None:
            send({"type": "error", **self._explained(error, code)})
        self._silently(self._dialect.reset_envs(envs))
        send({"type": "done"})

    def _execute(self, code: str, send: Callable[[dict[str, Any]], None]) -> dict[str, Any] | None:
        """Run `code`; displays go to `send`. The error it ended with, if any."""
        asked = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        error = None
        for kind, content in self._messages(asked):
            if kind == "stream":
                _write(1 if content.get("name") == "stdout" else 2, str(content.get("text", "")))
            elif kind in ("execute_result", "display_data") and content.get("data"):
                send({"type": "display", "data": content["data"], "is_main_result": kind == "execute_result"})
            elif kind == "error":
                error = _error(content)
        reply = self._reply(asked)
        return error or (_error(reply) if reply.get("status") == "error" else None)

    def _messages(self, asked: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the kernel publishes on behalf of `asked`, until it is idle."""
        awaited = asked
        while True:
            message = self._get(self._client.get_iopub_msg)
            parent, kind, content = message["parent_header"].get("msg_id"), message["msg_type"], message["content"]
            if kind == "status" and content.get("execution_state") == "idle" and parent == awaited:
                if awaited != asked or not self._dialect.late:
                    return
                awaited = self._client.kernel_info()  # what was published before its answer has then arrived
            elif parent == asked:
                yield kind, content

    def _reply(self, asked: str) -> dict[str, Any]:
        while True:
            message = self._get(self._client.get_shell_msg)
            if message["parent_header"].get("msg_id") == asked:
                content: dict[str, Any] = message["content"]
                return content

    def _get(self, get: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        while True:
            try:
                return get(timeout=_POLL)
            except queue.Empty:
                if self._kernel.poll() is not None:
                    raise KernelEndedError from None

    def _silently(self, code: str) -> dict[str, Any] | None:
        """Run our own code; its displays are nobody's."""
        return self._execute(code, lambda _: None) if code else None

    def _explained(self, error: dict[str, Any], code: str) -> dict[str, Any]:
        """Some kernels only say that it failed; then ask again why, without running it."""
        question = self._dialect.why(error, code)
        answer = self._silently(question) if question else None
        return error if answer is None else self._dialect.explain(answer)

    def _wait_for_the_kernel(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            self._client.kernel_info()
            with contextlib.suppress(queue.Empty):
                self._client.get_iopub_msg(timeout=_POLL)  # so that we know: what it publishes reaches us
                return
            if self._kernel.poll() is not None:
                raise KernelEndedError
        raise TimeoutError(f"the kernel did not answer within {_START_TIMEOUT:g} s")

    def _on_sigint(self, signum: int, frame: object) -> None:
        message = self._client.session.msg("interrupt_request", {})
        self._client.control_channel.send(message)


def _end_as(code: int) -> NoReturn:
    """End as the kernel ended, so that the host tells the true reason."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _ignore_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write(fd: int, text: str) -> None:
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    while data:
        data = data[os.write(fd, data) :]


def _error(content: Mapping[str, Any]) -> dict[str, Any]:
    lines = content.get("traceback") or []
    return {
        "name": str(content.get("ename", "")),
        "value": str(content.get("evalue", "")),
        "traceback": "\n".join(str(line) for line in lines),
    }
