"""`ci-integrations doctor`: says what works on this machine, what does not, and which command mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from ci_integrations.cli._terminal import err, out, print_json
from ci_integrations.cli.doctor import machine
from ci_integrations.cli.doctor import sandbox as _probe
from ci_integrations.cli.doctor.machine import Check

_MARKS = {"ok": "[green]ok  [/]", "note": "[blue]note[/]", "warn": "[yellow]warn[/]", "fail": "[bold red]fail[/]"}


def doctor(
    sandbox: Annotated[str | None, typer.Option(metavar="ID", help="Examine this live sandbox instead.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine this machine: isolation, limits, languages, versions, keys. Nothing is changed and no key is shown.

    The local sandbox is really started and runs 1 + 1. With --sandbox a sandbox at E2B (or at a server of your own)
    is examined: state, lease, its services, memory, disk, and which kind its kernels are, with measured times: for them
    a context of its own is made and removed. A paused one is not woken.

    Exit code 0: code can run, here or at E2B; 1: it cannot, and the findings say why.
    """
    checks = _probe.examine(sandbox) if sandbox else machine.examine()
    found = list(_shown(checks, quiet=as_json))
    if as_json:
        print_json([asdict(check) for check in found])
    raise typer.Exit(0 if _healthy(found, of_sandbox=sandbox is not None) else 1)


def _shown(checks: Iterator[Check], *, quiet: bool) -> Iterator[Check]:
    """Shows each finding as soon as it is there, and passes it on."""
    with err.status("looking ..."):
        for check in checks:
            if not quiet:
                out.print(_MARKS[check.status], Text(f"{check.name:<22} {check.text}"), soft_wrap=True)
            yield check


def _healthy(found: list[Check], *, of_sandbox: bool) -> bool:
    """Returns whether code can run: in the sandbox that was examined, or on this machine or at E2B."""
    if of_sandbox:
        return all(check.status != "fail" for check in found)
    return any(check.status == "ok" and check.name in ("local sandbox", "E2B key") for check in found)
