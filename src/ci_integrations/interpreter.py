"""Defines the public shells: `CodeInterpreter` blocks, `AsyncCodeInterpreter` awaits. They share one set of rules.

Their methods are written out twice, because a signature and a docstring belong where a user looks for them. Each is one
call of the engine; `tests/core/test_parity.py` holds the two classes together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ci_integrations._closing import AsyncClosing, Closing
from ci_integrations._core.conversation.seen import Seen
from ci_integrations._core.faces import AsyncFace, SyncFace
from ci_integrations._core.flow import adrive, drive
from ci_integrations._core.handle import DEFAULT, InterpreterBase
from ci_integrations._core.options import InterpreterOptions
from ci_integrations._core.output import OutputEvent, OutputHandler
from ci_integrations._core.tables.carrier import PutTable, Table
from ci_integrations._core.workspace import CommandOutput, command_options
from ci_integrations._names import HOME
from ci_integrations.frames.files import MAX_BYTES
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    from e2b import EntryInfo
    from e2b_code_interpreter import AsyncSandbox, Context, Sandbox

Shell = TypeVar("Shell", bound=InterpreterBase)

__all__ = [
    "AsyncCodeInterpreter",
    "CodeInterpreter",
    "CommandOutput",
    "InterpreterOptions",
    "OutputEvent",
    "OutputHandler",
    "PutTable",
]


class _Session(InterpreterBase):
    """Leads from one face of a session to the other."""

    _other: InterpreterBase | None = None

    def as_sync(self) -> CodeInterpreter:
        """Returns this session's interpreter for blocking callers."""
        return self if isinstance(self, CodeInterpreter) else self._other_face(CodeInterpreter)

    def as_async(self) -> AsyncCodeInterpreter:
        """Returns this session's interpreter for `await`."""
        return self if isinstance(self, AsyncCodeInterpreter) else self._other_face(AsyncCodeInterpreter)

    def _other_face(self, kind: type[Shell]) -> Shell:
        # Made once: a tool asks for it on every call.
        if not isinstance(self._other, kind):
            self._other = kind._of(self._state)  # noqa: SLF001 - of our own class
        return self._other


