"""Landlock restricts which files a process may open, where there is no mount namespace. It runs in the agent's forks.

Landlock does not hide names and sizes (stat), and does not limit disk space. Its scopes, which hold back signals and
abstract sockets, need ABI 6 (Linux 6.12).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from ci_integrations.local.jail import syscalls

SCOPED_ABI: Final = 6
"""The first ABI with scopes (Linux 6.12)."""

# Bits of <linux/landlock.h>. ABI 2 (Linux 5.19) added REFER, 3 (6.2) TRUNCATE, 4 (6.7) TCP, 5 (6.10) IOCTL_DEV.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ALL_BY_ABI: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_SCOPES: Final = 3
_TCP: Final = 3


@dataclass(frozen=True)
class FileRules:
    """Names the paths that stay open to a process, each with everything below it. All others are closed."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    devices: tuple[str, ...] = ()
    """Files that may be read, written and controlled by ioctl(2)."""


def restrict(rules: FileRules) -> None:
    """Holds this process and its children to the rules, for good. It needs no_new_privs. Raises OSError."""
    abi = syscalls.landlock_abi()
    # A bit that the kernel does not know is EINVAL; what is not "handled" stays open, whatever the rules say.
    handled = _ALL_BY_ABI[min(abi, 5)]
    ruleset = syscalls.landlock_ruleset(handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= SCOPED_ABI else 0)
    try:
        for path in rules.readable:
            _allow(ruleset, path, _READ)
        for path in rules.devices:
            _allow(ruleset, path, (_READ_FILE | _WRITE_FILE | _IOCTL_DEV) & handled)
        for path in rules.writable:
            _allow(ruleset, path, handled & ~_IOCTL_DEV)
        syscalls.landlock_restrict_self(ruleset)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    """Adds `access` to `path` and what is below it. A path that is not there, or not for us, needs no rule."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        # Rights of directories are refused for a file (EINVAL). Asked of the descriptor: a path may change meanwhile.
        only_file = not os.path.isdir(f"/proc/self/fd/{fd}")  # noqa: PTH112
        syscalls.landlock_allow_path(ruleset, fd, access & _OF_FILES if only_file else access)
    finally:
        os.close(fd)
