"""The server's end of the file worker (`worker.py`): asks for file work, believes nothing it is told.

Every answer is bounded in size and time and checked for its types; a worker that dies is started again by the next
request.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ci_integrations.local.protocol.contract import Child, Entry, Sandbox

MAX_FRAME = 64 << 20
MAX_CHANNELS = 64
ANSWER_SECONDS = 60.0
CROWDED_SECONDS = 15.0
"""How long a request waits for one of the channels."""
CHUNK = 256 * 1024
ENTRY = Entry("ci_integrations.local.guest.files:main", {"guarded": True})
"""Out of reach of the sandbox's other processes: who holds a socket that it passes out could make the server block."""


class FileError(Exception):
    """The worker said no.

    `kind` is one of not_found, invalid, exists, denied, no_space, too_many, unsupported, closed and other.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class FileEntry:
    name: str
    path: str
    type: str
    size: int
    mode: int
    permissions: str
    owner: str
    group: str
    modified: int
    """Nanoseconds since 1970."""
    symlink_target: str | None
    metadata: dict[str, str]


NONSENSE = "the sandbox's file worker sent nonsense"


def read_entry(value: object) -> FileEntry:
    """From what the worker sent. FileError when it is malformed."""
    try:
        entry = _entry(value)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise FileError("other", NONSENSE) from None
    if not (0 <= entry.size < 1 << 62 and 0 <= entry.mode < 1 << 16 and abs(entry.modified) < 1 << 62):
        raise FileError("other", NONSENSE)
    return entry


def _entry(value: Any) -> FileEntry:
    target = value.get("symlink_target") if isinstance(value, dict) else None
    return FileEntry(
        name=_text(value["name"]),
        path=_text(value["path"]),
        type=_text(value["type"]),
        size=int(value["size"]),
        mode=int(value["mode"]),
        permissions=_text(value["permissions"]),
        owner=_text(value["owner"]),
        group=_text(value["group"]),
        modified=int(value["modified"]),
        symlink_target=None if target is None else _text(target),
        metadata={_text(k): _text(v) for k, v in dict(value.get("metadata") or {}).items()},
    )


def _text(value: object) -> str:
    """Bounded, and without lone surrogates, which no wire carries."""
    return str(value)[:8192].encode("utf-8", "replace").decode()


class Channel:
    """One request to the worker."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._loop = asyncio.get_running_loop()

    async def send_frame(self, value: object) -> None:
        payload = json.dumps(value).encode()
        await self.send(struct.pack("!I", len(payload)) + payload)

    async def send(self, data: bytes) -> None:
        try:
            await self._loop.sock_sendall(self._end, data)
        except OSError:
            # The worker closed its end: what it had to say is still to be read.
            await self.answer()
            raise FileError("other", "the sandbox's file worker stopped listening") from None

    def end_of_data(self) -> None:
        self._end.shutdown(socket.SHUT_WR)

    async def answer(self, seconds: float | None = ANSWER_SECONDS) -> dict[str, Any]:
        """The next frame. Raises FileError when it is a refusal, is malformed or does not come."""
        try:
            async with asyncio.timeout(seconds):
                value = await self._frame()
        except TimeoutError:
            raise FileError("other", "the sandbox's file worker did not answer") from None
        if "error" in value:
            raise FileError(str(value["error"])[:32], str(value.get("message", ""))[:2000])
        return value

    async def _frame(self) -> dict[str, Any]:
        (size,) = struct.unpack("!I", await self._exactly(4))
        if size > MAX_FRAME:
            raise FileError("too_many", "the answer of the sandbox's file worker is too large")
        raw = await self._exactly(size)
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise FileError("other", NONSENSE)
        return value

    async def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            data = await self._receive(min(CHUNK, size - len(parts)))
            if not data:
                raise FileError("other", "the sandbox's file worker ended")
            parts += data
        return bytes(parts)

    async def _receive(self, size: int) -> bytes:
        try:
            return await self._loop.sock_recv(self._end, size)
        except OSError:
            return b""

    async def data(self) -> AsyncIterator[bytes]:
        """Raw bytes until the worker ends."""
        while data := await self._receive(CHUNK):
            yield data

    async def passed_socket(self) -> socket.socket:
        """The socket that comes with the answer of `connect`."""
        await _readable(self._end.fileno())
        _, fds, _, _ = socket.recv_fds(self._end, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        if fds and stat.S_ISSOCK(os.fstat(fds[0]).st_mode):
            found = socket.socket(fileno=fds[0])
            found.settimeout(0)
            return found
        for fd in fds:
            os.close(fd)
        raise FileError("closed", "nothing listens on that port")


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


class FileWorker:
    """The file worker of one sandbox, started by the first request."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._free = asyncio.Semaphore(MAX_CHANNELS)

    @asynccontextmanager
    async def channel(self, request: dict[str, object]) -> AsyncIterator[Channel]:
        """A request under way; leaving the block gives it up. FileError when all channels stay taken."""
        async with self._place():
            ours, theirs = socket.socketpair()
            try:
                ours.settimeout(0)
                with theirs:
                    await self._pass(theirs)
                channel = Channel(ours)
                await channel.send_frame(request)
                yield channel
            finally:
                ours.close()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(CROWDED_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise FileError("too_many", f"{MAX_CHANNELS} transfers are under way in this sandbox; end some") from None
        try:
            yield
        finally:
            self._free.release()

    async def _pass(self, end: socket.socket) -> None:
        control = await self._control()
        while True:
            try:
                socket.send_fds(control, [b"c"], [end.fileno()])
                return
            except BlockingIOError:
                await asyncio.sleep(0.002)
            except OSError:
                raise FileError("other", "the sandbox's file worker ended") from None

    async def _control(self) -> socket.socket:
        async with self._starting:
            if self._child is None or self._child.exited.done():
                self.close()
                self._child = await self._sandbox.spawn(ENTRY)
            if self._child.control is None:
                raise FileError("other", "the engine gave the file worker no control socket")
            return self._child.control

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    # -- operations that are one question and one answer

    async def _ask(self, op: str, **arguments: object) -> dict[str, Any]:
        async with self.channel({"op": op, **arguments}) as channel:
            return await channel.answer()

    async def stat(self, path: str) -> FileEntry:
        return read_entry((await self._ask("stat", path=path)).get("entry"))

    async def list(self, path: str, depth: int) -> list[FileEntry]:
        entries = (await self._ask("list", path=path, depth=depth)).get("entries")
        if not isinstance(entries, list):
            raise FileError("other", NONSENSE)
        return [read_entry(entry) for entry in entries]

    async def make_dir(self, path: str) -> FileEntry:
        return read_entry((await self._ask("make_dir", path=path)).get("entry"))

    async def move(self, source: str, destination: str) -> FileEntry:
        return read_entry((await self._ask("move", path=source, destination=destination)).get("entry"))

    async def remove(self, path: str) -> None:
        await self._ask("remove", path=path)

    async def connect(self, port: int) -> socket.socket:
        """A connected socket to a port inside; FileError kind "closed" when nothing listens there."""
        async with self.channel({"op": "connect", "port": port}) as channel:
            try:
                async with asyncio.timeout(15):
                    return await channel.passed_socket()
            except TimeoutError:
                raise FileError("closed", f"no answer on port {port}") from None
