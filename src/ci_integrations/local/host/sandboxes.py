"""A running sandbox and its processes, as the host sees them: the engine's side of `api.Sandbox` and `api.Child`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ci_integrations.local.host.packet_socket import Packets, close_all
from ci_integrations.local.jail.syscalls import resize_terminal
from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import (
    HOME,
    Argv,
    EngineError,
    Entry,
    Exit,
    MiB,
    Pty,
    SandboxDead,
    SandboxSpec,
    Usage,
)

_log = logging.getLogger(__name__)
_NAME_MAX = 63


class LocalSandbox:
    """See `api.Sandbox`. `home` is where HOME really is: another place at the levels without a mount namespace."""

    def __init__(self, channel: socket.socket, pidfd: int, home: str = HOME, *, swept: bool = False) -> None:
        """`swept`: somebody else calls `ended()`, when the last process is gone; else the first one's end is it."""
        self._loop = asyncio.get_running_loop()
        self.sandbox_id = ""
        self.spec = SandboxSpec(sandbox_id="")
        self.home = home
        self.dead: asyncio.Future[Exit] = self._loop.create_future()
        self.on_death: list[Callable[[], None]] = []
        self.last_words: Callable[[], str | None] = lambda: None
        self.out_of_memory: Callable[[], bool] = lambda: False
        """Whether the kernel, not the agent, has ended a process for its memory."""
        self._pidfd = pidfd
        self._channel = Packets(channel, self._received, lambda: None)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._starting: dict[int, Ends] = {}
        self._children: dict[int, LocalChild] = {}
        self._last_id = 0
        self._failure: str | None = None
        if not swept:
            self._loop.add_reader(pidfd, self.ended)

    @property
    def host_pid(self) -> int:
        """Of its first process, as the host sees it; 0 or less when that is gone."""
        lines = Path(f"/proc/self/fdinfo/{self._pidfd}").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pid:")).split()[1])

    async def configure(self, spec: SandboxSpec) -> None:
        """Make it the sandbox that `spec` describes. Its processes start after that, in order."""
        self.spec, self.sandbox_id = spec, spec.sandbox_id
        hostname = spec.sandbox_id[:_NAME_MAX] or "sandbox"
        order = {"op": "configure", "limits": dataclasses.asdict(spec.limits), "envs": dict(spec.envs)}
        await self._send({**order, "hostname": hostname})

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
        """See `api.Sandbox.spawn`."""
        ends = Ends.open(control=isinstance(target, Entry), stdin=stdin, terminal=pty is not None)
        order = {
            "op": "spawn",
            "target": _target(target),
            "cwd": cwd,
            "envs": dict(envs or {}),
            "pty": [pty.cols, pty.rows] if pty else None,
            "fds": list(ends.theirs),
            "address_space_limit": address_space_limit,
        }
        try:
            child: LocalChild = await self._ask(order, ends)
        finally:
            close_all(list(ends.theirs.values()))
        return child

    async def signal_child(self, number: int, signal_number: int, *, group: bool) -> None:
        await self._send({"op": "signal", "child": number, "number": signal_number, "group": group})

    async def freeze(self) -> None:
        """Stop every process of it; returns when they stand still. EngineError when they cannot be stopped."""
        await self._ask({"op": "freeze"})

    async def thaw(self) -> None:
        """Let them go on."""
        await self._ask({"op": "thaw"})

    async def usage(self) -> Usage:
        """Measured now. Memory shared by forks is divided among them."""
        answer: packets.Message = await self._ask({"op": "usage"})
        return Usage(**answer["usage"])

    async def kill(self) -> None:
        """Every process of it ends, whatever it does with signals; returns when they have."""
        if not self.dead.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await asyncio.shield(self.dead)

    async def _send(self, message: packets.Message, fds: Sequence[int] = ()) -> None:
        if self.dead.done():
            raise SandboxDead(self.sandbox_id)
        try:
            await self._channel.send(message, fds)
        except (BrokenPipeError, ConnectionResetError):
            raise SandboxDead(self.sandbox_id) from None

    async def _ask(self, message: packets.Message, ends: Ends | None = None) -> Any:
        self._last_id += 1
        number = self._last_id
        future: asyncio.Future[Any] = self._loop.create_future()
        self._answers[number] = future
        if ends is not None:
            self._starting[number] = ends
        try:
            await self._send({**message, "id": number}, list(ends.theirs.values()) if ends else ())
        except BaseException:
            self._forget(number)
            raise
        return await future

    def _forget(self, number: int) -> None:
        self._answers.pop(number, None)
        ends = self._starting.pop(number, None)
        if ends is not None:
            ends.close()

    def _received(self, message: packets.Message, fds: list[int]) -> None:
        match message["op"]:
            case "spawned":
                self._spawned(message, fds)
            case "exited":
                child = self._children.pop(message["id"])
                reason = message["reason"] or (None if child.was_killed else self._why_killed(message.get("signal")))
                child.ended(Exit(code=message.get("code"), signal=message.get("signal"), reason=reason))
            case "broken":
                self._failure = message["error"]
                _log.error("sandbox %s: %s", self.sandbox_id, self._failure)
            case "failed":
                self._answer(message["id"], _failure(message))
                self._forget(message["id"])
            case "frozen" | "thawed" | "usage":
                self._answer(message["id"], message)

    def _why_killed(self, number: int | None) -> str | None:
        if number != signal.SIGKILL or not self.out_of_memory():
            return None
        return f"out of memory (limit {self.spec.limits.memory // MiB} MiB)"

    def _answer(self, number: int, answer: Any) -> bool:
        future = self._answers.pop(number)
        if future.done():
            return False
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return True

    def _spawned(self, message: packets.Message, fds: list[int]) -> None:
        number = message["id"]
        child = LocalChild(self, number, message["pid"], self._starting.pop(number).adopt(fds))
        self._children[number] = child
        if not self._answer(number, child):  # whoever asked was cancelled meanwhile
            child.close()
            kill = asyncio.ensure_future(self.signal_child(number, signal.SIGKILL, group=True))
            kill.add_done_callback(lambda done: done.exception())

    def orphaned(self) -> None:
        """The zygote is gone, and nobody will call `ended()` for us: end the agent, and take its end for ours."""
        if self.dead.done():
            return
        with contextlib.suppress(ProcessLookupError):  # PID 1 of a namespace is killed by the kernel already
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
        self._loop.add_reader(self._pidfd, self.ended)

    def ended(self) -> None:
        """All of its processes are gone."""
        if self.dead.done():
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._channel.drain()
        self._channel.close()
        gone = Exit(
            signal=signal.SIGKILL, reason=self._failure or self.last_words() or self._why_killed(signal.SIGKILL)
        )
        self.dead.set_result(gone)
        for number in list(self._answers):
            self._answer(number, SandboxDead(gone.reason or self.sandbox_id))
            self._forget(number)
        for child in self._children.values():
            child.ended(gone)
        self._children.clear()
        for callback in self.on_death:
            callback()


