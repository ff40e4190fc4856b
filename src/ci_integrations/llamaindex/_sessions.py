"""Finds the interpreter that serves a workflow's Context. The tools, the executor and the engines use it.

A Context keeps a plain dict, `{"key": ..., "identity": {...}}`, in its store. So it can be saved, and a restored one
goes on in the same kernel, in another process too.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypedDict, TypeGuard, TypeVar

from llama_index.core.async_utils import asyncio_run
from llama_index.core.workflow import Context

from ci_integrations._adapters.redaction import Redactor, secrets_in
from ci_integrations._adapters.sessions import AdapterSessions, AnyInterpreter, Given
from ci_integrations._closing import AsyncClosing, Closing
from ci_integrations._errors import ConfigurationError
from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter

STATE_KEY = "code_interpreter"
"""The name under which a Context's store keeps the session of a tool with the default name."""

Scope = Literal["context", "tool"]

Face_co = TypeVar("Face_co", bound=AnyInterpreter, covariant=True)


@dataclass(frozen=True)
class Session(Generic[Face_co]):
    """An interpreter, the key that the sessions know it by, and what takes secrets out of its answers."""

    key: str
    interpreter: Face_co
    redactor: Redactor


class Held(TypedDict):
    """What a Context's store keeps of a session."""

    key: str
    identity: dict[str, object] | None


class Sessions(AdapterSessions):
    """Hands out the session of a Context. See `AdapterSessions` for `interpreter` and `options`.

    `scope="tool"`: one session for everybody, whatever the Context. `slot` is the name under which a Context's store
    keeps the session: two tools with one slot share a kernel. `options` may also have `redact`: see
    `CodeInterpreterTool`.
    """

    def __init__(
        self,
        interpreter: Given = None,
        *,
        slot: str = STATE_KEY,
        scope: Scope = "context",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        of_interpreter = dict(options or {})
        redact = of_interpreter.pop("redact", ())
        super().__init__(interpreter, of_interpreter)
        self.redactor = Redactor(secrets_in(of_interpreter)).also(redact)
        self._slot = slot
        self._scope = scope

    def _copied(self) -> dict[str, Any]:
        return {**super()._copied(), "_slot": self._slot, "_scope": self._scope}

    async def of(self, ctx: Context | None = None) -> Session[AsyncCodeInterpreter]:
        """Returns the session of `ctx`; the tool's own without one. Await it on the loop that runs the workflow."""
        key = await self._key(ctx)
        return Session(key, self.asession(key), self.redactor)

    def blocking(self, ctx: Context | None = None) -> Session[CodeInterpreter]:
        """Returns the session of `ctx` for threads and scripts."""
        key = self.own_key if self._is_own(ctx) else asyncio_run(self._key(ctx))
        return Session(key, self.session(key), self.redactor)

    async def remember(self, ctx: Context | None, key: str) -> None:
        """Keeps the identity of `ctx`'s session in its store, so that a restored Context finds the kernel again."""
        if ctx is None or self._is_own(ctx):
            return
        # Written only when it is new: each write makes the store's lock wait for parallel steps.
        held = {"key": key, "identity": self.registry.identity(key)}
        if await ctx.store.get(self._slot, default=None) != held:
            await ctx.store.set(self._slot, held)

    def _is_own(self, ctx: Context | None) -> bool:
        return ctx is None or self._scope == "tool" or self.shares_interpreter

    async def _key(self, ctx: Context | None) -> str:
        if ctx is None or self._is_own(ctx):
            return self.own_key
        held = await self._held(ctx)
        if held["identity"]:
            self.adopt(held["key"], held["identity"])
        return held["key"]

    async def _held(self, ctx: Context) -> Held:
        """Returns what the Context's store says; a new key, agreed on under the store's lock, when it says nothing."""
        held: Held | None = await ctx.store.get(self._slot, default=None)
        if _is_held(held):
            return held
        async with ctx.store.edit_state() as state:
            # Looked up again: a parallel call of the same Context may have been here since.
            held = getattr(state, self._slot, None)
            if not _is_held(held):
                held = Held(key=f"context-{uuid.uuid4().hex}", identity=None)
                self._write(state, held)
        return held

    # A typed state is a pydantic model: it refuses fields that it does not have.
    def _write(self, state: object, held: Held) -> None:
        try:
            setattr(state, self._slot, held)
        except ValueError as error:
            raise ConfigurationError(
                f"the workflow's typed state {type(state).__name__} has no room for the sandbox session: "
                f"give it the field `{self._slot}: dict | None = None`, or the tool scope='tool'"
            ) from error


class OwnsSessions(Closing, AsyncClosing):
    """Has `_sessions`, and closes them."""

    _sessions: Sessions

    def close(self) -> None:
        """Closes the sessions that were made here. What was handed in stays open."""
        self._sessions.close()

    async def aclose(self) -> None:
        """Closes them, awaited. See `close`."""
        await self._sessions.aclose()


def _is_held(held: object) -> TypeGuard[Held]:
    """True for what `Sessions` wrote. A Context may come from outside: its shape is checked before it is trusted."""
    return isinstance(held, dict) and isinstance(held.get("key"), str) and "identity" in held
