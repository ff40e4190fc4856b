"""The server's end of the file worker (`guest/files.py`) asks for work on files and trusts no answer.

Every answer is bounded in size and time and checked for its types. A worker that dies is started again by the next
request.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ci_integrations.local.host.packet_socket import readable
from ci_integrations.local.protocol.contract import Child, Entry, Sandbox

MAX_FRAME = 4 << 20
"""Bytes of one answer. A listing comes in pages."""
MAX_ENTRIES = 10_000
"""Entries of one listing."""
_MAX_PAGE = 1000
"""Entries of one page: they are read at once, which keeps others waiting."""
MAX_CHANNELS = 64
"""Requests of one sandbox at one time, transfers and watches included."""
ANSWER_SECONDS = 60.0
SILENT_SECONDS = 5.0
"""How long an answer may take before the worker is asked whether it runs at all, and how long that may take."""
CROWDED_SECONDS = 15.0
"""How long a request waits for one of the channels."""
CHUNK = 256 * 1024
ENTRY = Entry("ci_integrations.local.guest.files:main", {"guarded": True})
"""Guarded, so out of reach of the sandbox's other processes: one that holds a socket which the worker passes out could
make the server block."""


class FileError(Exception):
    """The worker refused a request, or did not answer it as it should.

    `kind` is one of not_found, invalid, exists, denied, no_space, too_many, unsupported, closed and other.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class FileEntry:
    """Holds what the worker tells about one file: bounded and of these types, but not to be believed otherwise."""

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


Result = TypeVar("Result")
NONSENSE = "the sandbox's file worker sent nonsense"


def read_entry(value: object) -> FileEntry:
    """Returns the entry that the worker sent. Raises FileError when it is malformed."""
    if not isinstance(value, dict):
        raise FileError("other", NONSENSE)
    try:
        entry = _entry(value)
    except (KeyError, TypeError, ValueError, OverflowError):  # OverflowError: int() of an infinite float
        raise FileError("other", NONSENSE) from None
    if not (0 <= entry.size < 1 << 62 and 0 <= entry.mode < 1 << 16 and abs(entry.modified) < 1 << 62):
        raise FileError("other", NONSENSE)
    return entry


def _entry(value: dict[str, Any]) -> FileEntry:
    target = value.get("symlink_target")
    # int() and dict() raise for what is no number or no object; NaN and infinity are caught by them as well.
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


def _page(answer: dict[str, Any]) -> list[FileEntry]:
    """The entries of one page of a listing; none mean its end. Raises FileError for a malformed one."""
    entries = answer.get("entries")
    if not isinstance(entries, list) or len(entries) > _MAX_PAGE:
        raise FileError("other", NONSENSE)
    return [read_entry(entry) for entry in entries]


def _text(value: object) -> str:
    """`value` as text of at most 8192 characters, without lone surrogates, which UTF-8 and so no message can carry."""
    return str(value)[:8192].encode("utf-8", "replace").decode()


