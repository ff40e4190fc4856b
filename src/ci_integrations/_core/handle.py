"""Makes interpreters, and holds what both public shells know without asking the sandbox."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, Self

from ci_integrations._core import service
from ci_integrations._core.cells import Request
from ci_integrations._core.conversation.seen import Seen
from ci_integrations._core.engine import Engine
from ci_integrations._core.exit import handle_signals
from ci_integrations._core.faces import Face
from ci_integrations._core.flow import MaybeAwaitable
from ci_integrations._core.identity import Identity, identity_of, take_identity
from ci_integrations._core.notices import said_again
from ci_integrations._core.options import OLD_NAMES, InterpreterOptions, are_seconds, check_options
from ci_integrations._core.output import OutputHandler
from ci_integrations._core.policy import RecoveryPolicy
from ci_integrations._core.state import SessionState
from ci_integrations._core.tables.carrier import PutTable, Table
from ci_integrations._errors import ConfigurationError
from ci_integrations._json import text
from ci_integrations._names import HOME
from ci_integrations.frames.files import MAX_BYTES
from ci_integrations.results.model import SandboxEvent
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    from e2b import EntryInfo
    from e2b_code_interpreter import Context

DEFAULT: Any = object()
"""Stands for the option's value, where None means something else."""


# A Protocol, not a union of the two classes: they are defined a floor higher, and tests have stand-ins for both.
class AnyInterpreter(Protocol):
    """Describes an interpreter of either face: `CodeInterpreter`, `AsyncCodeInterpreter`, or a test's stand-in for one.

    The adapters are written for it. A flow yields a call of a method here as a step, and gets the value from `drive` or
    `adrive`, whichever face the interpreter has.
    """

    @property
    def session_id(self) -> str: ...
    @property
    def sandbox_id(self) -> str | None: ...
    @property
    def generation(self) -> int: ...
    @property
    def last_result(self) -> ExecutionResult | None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def state(self) -> SessionState: ...
    def pending_events(self) -> tuple[SandboxEvent, ...]: ...
    def identity(self) -> Identity: ...
    def run(
        self,
        code: str,
        *,
        language: str | None = None,
        context: Context | None = None,
        envs: Mapping[str, str] | None = None,
        timeout: float | None = DEFAULT,
        on_output: OutputHandler | None = None,
        tool_call_id: str | None = None,
        replayable: bool = False,
        seen: Seen | None = None,
    ) -> MaybeAwaitable[ExecutionResult]: ...
    def run_command(
        self,
        command: str,
        *,
        background: bool = False,
        timeout: float | None = 60.0,
        cwd: str | None = None,
        envs: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bool | None = None,
        on_output: OutputHandler | None = None,
    ) -> Any: ...
    def upload(self, source: str | Path | bytes, path: str) -> MaybeAwaitable[str]: ...
    def download(self, path: str) -> MaybeAwaitable[bytes]: ...
    def put(
        self, tables: Mapping[str, object] | None = None, /, *, context: Context | None = None, **named: object
    ) -> MaybeAwaitable[list[PutTable]]: ...
    def get(
        self, name: str, *, context: Context | None = None, max_bytes: int = MAX_BYTES
    ) -> MaybeAwaitable[Table]: ...
    def list_files(self, path: str = HOME) -> MaybeAwaitable[list[EntryInfo]]: ...
    def get_host(self, port: int) -> MaybeAwaitable[str]: ...
    def create_context(self, language: str | None = None, cwd: str | None = None) -> MaybeAwaitable[Context]: ...
    def restart_context(self, context: Context | None = None) -> MaybeAwaitable[None]: ...
    def remove_context(self, context: Context) -> MaybeAwaitable[None]: ...
    def list_contexts(self) -> MaybeAwaitable[list[Context]]: ...
    def interrupt(self) -> MaybeAwaitable[bool]: ...
    def open(self) -> Any: ...
    def close(self) -> MaybeAwaitable[None]: ...
    def as_sync(self) -> AnyInterpreter: ...
    def as_async(self) -> AnyInterpreter: ...


