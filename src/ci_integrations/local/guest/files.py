"""The file worker does all work on a sandbox's files: in this process, inside the sandbox, as the sandbox's user (as
the one whose kernels are, where it has two).

The engine starts it as an `Entry`; `host/files.py` is its other end. Each request is a socket of its own, passed over
the control socket: a slow download delays no other request, and closing the socket gives the request up. On that
socket one JSON frame asks and one answers; raw bytes or further frames follow, as the operation says.
Only the standard library is used. Code in the sandbox can kill this process; the server trusts nothing that it says.
"""

# Paths are strings here: what the wire says, as it says it.
# ruff: noqa: PTH103, PTH104, PTH108, PTH112, PTH114, PTH116, PTH118, PTH120, PTH123, PTH208

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping

from ci_integrations.local.guest.file_basics import (
    METADATA_PREFIX,
    Refusal,
    entry_of,
    printable,
    receive_frame,
    send_frame,
)
from ci_integrations.local.protocol import frames
from ci_integrations.local.protocol.contract import HOME, real_path
from ci_integrations.local.protocol.frames import Frame

CHUNK = 256 * 1024
"""Bytes in one read or write of a file's content."""
MAX_ENTRIES = 10_000
"""Entries of one listing."""
PAGE = 200
"""Entries of one frame of a listing: the server reads it in a few milliseconds."""
MAX_DEPTH = 64
"""Levels of directories in one listing."""


def main(control: socket.socket, _config: Mapping[str, object]) -> None:
    """Serves requests until the server closes the control socket."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a request that is given up must not end us
    if _has_two_users():
        os.umask(0o002)
    control.settimeout(None)
    while True:
        # One byte and one descriptor at a time: the kernel drops descriptors that do not fit, without an error.
        _, fds, _, _ = socket.recv_fds(control, 1, 1, socket.MSG_CMSG_CLOEXEC)
        if not fds:
            return
        channel = socket.socket(fileno=fds[0])
        channel.settimeout(None)
        threading.Thread(target=_serve, args=(channel,), daemon=True).start()


def _serve(channel: socket.socket) -> None:
    """Reads one request from its socket, does it and answers; whatever goes wrong becomes an answer too."""
    with channel:
        try:
            request = receive_frame(channel)
            OPERATIONS[request["op"]](channel, request)
        except Refusal as refusal:
            _answer(channel, {"error": refusal.kind, "message": str(refusal)})
        except ConnectionError:
            pass  # the server gave the request up
        except (OSError, ValueError) as error:
            refused = as_refusal(error, request.get("path", ""))
            _answer(channel, {"error": refused.kind, "message": str(refused)})


def _answer(channel: socket.socket, value: Frame) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        send_frame(channel, value)


def as_refusal(error: OSError | ValueError, path: str) -> Refusal:
    """Returns the refusal that tells the server about an error of the file system."""
    if not isinstance(error, OSError):
        return Refusal("invalid", f"path {path!r}: {error}")
    kinds = {
        errno.ENOENT: ("not_found", f"path '{path}' does not exist"),
        errno.ENOTDIR: ("invalid", f"path '{path}': a part of it is not a directory"),
        errno.EISDIR: ("invalid", f"path '{path}' is a directory"),
        errno.ELOOP: ("invalid", f"path '{path}': too many symbolic links"),
        errno.ENAMETOOLONG: ("invalid", f"path '{path[:100]}...' is too long"),
        errno.ENOSPC: ("no_space", f"no space left on the sandbox's disk for '{path}'"),
        errno.EFBIG: ("no_space", f"'{path}' is larger than the sandbox's disk space allows"),
        errno.EDQUOT: ("no_space", f"the sandbox's disk quota is used up: '{path}'"),
        errno.EACCES: ("denied", f"permission denied: '{path}'"),
        errno.EPERM: ("denied", f"operation not permitted: '{path}'"),
        errno.EROFS: ("denied", f"read-only file system: '{path}'"),
    }
    return Refusal(*kinds.get(error.errno or 0, ("other", f"{error.strerror or error}: '{path}'")))


# -- paths and entries


def resolve(path: str) -> str:
    """Returns an absolute, normalised path from one that may begin with `~`, be empty or be relative to home.

    Raises Refusal for a path with a NUL.
    """
    home = os.environ.get("HOME", HOME)
    if "\0" in path:
        raise Refusal("invalid", "a path cannot hold a NUL")
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return os.path.normpath(os.path.join(home, real_path(path, home)))


def _set_metadata(fd: int, wanted: dict[str, str]) -> None:
    """Makes `wanted` the file's metadata. Raises Refusal when the file system keeps none."""
    try:
        for name in os.listxattr(fd):
            if name.startswith(METADATA_PREFIX):
                os.removexattr(fd, name)
        for key, value in wanted.items():
            os.setxattr(fd, METADATA_PREFIX + key, value.encode())
    except OSError as error:
        if wanted:
            raise Refusal("unsupported", f"this file system keeps no file metadata: {error.strerror}") from None


