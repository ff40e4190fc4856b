"""Reading and writing the non-blocking file descriptors of a sandbox's processes from the event loop."""

from __future__ import annotations

import asyncio
import os


async def read(fd: int, size: int) -> bytes:
    """Returns up to `size` bytes as soon as there are some, and none at the end.

    A terminal whose other end is closed gives EIO on Linux instead of an end; that is an end here too.
    """
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            await _ready(fd, writing=False)
        except OSError:
            return b""


async def write_all(fd: int, data: bytes) -> None:
    """Writes everything, and waits while the pipe is full. Raises OSError when the other side is closed."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, writing=True)


async def _ready(fd: int, *, writing: bool) -> None:
    """Waits until the descriptor can be read or written. One task at a time may wait for each of the two."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, _set, ready)
    try:
        await ready
    finally:
        remove(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():  # the loop may call once more before the reader is removed
        ready.set_result(None)