class LocalChild:
    """See `api.Child`."""

    def __init__(self, sandbox: LocalSandbox, number: int, pid: int, ends: Ends) -> None:
        self.pid = pid
        self.control = ends.control
        self.stdin = ends.stdin
        self.stdout = ends.stdout
        self.stderr = ends.stderr
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.was_killed = False
        """By us: nothing else has to be found out about it."""
        self._number = number
        self._sandbox = sandbox
        self._ends = ends

    def ended(self, outcome: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(outcome)

    async def signal(self, number: int, *, group: bool = True) -> None:
        """To the process group, or to the process alone. Nothing happens when it has exited."""
        if not self.exited.done():
            self.was_killed = self.was_killed or number == signal.SIGKILL
            await self._sandbox.signal_child(self._number, number, group=group)

    async def resize(self, pty: Pty) -> None:
        resize_terminal(self.stdout, pty.cols, pty.rows)

    def close_stdin(self) -> None:
        """The process reads its end of file."""
        self._ends.close_stdin()
        self.stdin = None

    def close(self) -> None:
        """Close the host's file descriptors. Does not kill."""
        self._ends.close()


@dataclasses.dataclass
class Ends:
    """The descriptors of a new process: ours, and those that travel to it."""

    theirs: dict[str, int]
    stdin: int | None = None
    stdout: int = -1
    stderr: int | None = None
    control: socket.socket | None = None
    closed: bool = False

    @classmethod
    def open(cls, *, control: bool, stdin: bool, terminal: bool) -> Ends:
        ends = cls({})
        if control:
            ends.control, other = socket.socketpair()
            ends.control.setblocking(False)  # noqa: FBT003
            ends.theirs["control"] = other.detach()
        if terminal:
            return ends
        ends.stdout, ends.theirs["stdout"] = _pipe()
        ends.stderr, ends.theirs["stderr"] = _pipe()
        if stdin:
            ends.theirs["stdin"], ends.stdin = os.pipe()
            os.set_blocking(ends.stdin, False)
        return ends

    def adopt(self, fds: Sequence[int]) -> Ends:
        """The master of a terminal, made inside."""
        if fds:
            self.stdin = self.stdout = fds[0]
            os.set_blocking(fds[0], False)
        return self

    def close_stdin(self) -> None:
        if self.stdin is not None and self.stdin != self.stdout:
            os.close(self.stdin)
        self.stdin = None

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for fd in {self.stdin, self.stdout, self.stderr}:
            if fd is not None and fd >= 0:
                os.close(fd)
        if self.control is not None:
            self.control.close()


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    return reader, writer


def _target(target: Entry | Argv) -> dict[str, Any]:
    if isinstance(target, Entry):
        return {"entry": target.target, "config": dict(target.config)}
    return {"argv": list(target.argv)}


def _failure(message: packets.Message) -> Exception:
    if message.get("kind") == "cwd":
        return NotADirectoryError(message["error"])
    return EngineError(message["error"])
