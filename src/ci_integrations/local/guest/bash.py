"""The bash driver of a sandbox: one bash per context, each cell evaluated in it, so that its state lives on.

Runs inside the sandbox (an engine `Entry`). bash writes to our stdout and stderr itself; a cell's exit status comes
back over a pipe. A status other than 0 is the cell's error; `exit` ends the context.
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
from typing import Any

from ci_integrations.local.protocol.frames import Channel

_STATUS_FD = 63
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_START = f"""\
exec 2>&{_STATUS_FD + 1} {_STATUS_FD + 1}>&-; set +m +H +o history; PROMPT_COMMAND=; unset PS1 PS2
exit() {{ builtin exit "$@" 2>/dev/null; }}
"""
_EXIT_CHECK = 0.2
"""Seconds between looks whether bash itself has ended: its background jobs keep the pipe open."""


def main(control: socket.socket, config: dict[str, Any]) -> None:
    """Serve until the host hangs up or a cell says `exit`. `config`: "envs", "cwd"."""
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
    """An interactive bash without a terminal: only such a one drops a whole cell on SIGINT and lives."""

    def __init__(self, cwd: str) -> None:
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
        """The cell's exit status, and whether bash itself has ended with it."""
        self._cells += 1
        names = {name: value for name, value in envs.items() if _NAME.match(name)}
        lines = [
            *_set(names),
            f"eval {shlex.quote(code.replace(chr(0), ''))} </dev/null",
            f"echo {self._cells} $? >&{_STATUS_FD}",
            *_reset(names),
        ]
        self._write("\n".join(lines) + "\n")
        status = self._wait_for_status()
        return (self._process.wait(), True) if status is None else (status, False)

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "replace"))
        while data:
            data = data[os.write(self._command, data) :]

    def _wait_for_status(self) -> int | None:
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
    for name, value in envs.items():
        yield f"__ci_had_{name}=${{{name}+x}} __ci_old_{name}=${{{name}-}}"
        yield f"export {name}={shlex.quote(value)}"


def _reset(envs: Mapping[str, str]) -> Iterator[str]:
    for name in envs:
        yield f'if [ -n "$__ci_had_{name}" ]; then {name}=$__ci_old_{name}; else unset {name}; fi'
        yield f"unset __ci_had_{name} __ci_old_{name}"
