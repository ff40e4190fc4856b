"""Which interpreter belongs to which conversation: key -> session, made once, shared by sync and async callers."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Self

from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter


class SessionRegistry:
    """Hands out one session per key."""

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(options or {})
        self._mutex = threading.Lock()
        self._sessions: dict[str, CodeInterpreter] = {}

    def session(self, key: str) -> CodeInterpreter:
        """The interpreter of `key`, made (but not opened) on first use."""
        with self._mutex:
            if key not in self._sessions:
                self._sessions[key] = CodeInterpreter(**self._options)
            return self._sessions[key]

    def asession(self, key: str) -> AsyncCodeInterpreter:
        """The same session for `await`."""
        return self.session(key).as_async()

    def keys(self) -> list[str]:
        with self._mutex:
            return list(self._sessions)

    def close_session(self, key: str) -> None:
        with self._mutex:
            session = self._sessions.pop(key, None)
        if session is not None:
            session.close()

    def close(self) -> None:
        for key in self.keys():
            self.close_session(key)

    async def aclose(self) -> None:
        for key in self.keys():
            with self._mutex:
                session = self._sessions.pop(key, None)
            if session is not None:
                await session.as_async().aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
