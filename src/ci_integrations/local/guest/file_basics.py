"""What the file worker and the watcher share: frames, file entries, refusals."""

# Paths are strings here: what the wire says, as it says it.
# ruff: noqa: PTH116, PTH119

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from typing import Any

Request = dict[str, Any]
METADATA_PREFIX = "user.e2b."


class Refusal(Exception):  # noqa: N818 - an answer
    """An answer that says no: `kind` is for the program, the message for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def send_frame(channel: socket.socket, value: object) -> None:
    payload = json.dumps(value).encode()
    channel.sendall(struct.pack("!I", len(payload)) + payload)


def receive_frame(channel: socket.socket) -> Request:
    (size,) = struct.unpack("!I", _receive_exactly(channel, 4))
    request: Request = json.loads(_receive_exactly(channel, size))
    return request


def _receive_exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        data = channel.recv(size - len(parts))
        if not data:
            raise ConnectionError("closed")
        parts += data
    return bytes(parts)


def entry_of(path: str, shown: str | None = None) -> dict[str, Any]:
    """What the wire calls EntryInfo."""
    shown = shown if shown is not None else path
    link = os.lstat(path)
    is_link = stat.S_ISLNK(link.st_mode)
    info = _follow(path, link) if is_link else link
    entry = {
        "name": printable(os.path.basename(shown)),
        "path": printable(shown),
        "type": _kind(info.st_mode),
        "size": info.st_size,
        "mode": stat.S_IMODE(info.st_mode),
        "permissions": stat.filemode(info.st_mode),
        "owner": _owner(info.st_uid),
        "group": _owner(info.st_gid),
        "modified": info.st_mtime_ns,
        "metadata": _metadata(path),
    }
    if is_link:
        entry["symlink_target"] = printable(os.path.realpath(path))
    return entry


def _follow(path: str, link: os.stat_result) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError:
        return link  # dangling


def printable(name: str) -> str:
    """File names are bytes; the wire carries only valid UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISLNK(mode):
        return "symlink"
    return "file" if stat.S_ISREG(mode) else "other"


def _owner(number: int) -> str:
    return {0: "root", os.getuid(): "user"}.get(number, str(number))


def _metadata(path: str) -> dict[str, str]:
    try:
        names = [n for n in os.listxattr(path) if n.startswith(METADATA_PREFIX)]
        return {n.removeprefix(METADATA_PREFIX): os.getxattr(path, n).decode("utf-8", "replace") for n in names}
    except OSError:
        return {}  # no extended attributes here, or the file just went
