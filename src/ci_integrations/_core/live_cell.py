"""One running cell as its caller sees it: output is delivered while it runs, and the wait for its end has a limit."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, cast

from ci_integrations._core.flow import AnyCall, MaybeAwaitable
from ci_integrations._core.output import CellOutput, EventKind, OutputEvent, OutputHandler, SdkItem, output_event
from ci_integrations._core.threads import Outcome, in_worker, interrupted_elsewhere, outcome_of

if TYPE_CHECKING:
    from e2b_code_interpreter import Execution

_CALLBACKS: dict[str, EventKind] = {
    "on_stdout": "stdout",
    "on_stderr": "stderr",
    "on_result": "result",
    "on_error": "error",
}


_TICK = 0.25
"""Seconds after which a waiting thread looks whether Ctrl-C was pressed."""


class LiveCell(Protocol):
    """A cell that runs, on either face."""

    def wait(self, timeout: float | None) -> MaybeAwaitable[bool]:
        """Deliver what comes until the cell has ended. False when `timeout` seconds went by before that."""

    def mute(self) -> None:
        """Stop delivering output; the caller has gone."""

    def close(self) -> MaybeAwaitable[None]:
        """Close the stream that the output comes through, where that can be done."""

    def execution(self) -> Execution:
        """Return what the SDK's call returned, or raise its exception. To be called when the cell has ended."""


class SyncCell:
    """A cell under way in a worker thread. Its events are delivered in the thread that waits, by `tell`."""

    def __init__(
        self,
        run: AnyCall,
        received: CellOutput,
        on_output: OutputHandler | None,
        tell: Callable[[OutputHandler | None, OutputEvent], None],
    ) -> None:
        self._events: SimpleQueue[tuple[EventKind, SdkItem] | Outcome] = SimpleQueue()
        self._received, self._on_output, self._tell = received, on_output, tell
        self._done: Outcome | None = None
        self._began_interrupted = interrupted_elsewhere()
        handlers = {name: self._putter(kind) for name, kind in _CALLBACKS.items()}
        in_worker(lambda: self._events.put(outcome_of(lambda: run(**handlers))))

    def _putter(self, kind: EventKind) -> Callable[[SdkItem], None]:
        return lambda item: self._events.put((kind, item))

    def wait(self, timeout: float | None) -> bool:
        """See `LiveCell.wait`. Raises KeyboardInterrupt while Ctrl-C unwinds the main thread."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while self._done is None:
            left = deadline - time.monotonic()
            try:
                event = self._events.get(timeout=max(0.0, min(left, _TICK)))
            except Empty:
                if left <= _TICK:
                    return False
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
        self._received.take(kind, item)
        self._tell(self._on_output, output_event(kind, item))

    def mute(self) -> None:
        """Stop delivering output; the caller has gone."""
        self._on_output = None

    def close(self) -> None:
        """Do nothing: the SDK's sync stream cannot be closed from outside; its own timeout does that later."""

    def execution(self) -> Execution:
        """See `LiveCell.execution`."""
        return cast("Execution", self._done.get() if self._done else None)


class AsyncCell:
    """A cell under way in a task. Its events are delivered by `tell`, in that task."""

    def __init__(
        self,
        run: AnyCall,
        received: CellOutput,
        on_output: OutputHandler | None,
        tell: Callable[[OutputHandler | None, OutputEvent], Awaitable[None]],
    ) -> None:
        self._received, self._on_output, self._tell = received, on_output, tell
        self._task: asyncio.Task[Execution] = asyncio.ensure_future(
            run(**{name: self._deliverer(kind) for name, kind in _CALLBACKS.items()})
        )

    def _deliverer(self, kind: EventKind) -> Callable[[SdkItem], Awaitable[None] | None]:
        if self._on_output is None:
            return lambda item: self._received.take(kind, item)

        async def deliver(item: SdkItem) -> None:
            self._received.take(kind, item)
            await self._tell(self._on_output, output_event(kind, item))

        return deliver

    async def wait(self, timeout: float | None) -> bool:
        """See `LiveCell.wait`. The cell's task delivers its output itself, whether anybody waits or not."""
        if not self._task.done():
            await asyncio.wait({self._task}, timeout=timeout)
        return self._task.done()

    def mute(self) -> None:
        """Stop delivering output; the caller has gone."""
        self._on_output = None

    async def close(self) -> None:
        """Close the stream: the server interrupts the kernel when it sees that."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def execution(self) -> Execution:
        """See `LiveCell.execution`."""
        return self._task.result()
