"""A short queue from what runs in a sandbox to one client that listens. Commands and cells use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
QUEUED = 16
"""Items that wait for one listener. The queue is short, so that a slow reader makes the writer wait."""


class Listener(Generic[Item]):
    """One reader, and the writer's end of its queue."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Item | None] = asyncio.Queue(QUEUED)
        self.closed = False
        """Whether the reader has left."""

    @property
    def full(self) -> bool:
        """Whether the reader has to catch up."""
        return self._queue.full()

    async def put(self, item: Item | None) -> None:
        """Waits for a place in the queue; None ends the reading. Does nothing once the reader has left."""
        if not self.closed:
            await self._queue.put(item)

    def put_nowait(self, item: Item) -> None:
        """Puts the first item into a new queue."""
        self._queue.put_nowait(item)

    async def items(self, keepalive: float) -> AsyncIterator[Item | None]:
        """Yields items until the end, and None after each `keepalive` seconds of silence."""
        while True:
            try:
                async with asyncio.timeout(keepalive):
                    item = await self._queue.get()
            except TimeoutError:
                yield None
                continue
            if item is None:
                return
            yield item

    def close(self) -> None:
        """Takes the reader away: `items` ends at once, and a writer that waits for a place gets one."""
        self.closed = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