class Channel:
    """Is one request to the worker. All methods raise FileError when the worker refuses, misbehaves or ends."""

    def __init__(self, end: socket.socket, check: Callable[[], Awaitable[None]] | None = None) -> None:
        """`check` raises FileError when the worker does not run any more. It is called when an answer is late."""
        self._end = end
        self._check = check
        self._loop = asyncio.get_running_loop()

    async def send_frame(self, value: object) -> None:
        """Sends a request, or a further part of it."""
        payload = json.dumps(value).encode()
        await self.send(struct.pack("!I", len(payload)) + payload)

    async def send(self, data: bytes) -> None:
        """Sends raw bytes."""
        try:
            await self._patiently(self._loop.sock_sendall(self._end, data), ANSWER_SECONDS)
        except OSError:
            # The worker closed its end: its answer, why it did, is still to be read.
            await self.answer()
            raise FileError("other", "the sandbox's file worker stopped listening") from None

    def end_of_data(self) -> None:
        """Tells the worker that no more bytes come; its answer can still be read."""
        self._end.shutdown(socket.SHUT_WR)

    async def answer(self, seconds: float | None = ANSWER_SECONDS) -> dict[str, Any]:
        """Returns the next frame. Raises FileError for a refusal, a malformed one, or none within `seconds`."""
        value = await self._patiently(self._frame(), seconds)
        if "error" in value:
            raise FileError(str(value["error"])[:32], str(value.get("message", ""))[:2000])
        return value

    async def _patiently(self, work: Coroutine[object, object, Result], seconds: float | None) -> Result:
        """Waits for what the worker has to do. Raises FileError when that takes too long, or the worker is stopped."""
        task = asyncio.create_task(work)
        try:
            async with asyncio.timeout(seconds):
                if seconds is not None and self._check is not None:
                    done, _ = await asyncio.wait({task}, timeout=SILENT_SECONDS)
                    if not done:
                        await self._check()
                return await task
        except TimeoutError:
            raise FileError("other", "the sandbox's file worker did not answer") from None
        finally:  # nothing may use the socket any more: it is about to be closed
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _frame(self) -> dict[str, Any]:
        (size,) = struct.unpack("!I", await self._exactly(4))
        if size > MAX_FRAME:
            raise FileError("too_many", "the answer of the sandbox's file worker is too large")
        raw = await self._exactly(size)
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):  # the C parser recurses for each level of nesting
            value = None
        if not isinstance(value, dict):
            raise FileError("other", NONSENSE)
        return value

    async def _exactly(self, size: int) -> bytes:
        """So many bytes. Raises FileError when the worker ends before."""
        parts = bytearray()
        while len(parts) < size:
            data = await self._receive(min(CHUNK, size - len(parts)))
            if not data:
                raise FileError("other", "the sandbox's file worker ended")
            parts += data
            if len(parts) < size:
                await asyncio.sleep(0)  # a socket with data makes nobody wait, and so lets nobody else have a turn
        return bytes(parts)

    async def _receive(self, size: int) -> bytes:
        try:
            return await self._loop.sock_recv(self._end, size)
        except OSError:
            return b""

    async def data(self) -> AsyncIterator[bytes]:
        """Yields raw bytes until the worker closes its end."""
        while data := await self._patiently(self._receive(CHUNK), ANSWER_SECONDS):
            yield data

    async def passed_socket(self) -> socket.socket:
        """Returns the socket that comes with the answer of `connect`."""
        await readable(self._end.fileno())
        _, fds, _, _ = socket.recv_fds(self._end, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        # A file or a pipe in its place would block the event loop, whatever its flags say.
        if fds and stat.S_ISSOCK(os.fstat(fds[0]).st_mode):
            found = socket.socket(fileno=fds[0])
            found.settimeout(0)
            return found
        for fd in fds:
            os.close(fd)
        raise FileError("closed", "nothing listens on that port")


class FileWorker:
    """Is the file worker of one sandbox, started by the first request. Its operations raise FileError."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._child: Child | None = None
        self._starting = asyncio.Lock()
        self._free = asyncio.Semaphore(MAX_CHANNELS)

    @asynccontextmanager
    async def channel(self, request: dict[str, object]) -> AsyncIterator[Channel]:
        """Sends a request; leaving the block gives it up. Raises FileError when all channels stay taken."""
        async with self._place():
            ours, theirs = socket.socketpair()
            try:
                ours.settimeout(0)
                with theirs:  # the worker has a copy; ours must go, or its end would never read as an end
                    await self._pass(theirs)
                channel = Channel(ours, self._check)
                await channel.send_frame(request)
                yield channel
            finally:
                ours.close()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the `MAX_CHANNELS` places, for the block."""
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
        """Hands the worker its end of a channel."""
        control = await self._control()
        while True:
            try:
                socket.send_fds(control, [b"c"], [end.fileno()])
                return
            except BlockingIOError:  # the worker is behind; a stopped one is noticed when it does not answer
                await asyncio.sleep(0.002)
            except OSError:
                raise FileError("other", "the sandbox's file worker ended") from None

    async def _control(self) -> socket.socket:
        """The control socket of a living worker; it is started when there is none."""
        async with self._starting:
            if self._child is None or self._child.exited.done():
                self.close()
                self._child = await self._sandbox.spawn(ENTRY, as_owner=True)
            if self._child.control is None:
                raise FileError("other", "the engine gave the file worker no control socket")
            return self._child.control

    async def _check(self) -> None:
        """Makes sure that the worker runs. Raises FileError after killing one that does not: the next one is new.

        Code in the sandbox can stop it by a signal. One that is only busy answers this.
        """
        child = self._child
        if child is None or child.exited.done():
            raise FileError("other", "the sandbox's file worker ended")
        await child.signal(signal.SIGCONT, group=False)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(0)
            await self._pass(theirs)
            theirs.close()  # the worker has a copy
            ping = Channel(ours)
            await ping.send_frame({"op": "ping"})
            try:
                await ping.answer(SILENT_SECONDS)
            except FileError:
                await child.signal(signal.SIGKILL, group=False)
                if self._child is child:
                    self.close()
                raise FileError("other", "the sandbox's file worker was stopped; it is started anew") from None

    def close(self) -> None:
        """Closes the worker's descriptors; it ends when it reads the end of its control socket."""
        if self._child is not None:
            self._child.close()
            self._child = None

    # -- operations that are one question and one answer

    async def _ask(self, op: str, **arguments: object) -> dict[str, Any]:
        async with self.channel({"op": op, **arguments}) as channel:
            return await channel.answer()

    async def stat(self, path: str) -> FileEntry:
        """Returns one file or directory."""
        return read_entry((await self._ask("stat", path=path)).get("entry"))

    async def list(self, path: str, depth: int) -> list[FileEntry]:
        """Returns what is below a directory, `depth` levels deep."""
        found: list[FileEntry] = []
        async with self.channel({"op": "list", "path": path, "depth": depth}) as channel:
            while page := _page(await channel.answer()):
                found += page
                if len(found) > MAX_ENTRIES:
                    raise FileError("too_many", f"more than {MAX_ENTRIES} entries: list a smaller directory")
                await asyncio.sleep(0)  # others have their turn between the pages
        return found

    async def make_dir(self, path: str) -> FileEntry:
        """Makes a directory and its parents. FileError of the kind "exists" when it is there already."""
        return read_entry((await self._ask("make_dir", path=path)).get("entry"))

    async def move(self, source: str, destination: str) -> FileEntry:
        """Renames a file or directory."""
        return read_entry((await self._ask("move", path=source, destination=destination)).get("entry"))

    async def remove(self, path: str) -> None:
        """Removes a file, or a directory with all that is in it. A path that is not there is no error."""
        await self._ask("remove", path=path)

    async def connect(self, port: int) -> socket.socket:
        """Returns a connected socket to a port inside. FileError of the kind "closed" when nothing listens there."""
        async with self.channel({"op": "connect", "port": port}) as channel:
            try:
                async with asyncio.timeout(15):
                    return await channel.passed_socket()
            except TimeoutError:
                raise FileError("closed", f"no answer on port {port}") from None
