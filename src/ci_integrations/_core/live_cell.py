"""Shows a running cell to its caller: output is delivered while it runs, and the wait for its end has a limit."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, cast

from ci_integrations._core.flow import AnyCall
from ci_integrations._core.output import CellOutput, EventKind, OutputEvent, SdkItem, output_event
from ci_integrations._core.threads import Outcome, in_worker, interrupted_elsewhere, outcome_of

if TYPE_CHECKING:
    from e2b_code_interpreter import Execution

_CALLBACKS: dict[str, EventKind] = {
    "on_stdout": "stdout",
    "on_stderr": "stderr",
    "on_result": "result",
    "on_error": "error",
}


BACKLOG = 0.5
"""Seconds beyond its deadline in which a wait for a stopped cell goes on while output comes: the end is behind it."""

_FRESH = 0.2
"""Seconds after some output in which more is expected."""

_TICK = 0.25
"""Seconds after which a waiting thread looks whether Ctrl-C was pressed."""


class SyncCell:
    """Runs a cell in a worker thread. Its events are delivered by `tell`, in the thread that waits.

    Without `tell` the output goes into `received` in the worker, which nothing is taken out of before the cell's end or
    its limit.
    """

    def __init__(self, run: AnyCall, received: CellOutput, tell: Callable[[OutputEvent], None] | None) -> None:
        self._events: SimpleQueue[tuple[EventKind, SdkItem] | Outcome] = SimpleQueue()
        self._received, self._tell = received, tell
        self._done: Outcome | None = None
        self._over = False
        self._last = -math.inf
        # A cell that is started while Ctrl-C unwinds (a cleanup's) is not to be interrupted by that same Ctrl-C.
        self._began_interrupted = interrupted_elsewhere()
        # Without a listener the worker keeps the output itself: to wake the waiting thread for each piece of it would
        # cost two switches of threads, and slow down the worker, which has more to read.
        handle = self._put if tell is not None else self._keep
        handlers = {name: partial(handle, kind) for name, kind in _CALLBACKS.items()}
        in_worker(lambda: self._end(outcome_of(partial(run, **handlers))))

    def _end(self, outcome: Outcome) -> None:
        self._over = True
        self._events.put(outcome)

    def _keep(self, kind: EventKind, item: SdkItem) -> None:
        self._last = time.monotonic()
        self._received.take(kind, item)

    def _put(self, kind: EventKind, item: SdkItem) -> None:
        self._events.put((kind, item))

    @property
    def flowing(self) -> bool:
        """Is True while output comes: an end of the cell, or an answer to the next one, is behind it."""
        return time.monotonic() - self._last < _FRESH

    def wait(self, timeout: float | None, beyond: float = 0.0) -> bool:
        """Delivers what comes until the cell has ended. False when `timeout` seconds went by before that.

        `beyond`: seconds that are added while output comes.
        Raises KeyboardInterrupt while Ctrl-C unwinds the main thread, which waits for this one.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        # In ticks: only Python code sees a signal, and a tool's thread sees Ctrl-C by looking for it.
        while self._done is None:
            left = deadline - time.monotonic() + (beyond if self.flowing else 0.0)
            if left < 0 and not self._over:  # what has come of a cell that is over is taken to its end
                return False
            try:
                event = self._events.get(timeout=max(0.0, min(left, _TICK)))
            except Empty:
                if not self._began_interrupted and interrupted_elsewhere():
                    self._began_interrupted = True
                    raise KeyboardInterrupt from None
                continue
            if isinstance(event, Outcome):
                self._done = event
            else:
                self._deliver(*event)
        return True

    def _deliver(self, kind: EventKind, item: SdkItem) -> None:
        self._last = time.monotonic()
        taken = self._received.take(kind, item)
        if self._tell is not None:
            self._tell(output_event(kind, taken))

    def mute(self) -> None:
        """Stops delivering output; the caller has gone."""
        self._tell = None

    def close(self) -> None:
        """Does nothing: the SDK's sync stream cannot be closed from outside; its own timeout does that later."""

    def succeeded(self) -> bool:
        """Returns True when the SDK's call has come to its end: its stream was not cut."""
        return self._done is not None and self._done.error is None

    def execution(self) -> Execution:
        """Returns what the SDK's call returned, or raises its exception. To be called when the cell has ended."""
        return cast("Execution", self._done.get() if self._done else None)


class AsyncCell:
    """Runs a cell in a task. Its events are delivered by `tell`, in that task."""

    flowing = False
    """See `SyncCell.flowing`: here the stream can be closed, and nothing is behind it then."""

    def __init__(
        self, run: AnyCall, received: CellOutput, tell: Callable[[OutputEvent], Awaitable[None]] | None
    ) -> None:
        self._received, self._tell = received, tell
        self._task: asyncio.Task[Execution] = asyncio.ensure_future(
            run(**{name: self._deliverer(kind) for name, kind in _CALLBACKS.items()})
        )

    def _deliverer(self, kind: EventKind) -> Callable[[SdkItem], Awaitable[None] | None]:
        # Without a listener the callback is a plain function: the SDK awaits nothing, and a flood costs no task switch.
        def keep(item: SdkItem) -> None:
            self._received.take(kind, item)

        if self._tell is None:
            return keep

        async def deliver(item: SdkItem) -> None:
            taken = self._received.take(kind, item)
            if self._tell is not None:
                await self._tell(output_event(kind, taken))

        return deliver

    async def wait(self, timeout: float | None, beyond: float = 0.0) -> bool:
        """Waits for the cell's end. False when `timeout` seconds went by. The task itself delivers the output."""
        if not self._task.done():
            await asyncio.wait({self._task}, timeout=timeout)
        return self._task.done()

    def mute(self) -> None:
        """Stops delivering output; the caller has gone."""
        self._tell = None

    async def close(self) -> None:
        """Closes the stream: the server interrupts the kernel when it sees that."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def succeeded(self) -> bool:
        """See `SyncCell.succeeded`."""
        return self._task.done() and not self._task.cancelled() and self._task.exception() is None

    def execution(self) -> Execution:
        """See `SyncCell.execution`."""
        return self._task.result()


LiveCell = SyncCell | AsyncCell
