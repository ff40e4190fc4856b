"""The commands of one sandbox: who runs, who listens, how it ended. Knows nothing of HTTP or protobuf.

A command outlives the request that started it; listeners come and go. A slow listener slows the command down, as a
full pipe would: nothing is dropped for it. With no listener, output is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ci_integrations.local.protocol.contract import Argv, Child, Exit, Pty, Sandbox, SandboxDead
from ci_integrations.local.server.state import fds

CHUNK = 32 * 1024
RETAIN_SECONDS = 30.0
"""How long the end of a command can still be asked for."""
PIPES = 2 << 20
"""The most that the pipes of a command hold."""
DRAIN_SECONDS = 0.2
"""After a command's end: what it wrote itself is there at once, but children may hold its pipes open for ever."""
QUEUED = 16
Stream = Literal["stdout", "stderr", "pty"]


@dataclass(frozen=True)
class Output:
    stream: Stream
    data: bytes


@dataclass(frozen=True)
class Ended:
    exit_code: int
    exited: bool
    status: str
    error: str | None


Event = Output | Ended


def ended(exit_: Exit) -> Ended:
    """In the words of the reference: "exit status 3", "signal: killed"."""
    if exit_.signal is None:
        status = f"exit status {exit_.code}"
        return Ended(exit_.code or 0, exited=True, status=status, error=status if exit_.code else None)
    name = (signal.strsignal(exit_.signal) or f"signal {exit_.signal}").lower()
    status = f"signal: {name}" + (f" ({exit_.reason})" if exit_.reason else "")
    return Ended(-1, exited=False, status=status, error=status)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What was asked for."""

    argv: Sequence[str]
    cwd: str
    """Absolute."""
    envs: Mapping[str, str] = field(default_factory=dict)
    tag: str | None = None
    stdin: bool = True
    pty: Pty | None = None


class Listener:
    """One reader of a command's events."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUED)
        self.closed = False

    @property
    def full(self) -> bool:
        return self._queue.full()

    def put_nowait(self, event: Event) -> None:
        self._queue.put_nowait(event)

    async def put(self, event: Event) -> None:
        if not self.closed:
            await self._queue.put(event)

    async def get(self) -> Event | None:
        """None when the listener was closed."""
        return await self._queue.get()

    def close(self) -> None:
        """Lets both sides go."""
        self.closed = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)


class Process:
    """A command that runs or has ended."""

    def __init__(self, command: Command, child: Child) -> None:
        self.command = command
        self.pid = child.pid
        self.child = child
        self.end: Ended | None = None
        self.ended_at = 0.0
        """By the monotonic clock, once it has ended."""
        self._listeners: set[Listener] = set()
        self._writing = asyncio.Lock()
        self._deadline: asyncio.TimerHandle | None = None
        self._moved = 0
        self.timed_out = False

    def listen(self) -> Listener:
        listener = Listener()
        if self.end is not None:
            listener.put_nowait(self.end)
        else:
            self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        listener.close()

    def kill_after(self, seconds: float) -> None:
        """The request's deadline binds the command, also when nobody listens any more."""
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self.timed_out = True
        self._killing = asyncio.create_task(self._kill())

    async def _kill(self) -> None:
        with contextlib.suppress(SandboxDead, ProcessLookupError):  # it may have just ended by itself
            await self.child.signal(signal.SIGKILL)

    async def write(self, data: bytes) -> None:
        """To its stdin or terminal. Raises OSError when that is closed."""
        async with self._writing:
            if self.child.stdin is None:
                raise BrokenPipeError("stdin is closed, or was not asked for")
            await fds.write_all(self.child.stdin, data)

    async def close_stdin(self) -> None:
        async with self._writing:
            if self.child.stdin is not None and self.command.pty is None:
                self.child.close_stdin()

    async def run(self) -> None:
        """Passes on what it writes until it has ended."""
        pumps = [asyncio.create_task(self._pump(*source)) for source in self._sources()]
        try:
            exit_ = await self.child.exited
            await self._drain(pumps)
            self.end, self.ended_at = ended(exit_), time.monotonic()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            self.child.close()
            if self._deadline is not None:
                self._deadline.cancel()
        await self._tell(self.end)

    async def _drain(self, pumps: list[asyncio.Task[None]]) -> None:
        """What it wrote itself fits in its pipes; what comes after that is from children it left behind."""
        at_end = before = self._moved
        while self._moved - at_end <= PIPES:
            _, waiting = await asyncio.wait(pumps, timeout=DRAIN_SECONDS)
            if not waiting or (self._moved == before and not self._stalled()):
                return
            before = self._moved

    def _stalled(self) -> bool:
        """Whether a listener still has to catch up."""
        return any(listener.full for listener in self._listeners)

    def _sources(self) -> list[tuple[Stream, int]]:
        if self.command.pty is not None:
            return [("pty", self.child.stdout)]
        found: list[tuple[Stream, int]] = [("stdout", self.child.stdout)]
        if self.child.stderr is not None:
            found.append(("stderr", self.child.stderr))
        return found

    async def _pump(self, stream: Stream, fd: int) -> None:
        while data := await fds.read(fd, CHUNK):
            await self._tell(Output(stream, data))
            self._moved += len(data)

    async def _tell(self, event: Event) -> None:
        for listener in list(self._listeners):
            await listener.put(event)

    def close(self) -> None:
        for listener in list(self._listeners):
            listener.close()
        if self._deadline is not None:
            self._deadline.cancel()


class ProcessTable:
    """All commands of a sandbox by pid and tag."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._by_pid: dict[int, Process] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def start(self, command: Command) -> Process:
        """Raises EngineError when the program cannot be run."""
        child = await self._sandbox.spawn(
            Argv(command.argv), cwd=command.cwd, envs=command.envs, stdin=command.stdin, pty=command.pty
        )
        self._forget_old_ends()
        process = Process(command, child)
        self._by_pid[process.pid] = process
        task = asyncio.create_task(self._run(process))
        self._tasks[process.pid] = task
        return process

    async def _run(self, process: Process) -> None:
        await process.run()
        self._tasks.pop(process.pid, None)

    def _forget_old_ends(self) -> None:
        """Here and not by a timer, which would hold on to a sandbox that is gone."""
        oldest = time.monotonic() - RETAIN_SECONDS
        self._by_pid = {pid: p for pid, p in self._by_pid.items() if p.end is None or p.ended_at > oldest}

    def running(self) -> list[Process]:
        return [process for process in self._by_pid.values() if process.end is None]

    def find(self, *, pid: int | None = None, tag: str | None = None) -> Process | None:
        """Also one that ended a short while ago."""
        self._forget_old_ends()
        if pid is not None:
            return self._by_pid.get(pid)
        return next((p for p in self._by_pid.values() if tag is not None and p.command.tag == tag), None)

    def close(self) -> None:
        for process in self._by_pid.values():
            process.close()
        for task in self._tasks.values():
            task.cancel()


async def events(listener: Listener, keepalive: float) -> AsyncIterator[Event | None]:
    """Events until the end; None after `keepalive` seconds of silence."""
    while True:
        try:
            async with asyncio.timeout(keepalive):
                event = await listener.get()
        except TimeoutError:
            yield None
            continue
        if event is None:
            return
        yield event
        if isinstance(event, Ended):
            return
