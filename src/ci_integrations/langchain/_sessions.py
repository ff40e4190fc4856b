"""Which interpreter serves which conversation. The tools, the middleware and the backend come here.

The key is the thread's id and, inside a sub-agent, the part of `checkpoint_ns` that names the sub-agent's own run. Its
last part names a single call and is dropped. So a sub-agent's sandbox lives as long as its own memory does.
"""

from __future__ import annotations

import inspect
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from pydantic import SecretStr

from ci_integrations._core.flow import Flow
from ci_integrations._errors import ConfigurationError
from ci_integrations.interpreter import CodeInterpreter
from ci_integrations.sessions import SessionRegistry

Scope = Literal["thread", "call", "tool"] | Callable[[RunnableConfig], str]
"""One session for each conversation, for each call, for the tool object; or the key that a function gives ("": the
tool object's own)."""

_log = logging.getLogger(__name__)


class Sessions:
    """Hands out interpreters. Makes a `SessionRegistry` on first use, unless one, or an interpreter, was handed in.

    Pickling keeps the options and leaves the live sandboxes behind.
    """

    def __init__(self, options: Mapping[str, Any] | None = None, scope: Scope = "thread", given: Any = None) -> None:
        self._options = dict(options or {})
        self._scope = scope
        self._given = given
        self._check()
        if "sandbox" in self._options:
            self._given, self._options = CodeInterpreter(**revealed(self._options)), {}
        self._start()

    def _check(self) -> None:
        """A wrong option is the programmer's to hear of now, not the model's at its first call."""
        if not callable(self._scope) and self._scope not in ("thread", "call", "tool"):
            raise ConfigurationError(
                f'session_scope is "thread", "call", "tool" or a function of the config, not {self._scope!r}'
            )
        if self._given is not None and not hasattr(self._given, "asession") and not hasattr(self._given, "run"):
            raise ConfigurationError(
                f"interpreter takes a SessionRegistry or a CodeInterpreter, not {type(self._given).__name__}"
            )
        if self._given is not None and self._options:
            raise ConfigurationError(
                f"{sorted(self._options)} belong to the interpreter that is handed in: set them there"
            )
        if self._given is None:
            CodeInterpreter(**revealed(self._options))

    def _start(self) -> None:
        self._own_key = f"tool-{uuid.uuid4().hex[:12]}"
        self._lock = threading.Lock()
        self._registry = self._given if hasattr(self._given, "asession") else None
        self._runs: dict[object, int] = {}
        self._warned = False

    @property
    def registry(self) -> Any:
        with self._lock:
            if self._registry is None:
                self._registry = SessionRegistry(revealed(self._options))
            return self._registry

    @property
    def shares_interpreter(self) -> bool:
        """True when one interpreter was handed in for everybody."""
        return self._given is not None and not hasattr(self._given, "asession")

    def session(self, key: str) -> Any:
        if self.shares_interpreter:
            return self._given.as_sync() if hasattr(self._given, "as_sync") else self._given
        return self.registry.session(key)

    def asession(self, key: str) -> Any:
        if self.shares_interpreter:
            return self._given.as_async() if hasattr(self._given, "as_async") else self._given
        return self.registry.asession(key)

    def key(self, config: RunnableConfig | None) -> str:
        """The session's key for this call."""
        if self.shares_interpreter:
            return self._own_key
        if callable(self._scope):
            return self._scope(config or {}) or self._own_key
        if self._scope == "call":
            return f"call-{uuid.uuid4().hex[:12]}"
        return (thread_key(config) if self._scope == "thread" else None) or self._own_key

    @contextmanager
    def turn(self, key: str, run: object) -> Iterator[None]:
        """Around each call: warns, once, when two runs without a thread_id share the tool's own session."""
        if key != self._own_key or self._scope == "tool" or self.shares_interpreter:
            yield
            return
        self._enter(run)
        try:
            yield
        finally:
            self._leave(run)

    @property
    def ends_with_call(self) -> bool:
        return self._scope == "call" and not self.shares_interpreter

    def knows(self, key: str) -> bool:
        """True when `key` has a session in this process."""
        return self.shares_interpreter or key in self.registry.keys()  # noqa: SIM118 - a method of the registry

    def identity(self, key: str) -> dict[str, Any] | None:
        """What another process needs to go on in this session; None before its sandbox exists."""
        if self.shares_interpreter or not self.knows(key) or self.session(key).sandbox_id is None:
            return None
        identity: dict[str, Any] = self.registry.identity(key)
        return identity

    def prewarm(self, key: str) -> None:
        """Open the sandbox in the background. A failure shows itself at the first call, which tries again."""
        if not self.shares_interpreter and self.session(key).sandbox_id is None:
            self.registry.prewarm(key)

    def pause(self, session: Any) -> Flow[None]:
        """Pause the session's sandbox, if it has one: the next call resumes it, variables and all."""
        if session.sandbox_id is not None:
            sandbox = yield opened(session)
            yield sandbox.pause

    def end(self, session: Any, key: str) -> Any:
        """Close one session. Awaitable when `session` is an asynchronous one."""
        registry = self.registry
        return registry.aclose_session(key) if inspect.iscoroutinefunction(session.run) else registry.close_session(key)

    def close(self) -> None:
        """Close the sessions made here; a registry that was handed in is its owner's to close."""
        if self._given is None and self._registry is not None:
            self._registry.close()

    async def aclose(self) -> None:
        if self._given is None and self._registry is not None:
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
        return {"_options": self._options, "_scope": self._scope, "_given": self._given}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def opened(session: Any) -> Callable[[], Any]:
    """A step that gives the SDK's own sandbox object."""
    return session.open if hasattr(session, "open") else lambda: session.sandbox


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
