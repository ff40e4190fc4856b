"""The commands of one sandbox: which ones run, who listens to them, how they ended.

This module knows nothing of HTTP or protobuf. A command outlives the request that started it; listeners come and go. A
slow listener slows the command down, as a full pipe would, and misses nothing. With no listener, output is dropped.
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
from ci_integrations.local.server.state.listeners import Listener

CHUNK = 32 * 1024
"""Bytes of output in one event: envd's size."""
RETAIN_SECONDS = 30.0
"""How long the end of a command can still be asked for, as in envd."""
PIPES = 2 << 20
"""The most bytes that the pipes of a command hold: Linux lets a process make each of them 1 MiB large."""
DRAIN_SECONDS = 0.2
"""How long a silence must last, after a command's end, to count as the end of its output.

What the command wrote itself is there at once, but children that it left behind may hold its pipes open for ever.
"""
Stream = Literal["stdout", "stderr", "pty"]


@dataclass(frozen=True)
class Output:
    """A piece of output. It may end in the middle of a character."""

    stream: Stream
    data: bytes


@dataclass(frozen=True)
class Ended:
    """The end of a command, in envd's terms: -1 and `exited=False` for one that a signal killed."""

    exit_code: int
    exited: bool
    status: str
    error: str | None


Event = Output | Ended
Events = Listener[Event]


def ended(exit_: Exit) -> Ended:
    """Returns the end of a command in the words of envd, which are Go's: "exit status 3", "signal: killed"."""
    if exit_.signal is None:
        status = f"exit status {exit_.code}"
        return Ended(exit_.code or 0, exited=True, status=status, error=status if exit_.code else None)
    name = (signal.strsignal(exit_.signal) or f"signal {exit_.signal}").lower()
    status = f"signal: {name}" + (f" ({exit_.reason})" if exit_.reason else "")
    return Ended(-1, exited=False, status=status, error=status)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a client asked to run."""

    argv: Sequence[str]
    cwd: str
    """Absolute."""
    envs: Mapping[str, str] = field(default_factory=dict)
    tag: str | None = None
    stdin: bool = True
    pty: Pty | None = None
    as_owner: bool = False
    """See `Sandbox.spawn`."""


class Process:
    """A command that runs, or that ended a short while ago."""

    def __init__(self, command: Command, child: Child) -> None:
        self.command = command
        self.pid = child.pid
        self.child = child
        self.end: Ended | None = None
        self.ended_at = 0.0
        """By the monotonic clock, once it has ended."""
        self._listeners: set[Events] = set()
        self._writing = asyncio.Lock()
        self._deadline: asyncio.TimerHandle | None = None
        self._moved = 0
        self.timed_out = False

    def listen(self) -> Events:
        """Adds a listener, which gets what comes from now on. When the command has ended, that is its end."""
        listener = Events()
        if self.end is not None:
            listener.put_nowait(self.end)
        else:
            self._listeners.add(listener)
        return listener

    def leave(self, listener: Events) -> None:
        """Removes a listener. The command goes on."""
        self._listeners.discard(listener)
        listener.close()

    def kill_after(self, seconds: float) -> None:
        """Kills the command after so many seconds, also when nobody listens any more, as envd does."""
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self.timed_out = True
        self._killing = asyncio.create_task(self._kill())

    async def _kill(self) -> None:
        with contextlib.suppress(SandboxDead, ProcessLookupError):  # it may have just ended by itself
            await self.child.signal(signal.SIGKILL)

    async def write(self, data: bytes) -> None:
        """Writes to the command's stdin or terminal. Raises OSError when that is closed."""
        async with self._writing:
            if self.child.stdin is None:
                raise BrokenPipeError("stdin is closed, or was not asked for")
            await fds.write_all(self.child.stdin, data)

    async def close_stdin(self) -> None:
        """Ends the command's input. A terminal's input has no such end: its reader waits for Ctrl+D."""
        async with self._writing:
            if self.child.stdin is not None and self.command.pty is None:
                self.child.close_stdin()

    async def run(self) -> None:
        """Passes the command's output on until it has ended, then its end."""
        pumps = [asyncio.create_task(self._pump(*source)) for source in self._sources()]
        try:
            exit_ = await self.child.exited
            await self._drain(pumps)
            self.end, self.ended_at = ended(exit_), time.monotonic()
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            self.child.close()  # only now: the pumps read its descriptors
            if self._deadline is not None:
                self._deadline.cancel()
        await self._tell(self.end)

    async def _drain(self, pumps: list[asyncio.Task[None]]) -> None:
        """Waits for the rest of the output after the command's end.

        It is over when the pipes are closed, when they are silent for a while, or when more came than they hold: that
        is from children which the command left behind.
        """
        at_end = before = self._moved
        while self._moved - at_end <= PIPES:
            _, waiting = await asyncio.wait(pumps, timeout=DRAIN_SECONDS)
            silent = self._moved == before
            # While a listener has to catch up, silence means nothing.
            if not waiting or (silent and not any(listener.full for listener in self._listeners)):
                return
            before = self._moved

    def _sources(self) -> list[tuple[Stream, int]]:
        if self.command.pty is not None or self.child.stderr is None:
            return [("stdout" if self.command.pty is None else "pty", self.child.stdout)]
        return [("stdout", self.child.stdout), ("stderr", self.child.stderr)]

    async def _pump(self, stream: Stream, fd: int) -> None:
        while data := await fds.read(fd, CHUNK):
            await self._tell(Output(stream, data))
            self._moved += len(data)

    async def _tell(self, event: Event) -> None:
        for listener in list(self._listeners):  # a copy: listeners leave while this waits
            await listener.put(event)

    def close(self) -> None:
        """Lets all listeners go. The process itself ends with its sandbox."""
        for listener in list(self._listeners):
            listener.close()
        if self._deadline is not None:
            self._deadline.cancel()


