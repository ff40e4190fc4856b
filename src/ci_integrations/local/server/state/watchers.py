"""The directory watchers of one sandbox. The file worker inside the sandbox does the watching itself."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ci_integrations.local.host.files import FileEntry, FileError, FileWorker, read_entry

MAX_WATCHERS = 32
MAX_WAITING = 10_000
"""Events kept for one watcher that nobody reads. Then each new one drops the oldest."""
TYPES = ("CREATE", "WRITE", "REMOVE", "RENAME", "CHMOD")
"""E2B's kinds of change."""


@dataclass(frozen=True)
class Change:
    """Something that happened below a watched directory."""

    name: str
    """Relative to the watched directory."""
    type: str
    entry: FileEntry | None
    """What is there now, when the watcher was asked for it and there is something."""


class Watcher:
    """Collects changes until it is closed."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=MAX_WAITING)
        self._news = asyncio.Event()
        self.closed = False
        self.task: asyncio.Task[None] | None = None

    def add(self, change: Change) -> None:
        self._changes.append(change)
        self._news.set()

    def drain(self) -> list[Change]:
        """Returns the changes since the last call."""
        found = list(self._changes)
        self._changes.clear()
        self._news.clear()
        return found

    async def changes(self, keepalive: float) -> AsyncIterator[Change | None]:
        """Yields changes until the watcher is closed, and None after each `keepalive` seconds of silence."""
        while not self.closed:
            try:
                async with asyncio.timeout(keepalive):
                    await self._news.wait()
            except TimeoutError:
                yield None
            for change in self.drain():
                yield change

    def close(self) -> None:
        self.closed = True
        self._news.set()
        if self.task is not None:
            self.task.cancel()


class WatcherTable:
    """All watchers of a sandbox: those that a stream reads, and those that are kept for a client who asks later."""

    def __init__(self, files: FileWorker) -> None:
        self._files = files
        self._kept: dict[str, Watcher] = {}
        self._open: set[Watcher] = set()

    async def open(self, path: str, *, recursive: bool, include_entry: bool) -> Watcher:
        """Returns a watcher once the directory is watched. Raises FileError."""
        if len(self._open) >= MAX_WATCHERS:
            raise FileError("too_many", f"this sandbox has {MAX_WATCHERS} watchers already; remove one")
        watcher = Watcher()
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open.add(watcher)  # before it watches: many requests at once must not pass the limit
        request: dict[str, object] = {"op": "watch", "path": path, "recursive": recursive, "entries": include_entry}
        watcher.task = asyncio.create_task(self._follow(watcher, request, started))
        await started
        return watcher

    async def _follow(self, watcher: Watcher, request: dict[str, object], started: asyncio.Future[None]) -> None:
        try:
            async with self._files.channel(request) as channel:
                await channel.answer()
                started.set_result(None)
                while True:
                    watcher.add(_change(await channel.answer(None)))
        except FileError as error:
            if not started.done():  # otherwise the directory is gone, or the worker has ended: so do the changes
                started.set_exception(error)
        finally:
            watcher.closed = True
            watcher._news.set()  # noqa: SLF001 - the reader must see the end
            self._open.discard(watcher)

    def keep(self, watcher: Watcher) -> str:
        """Keeps a watcher for a client who asks later, and returns the id to ask with."""
        watcher_id = secrets.token_hex(8)
        self._kept[watcher_id] = watcher
        return watcher_id

    def find(self, watcher_id: str) -> Watcher | None:
        """Returns a watcher that was kept, None when there is none of this id."""
        return self._kept.get(watcher_id)

    def forget(self, watcher_id: str) -> None:
        """Forgets a watcher that was kept. The caller closes it."""
        self._kept.pop(watcher_id, None)

    def close(self) -> None:
        """Closes all watchers."""
        for watcher in list(self._open):
            watcher.close()


def _change(value: dict[str, object]) -> Change:
    """Returns a change as the worker sent it. Its words are hostile input: FileError when they are malformed."""
    if value.get("type") not in TYPES:
        raise FileError("other", "the sandbox's file worker sent nonsense")
    entry = value.get("entry")
    return Change(str(value.get("name"))[:8192], str(value["type"]), None if entry is None else read_entry(entry))
