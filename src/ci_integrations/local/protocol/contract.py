"""Says what an engine, a sandbox and a child process promise to the local server.

`local/server/` and `local/host/context.py` use these names only. Engine, sandbox and child live in the server's event
loop, on the trusted side. What arrives through a `Child` is hostile input.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol, TypedDict

MiB = 1 << 20
Level = Literal["namespaces", "bubblewrap", "landlock", "none"]
HOME = "/home/user"
_IN_BYTES = ("memory", "disk", "output", "results")


def real_path(path: str, home: str) -> str:
    """Returns `path` as it is found on this level: below `home` instead of HOME where nothing can be mounted at HOME.

    That is at the levels `landlock` and `none`: the host may have a /home/user of its own there.
    """
    if path == HOME or path.startswith(HOME + "/"):
        return home + path[len(HOME) :]
    return path


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Holds the limits of one sandbox, in bytes unless said otherwise."""

    memory: int = 1024 * MiB
    """Bytes: total of all processes, watched; and the address space of each."""
    processes: int = 256
    """Processes and threads at one time."""
    open_files: int = 1024
    """Descriptors of each process."""
    disk: int = 1024 * MiB
    """Bytes. `namespaces`: total of home, /tmp and /dev/shm. `bubblewrap`: each of them separately. `landlock`, `none`:
    largest single file."""
    inodes: int = 100_000
    """Files and folders in home, /tmp and /dev/shm together. Only the level `namespaces` has this limit."""
    cpu_seconds: int | None = None
    """Processor seconds of all processes together. None: no limit."""
    output: int = 16 * MiB
    """Bytes of stdout and stderr of one cell; what comes after is counted and dropped."""
    results: int = 64 * MiB
    """Bytes of all results of one cell."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            # True and False are ints in Python, and JSON's true would become a limit of one byte.
            whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
            if not whole and not (name == "cpu_seconds" and value is None):
                raise ValueError(f"the limit {name} must be a whole number above 0, not {value!r}")


def limits_in_mib(given: Mapping[str, object]) -> dict[str, int]:
    """Returns arguments of `Limits` in bytes, made from the MiB that people write. Raises ValueError."""
    limits = {name: value * MiB if name in _IN_BYTES and type(value) is int else value for name, value in given.items()}
    checked = vars(check_limits(limits))
    return {name: checked[name] for name in limits}


def check_limits(given: Mapping[str, object]) -> Limits:
    """Returns `Limits` of these names and values, in bytes. Raises ValueError."""
    known = [limit.name for limit in fields(Limits)]
    for name in given:
        if name not in known:
            raise ValueError(f"there is no limit {name!r}; there are {', '.join(known)}")
    return Limits(**given)  # type: ignore[arg-type]  # each value is checked by `__post_init__`


@dataclass(frozen=True, kw_only=True)
class SandboxSpec:
    """Says what `Engine.create` needs to know about a sandbox."""

    sandbox_id: str
    limits: Limits = Limits()
    envs: Mapping[str, str] = field(default_factory=dict)
    """Variables of every process in it: E2B_SANDBOX, E2B_SANDBOX_ID, E2B_TEMPLATE_ID and the caller's envVars."""
    allow_internet: bool = False
    allow_hosts: Sequence[str] = ()
    template: str = "code-interpreter-v1"
    two_users: bool = False
    """Whether processes that are spawned `as_owner` are another user's, where the level can give a second one: of
    uid 0, as kernels are root's at E2B, without any right of root. Others read that user's files and cannot write
    them."""


@dataclass(frozen=True)
class Entry:
    """Names a Python function that runs in a fork of the preloaded interpreter.

    `target` is "module:function", called as `function(control: socket, config: dict)`. It is a string,
    because the host must never import what runs inside.
    """

    target: str
    config: Mapping[str, object] = field(default_factory=dict)


