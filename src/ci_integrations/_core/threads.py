"""Runs blocking calls in daemon threads, so that a deadline or Ctrl-C never waits for them."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue

_idle: list[SimpleQueue[Callable[[], None]]] = []
_waiting: deque[Callable[[], None]] = deque()
"""Jobs for a worker that has nothing else to do."""


def _worker(jobs: SimpleQueue[Callable[[], None]]) -> None:
    # A worker stays for the next job: starting a thread for each call would cost more than most calls.
    while True:
        jobs.get()()
        _idle.append(jobs)
        if _waiting:
            _wake()


def when_idle(job: Callable[[], None]) -> None:
    """Runs `job` in an idle worker, at once or when one is idle again. `job` must not raise.

    Neither a lock is taken nor a thread started: it may be called by the garbage collector.
    """
    _waiting.append(job)
    _wake()


def _wake() -> None:
    try:
        _idle.pop().put(_do_what_waits)
    except IndexError:  # all are busy: the next that has done its job looks here
        return


def _do_what_waits() -> None:
    while True:
        try:
            job = _waiting.popleft()
        except IndexError:
            return
        job()


def in_worker(job: Callable[[], None]) -> None:
    """Runs `job` in a daemon thread, an idle one if there is one. `job` must not raise.

    It runs in the calling thread if no thread can be started: since 3.12 Python refuses new threads during shutdown,
    which is when sandboxes are killed.
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


def _exception_of(thread: int) -> object:
    """Returns the exception that a thread is handling, or None."""
    with _looking:
        # CPython holds a lock during the call. A garbage collection that starts in it and runs a finalizer would wait
        # for that lock for ever (python/cpython#106883).
        collecting = gc.isenabled()
        gc.disable()
        try:
            active = sys._current_exceptions().get(thread)  # noqa: SLF001 - documented
        finally:
            if collecting:
                gc.enable()
    return active[1] if isinstance(active, tuple) else active  # Python 3.11 gives an `exc_info` tuple


def interrupted_elsewhere() -> bool:
    """Returns True in a thread other than the main one while Ctrl-C unwinds the main thread.

    An agent's tools run in such threads, and the main thread waits for them to end before the program can.
    """
    if threading.current_thread() is threading.main_thread():
        return False
    return isinstance(_exception_of(threading.main_thread().ident or 0), KeyboardInterrupt)


def forget_workers() -> None:
    """Starts with no idle thread: in a forked child, where the parent's threads do not exist."""
    _idle.clear()
    _waiting.clear()


class Outcome:
    """Holds how a call ended: with a value, or with an exception that is raised where the caller waits."""

    def __init__(self, value: object = None, error: BaseException | None = None) -> None:
        self.value, self.error = value, error

    def get(self) -> object:
        """Returns the value, or raises the exception."""
        if self.error is not None:
            raise self.error
        return self.value


def outcome_of(call: Callable[[], object]) -> Outcome:
    """Makes a call. Never raises."""
    try:
        return Outcome(call())
    except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
        return Outcome(error=error)


def from_worker(call: Callable[[], object], timeout: float | None = None) -> object:
    """Returns what `call` returns in a worker thread. Raises what it raises; TimeoutError after `timeout` seconds."""
    done: SimpleQueue[Outcome] = SimpleQueue()
    in_worker(lambda: done.put(outcome_of(call)))
    try:
        return done.get(timeout=timeout).get()
    except Empty:
        raise TimeoutError(f"no answer within {timeout:g} s") from None


async def awaited(answer: Awaitable[object]) -> None:
    """Awaits anything: `asyncio.run` takes coroutines only."""
    await answer
