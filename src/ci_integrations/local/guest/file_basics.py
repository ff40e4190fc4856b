"""The file worker and the watcher share this module: frames, file entries and refusals."""

# Paths are strings here: what the wire says, as it says it.
# ruff: noqa: PTH116, PTH119

from __future__ import annotations

import os
import socket
import stat

from ci_integrations.local.protocol import frames
from ci_integrations.local.protocol.frames import Frame

METADATA_PREFIX = "user.e2b."
"""Extended attributes with this prefix hold a file's metadata, as envd keeps it."""


class Refusal(Exception):  # noqa: N818 - an answer
    """Answers a request with no: `kind` is for the program, the message is for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def send_frame(channel: socket.socket, value: Frame) -> None:
    """Sends one frame to the server. Raises OSError when the server has given the request up."""
    channel.sendall(frames.encode(value))


def receive_frame(channel: socket.socket) -> Frame:
    """Returns the server's next frame. Raises ConnectionError when the server has given the request up."""
    request = frames.receive(channel)
    if request is None:
        raise ConnectionError("closed")
    return request


def entry_of(path: str) -> Frame:
    """Returns one file as the protocol's EntryInfo. A link shows what it leads to, and where. Raises OSError."""
    link = os.lstat(path)
    is_link = stat.S_ISLNK(link.st_mode)
    info = _follow(path, link) if is_link else link
    entry: Frame = {
        "name": printable(os.path.basename(path)),
        "path": printable(path),
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
    """Returns a file name as valid UTF-8: names are bytes, and Python's surrogates for odd ones fit into no message."""
    return os.fsencode(name).decode("utf-8", "replace")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISLNK(mode):
        return "symlink"
    return "file" if stat.S_ISREG(mode) else "other"


def _owner(number: int) -> str:
    return {0: "root", os.getuid() or os.getgid(): "user"}.get(number, str(number))


def _metadata(path: str) -> dict[str, str]:
    """The extended attributes of a file that hold its metadata, without their prefix."""
    try:
        names = [n for n in os.listxattr(path) if n.startswith(METADATA_PREFIX)]
        return {n.removeprefix(METADATA_PREFIX): os.getxattr(path, n).decode("utf-8", "replace") for n in names}
    except OSError:
        return {}  # no extended attributes here (tmpfs has user.* since Linux 6.6), or the file just went