class CodeInterpreter(Closing, _Session):
    """Runs code in a sandbox and says what came of it. Thread-safe: cells of one kernel run one after the other.

    `backend`: `"e2b"`, `"local"`, or `"auto"` (E2B when a key or an E2B endpoint is given, by argument or environment,
    otherwise the local sandbox; `CI_INTEGRATIONS_BACKEND` overrides). `create_options` are the SDK's own for
    `Sandbox.create` (`lifecycle=`, `network=`, `request_timeout=` ...), passed on as they are.
    `sandbox_timeout`: the sandbox's lifetime in seconds; it is prolonged while cells run, never shortened.
    `execution_timeout`: a cell's limit in seconds (None: no limit), kept exactly. `queue_timeout`: how many seconds a
    cell waits for its turn (`QueueTimeoutError`).
    `packages`, `files` (`{path in the sandbox: local path or bytes}`, or local paths), `setup_code`, `envs`: what a new
    sandbox gets, and the one that replaces it gets again. `dataframes` (`{name: DataFrame}`): see `put`.
    `mounts` (`{"/data": "./data"}`): folders of this machine that the local sandbox can read and not write.
    `on_sandbox_lost`: `"restore"` (a new sandbox with all of that), `"recreate"` (a bare one), `"error"`. What is gone
    is said in `result.events` and to `on_replaced`. `rerun_on_loss`: run code again that may have run already.
    `restore="replay"`: also run again the cells that were marked `replayable`. `recovery`: how long to wait and when to
    give up.
    `sandbox`: one that exists; it is never killed here, nor replaced, unless `owns=True`.
    `owns`: True: `close` kills the sandbox that was handed in, and a lost one is replaced. Means nothing without one.
    """

    _face = SyncFace

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
    ) -> ExecutionResult:
        """Runs `code` once and waits for its end, at most `timeout` seconds (default: `execution_timeout`).

        An error in the code, and a cell that ran too long (`error.name == "ExecutionTimeout"`), are results. A sandbox
        that was lost is replaced where it can be, and `result.events` says what is gone; where it cannot, a
        `SandboxError` is raised that carries everything received as `.result`. `on_output` gets an `OutputEvent` for
        all output as it comes. A `tool_call_id` that was answered before gets its old answer, and nothing runs.
        Ctrl-C, and cancelling the task, interrupt the kernel and leave it usable. `seen` is for the adapters: what a
        tool call sees of its conversation decides about the kernel.
        """
        request = self._request(
            code, timeout, language=language, context=context, envs=envs, on_output=on_output,
            tool_call_id=tool_call_id, replayable=replayable, seen=seen,
        )  # fmt: skip
        return drive(self._engine.cells.run(request))

    def open(self) -> Sandbox:
        """Returns the SDK's own sandbox object, the way to everything that this class has no method for.

        Opens the sandbox if need be.
        """
        self._state.lent = True
        return drive(self._engine.lifecycle.open())

    @property
    def sandbox(self) -> Sandbox:
        """Is the SDK's own `Sandbox`, as `open` returns it."""
        return self.open()

    def upload(self, source: str | Path | bytes, path: str) -> str:
        """Writes a local file (a path) or bytes into the sandbox, and returns the full path there.

        It is restored after a loss: a file from where it came, bytes from memory (up to 64 MiB per session).
        """
        return drive(self._engine.workspace.upload(source, path))

    def download(self, path: str) -> bytes:
        """Returns a file's content. Raises the SDK's `FileNotFoundException` when there is none."""
        return drive(self._engine.workspace.download(path))

    def put(
        self, tables: Mapping[str, object] | None = None, /, *, context: Context | None = None, **named: object
    ) -> list[PutTable]:
        """Makes variables of tables: `put(df=df, rates=rates)`, or `put({"df": df})`. Returns what came of each.

        A table is a DataFrame or Series of pandas, polars or pyarrow, an array of NumPy, a matrix of SciPy, a relation
        of DuckDB, data of xarray. It is there as it is here: every dtype, value, label and name; what has no equal
        there is said in `notes` and in a log line. A kernel that is a new one gets the tables again, and the next
        result says so; they are kept in memory for that. Raises `ConfigurationError` for what is no table.
        """
        return drive(self._engine.workspace.put({**(tables or {}), **named}, context))

    def get(self, name: str, *, context: Context | None = None, max_bytes: int = MAX_BYTES) -> Table:
        """Returns the table that the variable `name` holds in the sandbox, whole and as it is there.

        A DataFrame, a Series, a frame of polars, a table of pyarrow: what it is, where the library is installed here.
        Nothing is unpickled. Raises `ArtifactError` when there is no such variable, when it is no table, or when it
        takes more than `max_bytes`.
        """
        return drive(self._engine.workspace.get(name, context, max_bytes))

    def list_files(self, path: str = HOME) -> list[EntryInfo]:
        """Returns the SDK's `EntryInfo` of each entry of a directory."""
        return drive(self._engine.workspace.list_files(path))

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
    ) -> Any:
        """Runs a shell command, at most `timeout` seconds, and returns its `CommandOutput`, also when it failed.

        `background=True` returns the SDK's `CommandHandle` at once: `wait`, `send_stdin`, `kill`. Its standard input
        stays open for that, unless `stdin=False`; otherwise it is empty, unless `stdin=True`.
        """
        options = command_options(cwd, envs, user, stdin=background if stdin is None else stdin)
        begin = self._engine.workspace.start_command if background else self._engine.workspace.run_command
        return drive(begin(command, timeout, on_output, **options))

    def get_host(self, port: int) -> str:
        """Returns the host name under which a port of the sandbox is reached from outside."""
        return str(self.sandbox.get_host(port))

    def create_context(self, language: str | None = None, cwd: str | None = None) -> Context:
        """Starts a further kernel, with its own variables. Returns the SDK's `Context`, for `run(context=...)`."""
        return drive(self._engine.workspace.create_context(language, cwd))

    def restart_context(self, context: Context | None = None) -> None:
        """Starts a fresh kernel in a context (None: the default Python one). Its variables are gone."""
        drive(self._engine.workspace.restart_context(context))

    def remove_context(self, context: Context) -> None:
        """Ends a context's kernel."""
        drive(self._engine.workspace.remove_context(context))

    def list_contexts(self) -> list[Context]:
        """Returns all contexts of the sandbox."""
        return drive(self._engine.workspace.list_contexts())

    def interrupt(self) -> bool:
        """Stops the cells that run now, from another thread or task. True when there was one and it was stopped."""
        return drive(self._engine.workspace.interrupt())

    def close(self) -> None:
        """Kills the sandbox if it is ours. Safe to call twice."""
        drive(self._engine.lifecycle.close())


