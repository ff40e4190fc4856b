"""The two faces of doing: `SyncIO` blocks, `AsyncIO` returns awaitables. Same names, so that one flow serves both.

Nothing here decides anything. The sync face runs the SDK's blocking calls in a worker thread while the caller waits
in Python: the SDK's Rust transport looks at no signal, so Ctrl-C, SIGTERM and deadlines would else wait for the cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, Literal

from ci_integrations._cell import EventKind, OutputEvent, OutputHandler, Received, output_event
from ci_integrations._locks import FairLock

_CALLBACKS: dict[str, EventKind] = {
    "on_stdout": "stdout",
    "on_stderr": "stderr",
    "on_result": "result",
    "on_error": "error",
}

_TICK = 0.25
"""Seconds after which a waiting thread looks whether Ctrl-C was pressed."""

_NO_SANDBOX = "no answer in time to the call that makes a sandbox"

_idle: list[SimpleQueue[Callable[[], None]]] = []


def _worker(jobs: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        jobs.get()()
        _idle.append(jobs)


def in_worker(job: Callable[[], None]) -> None:
    """Run `job` in a daemon thread, an idle one if there is one. `job` must not raise.

    Here and now where no thread can be had: Python 3.12 starts none at its end, when sandboxes are let go of.
    """
    try:
        jobs = _idle.pop()
    except IndexError:
        jobs = SimpleQueue()
        try:
            threading.Thread(target=_worker, args=(jobs,), name="ci-integrations-call", daemon=True).start()
        except RuntimeError:
            job()
            return
    jobs.put(job)


_looking = threading.Lock()


def _exceptions() -> dict[int, Any]:
    """What each thread is handling. CPython holds a lock meanwhile; garbage collected then would wait for it for ever
    (python/cpython#106883).
    """
    with _looking:
        collecting = gc.isenabled()
        gc.disable()
        try:
            return sys._current_exceptions()  # noqa: SLF001 - documented
        finally:
            if collecting:
                gc.enable()


def interrupted_elsewhere() -> bool:
    """True while Ctrl-C unwinds the main thread, in the thread of an agent's tool for which it then waits."""
    if threading.current_thread() is threading.main_thread():
        return False
    active: Any = _exceptions().get(threading.main_thread().ident or 0)
    return isinstance(active[1] if isinstance(active, tuple) else active, KeyboardInterrupt)


def forget_workers() -> None:
    """In a forked child: the threads did not come along."""
    _idle.clear()


class _Done:
    """How a call ended."""

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value, self.error = value, error

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


def _outcome(call: Callable[[], Any]) -> _Done:
    try:
        return _Done(call())
    except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
        return _Done(error=error)


def _from_worker(call: Callable[[], Any], timeout: float | None = None) -> Any:
    """What `call` gives in a worker thread; TimeoutError after `timeout` seconds."""
    done: SimpleQueue[_Done] = SimpleQueue()
    in_worker(lambda: done.put(_outcome(call)))
    try:
        return done.get(timeout=timeout).get()
    except Empty:
        raise TimeoutError(f"no answer within {timeout:g} s") from None


async def _awaited(answer: Awaitable[None]) -> None:
    await answer


class SyncCell:
    """A cell under way in a worker thread. Its events are delivered in the thread that waits."""

    def __init__(self, run: Callable[..., Any], received: Received, on_output: OutputHandler | None) -> None:
        self._events: SimpleQueue[tuple[EventKind, Any] | _Done] = SimpleQueue()
        self._received, self._on_output = received, on_output
        self._done: _Done | None = None
        self._began_interrupted = interrupted_elsewhere()
        handlers = {name: self._putter(kind) for name, kind in _CALLBACKS.items()}
        in_worker(lambda: self._events.put(_outcome(lambda: run(**handlers))))

    def _putter(self, kind: EventKind) -> Callable[[Any], None]:
        return lambda item: self._events.put((kind, item))

    def wait(self, timeout: float | None) -> bool:
        """Deliver what comes until the cell has ended; False when `timeout` seconds went by before that."""
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
            if isinstance(event, _Done):
                self._done = event
            else:
                self._deliver(*event)
        return True

    def _deliver(self, kind: EventKind, item: Any) -> None:
        self._received.take(kind, item)
        SyncIO.tell(self._on_output, output_event(kind, item))

    def mute(self) -> None:
        """Tell the caller no more; he has left."""
        self._on_output = None

    def close(self) -> None:
        """The SDK's sync stream cannot be closed from outside; its own timeout does that later."""

    def execution(self) -> Any:
        """The SDK's Execution, or its exception raised."""
        return self._done.get() if self._done else None


class AsyncCell:
    """A cell under way in a task."""

    def __init__(self, run: Callable[..., Any], received: Received, on_output: OutputHandler | None) -> None:
        self._received, self._on_output = received, on_output
        self._task: asyncio.Task[Any] = asyncio.ensure_future(
            run(**{name: self._deliverer(kind) for name, kind in _CALLBACKS.items()})
        )

    def _deliverer(self, kind: EventKind) -> Callable[[Any], Awaitable[None] | None]:
        if self._on_output is None:
            return lambda item: self._received.take(kind, item)

        async def deliver(item: Any) -> None:
            self._received.take(kind, item)
            await AsyncIO.tell(self._on_output, output_event(kind, item))

        return deliver

    async def wait(self, timeout: float | None) -> bool:
        if not self._task.done():
            await asyncio.wait({self._task}, timeout=timeout)
        return self._task.done()

    def mute(self) -> None:
        """Tell the caller no more; he has left."""
        self._on_output = None

    async def close(self) -> None:
        """Close the stream: the server interrupts the kernel when it sees that."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def execution(self) -> Any:
        return self._task.result() if self._task.done() else None


class SyncIO:
    """Blocks the caller, but never in a way that keeps signals from being handled."""

    kind: Literal["sync", "async"] = "sync"
    start_cell = SyncCell

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


class AsyncIO:
    """Returns awaitables."""

    kind: Literal["sync", "async"] = "async"
    start_cell = AsyncCell

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
            await AsyncIO.shielded(lambda: asyncio.wait({task}, timeout=timeout))
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


IO = SyncIO | AsyncIO