class InterpreterBase:
    """Is what the two shells share: how they are made, and what they know without asking the sandbox."""

    _face: Callable[[], Face]

    def __init__(
        self,
        *,
        backend: Literal["auto", "e2b", "local"] = "auto",
        api_key: str | None = None,
        template: str | None = None,
        sandbox_timeout: int = 300,
        execution_timeout: float | None = 60.0,
        queue_timeout: float | None = 600.0,
        envs: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        packages: Sequence[str] = (),
        files: Mapping[str, str | Path | bytes] | Sequence[str | Path] | None = None,
        dataframes: Mapping[str, Any] | None = None,
        mounts: Mapping[str, str] | None = None,
        setup_code: str | None = None,
        on_sandbox_lost: Literal["restore", "recreate", "error"] = "restore",
        rerun_on_loss: bool = False,
        recovery: RecoveryPolicy | None = None,
        sandbox: Any = None,
        owns: bool | None = None,
        inject_extractor: bool = True,
        on_replaced: Callable[[SandboxEvent], None] | None = None,
        restore: Literal["recipe", "replay"] = "recipe",
        **create_options: Any,
    ) -> None:
        check_options(create_options)
        handle_signals()
        options = InterpreterOptions(
            backend=backend, api_key=api_key, template=template, sandbox_timeout=sandbox_timeout,
            execution_timeout=execution_timeout, queue_timeout=queue_timeout, envs=envs, metadata=metadata,
            packages=tuple(packages), files=files, dataframes=dataframes, mounts=mounts, setup_code=setup_code,
            on_sandbox_lost=on_sandbox_lost, rerun_on_loss=rerun_on_loss,
            recovery=recovery or RecoveryPolicy(), inject_extractor=inject_extractor,
            on_replaced=on_replaced, restore=restore, create_options=create_options,
        )  # fmt: skip
        if mounts and sandbox is not None:
            raise ConfigurationError("mounts= are of the server that makes a sandbox; a given one has its own")
        self._adopt(SessionState(options))
        if sandbox is not None:
            _take_in(self._state, sandbox, owns=bool(owns))
            self._engine.lifecycle.watch()

    def _adopt(self, state: SessionState) -> None:
        self._state = state
        self._engine = Engine(state, self._face())

    @classmethod
    def _of(cls, state: SessionState) -> Self:
        """Returns a shell for a session that exists already."""
        made = cls.__new__(cls)
        made._adopt(state)  # noqa: SLF001 - our own class
        return made

    @classmethod
    def connect(cls, sandbox_id: str, *, owns: bool = False, **options: Any) -> Self:
        """Returns an interpreter for a sandbox that runs (or is paused). `close` kills it only with `owns=True`."""
        made = cls(**options)
        made._state.sandbox_id, made._state.lent = sandbox_id, True
        made._state.owned = made._state.recreatable = owns
        return made

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any], *, owns: bool = True, **options: Any) -> Self:
        """Goes on with a session of another process: the same sandbox, the same kernels. See `identity`."""
        made = cls(**options)
        take_identity(made._state, identity)
        made._state.owned = owns
        return made

    def identity(self) -> Identity:
        """Returns the session as plain JSON (`{"sandbox_id": ..., ...}`), for `from_identity` in another process."""
        return identity_of(self._state)

    def detach(self) -> None:
        """Leaves the sandbox to its lease or to another process: `close` and process exit do not kill it any more."""
        self._state.owned = False

    @property
    def session_id(self) -> str:
        """Names this session in logs and in the sandbox's metadata."""
        return self._state.id

    @property
    def sandbox_id(self) -> str | None:
        """Is the current sandbox's id, or None before the first use. It changes when a lost sandbox is replaced."""
        return self._state.sandbox_id

    @property
    def generation(self) -> int:
        """Counts how often the sandbox was replaced."""
        return self._state.generation

    def pending_events(self) -> tuple[SandboxEvent, ...]:
        """Returns the losses of the sandbox that no result has told yet, once: for tools that answer without a cell.

        The next cell tells of its own variables once more, but not of files: some may have been written meanwhile.
        """
        state = self._state
        events, state.pending_events = tuple(state.pending_events), []
        if events:
            kernel = state.kernel(None, None)
            kernel.pending_events = [said_again(event) if event in events else event for event in kernel.pending_events]
        return events

    @property
    def last_result(self) -> ExecutionResult | None:
        """Is what the last cell gave; of a cancelled one everything received before, marked incomplete."""
        return self._state.last_result

    @property
    def closed(self) -> bool:
        """Is True after `close`."""
        return self._state.closed

    @property
    def busy(self) -> bool:
        """Is True while a cell runs."""
        return any(kernel.busy for kernel in self._state.kernels.values())

    @property
    def state(self) -> SessionState:
        """Holds what the session knows, for `sessions.py` and the adapters."""
        return self._state

    def _request(self, code: object, timeout: float | None, **rest: Any) -> Request:
        if timeout is DEFAULT:
            timeout = self._state.options.execution_timeout
        if timeout is not None and not are_seconds(timeout):
            raise ConfigurationError("timeout is the cell's limit in seconds: positive, or None for no limit")
        if not isinstance(code, str):
            raise ConfigurationError(f"code is text, not {type(code).__name__}")
        return Request(code=text(code), timeout=timeout, **rest)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} session={self._state.id} sandbox={self._state.sandbox_id}>"


class _OldName:
    """Raises AttributeError when an old name is asked for; the message says what it is called today."""

    def __init__(self, name: str, today: str) -> None:
        self._words = f"{name} is a name of an older SDK: {today}"

    def __get__(self, *_: object) -> NoReturn:
        raise AttributeError(self._words)


for _name, _today in OLD_NAMES.items():
    setattr(InterpreterBase, _name, _OldName(_name, _today))


def _take_in(state: SessionState, sandbox: Any, *, owns: bool) -> None:
    """Makes `state` the session of a sandbox that somebody else made. Raises ConfigurationError for anything else."""
    if not hasattr(sandbox, "run_code"):
        raise ConfigurationError(
            f"sandbox= takes a Sandbox or AsyncSandbox of e2b_code_interpreter, not {type(sandbox).__name__}"
        )
    kind = "async" if inspect.iscoroutinefunction(type(sandbox).run_code) else "sync"
    state.attach(sandbox, kind)
    state.created, state.lent = 0, True  # made by somebody else: it does not count against a registry's limit
    state.lease_until, state.owned, state.recreatable = None, owns, owns
    params: dict[str, str] = sandbox.connection_config.get_api_params()
    # The SDK's object knows the address and the key, but not whether that is our local server.
    local = service.local_connection_at(params.get("api_url") or "")
    state.backend = "local" if local else "e2b"
    state.connection = local or {k: v for k, v in params.items() if k not in ("validate_api_key", "logger")}