class ContextConfig(TypedDict, total=False):
    """Is the `config` of an `Entry` that drives one language in a sandbox."""

    envs: dict[str, str]
    cwd: str
    results: int
    """Bytes that one result may have."""
    argv: list[str]
    """The command of a Jupyter kernel, with "{connection_file}" in it."""
    env: dict[str, str]
    """The variables of a Jupyter kernel's kernelspec."""
    interrupt: str
    """How a Jupyter kernel is interrupted: "signal" or "message"."""
    language: str
    """The dialect of a Jupyter kernel, see `guest/dialects.py`."""


@dataclass(frozen=True)
class Argv:
    """Names a program to execute, which is found on the sandbox's PATH."""

    argv: Sequence[str]


@dataclass(frozen=True)
class Pty:
    """Asks for a terminal of this size."""

    cols: int
    rows: int


@dataclass(frozen=True)
class Exit:
    """Says how a child ended: exactly one of `code` and `signal` is set. `reason` is set when the engine killed it."""

    code: int | None = None
    signal: int | None = None
    reason: str | None = None
    """Words for people: "out of memory (limit 512 MiB)"."""


class Child(Protocol):
    """Is a process inside a sandbox, in a session and process group of its own."""

    pid: int
    """Its id as seen inside the sandbox."""
    control: socket.socket | None
    """Host end of a socketpair (an Entry's first argument is the other end). Non-blocking. None for Argv."""
    stdin: int | None
    """Host descriptor, non-blocking; None when stdin is /dev/null. With a pty: the master, also in `stdout`."""
    stdout: int
    stderr: int | None
    exited: asyncio.Future[Exit]
    """Done when the process has ended and was reaped."""

    async def signal(self, number: int, *, group: bool = True) -> None:
        """Sends a signal to the process, or to its whole group. Nothing happens when it has ended."""

    async def resize(self, pty: Pty) -> None:
        """Gives the terminal another size. Raises OSError when there is none."""

    def close_stdin(self) -> None:
        """Closes its input, so that the process reads the end of it. Not for a pty."""

    def close(self) -> None:
        """Closes the host's descriptors. The process goes on."""


class Sandbox(Protocol):
    """Is a running sandbox. Every method raises `SandboxDead` once it is gone."""

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
        as_owner: bool = False,
    ) -> Child:
        """Starts a process. Raises NotADirectoryError when there is no `cwd`; a missing program exits with 127.

        `as_owner`: as the second user of a sandbox with `two_users`.
        `address_space_limit=False` is for V8 and the JVM, which reserve tens of GiB; the watchdog still counts them.
        """
        ...

    async def freeze(self) -> None:
        """Stops every process, until `thaw`."""

    async def thaw(self) -> None:
        """Lets the processes go on."""

    async def usage(self) -> Usage: ...
    async def kill(self) -> None:
        """Ends every process. Returns when they have ended; a second call does nothing."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Says what the whole sandbox uses at the moment of the call; memory and disk are in bytes."""

    memory: int
    cpu_seconds: float
    disk_used: int
    disk_total: int
    processes: int


class Engine(Protocol):
    """Makes sandboxes at one level of isolation."""

    level: Level
    why_not_stronger: str | None
    """Why each stronger level does not work on this machine; None when this is the strongest."""

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Returns a new sandbox. Raises EngineError."""
        ...

    async def close(self) -> None:
        """Ends the engine and all of its sandboxes."""


class SandboxDead(Exception):  # noqa: N818 - states a condition
    """The sandbox no longer exists."""


class EngineError(Exception):
    """The engine could not do what it was asked; the message is for people and names the remedy."""


class InterpreterError(EngineError):
    """The Python for the sandboxes does not work, at whatever level."""


class PreloadError(InterpreterError):
    """A preloaded module started a thread when it was imported: a process with threads cannot be forked safely."""

    def __init__(self, module: str) -> None:
        super().__init__(f"a preloaded module started a thread: {module}")
        self.module = module


PORT = 3128
"""Port of the network proxy, on the sandbox's own loopback."""
