"""The agent reads here, from /proc, which processes a sandbox has and what they use; it signals and reaps them, too.

A process may end or fork between two reads, and another may get its id. So one that is gone is no error here, and
whoever must catch all of them looks again until there is nothing left.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_STOPPED: Final = frozenset("TtZX")
"""States of a process that runs no code: stopped, traced, zombie, dead."""
_FREEZE_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.0005


@dataclass(frozen=True)
class Stat:
    """Holds fields of one line of /proc/PID/stat."""

    pid: int
    parent: int
    state: str
    cpu_seconds: float
    threads: int


def all_pids() -> list[int]:
    """Returns all processes of this sandbox but the agent.

    They are what /proc shows in a pid namespace, and otherwise our descendants.
    """
    if os.getpid() == 1:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal() and name != "1"]  # noqa: PTH208
    return descendants(os.getpid())


def descendants(pid: int) -> list[int]:
    """Returns all processes below `pid`. Orphans are among them when `pid` is their subreaper."""
    found: list[int] = []
    todo = [pid]
    while todo:
        children = children_of(todo.pop())
        found += children
        todo += children
    return found


def children_of(pid: int) -> list[int]:
    """Returns ids of the children of all threads of `pid`: each thread has a list of its own."""
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
    # The name in parentheses is chosen by the process and may hold spaces and parentheses: fields count from its end.
    fields = text.rpartition(")")[2].split()
    return Stat(pid, int(fields[1]), fields[0], (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[17]))


_USUAL_PAGE_TABLES = 1 << 20
"""Bytes; a kernel with pandas and matplotlib has half of it."""


def quick_memory(pid: int) -> int:
    """Returns bytes of anonymous and shared memory; pages that forks still share are counted for each fork."""
    return _sum_of_lines(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:")) + _page_tables(pid)


def _page_tables(pid: int) -> int:
    """Returns bytes of a process's page tables beyond those of a usual program: no other sum has them.

    A fork that reads a large mapping costs nothing but these.
    """
    return max(0, _sum_of_lines(f"/proc/{pid}/status", ("VmPTE:",)) - _USUAL_PAGE_TABLES)


def exact_memory(pid: int) -> int:
    """Returns bytes of anonymous and shared memory, with shared pages divided among those who share them.

    It costs up to a millisecond: the kernel walks the page tables for smaps_rollup (Linux 4.14).
    """
    try:
        return _sum_of_lines(f"/proc/{pid}/smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) + _page_tables(pid)
    except PermissionError:
        return quick_memory(pid)  # it made itself non-dumpable: it is counted for all that it maps


def _sum_of_lines(path: str, names: tuple[str, ...]) -> int:
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(names))


def sockets() -> int:
    """Returns how many sockets our network namespace has.

    It is 0 where we have no namespace of our own; processes may open no sockets there.
    """
    if os.getpid() != 1:
        return 0
    line = Path("/proc/net/sockstat").read_text().partition("\n")[0]  # sockets: used 12
    return int(line.split()[2])


def room_for_files(pid: int) -> int:
    """Returns how many descriptors fit into the table of `pid`: never less than `open_files`, and quick to read."""
    return _sum_of_lines(f"/proc/{pid}/status", ("FDSize:",)) // 1024


def open_files(pid: int) -> int:
    """Returns how many descriptors `pid` has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except FileNotFoundError:
        return 0
    except PermissionError:
        return 1 << 20  # it made itself non-dumpable: the first to be suspected


def cpu_seconds(known: Iterable[Stat]) -> float:
    """Returns processor seconds of `known` processes and of those that this process has reaped."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(stat.cpu_seconds for stat in known)


def signal_all(number: int) -> None:
    """Sends a signal to every process of the sandbox."""
    for pid in all_pids():
        send(pid, number)


def send(pid: int, number: int) -> None:
    """Sends a signal. Nothing happens when the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def stop_all() -> None:
    """Stops every process; repeated, because a process may fork meanwhile. Raises TimeoutError if it never ends."""
    deadline = time.monotonic() + _FREEZE_SECONDS
    while time.monotonic() < deadline:
        moving = [stat.pid for stat in stats(all_pids()) if stat.state not in _STOPPED]
        if not moving:
            return
        for pid in moving:
            send(pid, signal.SIGSTOP)
        time.sleep(_AGAIN_SECONDS)
    raise TimeoutError(110, "the sandbox's processes could not be stopped")


def kill_all() -> None:
    """Kills every process below us, orphans included, until none is left: for levels without a pid namespace."""
    while pids := all_pids():
        for pid in pids:
            send(pid, signal.SIGKILL)
        list(reaped())
        time.sleep(_AGAIN_SECONDS)


def reaped() -> Iterator[tuple[int, int]]:
    """Yields (pid, wait status) of each child that has ended. It does not wait for the others."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def wakes_when_a_child_ends() -> socket.socket:
    """Returns a socket for `poll`: it becomes readable when a child of this process has ended.

    One SIGCHLD may stand for many children, as the kernel merges signals that wait: call `reaped` until it is empty.
    """
    wakeup, waker = socket.socketpair()
    for end in (wakeup, waker):
        end.setblocking(False)  # noqa: FBT003
    # A handler of Python's is needed: with SIG_DFL the kernel discards SIGCHLD, and nothing is written to the socket.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.detach(), warn_on_full_buffer=False)
    return wakeup
