"""What a process does to itself before it runs a user's code: once done it cannot be undone. Runs in the agent's forks."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from pathlib import Path

from ci_integrations.local.sandbox import syscalls
from ci_integrations.local.sandbox.api import Limits, MiB

_NICE = 5
_OOM_SCORE = "900"


@dataclass(frozen=True)
class Confinement:
    """How the processes of a sandbox are held, decided once by the zygote."""

    seccomp: bytes | None
    ruleset: int | None = None
    """A Landlock ruleset's descriptor."""


def restrict(confinement: Confinement, limits: Limits, *, address_space_limit: bool, processes: int) -> None:
    """Resource limits, no capabilities, no new privileges, Landlock, the system call filter; in this order."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # the agent is not; /proc/self/fd must work here
    Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    _set_limits(limits, address_space_limit=address_space_limit, processes=processes)
    with contextlib.suppress(PermissionError):  # already as nice as the host allows
        resource_nice()
    syscalls.drop_capabilities()
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    if confinement.ruleset is not None:
        syscalls.landlock_restrict_self(confinement.ruleset)
    if confinement.seccomp is not None:
        syscalls.install_seccomp(confinement.seccomp)


def resource_nice() -> None:
    import os

    os.nice(_NICE)


def _set_limits(limits: Limits, *, address_space_limit: bool, processes: int) -> None:
    size, data = _own_sizes()
    wanted = {
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.disk,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 64 * 1024,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_DATA: data + limits.memory,
    }
    if address_space_limit:
        # RLIMIT_DATA does not see shared mappings; this one does. V8 and the JVM reserve tens of GiB and go without.
        wanted[resource.RLIMIT_AS] = size + limits.memory * 3 // 2 + 512 * MiB
    if limits.cpu_seconds is not None:
        wanted[resource.RLIMIT_CPU] = limits.cpu_seconds
    for name, value in wanted.items():
        _, hard = resource.getrlimit(name)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


def _own_sizes() -> tuple[int, int]:
    """Address space and private data of this process now, in bytes: what the fork brought along is not counted."""
    fields = Path("/proc/self/statm").read_text().split()
    page = resource.getpagesize()
    return int(fields[0]) * page, int(fields[5]) * page