class AsyncCodeInterpreter(AsyncClosing, _Session):
    """Runs code as `CodeInterpreter` does and has the same options, for `await`.

    One object may be used from several event loops, one after the other or at once.
    """

    _face = AsyncFace

    async def run(
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
    ) -> ExecutionResult:
        """Runs `code` once and waits for its end, at most `timeout` seconds (default: `execution_timeout`).

        An error in the code, and a cell that ran too long (`error.name == "ExecutionTimeout"`), are results. A sandbox
        that was lost is replaced where it can be, and `result.events` says what is gone; where it cannot, a
        `SandboxError` is raised that carries everything received as `.result`. `on_output` gets an `OutputEvent` for
        all output as it comes. A `tool_call_id` that was answered before gets its old answer, and nothing runs.
        Ctrl-C, and cancelling the task, interrupt the kernel and leave it usable. `seen` is for the adapters: what a
        tool call sees of its conversation decides about the kernel.
        """
        request = self._request(
            code, timeout, language=language, context=context, envs=envs, on_output=on_output,
            tool_call_id=tool_call_id, replayable=replayable, seen=seen,
        )  # fmt: skip
        return await adrive(self._engine.cells.run(request))

    async def open(self) -> AsyncSandbox:
        """Returns the SDK's own sandbox object, the way to everything that this class has no method for.

        Opens the sandbox if need be.
        """
        self._state.lent = True
        return await adrive(self._engine.lifecycle.open())

    @property
    def sandbox(self) -> AsyncSandbox | None:
        """Is the SDK's own `AsyncSandbox`, or None before the first use (then `await open()` returns it)."""
        return self._state.handles.get("async")

    async def upload(self, source: str | Path | bytes, path: str) -> str:
        """Writes a local file (a path) or bytes into the sandbox, and returns the full path there.

        It is restored after a loss: a file from where it came, bytes from memory (up to 64 MiB per session).
        """
        return await adrive(self._engine.workspace.upload(source, path))

    async def download(self, path: str) -> bytes:
        """Returns a file's content. Raises the SDK's `FileNotFoundException` when there is none."""
        return await adrive(self._engine.workspace.download(path))

    async def put(
        self, tables: Mapping[str, object] | None = None, /, *, context: Context | None = None, **named: object
    ) -> list[PutTable]:
        """Makes variables of tables: `put(df=df, rates=rates)`, or `put({"df": df})`. Returns what came of each.

        A table is a DataFrame or Series of pandas, polars or pyarrow, an array of NumPy, a matrix of SciPy, a relation
        of DuckDB, data of xarray. It is there as it is here: every dtype, value, label and name; what has no equal
        there is said in `notes` and in a log line. A kernel that is a new one gets the tables again, and the next
        result says so; they are kept in memory for that. Raises `ConfigurationError` for what is no table.
        """
        return await adrive(self._engine.workspace.put({**(tables or {}), **named}, context))

    async def get(self, name: str, *, context: Context | None = None, max_bytes: int = MAX_BYTES) -> Table:
        """Returns the table that the variable `name` holds in the sandbox, whole and as it is there.

        A DataFrame, a Series, a frame of polars, a table of pyarrow: what it is, where the library is installed here.
        Nothing is unpickled. Raises `ArtifactError` when there is no such variable, when it is no table, or when it
        takes more than `max_bytes`.
        """
        return await adrive(self._engine.workspace.get(name, context, max_bytes))

    async def list_files(self, path: str = HOME) -> list[EntryInfo]:
        """Returns the SDK's `EntryInfo` of each entry of a directory."""
        return await adrive(self._engine.workspace.list_files(path))

    async def run_command(
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
    ) -> Any:
        """Runs a shell command, at most `timeout` seconds, and returns its `CommandOutput`, also when it failed.

        `background=True` returns the SDK's `CommandHandle` at once: `wait`, `send_stdin`, `kill`. Its standard input
        stays open for that, unless `stdin=False`; otherwise it is empty, unless `stdin=True`.
        """
        options = command_options(cwd, envs, user, stdin=background if stdin is None else stdin)
        begin = self._engine.workspace.start_command if background else self._engine.workspace.run_command
        return await adrive(begin(command, timeout, on_output, **options))

    async def get_host(self, port: int) -> str:
        """Returns the host name under which a port of the sandbox is reached from outside."""
        return str((await self.open()).get_host(port))

    async def create_context(self, language: str | None = None, cwd: str | None = None) -> Context:
        """Starts a further kernel, with its own variables. Returns the SDK's `Context`, for `run(context=...)`."""
        return await adrive(self._engine.workspace.create_context(language, cwd))

    async def restart_context(self, context: Context | None = None) -> None:
        """Starts a fresh kernel in a context (None: the default Python one). Its variables are gone."""
        await adrive(self._engine.workspace.restart_context(context))

    async def remove_context(self, context: Context) -> None:
        """Ends a context's kernel."""
        await adrive(self._engine.workspace.remove_context(context))

    async def list_contexts(self) -> list[Context]:
        """Returns all contexts of the sandbox."""
        return await adrive(self._engine.workspace.list_contexts())

    async def interrupt(self) -> bool:
        """Stops the cells that run now, from another thread or task. True when there was one and it was stopped."""
        return await adrive(self._engine.workspace.interrupt())

    async def aclose(self) -> None:
        """Kills the sandbox if it is ours. Safe to call twice."""
        await adrive(self._engine.lifecycle.close())

    close = aclose
