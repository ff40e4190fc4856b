"""The limits of a sandbox: those the kernel keeps for each process, and the watchdog that sums up. Runs inside."""

from __future__ import annotations

import os
import resource
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci_integrations.local.jail import proc
from ci_integrations.local.protocol.contract import Limits, MiB

_SOON, _LATER = 0.25, 1.0
"""Seconds between two looks: with memory above half the limit, and else."""
_US: Final = 2
"""This process and the agent: counted among the others where the host's user is, and in the limit where he is not."""
_SHARED_MAPPINGS: Final = 512 * MiB
_SOCKET_BUFFER: Final = 2 * 208 * 1024
"""What one socket can hold of the kernel's memory, where no process is charged for it."""
_DESCRIPTOR: Final = 32 * 1024
"""Of the memory limit for each descriptor, when those of all processes are counted together: a pipe holds at least
two pages, for which nobody is charged either."""
_SIGNALS: Final = 4096
"""Signals and timers that may wait: the kernel counts them for the host's user as well."""


def set_resource_limits(limits: Limits, *, address_space_limit: bool, count_others: bool) -> None:
    """Of this process and its children. `count_others` where the kernel counts all processes of our host user."""
    size, data = _own_sizes()
    others = _processes_of_user(os.getuid()) - _US if count_others else 0
    wanted = {
        resource.RLIMIT_NPROC: (limits.processes + others,) * 2,
        resource.RLIMIT_NOFILE: (limits.open_files,) * 2,
        resource.RLIMIT_FSIZE: (limits.disk,) * 2,
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_MEMLOCK: (64 * 1024,) * 2,
        resource.RLIMIT_MSGQUEUE: (0, 0),
        resource.RLIMIT_SIGPENDING: (_SIGNALS,) * 2,
    }
    if address_space_limit:
        # V8 and the JVM reserve tens of GiB, of it one in writable private mappings: they go without both.
        wanted[resource.RLIMIT_DATA] = (data + limits.memory,) * 2
        # RLIMIT_DATA does not see shared mappings; this one does.
        wanted[resource.RLIMIT_AS] = (size + limits.memory * 3 // 2 + _SHARED_MAPPINGS,) * 2
    if limits.cpu_seconds is not None:
        wanted[resource.RLIMIT_CPU] = (limits.cpu_seconds, limits.cpu_seconds + 1)
    for name, pair in wanted.items():
        _, ceiling = resource.getrlimit(name)
        soft, hard = (v if ceiling == resource.RLIM_INFINITY else min(v, ceiling) for v in pair)
        resource.setrlimit(name, (soft, hard))


def _own_sizes() -> tuple[int, int]:
    """Address space and private data now, in bytes: what the fork brought along is not held against the process."""
    fields = Path("/proc/self/statm").read_text().split()
    page = resource.getpagesize()
    return int(fields[0]) * page, int(fields[5]) * page


def _processes_of_user(uid: int) -> int:
    """Threads, as RLIMIT_NPROC counts them where it counts the whole host."""
    count = 0
    with os.scandir("/proc") as entries:
        for entry in entries:
            if not entry.name.isdecimal():
                continue
            try:
                if entry.stat().st_uid == uid:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208
            except (FileNotFoundError, ProcessLookupError):
                continue
    return count


def cpu_reason(limits: Limits) -> str:
    return f"CPU time used up (limit {limits.cpu_seconds} s)"


@dataclass(frozen=True)
class Verdict:
    """These processes must go. `leader` is the agent's own child that they descend from, if it is still there."""

    leader: int
    pids: tuple[int, ...]
    reason: str


class Watchdog:
    """Looks at the whole sandbox now and then; says who must go."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most_sockets = max(limits.memory // _SOCKET_BUFFER, limits.open_files)
        self._most_files = max(limits.memory // _DESCRIPTOR, limits.open_files)
        self.pause = _SOON

    def look(self) -> Verdict | None:
        known = proc.stats(proc.all_pids())
        spent = self._limits.cpu_seconds
        if spent is not None and proc.cpu_seconds(known) > spent:
            cost = {stat.pid: int(stat.cpu_seconds * 1000) for stat in known}
            return _blame(known, cost, cpu_reason(self._limits))
        if sum(stat.threads for stat in known) > self._limits.processes:  # the kernel exempts the host's uid 0
            tasks = {stat.pid: stat.threads for stat in known}
            return _blame(known, tasks, f"too many processes (limit {self._limits.processes})")
        if proc.sockets() > self._most_sockets:
            open_files = {stat.pid: proc.open_files(stat.pid) for stat in known}
            return _blame(known, open_files, f"too many sockets (limit {self._most_sockets})")
        if sum(proc.room_for_files(stat.pid) for stat in known) > self._most_files:
            open_files = {stat.pid: proc.open_files(stat.pid) for stat in known}
            if sum(open_files.values()) > self._most_files:
                return _blame(known, open_files, f"too many open files together (limit {self._most_files})")
        return self._look_at_memory(known)

    def _look_at_memory(self, known: list[proc.Stat]) -> Verdict | None:
        limit = self._limits.memory
        upper_bound = sum(proc.quick_memory(stat.pid) for stat in known)
        self.pause = _SOON if upper_bound > limit // 2 else _LATER
        if upper_bound <= limit:
            return None
        cost = {stat.pid: proc.exact_memory(stat.pid) for stat in known}
        if sum(cost.values()) <= limit:
            return None
        return _blame(known, cost, f"out of memory (limit {limit // MiB} MiB)")


def _blame(known: Iterable[proc.Stat], cost: dict[int, int], reason: str) -> Verdict | None:
    """The costliest tree: an agent's child with all its descendants, or an orphan with his."""
    parents = {stat.pid: stat.parent for stat in known}
    trees: dict[int, list[int]] = defaultdict(list)
    for pid in parents:
        trees[_leader(pid, parents)].append(pid)
    if not trees:
        return None
    leader = max(trees, key=lambda tree: sum(cost.get(pid, 0) for pid in trees[tree]))
    return Verdict(leader, tuple(trees[leader]), reason)


def _leader(pid: int, parents: dict[int, int]) -> int:
    while parents.get(parents[pid]) is not None:
        pid = parents[pid]
    return pid
