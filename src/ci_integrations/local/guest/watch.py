"""Reports changes of directories to the file worker, inside the sandbox, by Linux's inotify.

The calls are made through ctypes, because Python's standard library has none for inotify.
"""

# Paths are strings here: what the wire says, as it says it.
# ruff: noqa: PTH112, PTH116, PTH118

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
from collections.abc import Iterator

from ci_integrations.local.guest.file_basics import Refusal, entry_of, printable, send_frame
from ci_integrations.local.protocol.frames import Frame

# Values of <sys/inotify.h>; they are part of the kernel's ABI and the same on every architecture.
MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
IS_DIR, ONLY_DIR, IGNORED, OVERFLOW = 0x40000000, 0x01000000, 0x8000, 0x4000
MASK = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLY_DIR
TYPES = (
    (CREATE | MOVED_TO, "CREATE"),
    (MODIFY, "WRITE"),
    (DELETE, "REMOVE"),
    (MOVED_FROM, "RENAME"),
    (ATTRIB, "CHMOD"),
)
EVENT = struct.Struct("iIII")
MAX_DIRECTORIES = 4096
"""Directories that one watch follows; deeper or later ones are not watched."""


class Tree:
    """Holds an inotify descriptor and the directories that it watches. Raises Refusal when the kernel gives none."""

    def __init__(self, root: str, *, recursive: bool) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise Refusal("unsupported", f"cannot watch here: {os.strerror(ctypes.get_errno())}")
        self.root = root
        self._recursive = recursive
        self._paths: dict[int, str] = {}
        self.add(root)

    def add(self, directory: str) -> None:
        """Watches `directory`, and everything below it when the tree is recursive. A failure is not reported."""
        if len(self._paths) >= MAX_DIRECTORIES:
            return
        watch = self._libc.inotify_add_watch(self.fd, os.fsencode(directory), MASK)
        if watch < 0:
            return
        self._paths[watch] = directory
        if self._recursive:
            for entry in self._directories(directory):
                self.add(entry)

    def _directories(self, directory: str) -> list[str]:
        try:
            return [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []

    def events(self) -> Iterator[tuple[str, str]]:
        """Yields (type, path) of each change since the last call. The queue must not be empty."""
        # Longer than any one event (16 + NAME_MAX + 1 bytes): read(2) fails with EINVAL when the next does not fit.
        data = os.read(self.fd, 65536)
        offset = 0
        while offset < len(data):
            watch, mask, _, length = EVENT.unpack_from(data, offset)
            name = data[offset + EVENT.size :][:length].rstrip(b"\0")
            offset += EVENT.size + length
            if mask & (IGNORED | OVERFLOW) or watch not in self._paths:
                continue
            path = os.path.join(self._paths[watch], os.fsdecode(name)) if name else self._paths[watch]
            if self._recursive and mask & IS_DIR and mask & (CREATE | MOVED_TO):
                self.add(path)  # inotify does not watch below by itself; what was made in between is missed
            yield from ((type_, path) for bits, type_ in TYPES if mask & bits)


def watch(channel: socket.socket, path: str, *, recursive: bool, entries: bool) -> None:
    """Sends a frame for every change until the server closes the channel. Raises Refusal and OSError."""
    if not os.path.isdir(path):
        os.stat(path)
        raise Refusal("invalid", f"path is not a directory: {path}")
    tree = Tree(path, recursive=recursive)
    try:
        send_frame(channel, {})
        while True:
            ready, _, _ = select.select([tree.fd, channel], [], [])
            if channel in ready:
                return
            for type_, changed in tree.events():
                send_frame(channel, _frame(tree.root, type_, changed, entries=entries))
    finally:
        os.close(tree.fd)


def _frame(root: str, type_: str, path: str, *, entries: bool) -> Frame:
    """The frame for one change; without an entry when the file is gone again."""
    frame: Frame = {"type": type_, "name": printable(os.path.relpath(path, root))}
    if entries:
        with contextlib.suppress(OSError):  # it may be gone again
            frame["entry"] = entry_of(path)
    return frame
