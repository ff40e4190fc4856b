"""Asks for user ids and capabilities of the process that makes sandboxes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

FIRST_HOST_UID: Final = 100_000
HOST_UIDS: Final = 65_000
"""The host's users that sandboxes run as, one for each, when we may choose: ids that no account should have."""
CAP_SETUID, CAP_SYS_ADMIN = 7, 21


def has_capability(number: int) -> bool:
    """Returns whether this process has a capability in its effective set, over its own user namespace."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> number & 1)


def may_use_spare_uids() -> bool:
    """Returns whether every sandbox can have a host user of its own: we may become any user, and the ids exist here.

    Uid 0 of a user namespace with one mapped id (`unshare -r`) cannot give them one.
    """
    if os.geteuid() != 0 or not has_capability(CAP_SETUID):
        return False
    last = FIRST_HOST_UID + HOST_UIDS
    return any(first <= FIRST_HOST_UID and last <= first + count for first, _, count in _uid_map())


def limits_processes() -> bool:
    """Returns whether RLIMIT_NPROC holds for a sandbox's user.

    It never holds for the host's uid 0, which is what we may be outside of a user namespace made by `unshare -r`.
    """
    return may_use_spare_uids() or not any(
        first <= os.geteuid() < first + count and outside + os.geteuid() - first == 0
        for first, outside, count in _uid_map()
    )


def become(uid: int, gid: int | None = None) -> None:
    """Takes user `uid` and group `gid`, or its namesake, for good: real, effective and saved. Raises OSError."""
    gid = uid if gid is None else gid
    # Groups before the user: afterwards we may not change them any more.
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _uid_map() -> list[list[int]]:
    """Rows of (first id here, first id outside, how many)."""
    return [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
