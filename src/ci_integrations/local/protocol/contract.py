"""The seam between the local server and the engine: what an engine, a sandbox and a child process promise.

`local/server/` and `local/host/context.py` are written against these names only. Everything here runs in the
server's event loop, on the trusted side; whatever arrives through a `Child` is hostile input.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

MiB = 1 << 20
Level = Literal["namespaces", "bubblewrap", "landlock", "none"]
HOME = "/home/user"
_IN_BYTES = ("memory", "disk", "output", "results")


def real_path(path: str, home: str) -> str:
    """Where `path` is: the same, except at the levels without a mount namespace. The host may have a HOME too."""
    if path == HOME or path.startswith(HOME + "/"):
        return home + path[len(HOME) :]
    return path


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one sandbox. Bytes unless said otherwise."""

    memory: int = 1024 * MiB
    """Of all processes together, watched; and of the address space of each."""
    processes: int = 256
    """Processes and threads at one time."""
    open_files: int = 1024
    """Descriptors of each process."""
    disk: int = 1024 * MiB
    """Of home, /tmp and /dev/shm together. At bubblewrap of each of them; at landlock and none of one file."""
    inodes: int = 100_000
    """Files and folders in these places together. At the level namespaces only."""
    cpu_seconds: int | None = None
    """Processor seconds of all processes together. None: no limit."""
    output: int = 16 * MiB
    """Of stdout and stderr of one cell; what comes after is counted and dropped."""
    results: int = 64 * MiB
    """Of all results of one cell."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
            if not whole and not (name == "cpu_seconds" and value is None):
                raise ValueError(f"the limit {name} must be a whole number above 0, not {value!r}")


def limits_in_mib(given: Mapping[str, Any]) -> dict[str, int]:
    """Arguments of Limits, with bytes for the MiB that people write. Raises ValueError."""
    limits = {name: value * MiB if name in _IN_BYTES and type(value) is int else value for name, value in given.items()}
    check_limits(limits)
    return limits


def check_limits(given: Mapping[str, Any]) -> Limits:
    """Limits of these names and values, in bytes. Raises ValueError."""
    known = [limit.name for limit in fields(Limits)]
    for name in given:
        if name not in known:
            raise ValueError(f"there is no limit {name!r}; there are {', '.join(known)}")
    return Limits(**given)


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """What `Engine.create` needs to know."""

    sandbox_id: str
    limits: Limits = Limits()
    envs: Mapping[str, str] = field(default_factory=dict)
    """For every process in it: E2B_SANDBOX, E2B_SANDBOX_ID, E2B_TEMPLATE_ID and the caller's envVars."""
    allow_internet: bool = False
    allow_hosts: Sequence[str] = ()
    template: str = "code-interpreter-v1"


@dataclass(frozen=True)
class Entry:
    """Run `module:function` in a fork of the preloaded interpreter: `function(control: socket, config: dict)`."""

    target: str
    config: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Argv:
    """Exec a program found on the sandbox's PATH."""

    argv: Sequence[str]


@dataclass(frozen=True)
class Pty:
    cols: int
    rows: int


@dataclass(frozen=True)
class Exit:
    """How a child ended: exactly one of `code` and `signal` is set. `reason` when the engine killed it."""

    code: int | None = None
    signal: int | None = None
    reason: str | None = None
    """For people: "out of memory (limit 512 MiB)"."""


class Child(Protocol):
    """A process inside a sandbox, in a session and process group of its own."""

    pid: int
    """As seen inside the sandbox."""
    control: socket.socket | None
    """Host end of a socketpair (an Entry's first argument is the other end). Non-blocking. None for Argv."""
    stdin: int | None
    """Host fd, non-blocking; None when stdin is /dev/null. With a pty: the master, also in `stdout`."""
    stdout: int
    stderr: int | None
    exited: asyncio.Future[Exit]

    async def signal(self, number: int, *, group: bool = True) -> None: ...
    async def resize(self, pty: Pty) -> None: ...
    def close_stdin(self) -> None:
        """The process reads the end of its input. Not for a pty."""

    def close(self) -> None:
        """Close the host's file descriptors. Does not kill."""


class Sandbox(Protocol):
    """A running sandbox. Every method raises `SandboxDead` once it is gone."""

    sandbox_id: str
    spec: SandboxSpec
    home: str
    """Where HOME really is: `/home/user`, except at the levels without a mount namespace (landlock, none)."""
    dead: asyncio.Future[Exit]
    """Done when the sandbox's first process is gone, whoever killed it."""

    async def spawn(
        self,
        target: Entry | Argv,
        *,
        cwd: str = HOME,
        envs: Mapping[str, str] | None = None,
        stdin: bool = False,
        pty: Pty | None = None,
        address_space_limit: bool = True,
    ) -> Child:
        """Raises NotADirectoryError when there is no `cwd`. A program that is not there exits with 127.

        `address_space_limit=False` is for V8 and the JVM, which reserve tens of GiB; the watchdog still counts them.
        """
        ...

    async def freeze(self) -> None: ...
    async def thaw(self) -> None: ...
    async def usage(self) -> Usage: ...
    async def kill(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Measured now, of the whole sandbox."""

    memory: int
    cpu_seconds: float
    disk_used: int
    disk_total: int
    processes: int


class Engine(Protocol):
    level: Level
    why_not_stronger: str | None

    async def create(self, spec: SandboxSpec) -> Sandbox: ...
    async def close(self) -> None: ...


class SandboxDead(Exception):  # noqa: N818 - states a condition
    """The sandbox no longer exists."""


class EngineError(Exception):
    """The engine could not do it; the message is for people and names the remedy."""


class InterpreterError(EngineError):
    """The Python for the sandboxes does not work, at whatever level."""


class PreloadError(InterpreterError):
    """A module starts a thread when it is imported: a process with threads cannot be forked safely."""

    def __init__(self, module: str) -> None:
        super().__init__(f"a preloaded module started a thread: {module}")
        self.module = module


PORT = 3128
"""Of the proxy, on the sandbox's own loopback."""
