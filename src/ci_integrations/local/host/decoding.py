"""The event loop's end of the decoder (`decoder.py`): frames go there in pieces, and lines come back in pieces."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

from ci_integrations.local.host.decoder import LENGTH, SIZES
from ci_integrations.local.protocol.contract import Sandbox
from ci_integrations.local.protocol.frames import Frame, FrameError

_PIECE: Final = 1 << 18
"""Bytes of a piece: some ten microseconds of copying."""
_LARGEST_SHORT: Final = 4 << 20
"""Bytes of a frame that does not wait behind the really large ones."""
_SECONDS: Final = 60.0
"""How long the decoding of one frame may take."""
_IDLE_SECONDS: Final = 10.0
"""How long a decoder without work is kept, at least."""

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[asyncio.Semaphore, asyncio.Semaphore]] = WeakKeyDictionary()


def _slot(size: int) -> asyncio.Semaphore:
    """Returns what bounds the frames decoded at one time, and with them the memory of all decoders together."""
    short, long = _slots.setdefault(asyncio.get_running_loop(), (asyncio.Semaphore(2), asyncio.Semaphore(1)))
    return short if size <= _LARGEST_SHORT else long


_of_sandboxes: WeakKeyDictionary[Sandbox, Decoder] = WeakKeyDictionary()


def decoder_of(sandbox: Sandbox) -> Decoder:
    """Returns the decoder of a sandbox, for one more context: each calls `release` at its end."""
    decoder = _of_sandboxes.setdefault(sandbox, Decoder())
    decoder.users += 1
    return decoder


class Decoder:
    """Is the decoder of one sandbox, one frame at a time. A large frame starts its process, which ends when idle."""

    def __init__(self) -> None:
        self.users = 0
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: socket.socket | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def decode(self, parts: Sequence[bytes]) -> Frame:
        """Returns "id", "type" and "exiting" of a frame and, when it is a result, its "line" in pieces.

        Raises FrameError for one that is refused, or that cannot be decoded within the limits of time and memory.
        """
        whole = False
        try:
            async with self._turn, _slot(sum(len(part) for part in parts)), asyncio.timeout(_SECONDS):
                found = await self._exchange(self._started(), parts)
                whole = True
        except (TimeoutError, OSError):
            raise FrameError("a frame could not be decoded within the limits of time and memory") from None
        finally:
            if not whole:  # half of an exchange would be taken for the next one
                self.close()
        if "refused" in found:
            raise FrameError(str(found["refused"]))
        return found

    def release(self) -> None:
        """Ends the process when no context is left that uses it."""
        self.users -= 1
        if not self.users:
            self.close()

    def _started(self) -> socket.socket:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_SECONDS + _IDLE_SECONDS, self.close)
        if self._end is None:
            self._end, theirs = socket.socketpair()
            self._end.setblocking(False)  # noqa: FBT003
            with theirs:
                command = [sys.executable, "-m", "ci_integrations.local.host.decoder"]
                self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
        return self._end

    async def _exchange(self, end: socket.socket, parts: Sequence[bytes]) -> Frame:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(end, LENGTH.pack(sum(len(part) for part in parts)))
        for part in parts:
            for start in range(0, len(part), _PIECE):
                await loop.sock_sendall(end, part[start : start + _PIECE])
                await asyncio.sleep(0)  # a socket with room makes nobody wait, and so lets nobody else have a turn
        about, size = SIZES.unpack(b"".join(await _pieces(end, SIZES.size)))
        found: Frame = json.loads(b"".join(await _pieces(end, about)))
        line = await _pieces(end, size)
        return found | {"line": line} if line else found

    def close(self) -> None:
        """Ends the process. It may be called again; the next frame starts another."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._end is not None:
            self._end.close()
            self._end = None
        if self._process is not None:
            self._process.kill()
            threading.Thread(target=self._process.wait, daemon=True).start()  # its memory takes a while to be freed
            self._process = None


async def _pieces(end: socket.socket, size: int) -> list[bytes]:
    """So many bytes from the decoder. Raises OSError when it ends before."""
    loop, pieces = asyncio.get_running_loop(), []
    while size:
        piece = await loop.sock_recv(end, min(size, _PIECE))
        if not piece:
            raise OSError("the decoder ended")
        pieces.append(piece)
        size -= len(piece)
        await asyncio.sleep(0)
    return pieces
