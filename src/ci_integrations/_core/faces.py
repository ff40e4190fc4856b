"""The two faces of doing: `SyncFace` blocks, `AsyncFace` returns awaitables. Same names, so that one flow serves both.

Nothing here decides anything. The sync face runs the SDK's blocking calls in a worker thread while the caller waits
in Python: the SDK's Rust transport looks at no signal, so Ctrl-C, SIGTERM and deadlines would else wait for the cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, Literal

from ci_integrations._core.live_cell import AsyncCell, SyncCell
from ci_integrations._core.locks import FairLock
from ci_integrations._core.output import CellOutput, OutputEvent, OutputHandler
from ci_integrations._core.threads import _awaited, _Done, _from_worker, _outcome, in_worker

_NO_SANDBOX = "no answer in time to the call that makes a sandbox"


class SyncFace:
    """Blocks the caller, but never in a way that keeps signals from being handled."""

    kind: Literal["sync", "async"] = "sync"

    @staticmethod
    def start_cell(run: Callable[..., Any], received: CellOutput, on_output: OutputHandler | None) -> SyncCell:
        return SyncCell(run, received, on_output, SyncFace.tell)

    @staticmethod
    def sandbox_class() -> Any:
        from e2b_code_interpreter import Sandbox

        return Sandbox

    @staticmethod
    def call(function: Callable[..., Any], /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """`function(...)`, bounded by `timeout` seconds (TimeoutError). In the main thread it can be interrupted."""
        if timeout is None and threading.current_thread() is not threading.main_thread():
            return function(*args, **kwargs)
        return _from_worker(lambda: function(*args, **kwargs), timeout)

    @staticmethod
    def finish(
        create: Callable[..., Any], keep: Callable[[Any], None], kwargs: Mapping[str, Any], timeout: float
    ) -> None:
        """`keep(create(...))`, even when the caller is interrupted meanwhile: what was made must not be forgotten.

        After `timeout` seconds: TimeoutError, and a sandbox that comes later is killed.
        """
        done: SimpleQueue[_Done] = SimpleQueue()
        decided = threading.Lock()

        def make() -> None:
            made = create(**kwargs)
            if decided.acquire(blocking=False):
                keep(made)
            else:
                made.kill()

        in_worker(lambda: done.put(_outcome(make)))
        try:
            outcome = done.get(timeout=timeout)
        except Empty:
            if decided.acquire(blocking=False):
                raise TimeoutError(_NO_SANDBOX) from None
            outcome = done.get()
        except BaseException:
            with contextlib.suppress(Empty):
                done.get(timeout=timeout)
            decided.acquire(blocking=False)
            raise
        outcome.get()

    blocking = call
    sleep = staticmethod(time.sleep)

    @staticmethod
    def shielded(call: Callable[[], Any]) -> Any:
        """`call()`; only the async face knows cancellation."""
        return call()

    @staticmethod
    def acquire(lock: FairLock, timeout: float | None = None) -> bool:
        return lock.acquire(timeout)

    @staticmethod
    def tell(on_output: OutputHandler | None, event: OutputEvent) -> None:
        """An async callable is awaited in a thread of its own: the caller's may have a running loop."""
        answer: Any = on_output(event) if on_output is not None else None
        if inspect.isawaitable(answer):
            _from_worker(lambda: asyncio.run(_awaited(answer)))


class AsyncFace:
    """Returns awaitables."""

    kind: Literal["sync", "async"] = "async"

    @staticmethod
    def start_cell(run: Callable[..., Any], received: CellOutput, on_output: OutputHandler | None) -> AsyncCell:
        return AsyncCell(run, received, on_output, AsyncFace.tell)

    @staticmethod
    def sandbox_class() -> Any:
        from e2b_code_interpreter import AsyncSandbox

        return AsyncSandbox

    @staticmethod
    async def call(function: Callable[..., Any], /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        async with asyncio.timeout(timeout):
            return await function(*args, **kwargs)

    @staticmethod
    async def finish(
        create: Callable[..., Any], keep: Callable[[Any], None], kwargs: Mapping[str, Any], timeout: float
    ) -> None:
        late = False

        async def make() -> None:
            made = await create(**kwargs)
            if late:
                await made.kill()
            else:
                keep(made)

        task = asyncio.ensure_future(make())
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        try:
            await AsyncFace.shielded(lambda: asyncio.wait({task}, timeout=timeout))
        finally:
            late = not task.done()
        if late:
            raise TimeoutError(_NO_SANDBOX)
        await task

    @staticmethod
    async def shielded(call: Callable[[], Awaitable[Any]]) -> Any:
        """`call()` to its end, whoever cancels meanwhile; the cancellation is raised after it."""
        from anyio import CancelScope

        task = asyncio.ensure_future(call())
        cancelled: asyncio.CancelledError | None = None
        with CancelScope(shield=True):  # a scope of anyio's cancels again and again
            while not task.done():
                try:
                    await asyncio.wait({task})
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled
        return task.result()

    @staticmethod
    async def blocking(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """A blocking function of our own (starting the local server), off the loop."""
        return await asyncio.to_thread(function, *args, **kwargs)

    sleep = staticmethod(asyncio.sleep)

    @staticmethod
    def acquire(lock: FairLock, timeout: float | None = None) -> Awaitable[bool]:
        return lock.aacquire(timeout)

    @staticmethod
    async def tell(on_output: OutputHandler | None, event: OutputEvent) -> None:
        if on_output is not None:
            answer: Any = on_output(event)
            if inspect.isawaitable(answer):
                await answer


Face = SyncFace | AsyncFace
