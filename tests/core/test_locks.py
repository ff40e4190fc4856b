"""The turn: first come, first served, for threads and tasks together; who gives up neither takes nor keeps one."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ci_integrations._core.locks import FairLock


def waiting(lock: FairLock, number: int) -> bool:
    return len(lock._queue) == number


def until(condition: object) -> None:
    deadline = time.monotonic() + 5
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_threads_and_tasks_take_turns_in_the_order_they_came() -> None:
    lock, order = FairLock(), []
    assert lock.acquire()

    def thread(name: str) -> None:
        lock.acquire()
        order.append(name)
        lock.release()

    async def task(name: str) -> None:
        await lock.aacquire()
        order.append(name)
        lock.release()

    waiters = []
    for number in range(6):
        target = thread if number % 2 else lambda name: asyncio.run(task(name))
        waiters.append(threading.Thread(target=target, args=(str(number),)))
        waiters[-1].start()
        until(lambda number=number: waiting(lock, number + 1))
    lock.release()
    for waiter in waiters:
        waiter.join(5)
    assert order == list("012345")
    assert not lock.locked()


def test_a_waiter_whose_time_is_up_leaves_the_queue() -> None:
    lock = FairLock()
    lock.acquire()
    assert lock.acquire(timeout=0.01) is False
    assert asyncio.run(lock.aacquire(timeout=0.01)) is False
    assert waiting(lock, 0)
    lock.release()
    assert lock.acquire(timeout=0)


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    lock = FairLock()
    await lock.aacquire()
    task = asyncio.create_task(lock.aacquire())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    lock.release()
    assert not lock.locked()


async def test_a_turn_given_to_a_cancelled_waiter_goes_on_to_the_next() -> None:
    lock = FairLock()
    await lock.aacquire()
    first, second = asyncio.create_task(lock.aacquire()), asyncio.create_task(lock.aacquire())
    await asyncio.sleep(0)
    lock.release()
    first.cancel()
    assert await asyncio.wait_for(second, 1)
    assert lock.locked()


def test_a_waiter_whose_loop_was_closed_is_passed_over() -> None:
    lock = FairLock()
    lock.acquire()
    loop = asyncio.new_event_loop()
    waiter = loop.create_task(lock.aacquire())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    lock.release()
    assert not lock.locked()
    waiter._log_destroy_pending = False  # type: ignore[attr-defined]
