"""The Python kernel gives user code these streams as stdout, stderr and stdin.

Every write goes to its file descriptor at once: no output is lost when the process dies or forks, output keeps its
order with what subprocesses and C code write, and no thread is needed to flush. A write costs 1 µs.
"""

from __future__ import annotations

import builtins
import getpass
import io
import os
import sys
from typing import NoReturn

from IPython.core.error import StdinNotImplementedError

from ci_integrations.local.protocol.frames import write_all


class OutStream(io.TextIOBase):
    """Writes text to a file descriptor, unbuffered. It is shaped as ipykernel's: no `buffer`, not a terminal."""

    def __init__(self, fd: int, name: str) -> None:
        super().__init__()
        self._fd = fd
        self.name = name

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has an attribute
        return "UTF-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        data = text.encode("utf-8", "backslashreplace")
        written = os.write(self._fd, data) if data else 0
        if written < len(data):
            write_all(self._fd, memoryview(data)[written:])
        return len(text)

    def close(self) -> None:
        """Does nothing: the descriptor belongs to the kernel."""


def _refuse_input(*_: object) -> NoReturn:
    raise StdinNotImplementedError("raw_input was called, but this frontend does not support input requests.")


def _refuse_password(*_: object, **__: object) -> NoReturn:
    raise StdinNotImplementedError("getpass was called, but this frontend does not support input requests.")


def install() -> None:
    """Gives this process our streams. `input()` and `getpass()` raise at once: nobody could ever answer them."""
    # sys.__stdout__ too: libraries restore from it, and the zygote's own stream is buffered and goes to /dev/null.
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = OutStream(fd, name)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    builtins.input = _refuse_input
    getpass.getpass = _refuse_password
