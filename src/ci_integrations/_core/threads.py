"""Runs blocking calls in daemon threads, so that a deadline or Ctrl-C never waits for them."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import Any

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
