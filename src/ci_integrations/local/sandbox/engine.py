"""The host's side of the sandboxes: starts the zygote, asks it for sandboxes, and hands out processes in them.

For `local/server/`. One event loop; everything that comes out of a `Child` is hostile input, everything on the packet
sockets is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ci_integrations.local.sandbox import wire
from ci_integrations.local.sandbox.api import (
    HOME,
    Argv,
    EngineError,
    Entry,
    Exit,
    Level,
    Pty,
    SandboxDead,
    SandboxSpec,
    Usage,
)

DEFAULT_PRELOAD: Final = ("numpy", "pandas", "matplotlib.pyplot")

_log = logging.getLogger(__name__)


async def start_engine(
    *, isolation: Level | str = "auto", preload: Sequence[str] = DEFAULT_PRELOAD, pool: int = 0
) -> LocalEngine:
    """An engine at the named level, or at the strongest that passes its trial run. Raises EngineError if there is none."""
    zygote = await _Zygote.start("namespaces", preload)
    return LocalEngine(zygote, "namespaces", None)


class LocalEngine:
    def __init__(self, zygote: _Zygote, level: Level, why_not_stronger: str | None) -> None:
        self._zygote = zygote
        self.level = level
        self.why_not_stronger = why_not_stronger

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        sandbox = await self._zygote.create()
        sandbox.configure(spec)
        return sandbox

    async def close(self) -> None:
        await self._zygote.close()


class _Zygote:
    """A running fork server."""

    def __init__(self, process: subprocess.Popen[bytes], end: socket.socket) -> None:
        self._process = process
        self._end = _Packets(end, self._received, self._lost)
        self._ready: asyncio.Future[wire.Message] = asyncio.get_running_loop().create_future()
        self._wanted: dict[int, tuple[socket.socket, asyncio.Future[LocalSandbox]]] = {}
        self._last_id = 0
        self.alive = True

    @classmethod
    async def start(cls, level: Level, preload: Sequence[str]) -> _Zygote:
        ours, theirs = wire.pair()
        command = [sys.executable, "-I", "-m", "ci_integrations.local.sandbox.zygote"]
        process = subprocess.Popen(command, stdin=theirs, env=_bare_environment(), close_fds=True, cwd="/")  # noqa: ASYNC220
        theirs.close()
        zygote = cls(process, ours)
        await zygote._end.send({"level": level, "preload": list(preload)})
        await zygote._ready
        return zygote

    async def create(self) -> LocalSandbox:
        ours, theirs = wire.pair()
        self._last_id += 1
        future: asyncio.Future[LocalSandbox] = asyncio.get_running_loop().create_future()
        self._wanted[self._last_id] = (ours, future)
        with theirs:
            await self._end.send({"op": "create", "id": self._last_id}, [theirs.fileno()])
        return await future

    def _received(self, message: wire.Message, fds: list[int]) -> None:
        match message["op"]:
            case "ready":
                self._ready.set_result(message)
            case "broken":
                self._ready.set_exception(EngineError(message["error"]))
            case "created":
                channel, future = self._wanted.pop(message["id"])
                future.set_result(LocalSandbox(channel, fds[0]))
            case "failed":
                channel, future = self._wanted.pop(message["id"])
                channel.close()
                future.set_exception(EngineError(message["error"]))

    def _lost(self) -> None:
        self.alive = False
        error = EngineError("the fork server died")
        for channel, future in self._wanted.values():
            channel.close()
            if not future.done():
                future.set_exception(error)
        self._wanted.clear()
        if not self._ready.done():
            self._ready.set_exception(error)

    async def close(self) -> None:
        self._end.close()
        await asyncio.to_thread(self._process.wait)


class LocalSandbox:
    """See `api.Sandbox`."""

    def __init__(self, channel: socket.socket, pidfd: int) -> None:
        loop = asyncio.get_running_loop()
        self.sandbox_id = ""
        self.dead: asyncio.Future[Exit] = loop.create_future()
        self._pidfd = pidfd
        self._channel = _Packets(channel, self._received, lambda: None)
        self._answers: dict[int, asyncio.Future[tuple[wire.Message, list[int]]]] = {}
        self._children: dict[int, LocalChild] = {}
        self._early: dict[int, Exit] = {}
        self._last_id = 0
        loop.add_reader(pidfd, self._died)

    def configure(self, spec: SandboxSpec) -> None:
        """Make it the sandbox that `spec` describes."""
        self.sandbox_id = spec.sandbox_id
        limits = dataclasses.asdict(spec.limits)
        hostname = spec.sandbox_id[:63] or "sandbox"
        self._channel.post({"op": "configure", "limits": limits, "envs": dict(spec.envs), "hostname": hostname})

    async def spawn(
        self,
        target: Entry | Argv,
        *,
        cwd: str = HOME,
        envs: Mapping[str, str] | None = None,
        stdin: bool = False,
        pty: Pty | None = None,
        address_space_limit: bool = True,
    ) -> LocalChild:
        """See `api.Sandbox.spawn`. Raises NotADirectoryError when there is no `cwd`."""
        ends = _Ends.open(control=isinstance(target, Entry), stdin=stdin, terminal=pty is not None)
        wanted: dict[str, Any] = (
            {"entry": target.target, "config": dict(target.config)}
            if isinstance(target, Entry)
            else {"argv": list(target.argv)}
        )
        order = {
            "op": "spawn",
            "target": wanted,
            "cwd": cwd,
            "envs": dict(envs or {}),
            "pty": [pty.cols, pty.rows] if pty else None,
            "fds": list(ends.theirs),
            "address_space_limit": address_space_limit,
        }
        try:
            message, fds = await self._ask(order, list(ends.theirs.values()))
        except BaseException:
            ends.close_ours()
            raise
        finally:
            ends.close_theirs()
        if message["op"] == "failed":
            ends.close_ours()
            raise NotADirectoryError(message["error"])
        child = LocalChild(self, message["id"], message["pid"], ends.adopt(fds))
        self._children[child.id] = child
        if child.id in self._early:
            child.ended(self._early.pop(child.id))
        return child

    async def _ask(self, message: wire.Message, fds: Sequence[int] = ()) -> tuple[wire.Message, list[int]]:
        if self.dead.done():
            raise SandboxDead(self.sandbox_id)
        self._last_id += 1
        future: asyncio.Future[tuple[wire.Message, list[int]]] = asyncio.get_running_loop().create_future()
        number = self._last_id
        self._answers[number] = future
        try:
            await self._channel.send({**message, "id": number}, fds)
        except (BrokenPipeError, ConnectionResetError):
            raise SandboxDead(self.sandbox_id) from None
        return await future

    def _received(self, message: wire.Message, fds: list[int]) -> None:
        match message["op"]:
            case "ready":
                pass
            case "exited":
                self._child_exited(message)
            case "broken":
                _log.error("sandbox %s: %s", self.sandbox_id, message["error"])
            case _:
                self._answers.pop(message["id"]).set_result((message, fds))

    def _child_exited(self, message: wire.Message) -> None:
        outcome = Exit(code=message.get("code"), signal=message.get("signal"), reason=message["reason"])
        child = self._children.pop(message["id"], None)
        if child is None:
            self._early[message["id"]] = outcome
        else:
            child.ended(outcome)

    def _died(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._channel.drain()
        self._channel.close()
        gone = Exit(signal=signal.SIGKILL)
        self.dead.set_result(gone)
        for future in self._answers.values():
            if not future.done():
                future.set_exception(SandboxDead(self.sandbox_id))
        self._answers.clear()
        for child in self._children.values():
            child.ended(dataclasses.replace(gone, reason="the sandbox ended"))
        self._children.clear()

    async def signal_child(self, child: LocalChild, number: int, *, group: bool) -> None:
        if self.dead.done():
            raise SandboxDead(self.sandbox_id)
        await self._channel.send({"op": "signal", "id": child.id, "number": number, "group": group})

    async def freeze(self) -> None:
        raise NotImplementedError

    async def thaw(self) -> None:
        raise NotImplementedError

    async def usage(self) -> Usage:
        raise NotImplementedError

    async def kill(self) -> None:
        """Every process of it ends, whatever it does with signals; returns when they have."""
        if not self.dead.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await asyncio.shield(self.dead)


class LocalChild:
    """See `api.Child`."""

    def __init__(self, sandbox: LocalSandbox, number: int, pid: int, ends: _Ends) -> None:
        self.id = number
        self.pid = pid
        self.control = ends.control
        self.stdin = ends.stdin
        self.stdout = ends.stdout
        self.stderr = ends.stderr
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._sandbox = sandbox
        self._closed = False

    def ended(self, outcome: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(outcome)

    async def signal(self, number: int, *, group: bool = True) -> None:
        """To the process group, or to the process alone. Nothing happens when it has exited."""
        if not self.exited.done():
            await self._sandbox.signal_child(self, number, group=group)

    async def resize(self, pty: Pty) -> None:
        from ci_integrations.local.sandbox.agent import resize_terminal

        resize_terminal(self.stdout, pty.cols, pty.rows)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for fd in {self.stdin, self.stdout, self.stderr} - {None}:
            os.close(fd)  # type: ignore[arg-type]
        if self.control is not None:
            self.control.close()


@dataclasses.dataclass
class _Ends:
    """The descriptors of a new process: ours, and those that travel to it."""

    theirs: dict[str, int]
    stdin: int | None = None
    stdout: int = -1
    stderr: int | None = None
    control: socket.socket | None = None

    @classmethod
    def open(cls, *, control: bool, stdin: bool, terminal: bool) -> _Ends:
        ends = cls({})
        if control:
            ends.control, other = socket.socketpair()
            ends.control.setblocking(False)
            ends.theirs["control"] = other.detach()
        if terminal:
            return ends
        ends.stdout, ends.theirs["stdout"] = _pipe()
        ends.stderr, ends.theirs["stderr"] = _pipe()
        if stdin:
            ends.theirs["stdin"], ends.stdin = os.pipe()
            os.set_blocking(ends.stdin, False)
        return ends

    def adopt(self, fds: Sequence[int]) -> _Ends:
        if fds:
            self.stdin = self.stdout = fds[0]
            os.set_blocking(fds[0], False)
        return self

    def close_theirs(self) -> None:
        for fd in self.theirs.values():
            os.close(fd)

    def close_ours(self) -> None:
        for fd in (self.stdin, self.stdout, self.stderr):
            if fd is not None and fd >= 0:
                os.close(fd)
        if self.control is not None:
            self.control.close()


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    return reader, writer


class _Packets:
    """A packet socket in the event loop."""

    def __init__(self, end: socket.socket, received: Any, lost: Any) -> None:
        self._end = end
        self._handle = received
        self._lost = lost
        end.setblocking(False)
        asyncio.get_running_loop().add_reader(end, self.drain)

    def drain(self) -> None:
        """Handle everything that has arrived."""
        while self._end.fileno() >= 0:
            try:
                received = wire.receive(self._end)
            except BlockingIOError:
                return
            if received is None:
                self.close()
                self._lost()
                return
            self._handle(*received)

    async def send(self, message: wire.Message, fds: Sequence[int] = ()) -> None:
        while True:
            try:
                return wire.send(self._end, message, fds)
            except BlockingIOError:
                await asyncio.sleep(0.001)

    def post(self, message: wire.Message) -> None:
        """Send the first message of a channel: there is room."""
        wire.send(self._end, message)

    def close(self) -> None:
        if self._end.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._end)
        self._end.close()


def _bare_environment() -> dict[str, str]:
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        **one_thread,
    }
