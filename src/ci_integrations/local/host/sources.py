"""The engine gets sandboxes from a source: a running zygote, the host's side of which is here, or `bubblewrap`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Protocol

from ci_integrations.local.host.interpreters import Interpreter
from ci_integrations.local.host.packet_socket import Packets
from ci_integrations.local.host.sandboxes import LocalSandbox
from ci_integrations.local.jail.folders import make_folder, remove_tree
from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import EngineError, Level, Limits, PreloadError

_log = logging.getLogger(__name__)
_START_SECONDS: Final = 60.0
_TAIL: Final = 2000
"""Bytes of stderr that are kept."""
_WITHOUT_PID_NAMESPACE: Final = ("landlock", "none")
_ZYGOTE: Final = "ci_integrations.local.jail.zygote"


class Source(Protocol):
    """Makes sandboxes of one level."""

    @property
    def alive(self) -> bool:
        """Returns whether `create` can work."""
        ...

    async def create(self, limits: Limits) -> LocalSandbox:
        """Returns a sandbox that belongs to nobody yet. Raises EngineError."""
        ...

    async def close(self) -> None:
        """Ends the source and its sandboxes. Returns when nothing of them is left; it may be called again."""


class Zygote:
    """See `Source`. A running fork server and the sandboxes that it has made: they end with it, and it ends with us."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        end: socket.socket,
        level: Level,
        folder: str | None,
        interpreter: Interpreter,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._process = process
        self._end = Packets(end, self._received, self._lost)
        self._complaints = _Tail(process.stderr)
        self._folder = folder
        self._interpreter = interpreter
        self._swept = level in _WITHOUT_PID_NAMESPACE
        self._ready: asyncio.Future[None] = loop.create_future()
        self._wanted: dict[int, tuple[socket.socket, asyncio.Future[LocalSandbox]]] = {}
        self._sandboxes: dict[int, LocalSandbox] = {}
        self._cleaning: set[asyncio.Task[object]] = set()
        self._last_id = 0
        self.alive = True

    @classmethod
    async def start(
        cls, level: Level, preload: Sequence[str], interpreter: Interpreter, mounts: Mapping[str, str]
    ) -> Zygote:
        """Starts a fork server. Raises EngineError with its own words when the level does not work here."""
        folder = make_folder() if level in _WITHOUT_PID_NAMESPACE else None
        ours, theirs = packets.pair()
        with theirs:
            process = interpreter.start(_ZYGOTE, theirs)
        zygote = cls(process, ours, level, folder, interpreter)
        try:
            await zygote._end.send({"level": level, "preload": list(preload), "folder": folder, "mounts": dict(mounts)})
            await asyncio.wait_for(zygote._ready, _START_SECONDS)
        except BaseException as error:
            await zygote.close()
            if isinstance(error, TimeoutError):
                raise EngineError(f"the fork server was not ready after {_START_SECONDS:.0f} s") from None
            raise
        return zygote

    async def create(self, limits: Limits) -> LocalSandbox:
        ours, theirs = packets.pair()
        self._last_id += 1
        number = self._last_id
        future: asyncio.Future[LocalSandbox] = asyncio.get_running_loop().create_future()
        self._wanted[number] = (ours, future)
        try:
            with theirs:
                await self._end.send({"op": "create", "id": number}, [theirs.fileno()])
        except OSError:
            self._wanted.pop(number, None)
            ours.close()
            raise EngineError(self._epitaph()) from None
        return await future

    def _received(self, message: packets.Message, fds: list[int]) -> None:
        """Handles one message of the zygote. It is trusted: no field is checked."""
        match message["op"]:
            case "ready":
                self._ready.set_result(None)
            case "broken":
                self._ready.set_exception(self._broken(message))
            case "created":
                self._created(message, fds[0])
            case "failed":
                channel, future = self._wanted.pop(message["id"])
                channel.close()
                _reject(future, EngineError(message["error"]))
            case "gone":
                self._gone(message["pid"])

    def _broken(self, message: packets.Message) -> EngineError:
        if module := message.get("module"):
            return PreloadError(module)
        error = message["error"]
        return self._interpreter.broken(error) if message.get("interpreter") else EngineError(error)

    def _created(self, message: packets.Message, pidfd: int) -> None:
        """Hands the new sandbox to its caller, or kills it when the caller was cancelled meanwhile."""
        channel, future = self._wanted.pop(message["id"])
        sandbox = LocalSandbox(channel, pidfd, message["home"], swept=self._swept)
        pid = message["pid"]
        self._sandboxes[pid] = sandbox
        sandbox.on_death.append(lambda: self._forget(pid))
        if future.done():  # the caller was cancelled
            self._later(sandbox.kill())
        else:
            future.set_result(sandbox)

    def _gone(self, pid: int) -> None:
        sandbox = self._sandboxes.get(pid)
        if sandbox is not None:
            sandbox.ended()

    def _forget(self, pid: int) -> None:
        sandbox = self._sandboxes.pop(pid)
        if self._folder is not None:  # in a thread: a hostile tree takes its time
            self._later(asyncio.to_thread(remove_tree, Path(sandbox.home).parent))

    def _later(self, work: Coroutine[object, object, object]) -> None:
        """Does `work` in the background; `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    def _lost(self) -> None:
        """Rejects what was asked for, and ends the sandboxes that are left, as the zygote is gone."""
        self.alive = False
        error = EngineError(self._epitaph())
        for channel, future in self._wanted.values():
            channel.close()
            _reject(future, error)
        self._wanted.clear()
        if not self._ready.done():
            _reject(self._ready, self._stillborn() or error)
        for sandbox in list(self._sandboxes.values()):
            sandbox.orphaned()

    def _stillborn(self) -> EngineError | None:
        """The error of an interpreter that ended before it could report one: its fault, not the level's.

        Isolation that fails is reported, or kills the process by a signal.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # it has closed its socket: it is ending
        said = self._complaints.text()
        return self._interpreter.broken(said.splitlines()[-1]) if self._process.returncode == 1 and said else None

    def _epitaph(self) -> str:
        """The message for people when the fork server is gone, with its last line on stderr."""
        said = self._complaints.text()
        return f"the fork server ended{': ' + said.splitlines()[-1] if said else ''}"

    async def close(self) -> None:
        dying = list(self._sandboxes.values())
        await asyncio.gather(*(sandbox.kill() for sandbox in dying))
        self.alive = False
        self._end.close()
        # In a thread, as Popen.wait blocks: asyncio's own processes would need a loop that lives as long as they do.
        await asyncio.to_thread(self._process.wait)
        self._complaints.close()
        await asyncio.gather(*self._cleaning)
        if self._folder is not None:
            await asyncio.to_thread(remove_tree, Path(self._folder))


def _reject(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whether anybody waits for it or not


class _Tail:
    """Reads a process's stderr, so that the process never blocks on it, and keeps the end for messages."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        if stream is None:
            raise ValueError("stderr must be a pipe")
        self._stream = stream
        self._text = b""
        os.set_blocking(stream.fileno(), False)
        asyncio.get_running_loop().add_reader(stream, self._read)

    def _read(self) -> None:
        """Reads what is there. With debug logging it is logged, too."""
        try:
            data = os.read(self._stream.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._stream)
            return
        _log.debug("fork server: %s", data.decode(errors="replace").rstrip())
        self._text = (self._text + data)[-_TAIL:]

    def text(self) -> str:
        """Returns what is kept, with what has just arrived."""
        if not self._stream.closed:
            self._read()
        return self._text.decode(errors="replace").strip()

    def close(self) -> None:
        """Closes the pipe; it may be called again: the next attempt closes a server that could not be replaced."""
        if self._stream.closed:
            return
        asyncio.get_running_loop().remove_reader(self._stream)
        self._stream.close()
