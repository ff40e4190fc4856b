"""Each sandbox gets a cgroup where this process may make them: it enforces limits when the watchdog is too slow.

A cgroup also counts what the kernel keeps for a sandbox and charges to none of its processes: data that waits in pipes
and sockets. Files in a tmpfs count too, so the cgroup's limit is memory and disk together. It counts processes only
where RLIMIT_NPROC does not. Where no cgroup is delegated to us, sandboxes have none.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ci_integrations.local.host.sandboxes import LocalSandbox
from ci_integrations.local.jail import proc
from ci_integrations.local.jail.ids import limits_processes
from ci_integrations.local.protocol.contract import Limits, MiB

_PREFIX: Final = "ci-sandbox-"
_SLACK: Final = 64 * MiB
"""Bytes above the limit, so that the watchdog, which can say what happened, is usually the first to act."""
_EMPTY_SECONDS: Final = 2.0
_numbers = itertools.count(1)
"""Numbers for names, for the whole process: templates have engines of their own."""


@dataclass(frozen=True)
class Version:
    """Holds the names of files that differ between cgroup v1 and v2."""

    limit: str
    events: str


V1: Final = Version("memory.limit_in_bytes", "memory.oom_control")
V2: Final = Version("memory.max", "memory.events")


class Cgroups:
    """Makes cgroups below `parent`, and those that limit the number of processes below `pids`."""

    def __init__(self, parent: Path, version: Version, pids: Path | None = None) -> None:
        self.parent = parent
        self._version = version
        self._pids = pids
        self._work: set[asyncio.Task[None]] = set()

    async def hold(self, sandbox: LocalSandbox) -> None:
        """Puts a sandbox into a cgroup of its own. When that fails, the watchdog alone holds the sandbox.

        It happens in the background, as moving a process waits for all processors, about 10 ms. It is awaited where
        nothing else counts processes, because a sandbox may start some at once.
        """
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        group = Cgroup(self.parent / name, self._version, self._pids and self._pids / name)
        sandbox.on_death.append(lambda: self._later(group.remove()))
        with contextlib.suppress(OSError):
            group.make(sandbox.spec.limits)
            sandbox.out_of_memory = group.has_killed_again
            # In a thread: the kernel takes a lock for all threads (cgroup_threadgroup_rwsem) and waits for RCU.
            taken = asyncio.to_thread(group.take, sandbox.host_pid)
            if self._pids is None:
                self._later(taken)
            else:
                await taken

    def _later(self, work: Coroutine[object, object, None]) -> None:
        """Does `work` in the background; `close` waits for it."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def close(self) -> None:
        """Returns when the cgroups of dead sandboxes are removed."""
        await asyncio.gather(*self._work)


class Cgroup:
    """Is one cgroup. `path` limits memory; `pids` limits processes (the same directory under cgroup v2)."""

    def __init__(self, path: Path, version: Version, pids: Path | None = None) -> None:
        self._path = path
        self._version = version
        self._pids = pids
        self._folders = dict.fromkeys([path, pids] if pids else [path])
        self._kills = 0

    def make(self, limits: Limits) -> None:
        """Makes the directories and sets the limits. Raises OSError."""
        for folder in self._folders:
            folder.mkdir()
        if self._pids is not None:
            (self._pids / "pids.max").write_text(str(limits.processes))
        (self._path / self._version.limit).write_text(str(limits.memory + limits.disk + _SLACK))

    def take(self, pid: int) -> None:
        """Moves a process and all below it; what they start later is born inside. It blocks."""
        with contextlib.suppress(OSError):  # the sandbox is dead, and the group with it
            for folder in self._folders:
                _take_all(folder / "cgroup.procs", pid)

    def has_killed_again(self) -> bool:
        """Returns whether the kernel has killed a process to keep the limit since the last call."""
        before, self._kills = self._kills, self._count_kills()
        return self._kills > before

    def _count_kills(self) -> int:
        with contextlib.suppress(OSError):
            lines = (self._path / self._version.events).read_text().splitlines()
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
        return self._kills

    async def remove(self) -> None:
        """Removes the directories once the last process is gone, which may take a moment longer than the sandbox."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _EMPTY_SECONDS
        for folder in self._folders:
            while folder.exists() and loop.time() < end:
                try:
                    folder.rmdir()
                except OSError:  # EBUSY: a zombie still counts as a member
                    await asyncio.sleep(0.005)


def _take_all(members: Path, pid: int) -> None:
    """Moves processes until none is outside: one that forks while we look leaves a child behind."""
    gone: set[int] = set()
    while outside := {pid, *proc.descendants(pid)} - {int(word) for word in members.read_text().split()} - gone:
        gone.update(each for each in outside if not _take_one(members, each))


def _take_one(members: Path, pid: int) -> bool:
    """Moves one process. False when it is gone."""
    try:
        members.write_text(str(pid))
    except ProcessLookupError:
        return False
    return True


def find(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Cgroups | None:
    """Returns the place where this process may make memory cgroups and move its children; None without one."""
    # A line is "number:controllers:path"; v2 has number 0 and no controllers. Hybrid systems have both kinds.
    memberships = dict(line.split(":", 2)[1:] for line in own.read_text().splitlines()) if own.exists() else {}
    if "memory" in memberships:
        place = root / "memory" / memberships["memory"].lstrip("/")
        found = (place, V1) if _is_ours(place) else None
        pids = root / "pids" / memberships.get("pids", "").lstrip("/")
    else:
        found = _delegated(root, memberships.get("", "/"))
        pids = found[0] if found else root
    if found is None:
        return None
    count = not limits_processes() and _is_ours(pids) and (found[1] is V1 or "pids" in _handed_on(pids))
    for place in {found[0], pids}:
        _remove_stale(place)
    return Cgroups(*found, pids if count else None)


def _delegated(root: Path, own: str) -> tuple[Path, Version] | None:
    """With v2, the nearest cgroup at or above ours that hands the memory controller on, if it is ours.

    A cgroup with processes in it cannot hand one on ("no internal processes"), so it is rarely our own. Moving a
    process needs write access to the common ancestor of both places.
    """
    place = root / own.lstrip("/")
    for above in (place, *place.parents):
        if not above.is_relative_to(root):
            return None
        with contextlib.suppress(OSError):
            if "memory" in _handed_on(above):
                return (above, V2) if _is_ours(above) else None
    return None


def _handed_on(group: Path) -> list[str]:
    """The controllers that a cgroup hands on to those below it (v2)."""
    return (group / "cgroup.subtree_control").read_text().split()


def _is_ours(place: Path) -> bool:
    return os.access(place, os.W_OK) and os.access(place / "cgroup.procs", os.W_OK)


def _remove_stale(parent: Path) -> None:
    """Removes the cgroups of servers that were killed."""
    for left in parent.glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            with contextlib.suppress(OSError):
                left.rmdir()
