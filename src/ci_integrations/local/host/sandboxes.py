"""The host's side of a running sandbox and its processes asks the sandbox's agent for all that it does."""

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
"""Characters of a host name: Linux takes 64 (__NEW_UTS_LEN), DNS 63 in a label."""


class LocalSandbox:
    """See `contract.Sandbox`. `pidfd` is that of its first process, the agent.

    `swept`: the fork server reports when the last process is gone, and its caller calls `ended()`. Otherwise the end of
    the first process is the end of all, because the kernel ends the others of a pid namespace.
    """

    def __init__(self, channel: socket.socket, pidfd: int, home: str = HOME, *, swept: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self.sandbox_id = ""
        self.spec = SandboxSpec(sandbox_id="")
        self.home = home
        self.dead: asyncio.Future[Exit] = self._loop.create_future()
        self.on_death: list[Callable[[], None]] = []
        """Called, in order, when the sandbox is gone."""
        self.last_words: Callable[[], str | None] = lambda: None
        """What it wrote to stderr before it died, if that is known."""
        self.out_of_memory: Callable[[], bool] = lambda: False
        """Whether the kernel, not the agent, has killed a process for its memory."""
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
        """Returns the id of its first process as the host sees it; 0 or less when that process is gone."""
        # From the pidfd, so that it cannot be the id of another process that came later.
        lines = Path(f"/proc/self/fdinfo/{self._pidfd}").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pid:")).split()[1])

    async def configure(self, spec: SandboxSpec) -> None:
        """Makes it the sandbox that `spec` describes. Processes that are asked for later start after that."""
        self.spec, self.sandbox_id = spec, spec.sandbox_id
        hostname = spec.sandbox_id[:_NAME_MAX] or "sandbox"
        order = {"op": "configure", "limits": dataclasses.asdict(spec.limits), "envs": dict(spec.envs)}
        await self._send({**order, "hostname": hostname, "two_users": spec.two_users})

    async def spawn(
        self,
        target: Entry | Argv,
        *,
        cwd: str = HOME,
        envs: Mapping[str, str] | None = None,
        stdin: bool = False,
        pty: Pty | None = None,
        address_space_limit: bool = True,
        as_owner: bool = False,
    ) -> LocalChild:
        """See `contract.Sandbox.spawn`."""
        ends = Ends.open(control=isinstance(target, Entry), stdin=stdin, terminal=pty is not None)
        order = {
            "op": "spawn",
            "target": _target(target),
            "cwd": cwd,
            "envs": dict(envs or {}),
            "pty": [pty.cols, pty.rows] if pty else None,
            "fds": list(ends.theirs),
            "address_space_limit": address_space_limit,
            "as_owner": as_owner,
        }
        try:
            child: LocalChild = await self._ask(order, ends)
        finally:
            close_all(ends.theirs.values())  # or we would never read the end of the child's output
        return child

    async def signal_child(self, number: int, signal_number: int, *, group: bool) -> None:
        """Sends a signal to the child of that number, or to its process group."""
        await self._send({"op": "signal", "child": number, "number": signal_number, "group": group})

    async def freeze(self) -> None:
        """Stops every process. Returns when they stand still. Raises EngineError when they cannot be stopped."""
        await self._ask({"op": "freeze"})

    async def thaw(self) -> None:
        """Lets the processes go on."""
        await self._ask({"op": "thaw"})

    async def usage(self) -> Usage:
        """Returns what it uses now. Memory that forks share is divided among them."""
        answer: packets.Message = await self._ask({"op": "usage"})
        return Usage(**answer["usage"])

    async def kill(self) -> None:
        """Ends every process, whatever it does with signals. Returns when they have ended."""
        if not self.dead.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        await asyncio.shield(self.dead)

    async def _send(self, message: packets.Message, fds: Sequence[int] = ()) -> None:
        """Sends a message to the agent. Raises SandboxDead and EngineError."""
        if self.dead.done():
            raise SandboxDead(self.sandbox_id)
        try:
            await self._channel.send(message, fds)
        except (BrokenPipeError, ConnectionResetError):
            raise SandboxDead(self.sandbox_id) from None

    async def _ask(self, message: packets.Message, ends: Ends | None = None) -> Any:
        """The agent's answer; with `ends`, the child that it started. Raises what it failed with."""
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
        """Forgets a request, and closes the descriptors of a process that was not started."""
        self._answers.pop(number, None)
        ends = self._starting.pop(number, None)
        if ends is not None:
            ends.close()

    def _received(self, message: packets.Message, fds: list[int]) -> None:
        """Handles one message of the agent. It is trusted: no field is checked."""
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
        """The reason when the kernel has killed a process by the cgroup's limit: the agent does not know of it."""
        if number != signal.SIGKILL or not self.out_of_memory():
            return None
        return f"out of memory (limit {self.spec.limits.memory // MiB} MiB)"

    def _answer(self, number: int, answer: object) -> bool:
        """Hands an answer to the caller who waits for it. False when the caller was cancelled meanwhile."""
        future = self._answers.pop(number)
        if future.done():
            return False
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return True

    def _spawned(self, message: packets.Message, fds: list[int]) -> None:
        """Hands the new child to its caller, or kills it when the caller was cancelled meanwhile."""
        number = message["id"]
        child = LocalChild(self, number, message["pid"], self._starting.pop(number).adopt(fds))
        self._children[number] = child
        if not self._answer(number, child):
            child.close()
            kill = asyncio.ensure_future(self.signal_child(number, signal.SIGKILL, group=True))
            kill.add_done_callback(lambda done: done.exception())

    def orphaned(self) -> None:
        """Ends the agent, whose end is now the sandbox's: the zygote is gone, so nobody else will call `ended()`."""
        if self.dead.done():
            return
        with contextlib.suppress(ProcessLookupError):  # PID 1 of a namespace is killed by the kernel already
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
        self._loop.add_reader(self._pidfd, self.ended)

    def ended(self) -> None:
        """Takes note that all of its processes are gone: everybody who waits is told, and descriptors are closed."""
        if self.dead.done():
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._channel.drain()  # exits that the agent has reported just before have reasons of their own
        self._channel.close()
        reason = self._failure or self.last_words() or self._why_killed(signal.SIGKILL)
        gone = Exit(signal=signal.SIGKILL, reason=reason)
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
    """See `contract.Child`."""

    def __init__(self, sandbox: LocalSandbox, number: int, pid: int, ends: Ends) -> None:
        self.pid = pid
        self.control = ends.control
        self.stdin = ends.stdin
        self.stdout = ends.stdout
        self.stderr = ends.stderr
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.was_killed = False
        """Whether we have killed it: then no other reason has to be found."""
        self._number = number
        self._sandbox = sandbox
        self._ends = ends

    def ended(self, outcome: Exit) -> None:
        """Takes note of how it ended; the first outcome counts."""
        if not self.exited.done():
            self.exited.set_result(outcome)

    async def signal(self, number: int, *, group: bool = True) -> None:
        """Sends a signal to the process group, or to the process alone. Nothing happens when it has exited."""
        if not self.exited.done():
            self.was_killed = self.was_killed or number == signal.SIGKILL
            await self._sandbox.signal_child(self._number, number, group=group)

    async def resize(self, pty: Pty) -> None:
        resize_terminal(self.stdout, pty.cols, pty.rows)

    def close_stdin(self) -> None:
        """Closes its input, so that the process reads the end of it."""
        self._ends.close_stdin()
        self.stdin = None

    def close(self) -> None:
        """Closes the host's descriptors. The process goes on."""
        self._ends.close()


@dataclasses.dataclass
class Ends:
    """Holds the descriptors of a new process: ours, which are non-blocking, and those that travel to it."""

    theirs: dict[str, int]
    """Descriptors by name: control, stdin, stdout, stderr."""
    stdin: int | None = None
    stdout: int = -1
    stderr: int | None = None
    control: socket.socket | None = None
    closed: bool = False

    @classmethod
    def open(cls, *, control: bool, stdin: bool, terminal: bool) -> Ends:
        """Makes them. With a terminal there are no pipes: the agent makes it, in the sandbox's own /dev/pts."""
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
        """Takes the master of a terminal, if the agent has sent one."""
        if fds:
            self.stdin = self.stdout = fds[0]
            os.set_blocking(fds[0], False)
        return self

    def close_stdin(self) -> None:
        """Closes the input, unless it is a terminal, which is also the output."""
        if self.stdin is not None and self.stdin != self.stdout:
            os.close(self.stdin)
        self.stdin = None

    def close(self) -> None:
        """Closes ours. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        for fd in {self.stdin, self.stdout, self.stderr}:
            if fd is not None and fd >= 0:
                os.close(fd)
        if self.control is not None:
            self.control.close()


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe; reading does not block. Non-blocking is of one end: the process's writing does block."""
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