class ProcessTable:
    """All commands of a sandbox, by their pid inside the sandbox and by the tag that a client gave."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._by_pid: dict[int, Process] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def start(self, command: Command) -> Process:
        """Starts a command. Raises EngineError when it cannot be run, NotADirectoryError for a `cwd` that is none."""
        child = await self._sandbox.spawn(
            Argv(command.argv),
            cwd=command.cwd,
            envs=command.envs,
            stdin=command.stdin,
            pty=command.pty,
            as_owner=command.as_owner,
        )
        self._forget_old_ends()  # pids come again
        process = Process(command, child)
        self._by_pid[process.pid] = process
        task = asyncio.create_task(self._run(process))
        self._tasks[process.pid] = task
        return process

    async def _run(self, process: Process) -> None:
        await process.run()
        self._tasks.pop(process.pid, None)

    def _forget_old_ends(self) -> None:
        """Forgets commands that ended too long ago. No timer does it: that would keep a dead sandbox in memory."""
        oldest = time.monotonic() - RETAIN_SECONDS
        self._by_pid = {pid: p for pid, p in self._by_pid.items() if p.end is None or p.ended_at > oldest}

    def running(self) -> list[Process]:
        return [process for process in self._by_pid.values() if process.end is None]

    def find(self, *, pid: int | None = None, tag: str | None = None) -> Process | None:
        """Returns the command of this pid or tag, also one that ended a short while ago, or None."""
        self._forget_old_ends()
        if pid is not None:
            return self._by_pid.get(pid)
        return next((p for p in self._by_pid.values() if tag is not None and p.command.tag == tag), None)

    def close(self) -> None:
        """Lets go of all commands. They end with their sandbox."""
        for process in self._by_pid.values():
            process.close()
        for task in self._tasks.values():
            task.cancel()


async def events(listener: Events, keepalive: float) -> AsyncIterator[Event | None]:
    """Yields events until the command's end, and None after each `keepalive` seconds of silence."""
    async for event in listener.items(keepalive):
        yield event
        if isinstance(event, Ended):
            return
