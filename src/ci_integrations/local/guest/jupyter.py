"""The driver for other languages runs a real Jupyter kernel and speaks with it, both inside the sandbox.

The driver is an `Entry` of the engine; ZeroMQ and the kernel's connection never leave the sandbox. What the kernel
prints goes to the driver's own stdout and stderr; the rest becomes the frames that the Python kernel sends.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from ci_integrations.local.guest.dialects import Dialect, dialect
from ci_integrations.local.protocol.contract import ContextConfig
from ci_integrations.local.protocol.frames import Channel, Frame, write_all

_START_TIMEOUT = 60.0
_POLL = 0.2
"""Seconds between looks whether the kernel still lives."""


def main(control: socket.socket, config: ContextConfig) -> None:
    """Serves cells until the host hangs up or the kernel ends. Raises TimeoutError when the kernel never answers."""
    os.environ.update({**(config.get("env") or {}), **(config.get("envs") or {})})
    with contextlib.suppress(OSError):
        os.chdir(str(config.get("cwd", "")))
    warnings.simplefilter("ignore")  # jupyter_client's, about network interfaces that a sandbox does not have
    driver = Driver(Channel(control), dialect(str(config["language"])))
    driver.run([str(part) for part in config["argv"]], by_message=config.get("interrupt") == "message")


class KernelEndedError(Exception):
    """The kernel's process is gone."""


class Driver:
    """Connects one kernel with the channel over which the host asks for cells."""

    def __init__(self, channel: Channel, dialect: Dialect) -> None:
        self._channel = channel
        self._dialect = dialect
        self._count = 0

    def run(self, argv: list[str], *, by_message: bool) -> None:
        """Starts the kernel and serves. When the kernel ends, this process ends in the same way, as the host's sign."""
        try:
            self._start(argv, by_message=by_message)
            while (request := self._channel.receive()) is not None:
                self._run(request)
        except KernelEndedError:
            _end_as(self._kernel.wait())
        finally:
            self._kernel.kill()

    def _start(self, argv: list[str], *, by_message: bool) -> None:
        """Runs the kernel and waits until it answers."""
        from jupyter_client.blocking.client import BlockingKernelClient
        from jupyter_client.connect import write_connection_file

        folder = tempfile.mkdtemp(prefix="kernel-")
        file, _ = write_connection_file(str(Path(folder) / "connection.json"))
        # The engine signals our whole process group, the kernel included: one that wants messages must not notice it.
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

    def _run(self, request: Frame) -> None:
        """Runs one cell and sends its frames, from `started` to `done`."""
        self._count += 1
        code, envs = str(request.get("code", "")), request.get("envs") or {}

        def send(message: Frame) -> None:
            self._channel.send({**message, "id": request.get("id")})

        send({"type": "started", "execution_count": self._count})
        self._silently(self._dialect.set_envs(envs) if envs else "")
        error = self._execute(self._dialect.prepare(code), send)
        if error is not None:
            send({"type": "error", **self._explained(error, code)})
        self._silently(self._dialect.reset_envs(envs) if envs else "")
        send({"type": "done"})

    def _execute(self, code: str, send: Callable[[Frame], None]) -> Frame | None:
        """Runs `code`; displays go to `send`. Returns the error that it ended with, if any."""
        # Without stop_on_error=False a kernel drops the requests that wait behind one that failed, our resets too.
        asked = self._client.execute(code, allow_stdin=False, stop_on_error=False)
        error = None
        for kind, content in self._messages(asked):
            if kind == "stream":
                text = str(content.get("text", "")).encode("utf-8", "backslashreplace")
                write_all(1 if content.get("name") == "stdout" else 2, text)
            elif kind in ("execute_result", "display_data") and content.get("data"):
                send({"type": "display", "data": content["data"], "is_main_result": kind == "execute_result"})
            elif kind == "error":
                error = _error(content)
        reply = self._reply(asked)
        return error or (_error(reply) if reply.get("status") == "error" else None)

    def _messages(self, asked: str) -> Iterator[tuple[str, Frame]]:
        """(kind, content) of what the kernel publishes on behalf of the request `asked`, until it is idle."""
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

    def _reply(self, asked: str) -> Frame:
        while True:
            message = self._get(self._client.get_shell_msg)
            if message["parent_header"].get("msg_id") == asked:
                content: Frame = message["content"]
                return content

    def _get(self, get: Callable[..., Frame]) -> Frame:
        """The next message. A kernel that died sends none, so the process is looked at between short waits."""
        while True:
            try:
                return get(timeout=_POLL)
            except queue.Empty:
                if self._kernel.poll() is not None:
                    raise KernelEndedError from None

    def _silently(self, code: str) -> Frame | None:
        """Runs code of the dialect, if there is some; its displays are dropped."""
        return self._execute(code, lambda _: None) if code else None

    def _explained(self, error: Frame, code: str) -> Frame:
        """The error with its reason: some kernels only say that code failed, and are asked why without running it."""
        question = self._dialect.why(error, code)
        answer = self._silently(question) if question else None
        return error if answer is None else self._dialect.explain(answer)

    def _wait_for_the_kernel(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            self._client.kernel_info()
            with contextlib.suppress(queue.Empty):
                # ZeroMQ drops what is published before a subscription has arrived: one message shows that it has.
                self._client.get_iopub_msg(timeout=_POLL)
                return
            if self._kernel.poll() is not None:
                raise KernelEndedError
        raise TimeoutError(f"the kernel did not answer within {_START_TIMEOUT:g} s")

    def _on_sigint(self, signum: int, frame: object) -> None:
        """Asks the kernel by message to interrupt its cell, as its kernelspec wants it."""
        message = self._client.session.msg("interrupt_request", {})
        self._client.control_channel.send(message)


def _end_as(code: int) -> NoReturn:
    """Ends this process as the kernel ended, so that the host tells the true reason."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _ignore_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _error(content: Frame) -> Frame:
    """An error of the Jupyter protocol as one of ours."""
    lines = content.get("traceback") or []
    return {
        "name": str(content.get("ename", "")),
        "value": str(content.get("evalue", "")),
        "traceback": "\n".join(str(line) for line in lines),
    }
