"""The level `namespaces` uses user, mount, pid, net, ipc, uts and cgroup namespaces.

The zygote builds one read-only root (`rootfs`) and forks into new namespaces. The child waits until the zygote has
mapped its user id, mounts what is its own (home, /tmp, /dev/shm, /proc, terminals) and becomes the agent.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import struct
from pathlib import Path
from typing import Final, NoReturn

from ci_integrations.local.jail import agent, lockdown, proc, rootfs, seccomp, syscalls
from ci_integrations.local.jail.ids import CAP_SYS_ADMIN, FIRST_HOST_UID, HOST_UIDS, has_capability, may_use_spare_uids
from ci_integrations.local.protocol.contract import HOME, EngineError, Limits
from ci_integrations.local.protocol.packets import Message

_UID: Final = 1000
"""The user inside: not 0, so that programs do not take themselves for root."""
_SECOND: Final = 0
"""The other user inside, whom few sandboxes have processes of. It is root by name alone, as it has no capability."""
_ALL: Final = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWCGROUP
)
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
# One file system, so that the quota holds for all of them together.
_WRITABLE: Final = {
    "home": (HOME, 0o700),
    "tmp": ("/tmp", 0o1777),  # noqa: S108
    "vartmp": ("/var/tmp", 0o1777),  # noqa: S108
    "shm": ("/dev/shm", 0o1777),  # noqa: S108
}

# The kernel counts these for the host's user as a whole, or for all users: one sandbox must not use them up.
_SHARES: Final = {"max_user_namespaces": 0, "max_inotify_instances": 48, "max_inotify_watches": 65536}
_TERMINALS: Final = 64
# What a TCP socket holds either way, in bytes: no process is charged for it, and the host's sockets share the total.
_TCP_BUFFERS: Final = "4096 65536 212992"
_QUIET: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV


class Namespaces:
    """See `zygote.Level`. Raises OSError or EngineError when this process may not make the namespaces."""

    def __init__(self, config: Message) -> None:
        self._own_uid = os.getuid()
        self._own_gid = os.getgid()
        if has_capability(CAP_SYS_ADMIN):
            syscalls.unshare(syscalls.CLONE_NEWNS)
        elif may_use_spare_uids():
            _unshare_with_all_ids()
        else:
            self._unshare_with_one_id()
        self._uids = may_use_spare_uids()
        self._hidden = rootfs.enter(mounts=config["mounts"])
        self._next = random.randrange(HOST_UIDS)
        self._confinement = lockdown.Confinement(seccomp=seccomp.filter_program(sockets=True, others=True))
        self._mapped = -1

    def _unshare_with_one_id(self) -> None:
        """Makes us, an ordinary user, uid 1000 of a new user namespace, with its capabilities."""
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # or /proc/self belongs to root
        # Before gid_map, since Linux 3.19: without a group one may read files that it is denied (CVE-2014-8989).
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{_UID} {self._own_uid} 1")
        Path("/proc/self/gid_map").write_text(f"{_UID} {self._own_gid} 1")
        self._own_uid = self._own_gid = _UID

    def fork(self, message: Message) -> tuple[int, int, str]:
        """Forks into new namespaces and maps the child's user id. See `zygote.Level`."""
        mapped, may_go_on = os.pipe()
        pid, pidfd = syscalls.clone(_ALL)
        if pid == 0:
            os.close(may_go_on)
            self._mapped = mapped
            return 0, -1, HOME
        os.close(mapped)
        try:
            self._map_ids(pid)
            os.write(may_go_on, b"1")
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.close(pidfd)
            raise
        finally:
            os.close(may_go_on)
        return pid, pidfd, HOME

    def _map_ids(self, pid: int) -> None:
        """Maps uids 1000 and 0 of the child to host users of its own, or the first one to ours. Raises OSError."""
        # From outside: only the parent namespace knows ids other than the child's own. And the parent's uid 0 is never
        # among them: a map with it needs CAP_SETFCAP since Linux 5.12.
        uid, gid, second = self._own_uid, self._own_gid, ""
        if self._uids:
            self._next = (self._next + 2) % (HOST_UIDS - 1)
            uid = gid = FIRST_HOST_UID + self._next
            second = f"\n{_SECOND} {uid + 1} 1"
        Path(f"/proc/{pid}/uid_map").write_text(f"{_UID} {uid} 1{second}")
        Path(f"/proc/{pid}/gid_map").write_text(f"{_UID} {gid} 1")

    def reap(self) -> list[int]:
        """Returns the agents that are gone; the kernel has ended the other processes of their pid namespaces before."""
        return [pid for pid, _ in proc.reaped()]

    def end(self) -> None:
        """Does nothing: the agents die with us, the rest with the agents, and the kernel frees what they kept."""

    def serve(self, channel: socket.socket) -> NoReturn:
        if os.read(self._mapped, 1) != b"1":
            raise OSError("the zygote could not map the user id")
        os.close(self._mapped)
        if self._uids:
            os.setgroups([])
        os.setresgid(_UID, _UID, _UID)
        os.setresuid(_UID, _UID, _UID)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
        _furnish(self._hidden)
        lockdown.go_first_when_memory_ends()
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        owner = _SECOND if self._uids else None
        agent.Agent(channel, self._confinement, _reconfigure, owner=owner).run()


