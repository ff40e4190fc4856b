"""What a process does to itself before it runs a user's code. It cannot be undone. Runs in the agent's forks."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from ci_integrations.local.jail import landlock, syscalls
from ci_integrations.local.jail.limits import set_resource_limits
from ci_integrations.local.protocol.contract import Limits

_NICE = 5
_OOM_SCORE = "900"


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """How every process of a sandbox is held, beside the namespaces it lives in."""

    seccomp: bytes | None = None
    files: landlock.FileRules | None = None
    uid: int | None = None
    """Become this user and group first; the agent stays who it is."""
    count_others: bool = False
    """RLIMIT_NPROC counts all processes of the host's user here, not those of a user namespace."""


def restrict(confinement: Confinement, limits: Limits, *, address_space_limit: bool, guarded: bool = False) -> None:
    """Resource limits, user, capabilities, no_new_privs, Landlock, system call filter; in this order.

    Until the filter is in, this process is not dumpable, as the agent that it was forked from: another one of its user
    could open its /proc/PID/mem and put code into it that no filter holds. `guarded`: it stays so.
    """
    with contextlib.suppress(PermissionError):  # already as nice as the host allows
        os.nice(_NICE)
    if confinement.uid is not None:
        _become(confinement.uid)
    set_resource_limits(limits, address_space_limit=address_space_limit, count_others=confinement.count_others)
    syscalls.drop_capabilities()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if confinement.files is not None:
        landlock.restrict(confinement.files)
    if confinement.seccomp is not None:
        syscalls.install_seccomp(confinement.seccomp)
    if not guarded:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # or /proc/self does not work


def go_first_when_memory_ends() -> None:
    """The host's memory; children inherit it. Before the caller stops being dumpable."""
    Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
