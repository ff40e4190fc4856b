"""`ci-integrations serve`: runs the local E2B server for other programs, until Ctrl+C or as long as a shell lives."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ci_integrations.cli._terminal import err, print_json, stop

if TYPE_CHECKING:
    from ci_integrations.local.server.main import Address, Options

START_SECONDS = 30.0
"""How long `--print-env` waits for the server in the background."""


def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[str, typer.Option(help="Another address than loopback needs --token-file.")] = "127.0.0.1",
    print_env: Annotated[
        bool, typer.Option("--print-env", help="Start in the background for this shell; print what to eval.")
    ] = False,
    pool: Annotated[int, typer.Option(help="Sandboxes made in advance.", min=0)] = 0,
    isolation: Annotated[str, typer.Option(help="auto, namespaces, bubblewrap, landlock or none.")] = "auto",
    token_file: Annotated[
        Path | None, typer.Option(help="A file that holds the API key for clients. Default: a random key.")
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(help="TOML file with template definitions. Default: pyproject.toml here, if it has some."),
    ] = None,
    mount: Annotated[
        list[str] | None,
        typer.Option(help="/data=./data: a folder of this machine that every sandbox can read. May be given again."),
    ] = None,
    memory: Annotated[int | None, typer.Option(help="MiB for each sandbox. Default: 1024.", min=1)] = None,
    disk: Annotated[int | None, typer.Option(help="MiB for its home and /tmp. Default: 1024.", min=1)] = None,
    processes: Annotated[int | None, typer.Option(help="At one time in each sandbox. Default: 256.", min=1)] = None,
    cpu_seconds: Annotated[int | None, typer.Option(help="Of each sandbox. Default: no limit.", min=1)] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines as JSON.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON instead of shell lines.")] = False,
    while_pid: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Serve the E2B protocol on this machine: point any E2B SDK at it and keep your code.

    In one terminal (Ctrl+C ends the server and every sandbox):

        ci-integrations serve

    Or for the shell you are in; the server ends with that shell:

        eval "$(ci-integrations serve --print-env)"

    Health is at /health, Prometheus metrics at /metrics (these need the extra "serve").
    """
    wanted = {"memory": memory, "disk": disk, "processes": processes, "cpu_seconds": cpu_seconds}
    limits = {name: value for name, value in wanted.items() if value is not None}
    if print_env:
        _in_background(_call_of(context))
        return
    token = _token(token_file)
    from ci_integrations._core.service import check_local_extra

    check_local_extra()
    from ci_integrations.local.protocol.contract import check_limits, limits_in_mib
    from ci_integrations.local.server.main import Options

    if while_pid:  # a thread: the event loop belongs to the server
        threading.Thread(target=_end_with, args=(while_pid,), daemon=True).start()
    options = Options(
        port=port,
        pool=pool,
        log_json=log_json,
        token=token,
        host=host,
        isolation=isolation,
        templates=str(templates) if templates else None,
        limits=check_limits(limits_in_mib(limits)),
        mounts=_mounts(mount or ()),
    )
    _in_foreground(options, as_json=as_json)


