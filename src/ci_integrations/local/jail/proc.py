"""What the agent knows about the processes of its sandbox: who they are and what they use. Read from /proc."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_STOPPED: Final = frozenset("TtZX")
_FREEZE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Stat:
    """One line of /proc/PID/stat."""

    pid: int
    parent: int
    state: str
    cpu_seconds: float
    threads: int


def all_pids() -> list[int]:
    """Everything in this sandbox but the agent: what /proc shows in a pid namespace, elsewhere our descendants."""
    if os.getpid() == 1:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and name != "1"]  # noqa: PTH208
    return descendants(os.getpid())


def descendants(pid: int) -> list[int]:
    """All below `pid`: orphans come back to us, because we are their subreaper."""
    found: list[int] = []
    todo = [pid]
    while todo:
        children = children_of(todo.pop())
        found += children
        todo += children
    return found


def children_of(pid: int) -> list[int]:
    """Of all its threads: each has a list of its own."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def stats(pids: Iterable[int]) -> list[Stat]:
    return [stat for stat in map(_stat, pids) if stat is not None]


def _stat(pid: int) -> Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return Stat(pid, int(fields[1]), fields[0], (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[17]))


def quick_memory(pid: int) -> int:
    """Bytes of anonymous and shared memory; pages that forks still share are counted for each of them."""
    return _sum_of_lines(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:"))


def exact_memory(pid: int) -> int:
    """The same with shared pages divided among those who share them; costs up to a millisecond."""
    try:
        return _sum_of_lines(f"/proc/{pid}/smaps_rollup", ("Pss_Anon:", "Pss_Shmem:"))
    except PermissionError:
        return quick_memory(pid)  # it made itself non-dumpable: it is counted for all that it maps


def _sum_of_lines(path: str, names: tuple[str, ...]) -> int:
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))


def sockets() -> int:
    """In our network namespace; 0 where we have none of our own, and processes may open no sockets anyway."""
    if os.getpid() != 1:
        return 0
    line = Path("/proc/net/sockstat").read_text().partition("\n")[0]  # sockets: used 12
    return int(line.split()[2])


def room_for_files(pid: int) -> int:
    """In its table of descriptors: never less than `open_files`, and quick."""
    return _sum_of_lines(f"/proc/{pid}/status", ("FDSize:",)) // 1024


def open_files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except FileNotFoundError:
        return 0
    except PermissionError:
        return 1 << 20  # it made itself non-dumpable: the first to be suspected


def cpu_seconds(known: Iterable[Stat]) -> float:
    """Of the living and of those already reaped."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(stat.cpu_seconds for stat in known)


def signal_all(number: int) -> None:
    for pid in all_pids():
        send(pid, number)


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def stop_all() -> None:
    """SIGSTOP everything; repeated, because a process may fork while we look. TimeoutError if it never ends."""
    deadline = time.monotonic() + _FREEZE_SECONDS
    while time.monotonic() < deadline:
        moving = [stat.pid for stat in stats(all_pids()) if stat.state not in _STOPPED]
        if not moving:
            return
        for pid in moving:
            send(pid, signal.SIGSTOP)
        time.sleep(0.0005)
    raise TimeoutError(110, "the sandbox's processes could not be stopped")


def kill_all() -> None:
    """SIGKILL everything below us, orphans included, until nothing is left. For levels without a pid namespace."""
    while pids := all_pids():
        for pid in pids:
            send(pid, signal.SIGKILL)
        _reap_all()
        time.sleep(0.0005)


def _reap_all() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
