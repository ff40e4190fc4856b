"""`E2BSandboxBackend`: a deep agent's files and shell in the sandbox where the code interpreter runs.

    backend = E2BSandboxBackend()
    agent = create_deep_agent(model, backend=backend, tools=[backend.code_tool()])

One object serves every conversation, sync and async: the session is that of the thread that calls. Sub-agents share
it, as deepagents' files are meant to be shared. A lost sandbox is told, never shown as an empty directory. Secrets are
taken out of what commands say and of text that is read; `download_files` gives bytes as they are.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from ci_integrations._adapters.outcome import is_run_time_failure
from ci_integrations._adapters.sessions import AnyInterpreter, Given
from ci_integrations._adapters.spill import spilled
from ci_integrations._core.flow import Flow, MaybeAwaitable, adrive, drive
from ci_integrations._errors import MissingDependencyError
from ci_integrations.interpreter import CommandOutput
from ci_integrations.langchain.tool import CodeInterpreterTool
from ci_integrations.results.clean import cut, quoted, strip_ansi
from ci_integrations.results.result import ExecutionResult

try:
    from deepagents.backends import protocol
    from deepagents.backends.protocol import (
        EditResult,
        ExecuteResponse,
        FileDownloadResponse,
        FileUploadResponse,
        GlobResult,
        GrepResult,
        LsResult,
        ReadResult,
        WriteResult,
    )
    from deepagents.backends.sandbox import BaseSandbox
except ImportError as missing:
    raise MissingDependencyError("E2BSandboxBackend", "deepagents") from missing

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

REPLACED = (
    "the sandbox was lost and replaced by a new one: files are gone unless they were uploaded. "
    "Ask again to see what is there now."
)
TIMED_OUT = 124
"""The exit code of a command that was stopped at its limit, as `timeout` of coreutils gives it."""

_OPERATIONS = {
    "ls": LsResult, "read": ReadResult, "write": WriteResult, "edit": EditResult,
    "glob": GlobResult, "grep": GrepResult, "delete": getattr(protocol, "DeleteResult", None),
}  # fmt: skip
"""File operation to the result in which it reports an error; None: this deepagents does not have it."""

# deepagents runs its file operations as shell commands, through `execute`: this tells them from a model's commands.
_inside_file_operation: ContextVar[bool] = ContextVar("ci_integrations_file_operation", default=False)


class _ReplacedError(Exception):
    """A file operation met a new sandbox in the old one's place."""