# -- operations


def _stat(channel: socket.socket, request: Frame) -> None:
    send_frame(channel, {"entry": entry_of(resolve(request["path"]))})


def _list(channel: socket.socket, request: Frame) -> None:
    """Answers frames of {entries}, in the order of names, down to the requested depth, the last of them empty.

    Links are not followed.
    """
    path, depth = resolve(request["path"]), request["depth"]
    if not os.path.isdir(path):
        os.stat(path)
        raise Refusal("invalid", f"path is not a directory: {path}")
    page: list[Frame] = []
    for number, child in enumerate(_walk(path, min(depth, MAX_DEPTH))):
        if number >= MAX_ENTRIES:
            raise Refusal("too_many", f"more than {MAX_ENTRIES} entries below {path}: list a smaller directory")
        with contextlib.suppress(FileNotFoundError):  # went away meanwhile
            page.append(entry_of(child))
        if len(page) >= PAGE:
            send_frame(channel, {"entries": page})
            page = []
    if page:
        send_frame(channel, {"entries": page})
    send_frame(channel, {"entries": []})


def _walk(directory: str, depth: int) -> Iterator[str]:
    """Paths below `directory`, parents before their children."""
    for name in sorted(os.listdir(directory)):
        child = os.path.join(directory, name)
        yield child
        if depth > 1 and os.path.isdir(child) and not os.path.islink(child):
            try:
                yield from _walk(child, depth - 1)
            except OSError:
                continue  # unreadable, or gone


def _make_dir(channel: socket.socket, request: Frame) -> None:
    """Makes a directory and its parents; answers {entry}."""
    path = resolve(request["path"])
    if os.path.isdir(path):
        raise Refusal("exists", f"directory already exists: {path}")
    if os.path.lexists(path):
        raise Refusal("invalid", f"path already exists but it is not a directory: {path}")
    os.makedirs(path)
    send_frame(channel, {"entry": entry_of(path)})


