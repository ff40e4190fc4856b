"""Lets no sandbox outlive its process by accident: at exit and on SIGTERM every open session is closed.

This module knows no session class: `watch` is handed what to close and how. Sandboxes that SIGKILL leaves behind end
with their lease; `ci-integrations reap` finds them by their tags.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol, TypeVar

from ci_integrations._core.threads import forget_workers
from ci_integrations.errors import ForkedSessionError

logger = logging.getLogger("ci_integrations")

CREATING_SECONDS = 5.0
"""How long the exit waits for a sandbox that is just being made."""


class Watched(Protocol):
    """Describes what the exit has to know of a session."""

    id: str
    sandbox_id: str | None
    creating: bool
    process: int | None


W = TypeVar("W", bound=Watched)

# Weak keys: a session that nobody holds any more must be free to go. So a closer may not hold on to it either.
_live: weakref.WeakKeyDictionary[Watched, Callable[[Any], None]] = weakref.WeakKeyDictionary()
_armed = threading.Event()
_forked_after_use = False


def watch(state: W, close: Callable[[W], None]) -> None:
    """Calls `close(state)` at exit. To be called before the SDK is used for the first time.

    Raises ForkedSessionError in a process that was forked from one that had used the SDK.
    """
    if _forked_after_use:
        raise ForkedSessionError(
            "this process was forked from one that had used the E2B SDK, whose transport does not survive fork: open "
            "the first session after the fork, or start workers with the spawn method"
        )
    state.process = state.process or os.getpid()
    _live[state] = close
    if not _armed.is_set():
        _armed.set()
        atexit.register(close_all)


def handle_sigterm() -> None:
    """Closes all sessions on SIGTERM, if the program does not handle it itself: Python skips its exit functions then.

    Called where an interpreter is made, because its first cell may run in a thread, where Python sets no handler.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(signum: int, _: FrameType | None) -> None:
    close_all()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def close_all() -> None:
    """Closes every open session. Takes no lock, because it may run in a signal handler."""
    deadline = time.monotonic() + CREATING_SECONDS
    for state, close in list(_live.items()):
        # A create that is on its way makes a sandbox whose id nobody knows yet: wait until it is known.
        while state.creating and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            close(state)
        except Exception as error:  # noqa: BLE001 - the others are to be closed too
            logger.warning("session %s: sandbox %s was not closed: %s", state.id, state.sandbox_id, error)


def _in_forked_child() -> None:
    global _forked_after_use  # noqa: PLW0603 - a fact about this process
    _forked_after_use = _forked_after_use or _armed.is_set()
    _live.clear()  # the sandboxes are the parent's to close
    forget_workers()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_forked_child)
