"""The findings of `doctor --sandbox ID`, about a live sandbox, which is looked at from outside through the SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ci_integrations.cli._e2b import e2b_errors, endpoint
from ci_integrations.cli.doctor import kernel
from ci_integrations.cli.doctor.machine import Check, Status

if TYPE_CHECKING:
    from e2b import SandboxInfo
    from e2b_code_interpreter import Sandbox

PROBE_SECONDS = 10.0
"""How long each question may take."""
_DISK_AND_MEMORY = "df -h / | tail -1; free -m | sed -n 2p"
# -n: sudo must not ask for a password, which nobody could type.
_LOGS = "sudo -n journalctl --no-pager -n 15 -u jupyter -u code-interpreter 2>/dev/null || true"


def examine(sandbox_id: str) -> Iterator[Check]:
    """Yields state and lease first, and asks the services only when the sandbox runs: asking wakes a paused one."""
    endpoint("doctor --sandbox asks E2B")
    from e2b.exceptions import SandboxNotFoundException
    from e2b_code_interpreter import Sandbox

    with e2b_errors():
        try:
            info = Sandbox.get_info(sandbox_id)
        except SandboxNotFoundException:
            yield Check("sandbox", "fail", "it does not exist (any more), or the key may not see it")
            return
        yield from _lease(info)
        if _state(info) != "running":
            yield Check("services", "note", "not asked: that would wake it")
            return
        # A second is less than what is left, and connecting never shortens a lease.
        sandbox = Sandbox.connect(sandbox_id, timeout=1)
        yield from _services(sandbox)
        yield from kernel.examine(sandbox)


def _state(info: SandboxInfo) -> str:
    # The SDK has an enum for known states, and passes unknown ones on as text.
    return str(getattr(info.state, "value", info.state))


def _lease(info: SandboxInfo) -> Iterator[Check]:
    """Yields what the sandbox is, and how long it still lives. Less than half a minute is a warning."""
    left = (info.end_at - datetime.now(UTC)).total_seconds()
    yield Check(
        "sandbox", "ok", f"{_state(info)}, template {info.template_id}, started {info.started_at:%Y-%m-%d %H:%M} UTC"
    )
    yield Check("lease", "warn" if left < 30 else "ok", f"ends in {left:.0f} s unless it is renewed", {"seconds": left})


def _services(sandbox: Sandbox) -> Iterator[Check]:
    """Yields what each service answers. Only a missing log is no failure: most templates keep none."""
    yield _asked("envd", lambda: "healthy" if sandbox.is_running(request_timeout=PROBE_SECONDS) else None)
    yield _asked("code interpreter", lambda: _kernels(sandbox))
    yield _asked("disk and memory", lambda: _command(sandbox, _DISK_AND_MEMORY))
    yield _asked("metrics", lambda: _metrics(sandbox))
    yield _asked("service logs", lambda: _command(sandbox, _LOGS) or "the template keeps none", worst="note")


def _asked(name: str, question: Callable[[], str | None], worst: Status = "fail") -> Check:
    """Returns the answer as a finding. No answer and an exception are findings too, as bad as `worst`."""
    try:
        answer = question()
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what the user wants to know
        return Check(name, worst, f"{type(error).__name__}: {error}")
    return Check(name, "ok", answer) if answer else Check(name, worst, "it does not answer")


def _kernels(sandbox: Sandbox) -> str:
    """Returns the contexts, which are asked of the code interpreter itself: its answer shows that it lives."""
    contexts = sandbox.list_code_contexts()
    names = ", ".join(f"{context.id} ({context.language})" for context in contexts)
    return f"{len(contexts)} kernels: {names}" if contexts else "it answers; no kernel yet"


def _command(sandbox: Sandbox, command: str) -> str:
    """Returns what a shell command prints inside the sandbox."""
    return str(sandbox.commands.run(command, timeout=PROBE_SECONDS).stdout).strip()


def _metrics(sandbox: Sandbox) -> str:
    """Returns the newest measurement. A new sandbox has none yet."""
    found = sandbox.get_metrics()
    if not found:
        return "none yet"
    last = found[-1]
    return (
        f"CPU {last.cpu_used_pct:.0f} % of {last.cpu_count}, "
        f"memory {last.mem_used >> 20} of {last.mem_total >> 20} MiB, "
        f"disk {last.disk_used >> 20} of {last.disk_total >> 20} MiB"
    )
