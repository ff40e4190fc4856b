"""The findings of `doctor --sandbox ID` about its kernels: which kind they are, and what differs between the kinds.

Everything is tried in a context of its own, which is removed again: the user's kernels are not touched. What a kernel
says of itself is a guest's word; it is shown, and decides nothing. Seconds are measured here.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ci_integrations.cli.doctor.machine import Check

if TYPE_CHECKING:
    from e2b_code_interpreter import Context, Sandbox

CELLS = 5
"""How many cells the median is of."""
CELL_SECONDS = 60.0
"""How long a cell of ours may take. A context's first one waits for its kernel's start."""
STOP_SECONDS = 4.0
"""How long an interrupted cell has to end."""
BEGUN_SECONDS = 1.0
"""After this time a cell is assumed to run: long enough for a loaded machine."""
LONGEST = 120
"""Characters that are kept of a kernel's own words."""

_WHO = """
import importlib.metadata, json, os, pwd, sys
def _version(name):
    try:
        return importlib.metadata.version(name)
    except Exception:
        return ""
print(json.dumps({
    "kernel": type(getattr(get_ipython(), "kernel", None)).__module__, "pid": os.getpid(),
    "python": sys.version.split()[0], "ipython": _version("ipython"), "ipykernel": _version("ipykernel"),
    "user": pwd.getpwuid(os.getuid()).pw_name,
    "extractor": "_ci_extractor" in sys.modules, "ours": "ci_integrations.local" in sys.modules,
}))
"""
_ENDS = {"time.sleep": "import time; time.sleep(8)", "a top-level await": "import asyncio; await asyncio.sleep(8)"}
"""Cells that SIGINT should end; otherwise they end by themselves, soon enough to wait for it."""


@dataclass
class Kernel:
    """What was seen of the kernels of one sandbox. Times are in seconds; None means that it did not happen in time."""

    kind: str = "unknown"
    python: str = ""
    ipython: str = ""
    ipykernel: str = ""
    user: str = ""
    command_user: str = ""
    extractor: bool = False
    cell: float | None = None
    ends: dict[str, float | None] = field(default_factory=dict)
    restart: float | None = None
    first_answer: float | None = None


def examine(sandbox: Sandbox) -> Iterator[Check]:
    """Yields what differs between our kernels and E2B's, as this sandbox has it. Takes up to half a minute."""
    context = None
    try:
        context = sandbox.create_code_context()
        yield from _findings(sandbox, context)
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what the user wants to know
        yield Check("kernel", "warn", f"not examined: {type(error).__name__}: {error}"[: 4 * LONGEST])
    finally:
        if context is not None:
            with suppress(Exception):  # the sandbox may be gone by now
                sandbox.remove_code_context(context)


def _findings(sandbox: Sandbox, context: Context) -> Iterator[Check]:
    kernel, pid = _asked(sandbox, context)
    details = asdict(kernel)
    yield Check("kernel", "ok" if kernel.kind != "unknown" else "note", _kind(kernel), details)
    yield _users(kernel)
    there = "loaded from the start" if kernel.extractor else "not there: the client brings it before the first cell"
    yield Check("chart extractor", "ok", there, {"preloaded": kernel.extractor})
    times = [_timed(lambda: sandbox.run_code("1 + 1", context=context, timeout=CELL_SECONDS)) for _ in range(CELLS)]
    kernel.cell = statistics.median(times)
    yield Check("a cell", "ok", f"1 + 1 in {kernel.cell * 1000:.0f} ms, median of {CELLS}", {"seconds": kernel.cell})
    if pid is not None:
        kernel.ends = {name: _ended(sandbox, context, kernel, pid, code) for name, code in _ENDS.items()}
        yield _interrupts(kernel)
    kernel.restart = _timed(lambda: sandbox.restart_code_context(context))
    kernel.first_answer = _timed(lambda: sandbox.run_code("1", context=context, timeout=CELL_SECONDS))
    words = f"{kernel.restart:.1f} s, and {kernel.first_answer:.1f} s more to the first answer"
    yield Check("a restart", "ok", words, {"seconds": kernel.restart, "first_answer": kernel.first_answer})


