"""The bash driver of a sandbox: each context has one bash, and evaluates each cell in it, so that variables stay.

The driver runs inside the sandbox (an `Entry` of the engine). bash writes to the driver's stdout and stderr itself; a
cell's exit status comes back over a pipe. A status other than 0 is the cell's error; `exit` ends the context.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from ci_integrations.local.protocol.contract import ContextConfig
from ci_integrations.local.protocol.frames import Channel, write_all

# High numbers, out of the way of `exec 3>file` in a user's code; bash itself uses 10 and 255.
_STATUS_FD = 63
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_START = f"""\
exec 2>&{_STATUS_FD + 1} {_STATUS_FD + 1}>&-; set +m +H +o history; PROMPT_COMMAND=; unset PS1 PS2
exit() {{ builtin exit "$@" 2>/dev/null; }}
"""
_EXIT_CHECK = 0.2
"""Seconds between looks whether bash itself has ended: its background jobs keep the pipe open."""


def main(control: socket.socket, config: ContextConfig) -> None:
    """Serves cells until the host hangs up or a cell says `exit`. `config`: "envs", "cwd"."""
    os.environ.update(config.get("envs") or {})
    channel = Channel(control)
    signal.signal(signal.SIGINT, lambda *_: None)  # it is for what bash runs; we only wait
    bash = Bash(str(config.get("cwd", "")))
    count = 0
    while (request := channel.receive()) is not None:
        count += 1
        reply = {"id": request.get("id")}
        channel.send({**reply, "type": "started", "execution_count": count})
        status, ended = bash.run(str(request.get("code", "")), request.get("envs") or {})
        if status:
            channel.send({**reply, "type": "error", "name": "ExitStatus", "value": str(status), "traceback": ""})
        channel.send({**reply, "type": "done", "exiting": ended})
        if ended:
            return


class Bash:
    """Runs an interactive bash without a terminal: only an interactive one survives a SIGINT and drops the cell."""

    def __init__(self, cwd: str) -> None:
        # Commands come by a pipe and not by `bash -c`: a new bash for each cell would lose functions and variables.
        command, self._command = os.pipe()
        self._status, status = os.pipe()
        os.dup2(status, _STATUS_FD)
        os.dup2(2, _STATUS_FD + 1)
        self._process = subprocess.Popen(
            ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"],
            stdin=command,
            stderr=subprocess.DEVNULL,  # its complaint that there is no terminal; _START gives it ours
            pass_fds=(_STATUS_FD, _STATUS_FD + 1),
            cwd=cwd if Path(cwd).is_dir() else os.environ.get("HOME", "/"),
            env={**os.environ, "PS1": "", "PS2": ""},
        )
        for fd in (command, status, _STATUS_FD, _STATUS_FD + 1):
            os.close(fd)
        self._cells = 0
        self._write(_START)

    def run(self, code: str, envs: Mapping[str, str]) -> tuple[int, bool]:
        """Runs one cell with `envs` set. Returns its exit status, and whether bash itself has ended with it."""
        self._cells += 1
        # What is no name cannot be set in bash, and must not become a part of the program text.
        names = {name: value for name, value in envs.items() if _NAME.match(name)}
        lines = [
            *_set(names),
            f"eval {shlex.quote(code.replace(chr(0), ''))} </dev/null",
            f"echo {self._cells} $? >&{_STATUS_FD}",
            *_reset(names),
        ]
        self._write("\n".join(lines) + "\n")
        # The number of the cell guards against a status that a background job of an earlier cell wrote late.
        status = self._wait_for_status()
        return (self._process.wait(), True) if status is None else (status, False)

    def _write(self, text: str) -> None:
        write_all(self._command, text.encode("utf-8", "replace"))

    def _wait_for_status(self) -> int | None:
        """The cell's exit status; None when bash itself has ended."""
        answer = b""
        while self._process.poll() is None or select.select([self._status], [], [], 0)[0]:
            if not select.select([self._status], [], [], _EXIT_CHECK)[0]:
                continue
            answer += os.read(self._status, 4096)
            found = re.search(rb"(?m)^%d (\d+)$" % self._cells, answer)
            if found:
                return int(found[1])
            if not answer:
                break
        return None


def _set(envs: Mapping[str, str]) -> Iterator[str]:
    """Lines of bash that set `envs` and remember what these variables were."""
    for name, value in envs.items():
        yield f"__ci_had_{name}=${{{name}+x}} __ci_old_{name}=${{{name}-}}"
        yield f"export {name}={shlex.quote(value)}"


def _reset(envs: Mapping[str, str]) -> Iterator[str]:
    """Lines of bash that undo `_set`."""
    for name in envs:
        yield f'if [ -n "$__ci_had_{name}" ]; then {name}=$__ci_old_{name}; else unset {name}; fi'
        yield f"unset __ci_had_{name} __ci_old_{name}"
