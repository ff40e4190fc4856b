"""Which interpreter serves which workflow Context. The tools, the executor and the engine come here; nobody else.

A Context holds nothing but a plain dict `{"key": ..., "identity": {...}}` in its store, so it can be saved, and a
restored one goes on in the same kernel, in another process too.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llama_index.core.async_utils import asyncio_run

from ci_integrations._errors import ConfigurationError

STATE_KEY = "code_interpreter"
"""Where a Context's store keeps the session."""

_REGISTRY_OPTIONS = frozenset({"max_sessions", "max_created", "idle", "idle_ttl"})

Scope = Literal["context", "tool"]


@dataclass(frozen=True)
class Session:
    """An interpreter and the key it is known by."""

    key: str
    interpreter: Any


class Sessions:
    """Hands out sessions. Makes a `SessionRegistry` on first use, unless an interpreter or a registry was handed in.

    `options` are those of `CodeInterpreter`, and `idle`, `idle_ttl`, `max_sessions`, `max_created` of the registry.

    `scope="tool"`: one session for everybody, whatever the Context. `slot` is where a Context's store keeps the
    session: two tools with one slot share a kernel.
    """

    def __init__(
        self,
        interpreter: Any = None,
        *,
        slot: str = STATE_KEY,
        scope: Scope = "context",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if interpreter is not None and options:
            raise ConfigurationError(f"{sorted(options)} belong to the interpreter that is handed in: set them there")
        self._given = None if hasattr(interpreter, "asession") else interpreter
        self._registry = interpreter if hasattr(interpreter, "asession") else None
        self._owned = interpreter is None
        self._options = dict(options or {})
        self._slot = slot
        self._scope = scope
        self._own_key = f"tool-{uuid.uuid4().hex[:12]}"
        self._check()

    def _check(self) -> None:
        """A wrong option is the programmer's to hear of now, not the model's at its first call."""
        if self._owned and "sandbox" not in self._options:
            from ci_integrations.interpreter import CodeInterpreter

            CodeInterpreter(**{name: value for name, value in self._options.items() if name not in _REGISTRY_OPTIONS})

    @property
    def shared(self) -> bool:
        """True when one interpreter was handed in, which others may use too."""
        return self._given is not None

    @property
    def registry(self) -> Any:
        if self._registry is None:
            from ci_integrations.sessions import SessionRegistry

            of_registry = {name: value for name, value in self._options.items() if name in _REGISTRY_OPTIONS}
            of_interpreter = {name: value for name, value in self._options.items() if name not in _REGISTRY_OPTIONS}
            self._registry = SessionRegistry(of_interpreter, **of_registry)
        return self._registry

    async def of(self, ctx: Any = None) -> Session:
        """The session of `ctx`; the tool's own without one. To be awaited on the loop that runs the workflow."""
        if self._given is not None:
            return Session(self._own_key, self._given if _awaits(self._given) else self._given.as_async())
        key = await self._key(ctx)
        return Session(key, self.registry.asession(key))

    def blocking(self, ctx: Any = None) -> Session:
        """The same for threads and scripts."""
        if self._given is not None:
            return Session(self._own_key, self._given.as_sync() if _awaits(self._given) else self._given)
        key = self._own_key if self._is_own(ctx) else asyncio_run(self._key(ctx))
        return Session(key, self.registry.session(key))

    async def remember(self, ctx: Any, session: Session) -> None:
        """Keep the identity of `ctx`'s session in its store, so that a restored Context finds the kernel again."""
        if self._given is not None or self._is_own(ctx):
            return
        held = {"key": session.key, "identity": self.registry.identity(session.key)}
        if await ctx.store.get(self._slot, default=None) != held:
            await ctx.store.set(self._slot, held)

    def close(self) -> None:
        """Close the sessions made here; what was handed in is its owner's to close."""
        if self._owned and self._registry is not None:
            self._registry.close()

    async def aclose(self) -> None:
        if self._owned and self._registry is not None:
            await self._registry.aclose()

    def _is_own(self, ctx: Any) -> bool:
        return ctx is None or self._scope == "tool"

    async def _key(self, ctx: Any) -> str:
        if self._is_own(ctx):
            return self._own_key
        held = await self._held(ctx)
        key: str = held["key"]
        if held.get("identity") and key not in self.registry.keys():  # noqa: SIM118 - a method of the registry
            self.registry.adopt(key, held["identity"])
        return key

    async def _held(self, ctx: Any) -> dict[str, Any]:
        """What the Context's store says; a new key, agreed on under the store's lock, when it says nothing."""
        held = await ctx.store.get(self._slot, default=None)
        if _is_session(held):
            return dict(held)
        async with ctx.store.edit_state() as state:
            held = getattr(state, self._slot, None)
            if not _is_session(held):
                held = {"key": f"context-{uuid.uuid4().hex[:12]}", "identity": None}
                self._write(state, held)
        return dict(held)

    def _write(self, state: Any, held: dict[str, Any]) -> None:
        try:
            setattr(state, self._slot, held)
        except ValueError as error:
            raise ConfigurationError(
                f"the workflow's typed state {type(state).__name__} has no room for the sandbox session: "
                f"give it the field `{self._slot}: dict | None = None`, or the tool scope='tool'"
            ) from error


def _is_session(held: Any) -> bool:
    """A Context may come from outside: trust its shape only after a look."""
    return isinstance(held, dict) and isinstance(held.get("key"), str)


def _awaits(interpreter: Any) -> bool:
    """True for an `AsyncCodeInterpreter`."""
    return inspect.iscoroutinefunction(interpreter.run)
