"""Which interpreter serves which conversation. The tools, the middleware and the backend come here.

The key is the thread's id and, inside a sub-agent, the part of `checkpoint_ns` that names the sub-agent's own run. Its
last part names a single call and is dropped. So a sub-agent's sandbox lives as long as its own memory does.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from pydantic import SecretStr

Scope = Literal["thread", "call", "tool"] | Callable[[RunnableConfig], str]
"""One session for each conversation, for each call, for the tool object; or the key that a function gives."""

_log = logging.getLogger(__name__)


class Sessions:
    """Hands out interpreters. Makes a `SessionRegistry` on first use, unless one was handed in.

    Pickling keeps the options and leaves the live sandboxes behind.
    """

    def __init__(self, options: Mapping[str, Any], scope: Scope = "thread", registry: Any = None) -> None:
        self._options = dict(options)
        self._scope = scope
        self._registry = registry
        self._owned = registry is None
        self._start()

    def _start(self) -> None:
        self._own_key = f"tool-{uuid.uuid4().hex[:12]}"
        self._lock = threading.Lock()
        self._runs: dict[object, int] = {}
        self._warned = False

    @property
    def registry(self) -> Any:
        with self._lock:
            if self._registry is None:
                from ci_integrations.sessions import SessionRegistry

                self._registry = SessionRegistry(revealed(self._options))
            return self._registry

    def session(self, key: str) -> Any:
        return self.registry.session(key)

    def asession(self, key: str) -> Any:
        return self.registry.asession(key)

    def key(self, config: RunnableConfig | None) -> str:
        """The session's key for this call."""
        if callable(self._scope):
            return self._scope(config or {})
        if self._scope == "call":
            return f"call-{uuid.uuid4().hex[:12]}"
        return (thread_key(config) if self._scope == "thread" else None) or self._own_key

    @contextmanager
    def turn(self, key: str, run: object) -> Iterator[None]:
        """Around each call: warns, once, when two runs without a thread_id share the tool's own session."""
        if key != self._own_key or self._scope == "tool":
            yield
            return
        self._enter(run)
        try:
            yield
        finally:
            self._leave(run)

    def ends_with_call(self) -> bool:
        return self._scope == "call"

    def close(self) -> None:
        """Close the sessions made here; a registry that was handed in is its owner's to close."""
        if self._owned and self._registry is not None:
            self._registry.close()

    async def aclose(self) -> None:
        if self._owned and self._registry is not None:
            await self._registry.aclose()

    def _enter(self, run: object) -> None:
        with self._lock:
            self._runs[run] = self._runs.get(run, 0) + 1
            if len(self._runs) == 1 or self._warned:
                return
            self._warned = True
        _log.warning(
            "runs without a thread_id overlap and share one sandbox, variables and files included: "
            'give each conversation its own, config={"configurable": {"thread_id": ...}}'
        )

    def _leave(self, run: object) -> None:
        with self._lock:
            self._runs[run] -= 1
            if not self._runs[run]:
                del self._runs[run]

    def __getstate__(self) -> dict[str, Any]:
        registry = None if self._owned else self._registry
        return {"_options": self._options, "_scope": self._scope, "_registry": registry, "_owned": self._owned}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def thread_key(config: RunnableConfig | None) -> str | None:
    """The conversation that `config` belongs to; None when it names none."""
    configurable = (config or {}).get("configurable") or {}
    thread = configurable.get("thread_id")
    if thread is None:
        return None
    above, _, _ = str(configurable.get("checkpoint_ns") or "").rpartition("|")
    return f"{thread}/{above}" if above else str(thread)


def revealed(value: Any) -> Any:
    """`value` with every SecretStr opened, at the last moment before it is handed to the interpreter."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    return value
