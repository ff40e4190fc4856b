"""Provides a first-come-first-served lock that threads and event loops may wait for together.

One kernel serves a session's sync and async callers alike, from any thread and any loop. A waiter that gives up
(timeout, cancellation, Ctrl-C) never takes the turn of another, and never keeps it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar


class _Ticket(Protocol):
    """A place in the queue."""

    def grant(self) -> bool:
        """Tells the waiter that it is its turn. False when it can no longer be told (its loop is closed)."""


Ticket = TypeVar("Ticket", bound=_Ticket)


class _ThreadTicket:
    """The place in the queue of a thread."""

    def __init__(self) -> None:
        self._granted = threading.Event()
        self.wait = self._granted.wait

    def grant(self) -> bool:
        self._granted.set()
        return True


class _TaskTicket:
    """The place in the queue of a task, in whichever event loop it runs."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.granted = asyncio.Event()

    def grant(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self.granted.set)
        except RuntimeError:  # the loop was closed under its waiter
            return False
        return True


class FairLock:
    """Serves threads and tasks of any event loop in the order in which they came. Not reentrant."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._queue: deque[_Ticket] = deque()

    def acquire(self, timeout: float | None = None) -> bool:
        """Waits up to `timeout` seconds (None: for ever). False: the time is up and the lock is not held."""
        ticket = self._take_or_queue(_ThreadTicket)
        if ticket is None:
            return True
        try:
            granted = ticket.wait(timeout)
        except BaseException:  # Ctrl-C in the wait
            self._leave(ticket)
            raise
        if not granted:
            self._leave(ticket)
        return granted

    async def aacquire(self, timeout: float | None = None) -> bool:
        """Does for a task what `acquire` does for a thread."""
        ticket = self._take_or_queue(_TaskTicket)
        if ticket is None:
            return True
        try:
            await asyncio.wait_for(ticket.granted.wait(), timeout)
        except TimeoutError:
            self._leave(ticket)
            return False
        except BaseException:  # cancelled in the wait
            self._leave(ticket)
            raise
        return True

    def release(self) -> None:
        """Gives the turn to the waiter that has waited longest."""
        with self._mutex:
            # `_held` stays true while the turn goes to a waiter: nobody who comes now can take it before.
            while self._queue:
                if self._queue.popleft().grant():
                    return
            self._held = False

    def locked(self) -> bool:
        """Returns True while somebody holds the lock."""
        return self._held

    def _take_or_queue(self, kind: Callable[[], Ticket]) -> Ticket | None:
        """Takes the free lock and returns None, or returns a new place in the queue: most callers need none."""
        with self._mutex:
            if not self._held:
                self._held = True
                return None
            ticket = kind()
            self._queue.append(ticket)
            return ticket

    def _leave(self, ticket: _Ticket) -> None:
        """Gives up waiting. A turn that came at that very moment is passed on."""
        with self._mutex:
            if ticket in self._queue:
                self._queue.remove(ticket)
                return
        self.release()