def _asked(sandbox: Sandbox, context: Context) -> tuple[Kernel, int | None]:
    """Returns what the kernel says of itself, and its process id, with which it is interrupted."""
    execution = sandbox.run_code(_WHO, context=context, timeout=CELL_SECONDS)
    said = _said("".join(execution.logs.stdout))
    python, ipython, ipykernel, user = (_plain(said.get(name, "")) for name in _WORDS)
    command_user = _plain(sandbox.commands.run("id -un").stdout)
    kernel = Kernel(_kind_of(said), python, ipython, ipykernel, user, command_user, said.get("extractor") is True)
    pid = said.get("pid")
    # Not 1, which is the sandbox's init, and nothing that `kill` would take for a group.
    return kernel, pid if isinstance(pid, int) and 1 < pid < 2**31 else None


def _plain(value: object) -> str:
    """Returns a guest's word, short and without what a terminal would obey."""
    return "".join(letter for letter in str(value)[:LONGEST] if letter.isprintable())


_WORDS = ("python", "ipython", "ipykernel", "user")


def _kind_of(said: dict[str, object]) -> str:
    """Returns `ours`, `jupyter` or `unknown`. Our shell bears the name of ipykernel's, as E2B's users expect it."""
    if said.get("kernel") == "ipykernel.ipkernel":
        return "jupyter"
    return "ours" if said.get("ours") is True else "unknown"


def _said(text: str) -> dict[str, object]:
    """Returns the object that the kernel printed, empty for anything else."""
    with suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}


def _kind(kernel: Kernel) -> str:
    versions = f"IPython {kernel.ipython}, Python {kernel.python}"
    if kernel.kind == "ours":
        return f"ours, of the local sandbox ({versions})"
    if kernel.kind == "jupyter":
        return f"E2B's kind: ipykernel {kernel.ipykernel} behind jupyter-server ({versions})"
    return f"neither ours nor E2B's ({versions})"


def _users(kernel: Kernel) -> Check:
    text = f"cells run as {kernel.user or '?'}, commands as {kernel.command_user or '?'}"
    details = {"cells": kernel.user, "commands": kernel.command_user}
    if kernel.user == kernel.command_user:
        return Check("users", "ok", text, details)
    return Check("users", "note", f"{text}: a command cannot change a file that a cell made, unless as root", details)


def _interrupts(kernel: Kernel) -> Check:
    words = [
        f"{name} ends after {seconds:.2f} s" if seconds is not None else f"{name} goes on for over {STOP_SECONDS:g} s"
        for name, seconds in kernel.ends.items()
    ]
    late = None in kernel.ends.values()
    cost = ": stopping such a cell may need a restart, which costs the variables" if late else ""
    return Check("an interrupt", "note" if late else "ok", ", ".join(words) + cost, kernel.ends)


def _ended(sandbox: Sandbox, context: Context, kernel: Kernel, pid: int, code: str) -> float | None:
    """Returns how many seconds after one SIGINT a cell ends; None when it goes on."""
    with ThreadPoolExecutor(1) as pool:
        cell = pool.submit(sandbox.run_code, code, context=context, timeout=CELL_SECONDS)
        time.sleep(BEGUN_SECONDS)
        began = time.monotonic()
        _interrupt(sandbox, kernel, pid)
        with suppress(TimeoutError):
            cell.result(STOP_SECONDS)
            return time.monotonic() - began
    return None


def _interrupt(sandbox: Sandbox, kernel: Kernel, pid: int) -> None:
    # A kernel that runs as root can be signalled by root only; our local sandbox has no root.
    sandbox.commands.run(f"kill -INT {pid}", user="root" if kernel.user == "root" else None)


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
