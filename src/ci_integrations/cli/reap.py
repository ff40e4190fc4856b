"""`ci-integrations reap`: finds sandboxes of this library that nobody closed, by their tags, lists and kills them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer
from rich.table import Column, Table
from rich.text import Text

from ci_integrations.cli._e2b import e2b_errors, endpoint
from ci_integrations.cli._terminal import err, out, print_json

if TYPE_CHECKING:
    from e2b import SandboxInfo

Owner = Literal["alive", "dead", "elsewhere"]
TAG = "ci_integrations"
"""The metadata key that marks a sandbox of this library. The session's code has it too; a test holds them equal."""


class Entry(TypedDict):
    """One sandbox, as `--json` shows it."""

    sandbox_id: str
    state: str
    started_at: str
    end_at: str
    session: str | None
    host: str | None
    pid: str | None
    owner: Owner
    idle: str
    """What its registry does with it when it is idle: `kill`, `keep` or `pause`."""
    killed: bool


def reap(
    kill: Annotated[bool, typer.Option("--kill", help="Kill those whose process is dead, except the kept.")] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="With --kill: also the kept, and those of other machines and living processes."),
    ] = False,
    session: Annotated[str | None, typer.Option(help="Only the sandboxes of this session.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """Find sandboxes that were left behind; they cost money until their time is over.

    Every sandbox that this library makes carries the machine and process that made it. Without --kill nothing is
    touched:

        ci-integrations reap

        ci-integrations reap --kill

    Sandboxes that were made to outlive their process (a registry with idle="keep" or "pause") are shown as kept. They
    are killed only when --session names theirs, or with --all.

    Handed-in sandboxes carry no tag and are never found.
    """
    endpoint("reap looks for sandboxes at E2B; local ones end with their process")
    from e2b_code_interpreter import Sandbox

    with e2b_errors():
        found = [_described(info) for info in _tagged(session)]
        chosen = [entry for entry in found if kill and (everything or _lost(entry, named=session is not None))]
        for entry in chosen:
            entry["killed"] = Sandbox.kill(entry["sandbox_id"])  # False: it was gone already
    if as_json:
        print_json(found)
    else:
        _show(found)
        _hint(found, killed=sum(entry["killed"] for entry in chosen), asked=kill)


def _tagged(session: str | None) -> Iterator[SandboxInfo]:
    """Yields the sandboxes of this library that the key may see, page by page."""
    from e2b import SandboxQuery
    from e2b_code_interpreter import Sandbox

    # E2B filters: a team may have thousands of sandboxes of other programs.
    wanted = {TAG: "1"} | ({f"{TAG}_session": session} if session else {})
    # Running and paused ones: that is E2B's default when no state is asked for.
    pages = Sandbox.list(query=SandboxQuery(metadata=wanted))
    while pages.has_next:
        yield from pages.next_items()


def _described(info: SandboxInfo) -> Entry:
    """Returns what the tags of a sandbox say. A tag that is not there is None."""
    tags = info.metadata or {}
    return {
        "sandbox_id": info.sandbox_id,
        "state": str(getattr(info.state, "value", info.state)),
        "started_at": info.started_at.isoformat(),
        "end_at": info.end_at.isoformat(),
        "session": tags.get(f"{TAG}_session"),
        "host": tags.get(f"{TAG}_host"),
        "pid": tags.get(f"{TAG}_pid"),
        "owner": _owner(tags),
        "idle": tags.get(f"{TAG}_idle", "kill"),
        "killed": False,
    }


def _owner(tags: dict[str, str]) -> Owner:
    """Returns whether the process that made a sandbox still lives, as far as this machine can say."""
    pid = tags.get(f"{TAG}_pid", "")
    # A pid means something on its own machine only.
    if tags.get(f"{TAG}_host") != socket.gethostname() or not pid.isdecimal():
        return "elsewhere"
    try:
        os.kill(int(pid), 0)  # signal 0 only asks; PermissionError: it lives, and is another user's
    except (ProcessLookupError, OverflowError):
        return "dead"
    except PermissionError:
        pass
    return "alive"


def _lost(entry: Entry, *, named: bool) -> bool:
    """Returns True when its process is dead, and nobody meant it to stay or its session was named."""
    return entry["owner"] == "dead" and (named or entry["idle"] == "kill")


def _show(found: list[Entry]) -> None:
    """Prints the table. Its cells are `Text`, because the tags come from whoever made the sandbox."""
    if not found:
        out.print("no sandbox of this library is running")
        return
    table = Table(Column("sandbox", no_wrap=True), "state", "age", "ends in", "session", "made by", "owner", "")
    for entry in found:
        made_by = f"{entry['host'] or '?'}:{entry['pid'] or '?'}"
        ages = (_minutes(entry["started_at"], past=True), _minutes(entry["end_at"], past=False))
        words = (entry["sandbox_id"], entry["state"], *ages, entry["session"] or "?", made_by, entry["owner"])
        table.add_row(*(Text(word) for word in words), _fate(entry))
    out.print(table)


def _fate(entry: Entry) -> str:
    """Returns what was done with a sandbox, or that it is meant to stay."""
    kept = "" if entry["idle"] == "kill" else "kept"
    return "killed" if entry["killed"] else kept


def _minutes(moment: str, *, past: bool) -> str:
    """Returns how long ago a moment was, or how far it is ahead. Never less than 0: clocks differ."""
    seconds = (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()
    return f"{max(0.0, -seconds if past else seconds) / 60:.0f} min"


def _hint(found: list[Entry], *, killed: int, asked: bool) -> None:
    """Says on stderr what was done, or which command would do it."""
    dead = [entry for entry in found if entry["owner"] == "dead" and not entry["killed"]]
    lost = sum(entry["idle"] == "kill" for entry in dead)
    if asked:
        err.print(f"{killed} killed")
    elif lost:
        err.print(f"{lost} of them belong to processes that are dead: ci-integrations reap --kill")
    if kept := len(dead) - lost:
        err.print(f'{kept} kept on purpose (idle="keep" or "pause"): ci-integrations reap --kill --session NAME')
