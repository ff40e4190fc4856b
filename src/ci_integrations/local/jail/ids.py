"""User ids and capabilities of the process that makes sandboxes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FIRST_HOST_UID: Final = 100_000
HOST_UIDS: Final = 65_000
CAP_SETUID, CAP_SYS_ADMIN = 7, 21


def has_capability(number: int) -> bool:
    """In the effective set, over our own user namespace."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> number & 1)


def may_use_spare_uids() -> bool:
    """Whether every sandbox can have a host user of its own: we may become anybody, and the ids exist here.

    Uid 0 of a user namespace with one mapped id (`unshare -r`) cannot.
    """
    if os.geteuid() != 0 or not has_capability(CAP_SETUID):
        return False
    last = FIRST_HOST_UID + HOST_UIDS
    return any(first <= FIRST_HOST_UID and last <= first + count for first, _, count in _uid_map())


def limits_processes() -> bool:
    """Whether RLIMIT_NPROC holds a sandbox's user: it never holds the host's root, whom `unshare -r` may give us as."""
    return may_use_spare_uids() or not any(
        first <= os.geteuid() < first + count and outside + os.geteuid() - first == 0
        for first, outside, count in _uid_map()
    )


def _uid_map() -> list[list[int]]:
    """Rows of first id here, first id outside, how many."""
    return [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
