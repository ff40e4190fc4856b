"""The public shells: `CodeInterpreter` blocks, `AsyncCodeInterpreter` awaits. One set of rules stands behind both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from ci_integrations import _backend
from ci_integrations._cell import OutputEvent, OutputHandler
from ci_integrations._cleanup import watch
from ci_integrations._flow import adrive, drive
from ci_integrations._io import AsyncIO, SyncIO
from ci_integrations._running import Request
from ci_integrations._session import InterpreterOptions, Session
from ci_integrations._using import CommandOutput, Using, take_identity
from ci_integrations.errors import ConfigurationError
from ci_integrations.recovery import RecoveryPolicy
from ci_integrations.results import ExecutionResult

__all__ = [
    "AsyncCodeInterpreter",
    "CodeInterpreter",
    "CommandOutput",
    "InterpreterOptions",
    "OutputEvent",
    "OutputHandler",
]

_DEFAULT: Any = object()


class _Interpreter:
    """What the two shells share: how they are made, and what they know without asking the sandbox."""

    _io: type[SyncIO | AsyncIO]

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
        setup_code: str | None = None,
        on_sandbox_lost: Literal["restore", "recreate", "error"] = "restore",
        rerun_on_loss: bool = False,
        recovery: RecoveryPolicy | None = None,
        sandbox: Any = None,
        owns: bool | None = None,
        inject_extractor: bool = True,
        on_replaced: Any = None,
        **create_options: Any,
    ) -> None:
        _backend.check_options(create_options)
        options = InterpreterOptions(
            backend=backend, api_key=api_key, template=template, sandbox_timeout=sandbox_timeout,
            execution_timeout=execution_timeout, queue_timeout=queue_timeout, envs=envs, metadata=metadata,
            packages=tuple(packages), files=files, setup_code=setup_code, on_sandbox_lost=on_sandbox_lost,
            rerun_on_loss=rerun_on_loss, recovery=recovery or RecoveryPolicy(), inject_extractor=inject_extractor,
            on_replaced=on_replaced, create_options=create_options,
        )  # fmt: skip
        session = Session(options)
        if sandbox is not None:
            _take_in(session, sandbox, owns=bool(owns))
        self._adopt(session)

    def _adopt(self, session: Session) -> None:
        self._session = session
        self._flow = Using(session, self._io())

    @classmethod
    def _of(cls, session: Session) -> Self:
        """A shell for a session that exists already."""
        made = cls.__new__(cls)
        made._adopt(session)  # noqa: SLF001 - our own class
        return made

    @classmethod
    def connect(cls, sandbox_id: str, *, owns: bool = False, **options: Any) -> Self:
        """An interpreter for a sandbox that runs (or is paused) already. Killed by `close` only with `owns=True`."""
        made = cls(**options)
        made._session.sandbox_id = sandbox_id
        made._session.owned = made._session.recreatable = owns
        return made

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any], *, owns: bool = True, **options: Any) -> Self:
        """Go on with a session of another process: the same sandbox, the same kernels. See `identity`."""
        made = cls(**options)
        take_identity(made._session, identity)
        made._session.owned = owns
        return made

    def identity(self) -> dict[str, Any]:
        """The session as plain JSON (`{"sandbox_id": ..., ...}`), for `from_identity` in another process."""
        return self._flow.identity()

    def detach(self) -> None:
        """Leave the sandbox to its lease or to another process: `close` and process exit do not kill it any more."""
        self._session.owned = False

    @property
    def session_id(self) -> str:
        """The name of this session in logs and in the sandbox's metadata."""
        return self._session.id

    @property
    def sandbox_id(self) -> str | None:
        """The current sandbox's id; None before the first use. Changes when a lost sandbox is replaced."""
        return self._session.sandbox_id

    @property
    def generation(self) -> int:
        """How often the sandbox was replaced."""
        return self._session.generation

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._session.closed

    @property
    def busy(self) -> bool:
        """True while a cell runs."""
        return any(kernel.busy for kernel in self._session.kernels.values())

    @property
    def state(self) -> Session:
        """What the session knows; for `sessions.py`."""
        return self._session

    def _request(self, code: str, timeout: Any, **rest: Any) -> Request:
        if timeout is _DEFAULT:
            timeout = self._session.options.execution_timeout
        if timeout is not None and not timeout > 0:
            raise ConfigurationError("timeout is the cell's limit in seconds: positive, or None for no limit")
        return Request(code=code, timeout=timeout, **rest)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} session={self._session.id} sandbox={self._session.sandbox_id}>"