def _unshare_with_all_ids() -> None:
    """Moves root without CAP_SYS_ADMIN to a user namespace with all our ids, so that sandboxes get users of their own.

    The maps must be written from outside, so a helper process stays there. Raises OSError and EngineError.
    """
    unshared, go = os.pipe()
    zygote = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(go)
        os.read(unshared, 1)
        try:
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{zygote}/{kind}").write_text(f"0 0 1\n{FIRST_HOST_UID} {FIRST_HOST_UID} {HOST_UIDS}\n")
        except OSError:
            os._exit(1)
        os._exit(0)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    finally:
        os.write(go, b"1")
        failed = os.waitpid(helper, 0)[1]
        os.close(unshared)
        os.close(go)
    if failed:
        raise EngineError("root may not map its own id into a user namespace here (CAP_SETFCAP is missing)")
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)


def _reconfigure(message: Message, limits: Limits) -> None:
    """Gives a sandbox the name and quota of its owner, who was not known when the sandbox was made."""
    socket.sethostname(message["hostname"])
    if (limits.disk, limits.inodes) != (Limits.disk, Limits.inodes):
        syscalls.mount(None, HOME, None, syscalls.MS_REMOUNT | _QUIET, _quota(limits))


def _quota(limits: Limits) -> str:
    return f"size={limits.disk},nr_inodes={limits.inodes}"


def _furnish(hidden: list[str]) -> None:
    """Mounts what is the sandbox's own. `hidden`: paths of the root that a tmpfs would cover; bound again."""
    # Opened before anything is mounted on top of them.
    kept = [(path, os.open(path, os.O_PATH)) for path in hidden]
    staging = "/mnt"
    syscalls.mount("tmpfs", staging, "tmpfs", _QUIET, f"mode=755,{_quota(Limits())}")
    for name, (place, mode) in _WRITABLE.items():
        source = f"{staging}/{name}"
        os.mkdir(source)  # noqa: PTH102
        os.chmod(source, mode)  # noqa: PTH101 - mkdir's mode is masked
        syscalls.bind(source, place)
    for path, fd in kept:
        _show_again(path, fd)
    syscalls.unmount(staging)  # the binds keep the file system alive; by itself it would show all four in one place
    syscalls.mount(
        "devpts",
        "/dev/pts",
        "devpts",
        syscalls.MS_NOSUID | syscalls.MS_NOEXEC,
        f"newinstance,ptmxmode=0666,mode=620,max={_TERMINALS}",
    )
    # A new /proc shows the new pid namespace alone. It may be mounted only where an unmasked one is visible already.
    syscalls.mount("proc", "/proc", "proc", _QUIET | syscalls.MS_NOEXEC)
    for name, count in _SHARES.items():
        Path("/proc/sys/user", name).write_text(str(count))
    for name in ("tcp_rmem", "tcp_wmem"):
        Path("/proc/sys/net/ipv4", name).write_text(_TCP_BUFFERS)
    _protect_proc()
    _bring_loopback_up()


def _protect_proc() -> None:
    """Makes the parts of /proc read-only that the host's uid 0 could write."""
    for name in rootfs.KERNELS_OWN:
        place = f"/proc/{name}"
        if Path(place).exists():
            syscalls.bind(place, place)
            syscalls.restrict_mount(place, syscalls.MOUNT_ATTR_RDONLY)


def _show_again(path: str, fd: int) -> None:
    """Binds what a tmpfs now covers on top of the tmpfs, read-only as it was."""
    rootfs.make_mount_point(Path(path), Path(f"/proc/self/fd/{fd}"))
    syscalls.bind(f"/proc/self/fd/{fd}", path)
    os.close(fd)


def _bring_loopback_up() -> None:
    """Sets the flag IFF_UP of `lo`: a new network namespace has loopback, but switched off (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
