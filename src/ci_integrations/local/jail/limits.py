"""Two things keep a sandbox's limits: the kernel, for each process, and the watchdog, which adds processes up.

Both run inside the sandbox, the watchdog in its agent. There need not be a cgroup for them.
"""

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
"""Seconds between two looks: while memory is above half of its limit, and otherwise."""
_US: Final = 2
"""Two processes are ours (this one and the agent). They count against RLIMIT_NPROC only when sandboxes share the host
user's uid."""
_SHARED_MAPPINGS: Final = 512 * MiB
"""Address space for libraries and shared memory, which RLIMIT_AS counts although it is no memory of the process."""
_SOCKET_BUFFER: Final = 2 * 208 * 1024
"""Bytes of the kernel's memory that one socket can hold; no process is charged for them."""
_DESCRIPTOR: Final = 32 * 1024
"""Bytes of the memory limit for each descriptor, when those of all processes are counted together: a pipe holds at
least two pages, and no process is charged for them."""
_SIGNALS: Final = 4096
"""Signals and timers that may wait: the kernel counts them for the host's user as a whole."""


def set_resource_limits(limits: Limits, *, address_space_limit: bool, count_others: bool) -> None:
    """Sets the limits of this process and its children. Raises OSError.

    `count_others`: whether the kernel counts all processes of our host user, and not those of a user namespace.
    """
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
        # Never above what the host itself has: raising a hard limit takes CAP_SYS_RESOURCE.
        soft, hard = (v if ceiling == resource.RLIM_INFINITY else min(v, ceiling) for v in pair)
        resource.setrlimit(name, (soft, hard))


def _own_sizes() -> tuple[int, int]:
    """Bytes of address space and of private data now: what the fork brought along does not count against the limit."""
    fields = Path("/proc/self/statm").read_text().split()
    page = resource.getpagesize()
    return int(fields[0]) * page, int(fields[5]) * page


def _processes_of_user(uid: int) -> int:
    """How many threads a host user has, which is what RLIMIT_NPROC counts outside of a user namespace."""
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
    """Returns the reason for people when the processor time is used up."""
    return f"CPU time used up (limit {limits.cpu_seconds} s)"


@dataclass(frozen=True)
class Verdict:
    """Names processes that must be killed, and why. They descend from `leader`, a child of the agent, if it lives."""

    leader: int
    pids: tuple[int, ...]
    reason: str


class Watchdog:
    """Looks at the whole sandbox from time to time and names processes to kill. `pause` is the time to the next look.

    Limits that a process can exceed between two looks only for a moment belong here; the kernel keeps the others.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most_sockets = max(limits.memory // _SOCKET_BUFFER, limits.open_files)
        self._most_files = max(limits.memory // _DESCRIPTOR, limits.open_files)
        self.pause = _SOON

    def look(self) -> Verdict | None:
        """Returns the processes to kill now, for the first limit that is exceeded; None when all is well."""
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
        # The size of a table is one line of /proc; counting its entries takes a call for each process, and a listing.
        if sum(proc.room_for_files(stat.pid) for stat in known) > self._most_files:
            open_files = {stat.pid: proc.open_files(stat.pid) for stat in known}
            if sum(open_files.values()) > self._most_files:
                return _blame(known, open_files, f"too many open files together (limit {self._most_files})")
        return self._look_at_memory(known)

    def _look_at_memory(self, known: list[proc.Stat]) -> Verdict | None:
        """As `look`, for memory: a cheap upper bound first, and the exact sum only when that exceeds the limit."""
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
    """The costliest tree of processes: a child of the agent, or an orphan, with all of its descendants."""
    parents = {stat.pid: stat.parent for stat in known}
    trees: dict[int, list[int]] = defaultdict(list)
    for pid in parents:
        trees[_leader(pid, parents)].append(pid)
    if not trees:
        return None
    leader = max(trees, key=lambda tree: sum(cost.get(pid, 0) for pid in trees[tree]))
    return Verdict(leader, tuple(trees[leader]), reason)


def _leader(pid: int, parents: dict[int, int]) -> int:
    """The topmost ancestor of `pid` that is one of the sandbox's processes, or `pid` itself."""
    while parents.get(parents[pid]) is not None:
        pid = parents[pid]
    return pid
