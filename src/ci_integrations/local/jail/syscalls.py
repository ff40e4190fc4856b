"""The trusted side of a sandbox makes kernel calls here that the standard library lacks, through ctypes.

Every function raises OSError with the kernel's errno. System call numbers above 423 are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import signal
import struct
import termios
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
CLONE_PIDFD: Final = 0x00001000


MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

MOUNT_ATTR_RDONLY: Final = 1
MOUNT_ATTR_NOSUID: Final = 2
MOUNT_ATTR_NODEV: Final = 4
AT_FDCWD: Final = -100
AT_RECURSIVE: Final = 0x8000

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_DROP: Final = 24
PR_SET_SECCOMP: Final = 22
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_X86 = platform.machine() == "x86_64"
_SYS_CLONE: Final = 56 if _X86 else 220
_SYS_PIVOT_ROOT: Final = 155 if _X86 else 41
_SYS_CAPSET: Final = 126 if _X86 else 91
_SYS_CLOSE_RANGE: Final = 436
_SYS_MOUNT_SETATTR: Final = 442
_SYS_LANDLOCK_CREATE_RULESET: Final = 444
_SYS_LANDLOCK_ADD_RULE: Final = 445
_SYS_LANDLOCK_RESTRICT_SELF: Final = 446

_libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the GIL: CDLL releases it for a call, and a fork would return to a child in which nobody holds it.
_holding_the_gil = ctypes.PyDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    """The result of a call; raises OSError when it is negative."""
    if result >= 0:
        return result
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


def _syscall(number: int, what: str, *args: object) -> int:
    return _checked(int(_libc.syscall(ctypes.c_long(number), *args)), what)


def clone(flags: int) -> tuple[int, int]:
    """Forks into new namespaces in one step; (0, -1) in the child, (pid, pidfd) in the parent.

    One fork of a preloaded interpreter costs milliseconds, so the usual fork-unshare-fork is avoided. It is safe only
    because the caller has one thread. CPython's hooks before and after a fork run as in os.fork().
    """
    # clone(2), not clone3(2): container runtimes answer ENOSYS to the latter. CLONE_PIDFD is of Linux 5.2.
    pidfd = ctypes.c_int(-1)
    null = ctypes.c_void_p(None)
    all_flags = ctypes.c_ulong(flags | CLONE_PIDFD | signal.SIGCHLD)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_holding_the_gil.syscall(ctypes.c_long(_SYS_CLONE), all_flags, null, ctypes.byref(pidfd), null, null))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    number = ctypes.get_errno()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone({flags:#x}): {os.strerror(number)}")
    return pid, pidfd.value


def unshare(flags: int) -> None:
    """Moves this process to new namespaces; a new pid namespace begins with its next child."""
    _checked(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    _checked(
        _libc.mount(_text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(options)),
        f"mount({source} on {target})",
    )


def bind(source: str, target: str) -> None:
    """Shows `source`, with the mounts below it, at `target` too."""
    mount(source, target, None, MS_BIND | MS_REC)


def restrict_mount(path: str, attributes: int, *, recursive: bool = True) -> None:
    """Adds attributes (read-only, nosuid, nodev) to the mount at `path` and those below it. It needs Linux 5.12."""
    words = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    how = AT_RECURSIVE if recursive else 0
    size = ctypes.c_size_t(ctypes.sizeof(words))
    _syscall(_SYS_MOUNT_SETATTR, f"mount_setattr({path})", AT_FDCWD, _text(path), how, words, size)


def unmount(path: str) -> None:
    """Takes a mount away at once, also one in use: its files stay until they are closed."""
    _checked(_libc.umount2(_text(path), MNT_DETACH), f"umount({path})")


def pivot_root(new_root: str) -> None:
    """Makes `new_root` the root file system and takes the old one away."""
    # "." twice puts the old root on top of the new one, so that it needs no directory of its own (pivot_root(2)).
    os.chdir(new_root)
    _syscall(_SYS_PIVOT_ROOT, "pivot_root", b".", b".")
    unmount(".")
    os.chdir("/")


def prctl(option: int, *args: int) -> int:
    """Sets an attribute of this process, by prctl. Missing arguments are 0, which some options insist on."""
    words = [ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *words), f"prctl({option})")


def drop_capabilities() -> None:
    """Drops the capabilities of all sets, for good.

    Where the bounding set may not be touched (no CAP_SETPCAP), there is no capability that could be regained.
    """
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # EINVAL after the last one that this kernel knows; EPERM without CAP_SETPCAP
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, of this process
    _syscall(_SYS_CAPSET, "capset", header, (ctypes.c_uint32 * 6)())


def close_from(first: int) -> None:
    """Closes every descriptor from `first` on, in one call. It needs Linux 5.9."""
    _syscall(_SYS_CLOSE_RANGE, "close_range", ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), 0)


def install_seccomp(program: bytes) -> None:
    """Installs a system call filter: an array of struct sock_filter. It needs no_new_privs."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    wanted = Program(len(program) // 8, program)
    address = ctypes.addressof(wanted)
    prctl(PR_SET_SECCOMP, 2, address)


def landlock_abi() -> int:
    """Returns the version of the kernel's Landlock; 0 where the kernel has none, or has it switched off."""
    try:
        return _syscall(_SYS_LANDLOCK_CREATE_RULESET, "landlock", None, ctypes.c_size_t(0), 1)
    except OSError:
        return 0


def landlock_ruleset(files: int, network: int, scopes: int) -> int:
    """Returns the descriptor of a new ruleset that handles these accesses."""
    words = (ctypes.c_uint64 * 3)(files, network, scopes)
    abi = landlock_abi()
    # The structure has grown with the ABI; an older kernel refuses a longer one (E2BIG) if the new part is not zero.
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    return _syscall(_SYS_LANDLOCK_CREATE_RULESET, "landlock_create_ruleset", words, ctypes.c_size_t(size), 0)


def landlock_allow_path(ruleset: int, path_fd: int, access: int) -> None:
    """Adds a rule: `access` to what the descriptor stands for, and to everything below it."""

    class Rule(ctypes.Structure):
        _pack_ = 1
        _fields_ = (("access", ctypes.c_uint64), ("fd", ctypes.c_int32))

    _syscall(_SYS_LANDLOCK_ADD_RULE, "landlock_add_rule", ruleset, 1, ctypes.byref(Rule(access, path_fd)), 0)


def landlock_restrict_self(ruleset: int) -> None:
    """Holds this process and its children to a ruleset, for good. It needs no_new_privs."""
    _syscall(_SYS_LANDLOCK_RESTRICT_SELF, "landlock_restrict_self", ruleset, 0)


def _text(value: str | None) -> bytes | None:
    return None if value is None else os.fsencode(value)


def resize_terminal(master: int, cols: int, rows: int) -> None:
    """Gives a terminal another size; the kernel tells its processes by SIGWINCH."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
