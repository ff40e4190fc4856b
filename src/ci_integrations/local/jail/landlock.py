"""Landlock: which files a process may still open. Used where there is no mount namespace; runs in the agent's forks.

What it does not do: hide names and sizes (stat), or limit disk space. Scopes (signals, abstract sockets) need ABI 6.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from ci_integrations.local.jail import syscalls

SCOPED_ABI: Final = 6

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ALL_BY_ABI: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_SCOPES: Final = 3
_TCP: Final = 3


@dataclass(frozen=True)
class FileRules:
    """Paths, with everything below them."""

    readable: tuple[str, ...]
    writable: tuple[str, ...]
    devices: tuple[str, ...] = ()


def restrict(rules: FileRules) -> None:
    """Hold this process and its children to the rules, for good. Needs no_new_privs."""
    abi = syscalls.landlock_abi()
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
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # what is not there, or not for us, needs no rule
    try:
        only_file = not os.path.isdir(f"/proc/self/fd/{fd}")  # noqa: PTH112
        syscalls.landlock_allow_path(ruleset, fd, access & _OF_FILES if only_file else access)
    finally:
        os.close(fd)