def _in_foreground(options: Options, *, as_json: bool) -> None:
    """Serves until Ctrl+C or SIGTERM. Ends with one line when the server cannot start."""
    from ci_integrations.local.protocol.contract import EngineError
    from ci_integrations.local.server import main as server

    try:
        server.serve(options, lambda address: _tell(address, as_json=as_json))
    except (server.CannotServe, EngineError) as error:
        stop(str(error))
    except OSError as error:
        stop(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")


def _mounts(given: Sequence[str]) -> dict[str, str]:
    """Returns the mounts of `--mount PLACE=PATH`. Ends with one line for one that cannot be."""
    from ci_integrations.local.protocol.mounts import MountError, checked

    pairs = [word.partition("=") for word in given]
    if bad := [word for word, (_, equals, _) in zip(given, pairs, strict=True) if not equals]:
        stop(f"--mount {bad[0]} names no folder of this machine: --mount /data=./data")
    try:
        return checked({place: path for place, _, path in pairs})
    except MountError as error:
        stop(str(error))


def _token(token_file: Path | None) -> str | None:
    """Returns the API key in a file. A file, because other users of the machine can read a command line."""
    if token_file is None:
        return None
    try:
        token = token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        stop(f"--token-file {token_file} cannot be read: {getattr(error, 'strerror', None) or 'not ASCII text'}")
    return token or stop(f"--token-file {token_file} is empty")


def _tell(address: Address, *, as_json: bool) -> None:
    """Prints what a client needs to know: lines for `eval` in a shell, or JSON."""
    # The variables of E2B's SDK: a program that uses it needs no other change.
    variables = {"E2B_API_URL": address.url, "E2B_SANDBOX_URL": address.url, "E2B_API_KEY": address.token}
    if as_json:
        print_json({**variables, "level": address.level, "pid": os.getpid()})
    else:
        for name, value in variables.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
    sys.stdout.flush()
    err.print(f"serving at {address.url}, isolation: {address.level}. Ctrl+C ends it.")


def _call_of(context: typer.Context) -> list[str]:
    """Returns the call of the server in the background, which ends with the shell that called this command."""
    values = context.params | {"print_env": False, "while_pid": os.getppid()}
    words: list[str] = []
    for option in context.command.params:
        value = values.get(option.name or "")
        several = value if isinstance(value, (list, tuple)) else [value]
        words += [word for one in several for word in _words(option.opts[0], one)]
    return [sys.executable, "-m", "ci_integrations.cli", "serve", *words]


def _words(option: str, value: object) -> list[str]:
    """Returns an option as it is written in a call. A flag has no value, and 0 is one."""
    if value is None or value is False:
        return []
    return [option] if value is True else [option, str(value.absolute() if isinstance(value, Path) else value)]


def _in_background(call: list[str]) -> None:
    """Starts the server in a process of its own, and prints its address when it answers."""
    # Files and no pipes: a pipe would need a reader for as long as the server lives.
    descriptor, log = tempfile.mkstemp(prefix="ci-integrations-serve-", suffix=".log")
    answer = Path(log).with_suffix(".out")
    with os.fdopen(descriptor, "wb") as log_file, answer.open("wb") as out_file:
        child = subprocess.Popen(
            call, stdin=subprocess.DEVNULL, stdout=out_file, stderr=log_file, start_new_session=True
        )
    lines = _first_words(child, answer, Path(log))
    answer.unlink()
    typer.echo(lines, nl=False)
    if "--json" not in call:
        typer.echo(f"export CI_INTEGRATIONS_SERVER_PID={child.pid}")
    err.print(f"serving in the background (pid {child.pid}), as long as this shell lives; log: {log}")


def _first_words(child: subprocess.Popen[bytes], answer: Path, log: Path) -> str:
    """Waits for the server's address. Ends with one line when it did not start, or not within 30 s."""
    deadline = time.monotonic() + START_SECONDS
    while not _is_whole(lines := answer.read_text()):
        if child.poll() is not None:
            last = (log.read_text().strip().splitlines() or ["it gave no reason"])[-1]
            stop(f"the server did not start: {last.removeprefix('error: ')}")
        if time.monotonic() > deadline:
            child.terminate()
            stop(f"the server did not start within {START_SECONDS:.0f} s; its log: {log}")
        time.sleep(0.02)
    return lines


def _is_whole(lines: str) -> bool:
    """Returns whether the last line is there with its end: the file is read while the server writes it."""
    return "E2B_API_KEY" in lines and lines.endswith("\n")


def _end_with(pid: int) -> None:
    """Sends SIGTERM to this process when the process `pid` is gone."""
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        except PermissionError:
            return  # the pid is another user's by now: there is no shell to follow any more
        time.sleep(0.5)
