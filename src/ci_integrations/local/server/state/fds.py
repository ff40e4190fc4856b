"""Reading and writing the non-blocking file descriptors of a sandbox's processes from the event loop."""

from __future__ import annotations

import asyncio
import os


async def read(fd: int, size: int) -> bytes:
    """At least one byte, or none at the end. A closed terminal is an end too."""
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            await _ready(fd, writing=False)
        except OSError:
            return b""


async def write_all(fd: int, data: bytes) -> None:
    """Raises OSError when the other side is closed."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, writing=True)


async def _ready(fd: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, _set, ready)
    try:
        await ready
    finally:
        remove(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
