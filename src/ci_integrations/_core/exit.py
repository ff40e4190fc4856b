"""Lets no sandbox outlive its use: at the process's end, at a signal that ends it, and when nobody holds it any more.

This module knows no session class: `watch` is handed what to close and how. All sessions are closed at once, within
one deadline. Sandboxes that SIGKILL leaves end with their lease; `ci-integrations reap` finds them by their tags.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

from ci_integrations._core.threads import forget_workers, from_worker, when_idle
from ci_integrations.errors import ForkedSessionError

logger = logging.getLogger("ci_integrations")

SIGNALS = tuple(
    number for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if (number := getattr(signal, name, None)) is not None
)
"""Signals that end a program that does not handle them. Ctrl-C raises KeyboardInterrupt: Python's own exit follows."""


class Watched(Protocol):
    """Describes what the exit has to know of a session."""

    id: str
    sandbox_id: str | None
    creating: bool
    process: int | None
    lent: bool
    """True when somebody may use the sandbox without holding the session: by its identity, or by an address in it."""

    @property
    def exit_seconds(self) -> float:
        """How long the process's end may wait for it."""

    @property
    def ends_with_process(self) -> bool:
        """True when its sandbox needs nobody to end it at the process's end."""

    def shrink(self) -> None:
        """Forgets all that is not needed to close it."""

    def is_over(self) -> bool:
        """Returns True when its sandbox has ended by itself."""


W = TypeVar("W", bound=Watched)
Close = Callable[[Any], Awaitable[None]]

# Weak keys: a session that nobody holds any more must be free to go. So a closer may not hold on to it either.
_live: weakref.WeakKeyDictionary[Watched, Close] = weakref.WeakKeyDictionary()
_abandoned: deque[tuple[Watched, Close]] = deque()
"""Sessions that nobody holds any more, with a sandbox that is still to be closed."""
_closing = threading.Lock()
"""Held while abandoned sessions are closed."""
_armed = threading.Event()
_forked_after_use = False


def check_fork() -> None:
    """Raises ForkedSessionError in a process that was forked from one that had used the SDK."""
    if _forked_after_use:
        raise ForkedSessionError(
            "this process was forked from one that had used the E2B SDK, whose transport does not survive fork: open "
            "the first session after the fork, or start workers with the spawn method"
        )


def watch(state: W, close: Callable[[W], Awaitable[None]]) -> None:
    """Awaits `close(state)` at exit. To be called before the SDK is used for the first time.

    Raises ForkedSessionError where `check_fork` does.
    """
    check_fork()
    state.process = state.process or os.getpid()
    _live[state] = close
    if not _armed.is_set():
        _armed.set()
        atexit.register(close_all)
        _arm_worker()


def _arm_worker() -> None:
    """Has a worker of multiprocessing close its sessions: it ends by `os._exit`, without Python's exit functions."""
    process = sys.modules.get("multiprocessing.process")  # loaded in every worker; the others need not load it
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close_all, exitpriority=10)


def abandon(state: W, close: Callable[[W], Awaitable[None]]) -> None:
    """Takes over a session that nobody holds any more: it is closed in the background, or at exit when it is lent.

    Called by the garbage collector, at any moment in any thread: no lock is taken and no thread is started.
    """
    _live.pop(state, None)  # its weak reference may be alive still
    if state.lent:
        state.shrink()
    _abandoned.append((state, close))
    when_idle(_close_abandoned)


def _close_abandoned() -> None:
    with _closing:
        waiting = list(_abandoned)
        kept = {other.sandbox_id for other in list(_live)}
        ending = [one for one in waiting if not one[0].lent and one[0].sandbox_id not in kept]
        _end(ending)
        for one in waiting:
            # Not lent and not ended: another session of this process has the sandbox, and closes it.
            if not one[0].lent or one[0].is_over():
                with contextlib.suppress(ValueError):
                    _abandoned.remove(one)


def handle_signals() -> None:
    """Closes all sessions on the signals that end a program, where it does not handle them itself.

    Python skips its exit functions then. Only the main thread may set a handler, and interpreters are often made in
    another: so this is called where the module is imported, and again where an interpreter is made.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    unhandled = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in sorted({*unhandled} - {*(_caught() if unhandled else ())}):
        signal.signal(number, _ended_by)


def _caught() -> Collection[int]:
    """Returns the signals that something outside of Python's own table handles, such as `faulthandler`."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return ()
    mask = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")), 0)
    return [number for number in SIGNALS if mask >> (number - 1) & 1]


def _ended_by(signum: int, _: FrameType | None) -> None:
    close_all()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    if os.getpid() == 1:  # the kernel gives process 1 no signal that it does not handle
        os._exit(128 + signum)


def close_all() -> None:
    """Closes every session that is left, all at once. No lock is waited for beyond the deadline: it may be a signal."""
    sessions = [one for one in (*_live.items(), *_abandoned) if not one[0].ends_with_process]
    if not sessions:
        return
    seconds = max(state.exit_seconds for state, _ in sessions)
    free = _closing.acquire(timeout=seconds)
    try:
        # In a worker, because this thread may have a running event loop; in this thread where none can be started.
        from_worker(lambda: _end(sessions))
    finally:
        if free:
            _closing.release()


def _end(sessions: Iterable[tuple[Watched, Close]]) -> None:
    listed = list(sessions)
    if listed:
        asyncio.run(_all_ended(listed, max(state.exit_seconds for state, _ in listed)))


async def _all_ended(sessions: list[tuple[Watched, Close]], seconds: float) -> None:
    tasks = {asyncio.ensure_future(_ended(*one, time.monotonic() + seconds)): one[0] for one in sessions}
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for state in (tasks[task] for task in late):
        if state.sandbox_id is not None:
            logger.warning("session %s: sandbox %s was not closed within %g s", state.id, state.sandbox_id, seconds)


async def _ended(state: Watched, close: Close, give_up: float) -> None:
    # A create that is on its way makes a sandbox whose id nobody knows yet: wait until it is known.
    while state.creating and time.monotonic() < give_up:  # noqa: ASYNC110 - it is told by no event of this loop
        await asyncio.sleep(0.01)
    try:
        await close(state)
    except Exception as error:  # noqa: BLE001 - the others are to be closed too
        logger.warning("session %s: sandbox %s was not closed: %s", state.id, state.sandbox_id, error)


def _in_forked_child() -> None:
    global _forked_after_use, _closing  # noqa: PLW0603 - facts about this process
    _forked_after_use = _forked_after_use or _armed.is_set()
    _live.clear()  # the sandboxes are the parent's to close
    _abandoned.clear()
    _closing = threading.Lock()
    forget_workers()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_forked_child)
handle_signals()
