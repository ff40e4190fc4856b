"""What a local server and everything below it hold right now, counted from outside: for tests that look for leaks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.local import launcher
from ci_integrations.local.launcher import Endpoint, local_endpoint, stop_local_servers

ZYGOTE = "ci_integrations.local.jail.zygote"
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


@dataclass(frozen=True)
class Census:
    """Of the server, its fork server, and what they made. Memory in MiB, shared pages divided."""

    processes: int
    fds: int
    mounts: int
    namespaces: int
    cgroups: int
    memory: float

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())


class Server:
    """A local server, looked at through /proc."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.pid = listener(int(endpoint.url.rpartition(":")[2]))

    @property
    def zygote(self) -> int:
        [pid] = [pid for pid in children(self.pid) if ZYGOTE in command_line(pid)]
        return pid

    @property
    def agents(self) -> list[int]:
        return children(self.zygote)

    def census(self) -> Census:
        own = (self.pid, self.zygote)
        below = descendants(self.pid)
        return Census(
            processes=len(below),
            fds=sum(quiet_fds(pid) for pid in own),
            mounts=sum(len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()) for pid in (os.getpid(), *own)),
            namespaces=len({link for pid in (self.pid, *below) for link in namespaces(pid)}),
            # not /proc/cgroups: it counts those that the kernel has yet to forget
            cgroups=len(list(Path("/sys/fs/cgroup").rglob("cgroup.procs"))),
            memory=round(sum(pss(pid) for pid in own) / 1024, 1),
        )

    def settled(self, before: Census, patience: float = 10.0) -> Census:
        """The census, once nothing but memory is above `before`; or as it is when patience is over."""
        deadline = time.monotonic() + patience
        while True:
            now = self.census()
            calm = all(value <= asdict(before)[name] for name, value in asdict(now).items() if name != "memory")
            if calm or time.monotonic() > deadline:
                return now
            time.sleep(0.2)

    def peak_memory(self) -> float:
        """MiB of resident memory that the server process has had at most."""
        return status(self.pid, "VmHWM:") / 1024


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts a server of this test's own; other tests of this process keep theirs."""
    monkeypatch.setattr(launcher, "_state", launcher._State())

    def started(**options: Any) -> Server:
        return Server(local_endpoint(**options))

    yield started
    stop_local_servers()


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    return start()


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Prints a figure where it is seen, in a green run too."""

    def shown(what: object) -> None:
        with capsys.disabled():
            print(f"\n    {request.node.name}: {what}", end=" ", flush=True)

    return shown


def listener(port: int) -> int:
    """The process that listens on this port of the loopback."""
    lines = Path("/proc/net/tcp").read_text().splitlines()
    [inode] = [line.split()[9] for line in lines if f":{port:04X} 00000000:0000 0A" in line]
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == f"socket:[{inode}]":
                return int(link.parts[2])
        except GONE:
            continue
    raise AssertionError("nobody listens")


def quiet_fds(pid: int) -> int:
    """Descriptors but for the clients' connections, which their pools keep."""
    tcp = {f"socket:[{line.split()[9]}]" for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    return sum(target not in tcp for target in links(Path(f"/proc/{pid}/fd")))


def namespaces(pid: int) -> list[str]:
    return links(Path(f"/proc/{pid}/ns"))


def links(folder: Path) -> list[str]:
    found = []
    try:
        for link in folder.iterdir():
            found.append(str(link.readlink()))  # noqa: PERF401 - what was read before it vanished counts
    except GONE:
        pass
    return found


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    todo = [pid]
    while todo:
        try:
            below = children(todo.pop())
        except GONE:
            continue
        found += below
        todo += below
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except GONE:
        return ""


def pss(pid: int) -> int:
    """KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
