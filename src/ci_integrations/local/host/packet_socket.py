"""The host's event loop reads and writes the packet sockets of zygote and agents by this module."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterable, Sequence

from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import EngineError

_FULL_PAUSE = 0.001
"""Seconds until a full socket is tried again."""


class Packets:
    """Calls `received(message, fds)` for each packet, and `lost()` once when the other side is gone."""

    def __init__(
        self, end: socket.socket, received: Callable[[packets.Message, list[int]], None], lost: Callable[[], None]
    ) -> None:
        """Begins to read at once, in the running loop."""
        self._end = end
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        end.setblocking(False)  # noqa: FBT003
        self._loop.add_reader(end, self.drain)

    def drain(self) -> None:
        """Handles every packet that has arrived."""
        while self._end.fileno() >= 0:  # a handler may close it
            try:
                packet = packets.receive(self._end)
            except BlockingIOError:
                return
            if packet is None:
                self.close()
                self._lost()
                return
            self._received(*packet)

    async def send(self, message: packets.Message, fds: Sequence[int] = ()) -> None:
        """Sends a packet. Raises EngineError for one that is too large, BrokenPipeError when the other side is gone."""
        while True:
            if self._end.fileno() < 0:
                raise BrokenPipeError(errno.EPIPE, "the channel is closed")
            try:
                return packets.send(self._end, message, fds)
            except BlockingIOError:
                # Tried again after a pause: waiting for poll() to call it writable would need a second handler.
                await asyncio.sleep(_FULL_PAUSE)
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    raise EngineError(
                        "the request is too large: arguments and variables may have about 200 KB"
                    ) from None
                raise

    def close(self) -> None:
        """Closes the socket. A second call does nothing."""
        if self._end.fileno() < 0:
            return
        self._loop.remove_reader(self._end)
        self._end.close()


def close_all(fds: Iterable[int]) -> None:
    """Closes descriptors."""
    for fd in fds:
        os.close(fd)


async def readable(fd: int) -> None:
    """Waits until something can be read from `fd`."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
