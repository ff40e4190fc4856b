"""A process restricts itself by this module before it runs a user's code, in a fork of the agent.

None of the restrictions can be taken back.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from ci_integrations.local.jail import landlock, syscalls
from ci_integrations.local.jail.ids import become
from ci_integrations.local.jail.limits import set_resource_limits
from ci_integrations.local.protocol.contract import Limits

_NICE = 5
"""Behind the host's own programs, when the processor is short."""
_OOM_SCORE = "900"
"""The badness, of 1 000 at most: when the host's memory ends, the kernel kills sandboxes before anything else."""


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """Says how every process of a sandbox is held, beside the namespaces it lives in."""

    seccomp: bytes | None = None
    """The system call filter, see `seccomp.filter_program`."""
    seccomp_of_code: bytes | None = None
    """A stricter one for processes that run code, and are not guarded; None: the same."""
    files: landlock.FileRules | None = None
    uid: int | None = None
    """The user and group that processes become first; the agent keeps its own."""
    gid: int | None = None
    """The group of `uid`, if it is not its namesake."""
    count_others: bool = False
    """Whether RLIMIT_NPROC counts all processes of the host's user here, and not those of a user namespace."""


def restrict(confinement: Confinement, limits: Limits, *, address_space_limit: bool, guarded: bool = False) -> None:
    """Takes user, resource limits, capabilities, new privileges, files and system calls from this process.

    It is not dumpable until the filter is in, as the agent that it was forked from: another process of its user could
    open its /proc/PID/mem and put code into it that no filter holds. With `guarded` it stays so. Raises OSError.
    """
    # Each step needs what the next ones take away: root for the user, capabilities for higher hard limits, and
    # no_new_privs is asked for by Landlock and by seccomp. The filter is last, as it refuses calls of the others.
    with contextlib.suppress(PermissionError):  # already as nice as the host allows
        os.nice(_NICE)
    if confinement.uid is not None:
        become(confinement.uid, confinement.gid)
    set_resource_limits(limits, address_space_limit=address_space_limit, count_others=confinement.count_others)
    syscalls.drop_capabilities()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # after setresuid, which clears it (prctl(2))
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if confinement.files is not None:
        landlock.restrict(confinement.files)
    program = confinement.seccomp if guarded else confinement.seccomp_of_code or confinement.seccomp
    if program is not None:
        syscalls.install_seccomp(program)
    if not guarded:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # or /proc/self does not work


def go_first_when_memory_ends() -> None:
    """Makes the kernel end this process and its children first when the host's memory runs out. Raises OSError.

    The caller must still be dumpable: otherwise /proc/self belongs to root.
    """
    Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
