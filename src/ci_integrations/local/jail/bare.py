"""Levels `landlock` and `none`: no namespaces. Zygote and agent side.

A sandbox's processes are the descendants of its agent, which is their subreaper; the zygote is the agents' subreaper
and ends what a killed agent leaves behind. HOME is a folder of the host's temporary directory.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from ci_integrations.local.jail import agent, landlock, lockdown, proc, rootfs, seccomp, syscalls
from ci_integrations.local.jail.folders import remove_tree
from ci_integrations.local.jail.ids import FIRST_HOST_UID, HOST_UIDS, may_use_spare_uids
from ci_integrations.local.protocol.contract import EngineError, Limits

_ETC: Final = tuple(
    f"/etc/{name}" for name in (*rootfs.ETC, "passwd", "group", "nsswitch.conf", "hosts", "resolv.conf")
)
_PROC: Final = tuple(f"/proc/{name}" for name in ("self", "cpuinfo", "meminfo", "stat", "version", "loadavg", "uptime"))
# No /dev/pts: terminals of the host's user are in it.
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


class Bare:
    """The zygote's side."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._locked = config["level"] == "landlock"
        self._folder = Path(config["folder"])
        self._uids = may_use_spare_uids() and (self._locked or _readable_by(FIRST_HOST_UID))
        if self._locked:
            self._check_landlock()
        self._readable = (*rootfs.SYSTEM, *rootfs.interpreter_paths(), *_ETC, *_PROC)
        self._number = random.randrange(HOST_UIDS)
        self._agents: set[int] = set()
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)

    def _check_landlock(self) -> None:
        abi = syscalls.landlock_abi()
        if abi == 0:
            raise EngineError("this kernel has no Landlock, or has it switched off")
        if self._uids and not _readable_by(FIRST_HOST_UID):
            raise EngineError(
                f"{sys.executable} is not readable for other users (install Python outside of root's home)"
            )
        if not self._uids and abi < landlock.SCOPED_ABI:
            raise EngineError(f"Landlock ABI {abi} cannot hold back signals; 6 (Linux 6.12) is needed without root")

    def fork(self, message: dict[str, Any]) -> tuple[int, int, str]:
        """(0, -1, home) in the child, which must call `enter`; (pid, pidfd, home) in the zygote."""
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

    def enter(self) -> Inside:
        """In the child."""
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.signal(signal.SIGTERM, _end)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        lockdown.go_first_when_memory_ends()
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        if not self._locked:
            return Inside(lockdown.Confinement(uid=self._uid if self._uids else None, count_others=True), self._home)
        tmp = str(Path(self._home).parent / "tmp")
        confinement = lockdown.Confinement(
            seccomp=seccomp.filter_program(sockets=False, attributes=self._uids, others=self._uids),
            files=landlock.FileRules(self._readable, (self._home, tmp), _DEVICES),
            uid=self._uid if self._uids else None,
            count_others=True,
        )
        return Inside(confinement, self._home)

    def reap(self) -> list[int]:
        """The agents that are gone, with everything below them."""
        gone = self._buried()
        while gone and (orphans := set(proc.children_of(os.getpid())) - self._agents):
            for orphan in orphans:
                for pid in (orphan, *proc.descendants(orphan)):
                    proc.send(pid, signal.SIGKILL)
            gone += self._buried()
        return gone

    def end(self) -> None:
        """The host is gone: end all sandboxes, and remove what they left on its disk."""
        for pid in self._agents:
            proc.send(pid, signal.SIGKILL)
        while proc.children_of(os.getpid()):
            for pid in proc.descendants(os.getpid()):
                proc.send(pid, signal.SIGKILL)
            _reaped()
        remove_tree(self._folder)

    def _buried(self) -> list[int]:
        gone = [pid for pid in _reaped() if pid in self._agents]
        self._agents.difference_update(gone)
        return gone


class Inside:
    """The agent's side."""

    def __init__(self, confinement: lockdown.Confinement, home: str) -> None:
        self._confinement = confinement
        self._home = home

    def serve(self, channel: socket.socket) -> None:
        agent.Agent(channel, self._confinement, self.reconfigure, self._home).run()

    def reconfigure(self, message: dict[str, Any], limits: Limits) -> None:
        """There is no host name and no quota of our own to set at these levels."""


def _end(*_: object) -> None:
    proc.kill_all()
    os._exit(0)


def _reaped() -> list[int]:
    gone: list[int] = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return gone
        if pid == 0:
            return gone
        gone.append(pid)


def _readable_by(uid: int) -> bool:
    """Whether that user could run this interpreter: asked by becoming him, because permissions are many things."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        wanted = [sys.executable, __file__, sysconfig.get_path("stdlib"), *sys.path]
        os._exit(0 if all(os.access(path, os.R_OK) for path in wanted if not path.endswith(".zip")) else 1)
    return os.waitpid(pid, 0)[1] == 0