class CodeInterpreter(_Interpreter):
    """Runs code in a sandbox and tells what came of it."""

    _io = SyncIO

    def run(
        self,
        code: str,
        *,
        language: str | None = None,
        context: Any = None,
        envs: Mapping[str, str] | None = None,
        timeout: float | None = _DEFAULT,
        on_output: OutputHandler | None = None,
        tool_call_id: str | None = None,
    ) -> ExecutionResult:
        """Run `code` and wait for its end, at most `timeout` seconds (default: `execution_timeout`)."""
        request = self._request(
            code, timeout, language=language, context=context, envs=envs, on_output=on_output, tool_call_id=tool_call_id
        )
        return drive(self._flow.run(request))

    @property
    def sandbox(self) -> Any:
        """The SDK's own `Sandbox`, the escape hatch. Opens the sandbox if need be."""
        return drive(self._flow.open())

    def upload(self, source: str | Path | bytes, path: str) -> str:
        """Write a local file (a path) or bytes into the sandbox; gives the full path there.

        Restored after a loss: a file from where it came, bytes from memory (up to 64 MiB per session).
        """
        return drive(self._flow.upload(source, path))

    def download(self, path: str) -> bytes:
        """A file's content. Raises the SDK's `FileNotFoundException` when there is none."""
        return drive(self._flow.download(path))

    def list_files(self, path: str = "/home/user") -> list[Any]:
        """The SDK's `EntryInfo` of each entry of a directory."""
        return drive(self._flow.list_files(path))

    def run_command(
        self,
        command: str,
        *,
        background: bool = False,
        timeout: float | None = 60.0,
        cwd: str | None = None,
        envs: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bool = False,
        on_output: OutputHandler | None = None,
    ) -> Any:
        """Run a shell command, at most `timeout` seconds. A failing one is not an exception.

        `background=True` gives the SDK's `CommandHandle` at once: `wait`, `send_stdin` (with `stdin=True`), `kill`.
        """
        options: dict[str, Any] = {"cwd": cwd, "envs": dict(envs or {}), "user": user, "stdin": stdin or None}
        if background:
            return drive(self._flow.start_command(command, timeout=timeout or 0, **options))
        return drive(self._flow.run_command(command, timeout, on_output, **options))

    def get_host(self, port: int) -> str:
        """The host name under which a port of the sandbox is reached from outside."""
        return str(self.sandbox.get_host(port))

    def create_context(self, language: str | None = None, cwd: str | None = None) -> Any:
        """A further kernel, with its own variables: the SDK's `Context`, for `run(context=...)`."""
        return drive(self._flow.create_context(language, cwd))

    def restart_context(self, context: Any = None) -> None:
        """A fresh kernel in a context (None: the default Python one). Its variables are gone."""
        drive(self._flow.restart_context(context))

    def remove_context(self, context: Any) -> None:
        """End a context's kernel."""
        drive(self._flow.remove_context(context))

    def list_contexts(self) -> list[Any]:
        """All contexts of the sandbox."""
        return drive(self._flow.list_contexts())

    def interrupt(self) -> bool:
        """Stop the cells that run now, from another thread. True when there was one and it was stopped."""
        return drive(self._flow.interrupt())

    def as_async(self) -> AsyncCodeInterpreter:
        """The same session, for `await`."""
        return AsyncCodeInterpreter._of(self._session)  # noqa: SLF001 - its other face

    def close(self) -> None:
        """Kill the sandbox if it is ours. Safe to call twice."""
        drive(self._flow.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncCodeInterpreter(_Interpreter):
    """The same for `await`. One object may be used from several event loops, one after the other or at once."""

    _io = AsyncIO

    async def run(
        self,
        code: str,
        *,
        language: str | None = None,
        context: Any = None,
        envs: Mapping[str, str] | None = None,
        timeout: float | None = _DEFAULT,
        on_output: OutputHandler | None = None,
        tool_call_id: str | None = None,
    ) -> ExecutionResult:
        """See `CodeInterpreter.run`. Cancelling the task interrupts the kernel and leaves it usable."""
        request = self._request(
            code, timeout, language=language, context=context, envs=envs, on_output=on_output, tool_call_id=tool_call_id
        )
        return await adrive(self._flow.run(request))

    async def open(self) -> Any:
        """The SDK's own `AsyncSandbox`, the escape hatch. Opens the sandbox if need be."""
        return await adrive(self._flow.open())

    @property
    def sandbox(self) -> Any:
        """The SDK's own `AsyncSandbox`, or None before the first use (then `await open()`)."""
        return self._session.handles.get("async")

    async def upload(self, source: str | Path | bytes, path: str) -> str:
        """Write a local file (a path) or bytes into the sandbox; gives the full path there.

        Restored after a loss: a file from where it came, bytes from memory (up to 64 MiB per session).
        """
        return await adrive(self._flow.upload(source, path))

    async def download(self, path: str) -> bytes:
        """A file's content. Raises the SDK's `FileNotFoundException` when there is none."""
        return await adrive(self._flow.download(path))

    async def list_files(self, path: str = "/home/user") -> list[Any]:
        """The SDK's `EntryInfo` of each entry of a directory."""
        return await adrive(self._flow.list_files(path))

    async def run_command(
        self,
        command: str,
        *,
        background: bool = False,
        timeout: float | None = 60.0,
        cwd: str | None = None,
        envs: Mapping[str, str] | None = None,
        user: str | None = None,
        stdin: bool = False,
        on_output: OutputHandler | None = None,
    ) -> Any:
        """Run a shell command, at most `timeout` seconds. A failing one is not an exception.

        `background=True` gives the SDK's `CommandHandle` at once: `wait`, `send_stdin` (with `stdin=True`), `kill`.
        """
        options: dict[str, Any] = {"cwd": cwd, "envs": dict(envs or {}), "user": user, "stdin": stdin or None}
        if background:
            return await adrive(self._flow.start_command(command, timeout=timeout or 0, **options))
        return await adrive(self._flow.run_command(command, timeout, on_output, **options))

    async def get_host(self, port: int) -> str:
        """The host name under which a port of the sandbox is reached from outside."""
        return str((await self.open()).get_host(port))

    async def create_context(self, language: str | None = None, cwd: str | None = None) -> Any:
        """A further kernel, with its own variables: the SDK's `Context`, for `run(context=...)`."""
        return await adrive(self._flow.create_context(language, cwd))

    async def restart_context(self, context: Any = None) -> None:
        """A fresh kernel in a context (None: the default Python one). Its variables are gone."""
        await adrive(self._flow.restart_context(context))

    async def remove_context(self, context: Any) -> None:
        """End a context's kernel."""
        await adrive(self._flow.remove_context(context))

    async def list_contexts(self) -> list[Any]:
        """All contexts of the sandbox."""
        return await adrive(self._flow.list_contexts())

    async def interrupt(self) -> bool:
        """Stop the cells that run now, from another task. True when there was one and it was stopped."""
        return await adrive(self._flow.interrupt())

    def as_sync(self) -> CodeInterpreter:
        """The same session, for blocking callers."""
        return CodeInterpreter._of(self._session)  # noqa: SLF001 - its other face

    async def aclose(self) -> None:
        """Kill the sandbox if it is ours. Safe to call twice."""
        await adrive(self._flow.close())

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _take_in(session: Session, sandbox: Any, *, owns: bool) -> None:
    """Use a sandbox that somebody else made."""
    import inspect

    kind = "async" if inspect.iscoroutinefunction(type(sandbox).run_code) else "sync"
    session.moved_in(sandbox, kind)
    session.created = 0
    session.lease_until, session.owned, session.recreatable = None, owns, owns
    session.connection = {
        name: value
        for name, value in sandbox.connection_config.get_api_params().items()
        if name not in ("validate_api_key", "logger")
    }
    session.backend = "e2b"
    if owns:
        watch(session)
