"""Reads the control socket of one interpreter in slices, so that no sandbox's messages keep the others waiting.

Whatever is sent there: the event loop never works on it for longer than a few milliseconds at a time, and for a quarter
of the time altogether. Large frames are decoded by another process (`decoding.py`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from typing import Final, Protocol

from ci_integrations.local.host.decoding import Decoder
from ci_integrations.local.protocol.frames import Frame, FrameError, FrameReader, decode, is_cheap

_READ: Final = 1 << 16
_PIECE: Final = 1 << 18
"""Bytes of one read of a long frame."""
_MANY: Final = 64
_SLICE: Final = 0.004
"""Seconds, and frames, after which others get their turn: three times as long as was spent."""
_LONG_SECONDS: Final = 60.0
"""How long one frame may take to arrive."""


class Owner(Protocol):
    """Describes what a context does with what its control socket brings."""

    def take(self, frame: Frame, size: int) -> None:
        """Takes one frame. A large result has its "line" in the place of its fields."""

    def is_beyond_limits(self, size: int) -> bool:
        """Returns whether a frame of so many bytes is to be left out, unread, because the cell has had enough."""

    def on_broken(self, reason: str) -> None:
        """Hears, once, that the protocol was broken."""

    def on_hang_up(self) -> None:
        """Hears, once, that the interpreter's end is closed."""


class Control:
    """Is the host's end of one control socket. It reads until `close`, a broken protocol or the other end's hang-up."""

    def __init__(self, end: socket.socket, owner: Owner, max_bytes: int, decoder: Decoder) -> None:
        self._loop = asyncio.get_running_loop()
        self._end, self._owner = end, owner
        self._reader = FrameReader(max_bytes)
        self._decoder = decoder
        self._open = True
        self._watched = False
        self._rest: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None
        self._watch()

    def close(self) -> None:
        """Stops reading for good."""
        self._open = False
        self._unwatch()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._work is not None and self._work is not asyncio.current_task():
            self._work.cancel()

    async def closed(self) -> None:
        """Stops reading, and returns when nothing uses the socket any more, so that it can be closed."""
        self.close()
        if self._work is not None:
            await asyncio.wait({self._work})

    async def finish(self, seconds: float) -> None:
        """Returns once everything that an ended interpreter has sent is taken, at the latest after `seconds`."""
        deadline = self._loop.time() + seconds
        while self._open and (left := deadline - self._loop.time()) > 0:
            if self._work is not None:
                await asyncio.wait({self._work}, timeout=left)
            elif self._rest is None and not self._on_readable():
                return
            else:
                await asyncio.sleep(_SLICE)

    def _watch(self) -> None:
        if self._open and not self._watched:
            self._watched = True
            self._loop.add_reader(self._end, self._on_readable)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._end)

    def _on_readable(self) -> bool:
        """Reads once. Returns False when there was nothing to be read, or never will be."""
        try:
            data = self._end.recv(_READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._hung_up()
            return False
        self._reader.feed(data)
        self._go_on()
        return True

    def _hung_up(self) -> None:
        self.close()
        self._owner.on_hang_up()

    def _break(self, reason: str) -> None:
        self.close()
        self._owner.on_broken(reason)

    def _go_on(self) -> None:
        """Takes the frames that are there, for one slice of time, and says how it goes on."""
        self._rest = None
        try:
            self._take_frames()
        except FrameError as error:
            self._break(str(error))

    def _take_frames(self) -> None:
        began = self._loop.time()
        for count, body in enumerate(self._reader.bodies(), 1):
            if not self._owner.is_beyond_limits(len(body)):
                if not is_cheap(body):
                    self._begin(self._take_elsewhere([body]))
                    return
                self._owner.take(decode(body), len(body))
            spent = self._loop.time() - began
            if count >= _MANY or spent > _SLICE:
                self._pause(3 * spent)
                return
            if not self._open:
                return
        if self._reader.long:
            self._begin(self._take_long())
            return
        self._watch()

    def _pause(self, seconds: float) -> None:
        self._unwatch()
        if self._open:
            self._rest = self._loop.call_later(seconds, self._go_on)

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        """Does work that takes a while; meanwhile nothing else is read."""
        self._unwatch()
        self._work = self._loop.create_task(self._worked(work))

    async def _worked(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except FrameError as error:
            if self._open:
                self._break(str(error))
        except EOFError:
            if self._open:
                self._hung_up()
        finally:
            self._work = None
        if self._open:
            self._pause(0)

    async def _take_elsewhere(self, parts: list[bytes]) -> None:
        """Has a frame decoded by another process, and takes what it says."""
        frame = await self._decoder.decode(parts)
        if self._open:
            self._owner.take(frame, sum(len(part) for part in parts))

    async def _take_long(self) -> None:
        """Reads a long frame in pieces; one that is beyond the cell's limits is dropped as it comes."""
        size = self._reader.long
        dropped = self._owner.is_beyond_limits(size)
        try:
            async with asyncio.timeout(_LONG_SECONDS):
                parts = [part async for part in self._pieces(size) if not dropped]
        except TimeoutError:
            raise FrameError(f"a frame did not come within {_LONG_SECONDS:g} s") from None
        if not dropped:
            await self._take_elsewhere(parts)

    async def _pieces(self, size: int) -> AsyncIterator[bytes]:
        """The body of a long frame, as it comes. Raises EOFError when the other end is closed before."""
        piece = self._reader.take_long()
        while True:
            yield piece
            size -= len(piece)
            if not size:
                return
            await asyncio.sleep(0)  # a socket with data makes nobody wait, and so lets nobody else have a turn
            try:
                piece = await self._loop.sock_recv(self._end, min(size, _PIECE))
            except OSError:
                piece = b""
            if not piece:
                raise EOFError
