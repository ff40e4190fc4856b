"""Keeps the session of each conversation: by key, made once, shared by sync and async callers.

The registry also decides what happens to sandboxes that nobody uses: how many there may be, and what becomes of the
one used least recently. A session outlives its sandbox: its next cell gets a new one and says what was lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import Any, Literal

from ci_integrations._closing import AsyncClosing, Closing
from ci_integrations._core.engine import Engine
from ci_integrations._core.faces import SyncFace
from ci_integrations._core.flow import drive
from ci_integrations._core.state import SessionState
from ci_integrations._core.threads import in_worker
from ci_integrations._errors import ConfigurationError
from ci_integrations.errors import SandboxBusyError
from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter, InterpreterOptions
from ci_integrations.leftovers import Leftover, list_leftovers, reap
from ci_integrations.results.memory import DEFAULT_BYTES, Budget, Kept

__all__ = ["Idle", "Leftover", "SessionRegistry", "list_leftovers", "reap"]

logger = logging.getLogger("ci_integrations")

Idle = Literal["kill", "pause", "keep"]


class SessionRegistry(Closing, AsyncClosing):
    """Hands out one session for each key.

    `options`: what `CodeInterpreter` takes. `max_sessions`: how many sandboxes may be open at once; the least recently
    used idle one gives way (None: no limit). `max_created`: how many sandboxes this registry may make in all.
    `idle`: what giving way, `close` and process exit do to a sandbox: `"kill"` it, `"pause"` it (it also pauses
    instead of dying when its lifetime is over), or `"keep"` it to its lifetime for another process to go on with.
    `idle_ttl`: seconds without a cell after which that happens; looked at when the registry is used, while the
    sandbox's own lifetime (`sandbox_timeout`) ends it whatever happens to this process.
    `max_bytes`: what earlier results of all its sessions may take of this process's memory together. They are kept for
    `last_result`, and so that a tool call that comes again does not run again; of the oldest only the ends stay.
    `clock`: where "now" comes from, for tests.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | InterpreterOptions | None = None,
        *,
        max_sessions: int | None = None,
        max_created: int | None = None,
        idle: Idle = "kill",
        idle_ttl: float | None = None,
        max_bytes: int = DEFAULT_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if idle not in ("kill", "pause", "keep"):
            raise ConfigurationError(f'idle must be "kill", "pause" or "keep", not {idle!r}')
        self._options = options.arguments() if isinstance(options, InterpreterOptions) else dict(options or {})
        if "sandbox" in self._options:
            raise ConfigurationError("a registry makes one sandbox per key: hand a sandbox to CodeInterpreter instead")
        if idle == "pause":
            self._options.setdefault("lifecycle", {"on_timeout": "pause"})
        self._max, self._max_created = max_sessions, max_created
        self._idle, self._ttl, self._clock = idle, idle_ttl, clock
        self._budget = Budget(max_bytes)
        self._mutex = Lock()
        self._sessions: dict[str, CodeInterpreter] = {}
        self._used: dict[str, float] = {}
        self._gone_seconds = 0.0
        self._gone_created = 0

    def session(self, key: str) -> CodeInterpreter:
        """Returns the interpreter of `key`, made on first use; its sandbox is made when its first cell runs."""
        return self._entry(key, self._new)

    def asession(self, key: str) -> AsyncCodeInterpreter:
        """Returns the interpreter of `key` for `await`: the same sandbox, the same kernels."""
        return self.session(key).as_async()

    def adopt(self, key: str, identity: Mapping[str, Any], *, owns: bool = True) -> CodeInterpreter:
        """Goes on with another process's session under `key`. A session that `key` has already stays."""
        return self._entry(key, lambda: CodeInterpreter.from_identity(identity, owns=owns, **self._options))

    def identity(self, key: str) -> dict[str, Any]:
        """Returns the session of `key` as plain JSON, for `adopt` in another process."""
        return self.session(key).identity()

    def keys(self) -> list[str]:
        """Returns the keys that have a session, the most recently used last."""
        with self._mutex:
            return list(self._used)

    def prewarm(self, key: str) -> None:
        """Makes the sandbox of `key` in the background. A failure shows itself at the first cell, which tries again."""
        lifecycle = Engine(self.session(key).state, SyncFace()).lifecycle
        in_worker(lambda: _quietly(lambda: drive(lifecycle.open())))

    def sandbox_seconds(self) -> float:
        """Returns how many seconds the sandboxes of this registry have lived, all together."""
        with self._mutex:
            sessions = [session.state for session in self._sessions.values()]
        running = sum(time.monotonic() - state.born for state in sessions if state.born)
        return self._gone_seconds + running + sum(state.seconds_used for state in sessions)

    def close_session(self, key: str) -> None:
        """Closes one session. A key that has none is fine."""
        session = self._pop(key)
        if session is not None:
            session.close()
            self._bury(session)

    async def aclose_session(self, key: str) -> None:
        """Closes one session. A key that has none is fine."""
        session = self._pop(key)
        if session is not None:
            await session.as_async().aclose()
            self._bury(session)

    def close(self) -> None:
        """Closes all sessions. The registry can be used again."""
        for key in self.keys():
            self.close_session(key)

    async def aclose(self) -> None:
        """Closes all sessions. The registry can be used again."""
        for key in self.keys():
            await self.aclose_session(key)

    def _new(self) -> CodeInterpreter:
        return CodeInterpreter(**self._options)

    def _entry(self, key: str, make: Callable[[], CodeInterpreter]) -> CodeInterpreter:
        with self._mutex:
            if key not in self._sessions:
                self._check_created()
                session = make()
                session.state.at_exit, session.state.clock = self._idle, self._clock
                session.state.last_used = self._clock()
                session.state.answers = Kept(self._budget)
                session.state.check_quota = partial(self._admit, session.state)
                self._sessions[key] = session
            self._used.pop(key, None)
            self._used[key] = self._clock()
            leaving = list(self._leaving(key))
            session = self._sessions[key]
        for other in leaving:
            self._park(other)
        return session

    def _admit(self, state: SessionState) -> None:
        """Is asked before each sandbox that is made, for a new session or in a lost one's place.

        Raises SandboxBusyError when the registry may make no more.
        """
        with self._mutex:
            self._check_created()
            state.creating = True  # counted from here on: two sessions must not share the last place

    def _check_created(self) -> None:
        made = self._gone_created + sum(s.state.created + s.state.creating for s in self._sessions.values())
        if self._max_created is not None and made >= self._max_created:
            raise SandboxBusyError(f"this registry may make {self._max_created} sandboxes and has made them all")

    def _leaving(self, key: str) -> Iterator[CodeInterpreter]:
        """Yields the sessions whose sandbox has to give way, the least recently used first."""
        open_now = [session for session in self._sessions.values() if session.state.handles]
        resting = [s for s in open_now if s is not self._sessions[key] and not s.state.under_way]
        resting.sort(key=lambda session: session.state.last_used)
        wanted = len(open_now) + (not self._sessions[key].state.handles)
        excess = 0 if self._max is None else wanted - self._max
        for position, session in enumerate(resting):
            if position < excess or self._is_idle_too_long(session):
                yield session

    def _is_idle_too_long(self, session: CodeInterpreter) -> bool:
        return self._ttl is not None and self._clock() - session.state.last_used >= self._ttl

    def _park(self, session: CodeInterpreter) -> None:
        """Parks a sandbox in the background: asking for a session must not wait for another's end."""
        lifecycle = Engine(session.state, SyncFace()).lifecycle

        def park() -> None:
            drive(lifecycle.park(self._idle))
            if not session.state.handles:
                session.state.rest()

        in_worker(lambda: _quietly(park))

    def _pop(self, key: str) -> CodeInterpreter | None:
        with self._mutex:
            self._used.pop(key, None)
            return self._sessions.pop(key, None)

    def _bury(self, session: CodeInterpreter) -> None:
        with self._mutex:
            self._gone_seconds += session.state.seconds_used
            self._gone_created += session.state.created


def _quietly(action: Callable[[], Any]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the session's next cell meets it again and tells
        logger.info("in the background: %s", error)