def _move(channel: socket.socket, request: Frame) -> None:
    """Renames a file or directory, also across file systems; answers {entry}."""
    source, destination = resolve(request["path"]), resolve(request["destination"])
    os.lstat(source)
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    try:
        os.rename(source, destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(source, destination)
    send_frame(channel, {"entry": entry_of(destination)})


def _remove(channel: socket.socket, request: Frame) -> None:
    """Removes a file or a whole directory; a path that is not there is no error. Answers {}."""
    path = resolve(request["path"])
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    send_frame(channel, {})


def _read(channel: socket.socket, request: Frame) -> None:
    """Answers {size, path, modified}, waits for {start, length}, then sends the bytes and closes."""
    path = resolve(request["path"])
    # O_NONBLOCK: opening a FIFO would wait for a writer that never comes. Regular files do not notice the flag.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        info = _require_regular(file.fileno(), path)
        send_frame(channel, {"size": info.st_size, "path": printable(path), "modified": info.st_mtime_ns})
        wanted = receive_frame(channel)
        file.seek(wanted["start"])
        _copy_out(file.fileno(), channel, wanted["length"])


def _copy_out(fd: int, channel: socket.socket, length: int | None) -> None:
    left = length
    while left is None or left > 0:
        data = os.read(fd, CHUNK if left is None else min(CHUNK, left))
        if not data:
            return
        channel.sendall(data)
        left = None if left is None else left - len(data)


def _write(channel: socket.socket, request: Frame) -> None:
    """Answers {} when the file is open, takes bytes until the server stops sending, then answers {entry}."""
    path = resolve(request["path"])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # No O_TRUNC: what was opened is looked at first, and truncating is refused for what is no regular file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    with open(_opened(path, flags), "wb", buffering=0) as file:
        _require_regular(file.fileno(), path)
        if _has_two_users():
            _share(file.fileno())
        file.truncate(0)
        _set_metadata(file.fileno(), request["metadata"])
        send_frame(channel, {})
        _copy_in(channel, file.fileno())
    send_frame(channel, {"entry": entry_of(path)})


def _has_two_users() -> bool:
    """Whether this is root by name, beside a user of the same group: in the kind `jupyter`, as envd is root at E2B."""
    return os.getuid() == 0 != os.getgid()


def _share(fd: int) -> None:
    """Lets the sandbox's other user write a file, which envd makes that user's own."""
    info = os.fstat(fd)
    if info.st_uid == os.getuid():
        os.fchmod(fd, stat.S_IMODE(info.st_mode) | stat.S_IRGRP | stat.S_IWGRP)


def _opened(path: str, flags: int) -> int:
    """A descriptor to write `path` with. A file of the sandbox's other user that is closed to us becomes ours."""
    try:
        return os.open(path, flags, 0o666)
    except PermissionError:
        if os.path.lexists(path) and os.lstat(path).st_uid == os.getuid():
            raise
        os.unlink(path)
        return os.open(path, flags, 0o666)


def _copy_in(channel: socket.socket, fd: int) -> None:
    buffer = memoryview(bytearray(CHUNK))
    while size := channel.recv_into(buffer):
        frames.write_all(fd, buffer[:size])


def _require_regular(fd: int, path: str) -> os.stat_result:
    """What fstat(2) tells about an open file. Raises Refusal for directories, FIFOs and devices."""
    info = os.fstat(fd)
    if stat.S_ISDIR(info.st_mode):
        raise Refusal("invalid", f"path '{path}' is a directory")
    if not stat.S_ISREG(info.st_mode):
        raise Refusal("invalid", f"path '{path}' is not a regular file")
    return info


def _connect(channel: socket.socket, request: Frame) -> None:
    """Connects to a port on this sandbox's loopback; the socket travels with the answer."""
    for host in ("127.0.0.1", "::1"):
        try:
            with socket.create_connection((host, request["port"]), timeout=5) as found:
                found.settimeout(None)
                socket.send_fds(channel, [frames.encode({})], [found.fileno()])
                return
        except OSError:
            continue
    raise Refusal("closed", f"nothing listens on port {request['port']}")


def _watch(channel: socket.socket, request: Frame) -> None:
    from ci_integrations.local.guest.watch import watch  # ctypes costs a megabyte, and few watch

    watch(channel, resolve(request["path"]), recursive=request["recursive"], entries=request["entries"])


def _ping(channel: socket.socket, _request: Frame) -> None:
    send_frame(channel, {})


OPERATIONS: dict[str, Callable[[socket.socket, Frame], None]] = {
    "stat": _stat,
    "list": _list,
    "make_dir": _make_dir,
    "move": _move,
    "remove": _remove,
    "read": _read,
    "write": _write,
    "connect": _connect,
    "watch": _watch,
    "ping": _ping,
}
