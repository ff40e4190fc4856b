"""No sandbox outlives its process by accident: at exit and on SIGTERM every session lets go of its sandbox.

Sandboxes that SIGKILL leaves behind end with their lease; `ci-integrations reap` finds them by their tags.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import threading
import time
import weakref
from types import FrameType
from typing import TYPE_CHECKING

from ci_integrations._core.threads import forget_workers
from ci_integrations.errors import ForkedSessionError

if TYPE_CHECKING:
    from ci_integrations._core.state import SessionState

logger = logging.getLogger("ci_integrations")

CREATING_SECONDS = 5.0
"""How long the exit waits for a sandbox that is just being made."""

_live: weakref.WeakSet[SessionState] = weakref.WeakSet()
_armed = threading.Event()
_forked_after_use = False


def watch(session: SessionState) -> None:
    """From now on `session` is let go of at exit. Call before the SDK is used for the first time."""
    if _forked_after_use:
        raise ForkedSessionError(
            "this process was forked from one that had used the E2B SDK, whose transport does not survive fork: open "
            "the first session after the fork, or start workers with the spawn method"
        )
    session.process = session.process or os.getpid()
    _live.add(session)
    if not _armed.is_set():
        _armed.set()
        atexit.register(close_all)


def handle_sigterm() -> None:
    """Only when nobody else handles SIGTERM; Python would else end without its exit functions.

    Called where an interpreter is made, because its first cell may run in a thread, which cannot do it.
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
    """Let go of every open session's sandbox. Takes no lock: it may run in a signal handler."""
    from ci_integrations._core.faces import SyncFace
    from ci_integrations._core.flow import drive
    from ci_integrations._core.lifecycle import Life

    deadline = time.monotonic() + CREATING_SECONDS
    for session in list(_live):
        while session.creating and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            drive(Life(session, SyncFace()).close())
        except Exception as error:  # noqa: BLE001 - the others want to be closed too
            logger.warning("session %s: sandbox %s was not closed: %s", session.id, session.sandbox_id, error)


def _in_forked_child() -> None:
    global _forked_after_use  # noqa: PLW0603 - a fact about this process
    _forked_after_use = _forked_after_use or _armed.is_set()
    _live.clear()
    forget_workers()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_forked_child)