def _guarded(operation: Callable[P, R], result: Callable[..., R]) -> Callable[P, R]:
    """Returns a file operation that answers with an error when the sandbox is lost or was replaced."""

    @wraps(operation)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _inside_file_operation.set(True)
        try:
            return operation(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - what is not ours is raised by _words
            return result(error=_words(error))
        finally:
            _inside_file_operation.reset(token)

    return guarded


def _aguarded(operation: Callable[P, Awaitable[R]], result: Callable[..., R]) -> Callable[P, Coroutine[None, None, R]]:
    """Returns the same of an operation that is awaited."""

    # The flag reaches threads too: `asyncio.to_thread`, by which older deepagents work, copies the context.
    @wraps(operation)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _inside_file_operation.set(True)
        try:
            return await operation(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - what is not ours is raised by _words
            return result(error=_words(error))
        finally:
            _inside_file_operation.reset(token)

    return guarded


def _words(error: Exception) -> str:
    """Returns what went wrong in the sandbox; raises `error` when it is the programmer's."""
    if isinstance(error, _ReplacedError) or is_run_time_failure(error):
        return f"Error: {error}"
    raise error


class E2BSandboxBackend(BaseSandbox):
    """Gives a deep agent its files and shell: see the module.

    `interpreter` and `options` are those of `CodeInterpreterTool`; `command_timeout` is the limit in seconds of a
    command that names none.

    What a command says beyond `max_output_chars` is in a file of the sandbox, which the answer names: deepagents keeps
    large results under `/`, where sandboxes let nobody write. With
    `CompositeBackend(default=backend, routes={}, artifacts_root="/home/user/.deepagents")` they have a place, and
    `backend.enable_capture_offload = True` can be set, which leaves that to deepagents.
    """

    def __init__(self, interpreter: Given = None, *, command_timeout: int = 1800, **options: Any) -> None:
        self._tool = CodeInterpreterTool(interpreter, **options)
        self._command_timeout = command_timeout
        self._generations: dict[str, int] = {}

    @property
    def id(self) -> str:
        """The sandbox's id; before there is a sandbox, the session's."""
        session = self._tool.session(ensure_config())
        return session.sandbox_id or session.session_id

    def code_tool(self) -> CodeInterpreterTool:
        """Returns a code interpreter in the same sandbox: same files, and variables that persist."""
        return self._tool

    def close(self) -> None:
        """Closes every session that was made here."""
        self._tool.close()

    async def aclose(self) -> None:
        """Closes every session that was made here, awaited."""
        await self._tool.aclose()

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Runs a shell command, at most `timeout` seconds: see deepagents."""
        return drive(self._execute(self._tool.session(ensure_config()), command, timeout))

    async def aexecute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Runs a shell command, awaited."""
        return await adrive(self._execute(self._tool.asession(ensure_config()), command, timeout))

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Writes files, one after the other; what goes wrong with one is in its response."""
        return drive(self._upload(self._tool.session(ensure_config()), files))

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Writes files, awaited."""
        return await adrive(self._upload(self._tool.asession(ensure_config()), files))

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Reads files, one after the other; what goes wrong with one is in its response."""
        return drive(self._download(self._tool.session(ensure_config()), paths))

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Reads files, awaited."""
        return await adrive(self._download(self._tool.asession(ensure_config()), paths))

    def _execute(self, session: AnyInterpreter, command: str, timeout: int | None) -> Flow[ExecuteResponse]:
        said: list[str] = []
        limit = self._command_timeout if timeout is None else timeout  # 0: deepagents' word for no limit
        run = partial(session.run_command, command, timeout=limit or None)
        try:
            output: CommandOutput = yield partial(run, on_output=lambda event: said.append(event.text))
        except Exception as error:
            if _inside_file_operation.get() or not is_run_time_failure(error, session):
                raise
            return ExecuteResponse(output=f"Error: {error}", exit_code=None)
        notice = self._replaced(session)
        # deepagents parses the output of a file operation: a notice in it would be taken for the file's content.
        if notice and _inside_file_operation.get():
            raise _ReplacedError(REPLACED)
        # What deepagents reads itself is neither quoted nor cut: a file operation's output, and what it keeps.
        own = _inside_file_operation.get() or self.enable_capture_offload
        printed = "".join(said) if own else quoted(strip_ansi("".join(said)))
        text = self._tool.redactor.text(printed + (f"\nError: {output.error}" if output.error else ""))
        code = TIMED_OUT if output.error else output.exit_code
        shown = text if own else (yield from self._bounded(session, text))
        told = f"[{REPLACED}]\n{shown}" if notice else shown
        return ExecuteResponse(output=told, exit_code=code, truncated=shown is not text)

    def _bounded(self, session: AnyInterpreter, text: str) -> Flow[str]:
        """Returns what of a command's output the model reads; the whole is in a file when that is not all."""
        most = self._tool.max_output_chars
        if len(text) <= most:
            return text
        whole = yield from spilled(session, ExecutionResult(stdout=text), most)
        return cut(text, most, f"in {whole}" if whole else "not kept")

    def _replaced(self, session: AnyInterpreter) -> bool:
        """Returns True once after the sandbox behind a session was replaced."""
        before = self._generations.setdefault(session.session_id, session.generation)
        self._generations[session.session_id] = session.generation
        return before != session.generation

    def _upload(self, session: AnyInterpreter, files: list[tuple[str, bytes]]) -> Flow[list[FileUploadResponse]]:
        answers = []
        for path, data in files:
            upload = partial(session.upload, data, path)
            _, error = yield from self._attempt(session, path, upload, writing=True)
            answers.append(FileUploadResponse(path=path, error=error))
        return answers

    def _download(self, session: AnyInterpreter, paths: list[str]) -> Flow[list[FileDownloadResponse]]:
        answers = []
        for path in paths:
            data, error = yield from self._attempt(session, path, partial(session.download, path), writing=False)
            answers.append(FileDownloadResponse(path=path, content=data, error=error))
        return answers

    def _attempt(
        self, session: AnyInterpreter, path: str, step: Callable[[], MaybeAwaitable[T]], *, writing: bool
    ) -> Flow[tuple[T | None, str | None]]:
        """Returns (what the step gave, None), or (None, deepagents' word for what went wrong)."""
        if not posixpath.isabs(path) or "\0" in path:
            return None, "invalid_path"
        try:
            given: T = yield step
        except Exception as error:
            if not is_run_time_failure(error, session):
                raise
            if not writing and self._replaced(session):
                return None, REPLACED
            return None, (yield from _reason(session, path, error, writing=writing))
        # An upload into a new sandbox is fine; a file read from one is not the file that was asked for.
        if not writing and self._replaced(session):
            return None, REPLACED
        return given, None


# deepagents' own operations, made of the three above. A lost sandbox is their error, not an empty answer.
for _name, _result in ((name, result) for name, result in _OPERATIONS.items() if result is not None):
    setattr(E2BSandboxBackend, _name, _guarded(getattr(BaseSandbox, _name), _result))
    setattr(E2BSandboxBackend, f"a{_name}", _aguarded(getattr(BaseSandbox, f"a{_name}"), _result))


def conversation(config: RunnableConfig) -> str:
    """Returns the thread's id, for sub-agents as well; "" without one: the backend object's own session."""
    return str((config.get("configurable") or {}).get("thread_id") or "")


_ABOVE = (
    'd={file}; while [ ! -e "$d" ]; do d=$(dirname "$d"); done; [ -d "$d" ] && [ ! -w "$d" ] && echo permission_denied'
)
"""Shell: whether a file that is not there may be made where it should be."""


def _reason(session: AnyInterpreter, path: str, error: Exception, *, writing: bool) -> Flow[str]:
    """Returns deepagents' error code, found out in the sandbox; the error's own words when it is none of them."""
    file = shlex.quote(path)
    missing = _ABOVE.format(file=file) if writing else "echo file_not_found"
    access = f"[ -w {file} ]" if writing else f"[ -r {file} ]"
    ask = (
        f"if [ -d {file} ]; then echo is_directory; elif [ -e {file} ]; then {access} || echo permission_denied; "
        f"else {missing}; fi"
    )
    try:
        output: CommandOutput = yield partial(session.run_command, ask)
    except Exception as second:
        if not is_run_time_failure(second):
            raise
        return str(error)
    return output.stdout.strip() or str(error)
