"""The levels `landlock` and `none` use no namespaces; their code in the zygote and in the agent is here.

A sandbox's processes are the descendants of its agent, which is their subreaper. The zygote is the agents' subreaper
and ends what a killed agent leaves behind. HOME is a folder of the host's temporary directory.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from ci_integrations.local.jail import agent, landlock, lockdown, proc, rootfs, seccomp, syscalls
from ci_integrations.local.jail.folders import remove_tree
from ci_integrations.local.jail.ids import FIRST_HOST_UID, HOST_UIDS, become, may_use_spare_uids
from ci_integrations.local.protocol.contract import EngineError
from ci_integrations.local.protocol.packets import Message

_ETC: Final = tuple(
    f"/etc/{name}" for name in (*rootfs.ETC, "passwd", "group", "nsswitch.conf", "hosts", "resolv.conf")
)
_PROC: Final = tuple(f"/proc/{name}" for name in ("self", "cpuinfo", "meminfo", "stat", "version", "loadavg", "uptime"))
# No /dev/pts: terminals of the host's user are in it.
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


class Bare:
    """See `zygote.Level`. Raises EngineError when the kernel's Landlock does not suffice for the level `landlock`."""

    def __init__(self, config: Message) -> None:
        self._locked = config["level"] == "landlock"
        self._folder = Path(config["folder"])
        self._uids = may_use_spare_uids() and (self._locked or _readable_by(FIRST_HOST_UID))
        if self._locked:
            self._check_landlock()
        self._readable = (*rootfs.SYSTEM, *rootfs.interpreter_paths(), *_ETC, *_PROC, *self._granted(config["mounts"]))
        self._number = random.randrange(HOST_UIDS)
        self._agents: set[int] = set()
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)

    def _granted(self, mounts: Mapping[str, str]) -> Iterable[str]:
        """Returns the mounts as paths to read: here, each is where it is on the host. Raises EngineError otherwise."""
        if mounts and not self._locked:
            raise EngineError("mounts cannot be kept read-only without isolation")
        for place, source in mounts.items():
            if place != source:
                raise EngineError(
                    f"landlock shows folders at their own places only: mounts={{{source!r}: {source!r}}} would work"
                )
        return mounts.values()

    def _check_landlock(self) -> None:
        """Raises EngineError, with the reason for people, when this kernel's Landlock does not suffice."""
        abi = syscalls.landlock_abi()
        if abi == 0:
            raise EngineError("this kernel has no Landlock, or has it switched off")
        if self._uids and not _readable_by(FIRST_HOST_UID):
            raise EngineError(
                f"{sys.executable} is not readable for other users (install Python outside of root's home)"
            )
        if not self._uids and abi < landlock.SCOPED_ABI:
            raise EngineError(f"Landlock ABI {abi} cannot hold back signals; 6 (Linux 6.12) is needed without root")

    def fork(self, message: Message) -> tuple[int, int, str]:
        """Makes the sandbox's folders, then forks. See `zygote.Level`."""
        self._number = (self._number + 1) % HOST_UIDS
        place = self._folder / str(message["id"])
        for folder in (place, place / "home", place / "tmp"):
            folder.mkdir(mode=0o711 if folder == place else 0o700)
            if self._uids and folder != place:
                os.chown(folder, self._uid, self._uid)
        self._home = str(place / "home")
        pid, pidfd = syscalls.clone(0)
        if pid:
            self._agents.add(pid)
        return pid, pidfd, self._home

    @property
    def _uid(self) -> int:
        return FIRST_HOST_UID + self._number

    def serve(self, channel: socket.socket) -> NoReturn:
        # SIGTERM and not SIGKILL: without a pid namespace nobody else would end the sandbox's processes.
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.signal(signal.SIGTERM, _end)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # or /proc/self belongs to root
        lockdown.go_first_when_memory_ends()
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        agent.Agent(channel, self._confinement(), home=self._home).run()

    def _confinement(self) -> lockdown.Confinement:
        uid = self._uid if self._uids else None
        if not self._locked:
            return lockdown.Confinement(uid=uid, count_others=True)
        # Landlock sees neither other processes' limits nor files' attributes: with the host user's uid the filter must.
        held = partial(seccomp.filter_program, sockets=False, attributes=self._uids, others=self._uids)
        files = landlock.FileRules(self._readable, (self._home, str(Path(self._home).parent / "tmp")), _DEVICES)
        return lockdown.Confinement(
            seccomp=held(), seccomp_of_code=held(watches=False), files=files, uid=uid, count_others=True
        )

    def reap(self) -> list[int]:
        """Reaps agents and kills what they have left, as their orphans have become our children. See `zygote.Level`."""
        gone = self._buried()
        while gone and (orphans := set(proc.children_of(os.getpid())) - self._agents):
            for orphan in orphans:
                for pid in (orphan, *proc.descendants(orphan)):
                    proc.send(pid, signal.SIGKILL)
            gone += self._buried()
        return gone

    def end(self) -> None:
        """Ends all sandboxes, as the host is gone, and removes what they left on its disk."""
        for pid in self._agents:
            proc.send(pid, signal.SIGKILL)
        while proc.children_of(os.getpid()):
            for pid in proc.descendants(os.getpid()):
                proc.send(pid, signal.SIGKILL)
            list(proc.reaped())
        remove_tree(self._folder)

    def _buried(self) -> list[int]:
        """Reaps all children; returns the agents among them."""
        gone = [pid for pid, _ in proc.reaped() if pid in self._agents]
        self._agents.difference_update(gone)
        return gone


def _end(*_: object) -> None:
    """Ends the sandbox, as the agent's handler of SIGTERM."""
    proc.kill_all()
    os._exit(0)


def _readable_by(uid: int) -> bool:
    """Whether that user could run this interpreter: a child becomes the user and tries to."""
    pid = os.fork()
    if pid == 0:
        become(uid)
        wanted = [sys.executable, __file__, sysconfig.get_path("stdlib"), *sys.path]
        os._exit(0 if all(os.access(path, os.R_OK) for path in wanted if not path.endswith(".zip")) else 1)
    return os.waitpid(pid, 0)[1] == 0
