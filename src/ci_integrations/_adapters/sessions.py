"""Finds the interpreter that serves a conversation: the part that does not depend on the framework.

An adapter subclasses `AdapterSessions` and adds how its framework names a conversation, which is the session's key.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar, cast

from ci_integrations._adapters.redaction import Redactor, Rule, revealed, secrets_in, without_secrets
from ci_integrations._core.conversation.naming import Conversation
from ci_integrations._core.flow import Flow, MaybeAwaitable
from ci_integrations._core.handle import AnyInterpreter
from ci_integrations._core.service import choose
from ci_integrations._core.state import SessionState
from ci_integrations._errors import ConfigurationError
from ci_integrations.interpreter import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.sessions import SessionRegistry

__all__ = ["AdapterSessions", "AnyInterpreter", "Given"]

Given = SessionRegistry | CodeInterpreter | AsyncCodeInterpreter | None
"""What a user hands to a tool: many sessions, one session, or nothing (the tool makes its own)."""

Shell = TypeVar("Shell", bound=AnyInterpreter)

_REGISTRY_OPTIONS = frozenset({"max_sessions", "max_created", "idle", "idle_ttl", "max_bytes"})


class AdapterSessions:
    """Hands out interpreters by key, from `given` or from a `SessionRegistry` that is made here of `options`.

    `options` are those of `CodeInterpreter`, and `idle`, `idle_ttl`, `max_sessions`, `max_created` and `max_bytes` of
    the registry. `application` names the program whose conversations these are (otherwise
    `CI_INTEGRATIONS_APPLICATION`): two programs of one E2B account may both have a thread "1".
    Their values may be `SecretStr`. A copy has the options, and sessions of its own. So has what is unpickled, but for
    secrets (`api_key`, every `SecretStr`) and what was handed in: they are not pickled, and `supply` gives them again.

    Raises `ConfigurationError` when an option is wrong: the programmer hears of it now, not the model at its first
    call.
    """

    def __init__(self, given: Given = None, options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(options or {})
        self._application = self._options.pop("application", None)
        self._given = given
        self._left_out: list[str] = []
        self.redactor = Redactor()
        """What takes secrets out of the answers of these sessions: the adapter says which."""
        if given is not None and not hasattr(given, "asession") and not hasattr(given, "run"):
            raise ConfigurationError(
                f"interpreter takes a SessionRegistry or a CodeInterpreter, not {type(given).__name__}"
            )
        if given is not None and self._options:
            raise ConfigurationError(
                f"{sorted(self._options)} belong to the interpreter that is handed in: set them there"
            )
        if given is None:
            # Made to have its options checked. No sandbox is made before the first use.
            interpreter = CodeInterpreter(**revealed(self._split(of_registry=False)))
            if "sandbox" in self._options:  # a registry makes a sandbox for each key, so it cannot take one
                self._given, self._options = interpreter, {}
        self._start()

    def _start(self) -> None:
        """Makes what a pickled copy must not share with its original."""
        self._taken_over: set[str] = set()
        self._own_key = f"tool-{uuid.uuid4().hex[:12]}"
        if hasattr(self._given, "asession"):  # not by class: a test's registry keeps the contract, and is no subclass
            self._registry = cast("SessionRegistry", self._given)
            self._interpreter = None
            return
        options = revealed(self._split(of_registry=False))
        self._registry = SessionRegistry(options, **self._split(of_registry=True))
        self._interpreter = self._given

    def _split(self, *, of_registry: bool) -> dict[str, Any]:
        return {name: value for name, value in self._options.items() if (name in _REGISTRY_OPTIONS) is of_registry}

    @property
    def own_key(self) -> str:
        """The key of the session that calls without a conversation share."""
        return self._own_key

    @property
    def registry(self) -> SessionRegistry:
        """The registry that holds the sessions. It stays empty while one interpreter serves every conversation."""
        return self._registry

    @property
    def shares_interpreter(self) -> bool:
        """True when one interpreter was handed in, which serves every conversation."""
        return self._interpreter is not None

    @property
    def backend(self) -> Literal["e2b", "local"] | None:
        """Where the sandboxes run, as far as it can be said before the first of them; None otherwise."""
        options = self._options if self._given is None else _options_of(self._given)
        if options is None or "sandbox" in options:
            return None
        with contextlib.suppress(ConfigurationError):  # a wrong key is the first call's to say
            return choose(options.get("backend", "auto"), options.get("api_key"), options)
        return None

    def session(self, key: str) -> CodeInterpreter:
        """Returns the blocking interpreter of `key`, made on first use."""
        self._complete()
        if self._interpreter is None:
            return self._of_conversation(self._registry.session(key), key)
        return self._interpreter.as_sync()

    def asession(self, key: str) -> AsyncCodeInterpreter:
        """Returns the interpreter of `key` for `await`: the same sandbox, the same kernel."""
        self._complete()
        if self._interpreter is None:
            return self._of_conversation(self._registry.asession(key), key)
        return self._interpreter.as_async()

    def thread(self, key: str) -> str | None:
        """Returns the conversation's name that `key` stands for, in every process; None for a key of this process."""
        return None if key == self._own_key else key

    def _of_conversation(self, session: Shell, key: str) -> Shell:
        """Says to a session whose it is, before its sandbox is made."""
        state: object = getattr(session, "state", None)
        if isinstance(state, SessionState) and state.memory.conversation is None:
            state.memory.conversation = Conversation.of(self.thread(key), self._application)
        return session

    def knows(self, key: str) -> bool:
        """True when `key` has a session in this process."""
        return self.shares_interpreter or key in self._registry.keys()  # noqa: SIM118 - a method of the registry

    def adopt(self, key: str, identity: Mapping[str, Any]) -> None:
        """Goes on with the session of another process under `key`, unless this process has or had that sandbox.

        `identity` is what a graph's state or a Context says: the sandbox is looked at before anybody connects to it.
        """
        if self.shares_interpreter:
            return
        session = self.session(key)
        if session.state.memory.name(identity, session.sandbox_id):
            self._taken_over.add(key)

    def follow(self, session: AnyInterpreter, sandbox_id: str | None) -> None:
        """Has `session` go on in the sandbox that its conversation's newest answer names, if that may be."""
        state: object = session.state
        if sandbox_id is not None and not self.shares_interpreter and isinstance(state, SessionState):
            state.memory.name({"sandbox_id": sandbox_id}, state.sandbox_id)

    def is_taken_over(self, key: str) -> bool:
        """Returns True once for a session of another process: its sandbox may be gone, and nobody has looked."""
        if key not in self._taken_over:
            return False
        self._taken_over.remove(key)
        return True

    def identity(self, key: str) -> dict[str, Any] | None:
        """Returns what another process needs to go on in this session; None before its sandbox exists."""
        if self.shares_interpreter or not self.knows(key) or self.session(key).sandbox_id is None:
            return None
        return self._registry.identity(key)

    def prewarm(self, key: str) -> None:
        """Opens the sandbox in the background. A failure shows itself at the first call, which tries again."""
        if not self.shares_interpreter and self.session(key).sandbox_id is None:
            self._registry.prewarm(key)

    def pause(self, session: AnyInterpreter) -> Flow[None]:
        """Pauses the session's sandbox, if it has one: the next call resumes it, with its variables."""
        if session.sandbox_id is not None:
            sandbox = yield session.open
            yield sandbox.pause

    def end(self, session: AnyInterpreter, key: str) -> MaybeAwaitable[None]:
        """Closes one session. The answer is awaitable when `session` is an asynchronous one."""
        close: Callable[[str], MaybeAwaitable[None]] = self._registry.close_session
        if inspect.iscoroutinefunction(session.run):
            close = self._registry.aclose_session
        return close(key)

    def close(self) -> None:
        """Closes the sessions that were made here. What was handed in stays open: its owner closes it."""
        if self._given is None:
            self._registry.close()

    async def aclose(self) -> None:
        """Closes the sessions that were made here, awaited. See `close`."""
        if self._given is None:
            await self._registry.aclose()

    def supply(self, interpreter: Given = None, *, redact: Sequence[Rule] = (), **options: Any) -> None:
        """Gives a tool that was unpickled what was left out of the pickle: secrets, and what had been handed in.

        Mappings are merged: `supply(envs={"TOKEN": SecretStr(...)})` leaves the other variables as they are.
        """
        for name, value in options.items():
            known = self._options.get(name)
            merged = {**known, **value} if isinstance(known, Mapping) and isinstance(value, Mapping) else value
            self._options[name] = merged
        self._given = interpreter if interpreter is not None else self._given
        self.redactor.take([*secrets_in(options), *redact])
        given = {*options, *(["interpreter"] if interpreter is not None else []), *(["redact"] if redact else [])}
        self._left_out = [name for name in self._left_out if name.partition("[")[0] not in given]
        self._start()

    def _complete(self) -> None:
        """Raises `ConfigurationError` for a tool that was unpickled, and lacks what was left out of the pickle."""
        left = [name for name in self._left_out if name != "api_key" or not os.environ.get("E2B_API_KEY")]
        if left:
            raise ConfigurationError(
                f"{', '.join(left)} was left out when this was pickled: give it again, sessions.supply(...) of the tool"
            )

    def _copied(self) -> dict[str, Any]:
        """Returns the attributes of a copy in this process, before `_start` makes its own registry and key."""
        return {
            "_options": dict(self._options),
            "_given": self._given,
            "_application": self._application,
            "_left_out": list(self._left_out),
            "redactor": self.redactor,
        }

    def __copy__(self) -> Self:
        return self._made(self._copied())

    # What is copied deeply goes on with the same interpreter, and has sessions of its own.
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._made(self._copied())

    def _made(self, state: dict[str, Any]) -> Self:
        made = type(self).__new__(type(self))
        made.__setstate__(state)
        return made

    def __getstate__(self) -> dict[str, Any]:
        options, left_out = without_secrets(self._options)
        left_out += ["interpreter"] if self._given is not None else []
        left_out += ["redact"] if self.redactor.literals - {*secrets_in(self._options)} else []
        left_out = list(dict.fromkeys([*self._left_out, *left_out]))
        return {**self._copied(), "_options": options, "_given": None, "_left_out": left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def _options_of(given: object) -> Mapping[str, Any] | None:
    """Returns what decides about the backend of an interpreter that was handed in; None for a registry."""
    state = getattr(given, "state", None)
    if not isinstance(state, SessionState):
        return None
    if state.backend is not None:
        return {"backend": state.backend}
    return {"backend": state.options.backend, "api_key": state.options.api_key, **state.options.create_options}
