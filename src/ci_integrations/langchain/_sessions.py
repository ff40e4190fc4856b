"""Which interpreter serves which conversation: how LangChain names one. For the tools, the middleware, the backend.

The key is the thread's id: all agents of a thread work in one sandbox. Which of its kernels a call gets is decided in
`_core/placing/choosing.py`, by what the call sees.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig

from ci_integrations._adapters.sessions import AdapterSessions, Given
from ci_integrations._core.conversation.seen import Seen
from ci_integrations._errors import ConfigurationError

Scope = Literal["thread", "call", "tool"] | Callable[[RunnableConfig], str]
"""One session for each conversation, for each call, for the tool object; or the key that a function gives ("": the
tool object's own)."""

_log = logging.getLogger(__name__)


class Sessions(AdapterSessions):
    """Hands out interpreters by the `config` of a call."""

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        scope: Scope = "thread",
        given: Given = None,
        conversation: Callable[[RunnableConfig], str] | None = None,
    ) -> None:
        if not callable(scope) and scope not in ("thread", "call", "tool"):
            raise ConfigurationError(
                f'session_scope is "thread", "call", "tool" or a function of the config, not {scope!r}'
            )
        if conversation is not None and not callable(conversation):
            raise ConfigurationError("conversation= is a function of the config that names the conversation")
        self._scope, self._named_by = scope, conversation
        super().__init__(given, options)

    def _start(self) -> None:
        super()._start()
        # Neither a lock nor the runs of this process can be pickled.
        self._lock = threading.Lock()
        self._runs: dict[object, int] = {}
        self._conversation: object = None
        self._warned = False

    def key(self, config: RunnableConfig | None) -> str:
        """Returns the session's key for this call."""
        if self.shares_interpreter:
            return self.own_key
        if callable(self._scope):
            return self._scope(config or {}) or self.own_key
        if self._scope == "call":
            return f"call-{uuid.uuid4().hex[:12]}"
        if self._scope == "tool":
            return self.own_key
        named = self._named_by(config or {}) if self._named_by is not None else None
        return named or thread_key(config) or self.own_key

    def seen(self, seen: Seen) -> Seen | None:
        """Returns what decides about a call's kernel; None where nothing has to be decided.

        Where the application names the session itself, or shares one for all, its calls share the default kernel.
        """
        if self.shares_interpreter or self._scope == "call":
            return None
        return seen if self._scope == "thread" else replace(seen, one_kernel=True)

    @contextmanager
    def turn(self, key: str, run: object, conversation: object = None) -> Iterator[None]:
        """Goes around each call: warns, once, when two conversations without a name share the tool's own session.

        They are two when their runs overlap, or when `conversation`, where it is known, is another one than before.
        """
        if key != self.own_key or self._scope == "tool" or self.shares_interpreter:
            yield
            return
        self._enter(run, conversation)
        try:
            yield
        finally:
            self._leave(run)

    @property
    def ends_with_call(self) -> bool:
        """True when each call has a session of its own, which is closed after it."""
        return self._scope == "call" and not self.shares_interpreter

    def _enter(self, run: object, conversation: object) -> None:
        with self._lock:
            self._runs[run] = self._runs.get(run, 0) + 1
            before, self._conversation = self._conversation, conversation or self._conversation
            is_another = None not in (before, conversation) and before != conversation
            # Two calls of one turn have the same `run`, so they do not count as overlapping.
            if self._warned or (len(self._runs) == 1 and not is_another):
                return
            self._warned = True
        _log.warning(
            "runs without a thread_id share one sandbox, variables and files included: "
            'give each conversation its own, config={"configurable": {"thread_id": ...}}'
        )

    def _leave(self, run: object) -> None:
        with self._lock:
            self._runs[run] -= 1
            if not self._runs[run]:
                del self._runs[run]

    def _copied(self) -> dict[str, Any]:
        # A scope that is a function must be importable to be pickled, as for any pickled object.
        return {**super()._copied(), "_scope": self._scope, "_named_by": self._named_by}


def thread_key(config: RunnableConfig | None) -> str | None:
    """Returns the key of the conversation that `config` belongs to; None when it names none."""
    configurable = (config or {}).get("configurable") or {}
    # RunnableWithMessageHistory names its conversations by `session_id`.
    thread = configurable.get("thread_id", configurable.get("session_id"))
    return None if thread is None else str(thread)
