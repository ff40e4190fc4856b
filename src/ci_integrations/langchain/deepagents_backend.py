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
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from ci_integrations._adapters.outcome import is_run_time_failure
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations._errors import MissingDependencyError
from ci_integrations.langchain.tool import CodeInterpreterTool

try:
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

R = TypeVar("R")

REPLACED = (
    "the sandbox was lost and replaced by a new one: files are gone unless they were uploaded. "
    "Ask again to see what is there now."
)
TIMED_OUT = 124
"""The exit code of a command that was stopped at its limit, as `timeout` of coreutils gives it."""

_inside_file_operation: ContextVar[bool] = ContextVar("ci_integrations_file_operation", default=False)


class _ReplacedError(Exception):
    """A file operation met a new sandbox in the old one's place."""


class E2BSandboxBackend(BaseSandbox):
    """See the module. `interpreter` and `options` are those of `CodeInterpreterTool`; `command_timeout` is the limit in
    seconds of a command that names none.

    deepagents keeps large results under `/`, where sandboxes let nobody write: with
    `CompositeBackend(default=backend, routes={}, artifacts_root="/home/user/.deepagents")` they have a place, and
    `backend.enable_capture_offload = True` can be set.
    """

    def __init__(self, interpreter: Any = None, *, command_timeout: int = 1800, **options: Any) -> None:
        options.setdefault("session_scope", conversation)
        self._tool = CodeInterpreterTool(interpreter, **options)
        self._command_timeout = command_timeout
        self._generations: dict[str, int] = {}

    @property
    def id(self) -> str:
        session = self._tool.session(ensure_config())
        return str(session.sandbox_id or session.session_id)

    def code_tool(self) -> CodeInterpreterTool:
        """A code interpreter in the same sandbox: same files, and variables that persist."""
        return self._tool

    def close(self) -> None:
        """Close every session made here."""
        self._tool.close()

    async def aclose(self) -> None:
        await self._tool.aclose()

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        return drive(self._execute(self._tool.session(ensure_config()), command, timeout))

    async def aexecute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        return await adrive(self._execute(self._tool.asession(ensure_config()), command, timeout))

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        return drive(self._upload(self._tool.session(ensure_config()), files))

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        return await adrive(self._upload(self._tool.asession(ensure_config()), files))

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        return drive(self._download(self._tool.session(ensure_config()), paths))

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        return await adrive(self._download(self._tool.asession(ensure_config()), paths))

    def ls(self, path: str) -> LsResult:
        return _told(LsResult, super().ls, path)

    async def als(self, path: str) -> LsResult:
        return await _atold(LsResult, super().als, path)

    def read(self, file_path: str, *args: Any, **kwargs: Any) -> ReadResult:
        return _told(ReadResult, super().read, file_path, *args, **kwargs)

    async def aread(self, file_path: str, *args: Any, **kwargs: Any) -> ReadResult:
        return await _atold(ReadResult, super().aread, file_path, *args, **kwargs)

    def write(self, file_path: str, content: str) -> WriteResult:
        return _told(WriteResult, super().write, file_path, content)

    async def awrite(self, file_path: str, content: str) -> WriteResult:
        return await _atold(WriteResult, super().awrite, file_path, content)

    def edit(self, file_path: str, *args: Any, **kwargs: Any) -> EditResult:
        return _told(EditResult, super().edit, file_path, *args, **kwargs)

    async def aedit(self, file_path: str, *args: Any, **kwargs: Any) -> EditResult:
        return await _atold(EditResult, super().aedit, file_path, *args, **kwargs)

    def glob(self, pattern: str, *args: Any, **kwargs: Any) -> GlobResult:
        return _told(GlobResult, super().glob, pattern, *args, **kwargs)

    async def aglob(self, pattern: str, *args: Any, **kwargs: Any) -> GlobResult:
        return await _atold(GlobResult, super().aglob, pattern, *args, **kwargs)

    def grep(self, pattern: str, *args: Any, **kwargs: Any) -> GrepResult:
        return _told(GrepResult, super().grep, pattern, *args, **kwargs)

    async def agrep(self, pattern: str, *args: Any, **kwargs: Any) -> GrepResult:
        return await _atold(GrepResult, super().agrep, pattern, *args, **kwargs)

    def _execute(self, session: Any, command: str, timeout: int | None) -> Flow[ExecuteResponse]:
        said: list[str] = []
        limit = self._command_timeout if timeout is None else timeout
        run = partial(session.run_command, command, timeout=limit or None)
        try:
            output = yield partial(run, on_output=lambda event: said.append(event.text))
        except Exception as error:
            if _inside_file_operation.get() or not is_run_time_failure(error, session):
                raise
            return ExecuteResponse(output=f"Error: {error}", exit_code=None)
        notice = self._replaced(session)
        if notice and _inside_file_operation.get():
            raise _ReplacedError(REPLACED)
        text = self._tool.redactor.text("".join(said) + (f"\nError: {output.error}" if output.error else ""))
        code = TIMED_OUT if output.error else output.exit_code
        return ExecuteResponse(output=f"[{REPLACED}]\n{text}" if notice else text, exit_code=code)

    def _replaced(self, session: Any) -> bool:
        """True once after the sandbox behind a session was replaced."""
        before = self._generations.setdefault(session.session_id, session.generation)
        self._generations[session.session_id] = session.generation
        return bool(before != session.generation)

    def _upload(self, session: Any, files: list[tuple[str, bytes]]) -> Flow[list[FileUploadResponse]]:
        answers = []
        for path, data in files:
            upload = partial(session.upload, data, path)
            _, error = yield from self._attempt(session, path, upload, writing=True)
            answers.append(FileUploadResponse(path=path, error=error))
        return answers

    def _download(self, session: Any, paths: list[str]) -> Flow[list[FileDownloadResponse]]:
        answers = []
        for path in paths:
            data, error = yield from self._attempt(session, path, partial(session.download, path), writing=False)
            answers.append(FileDownloadResponse(path=path, content=data, error=error))
        return answers

    def _attempt(self, session: Any, path: str, step: Callable[[], Any], *, writing: bool) -> Flow[tuple[Any, Any]]:
        """(what the step gave, None), or (None, deepagents' word for what went wrong)."""
        if not posixpath.isabs(path) or "\0" in path:
            return None, "invalid_path"
        try:
            given = yield step
        except Exception as error:
            if not is_run_time_failure(error, session):
                raise
            return None, (yield from _reason(session, path, error, writing=writing))
        if not writing and self._replaced(session):
            return None, REPLACED
        return given, None


def conversation(config: RunnableConfig) -> str:
    """The thread's id, for sub-agents as well; "" without one: then the backend object has one session of its own."""
    return str((config.get("configurable") or {}).get("thread_id") or "")


_ABOVE = (
    'd={file}; while [ ! -e "$d" ]; do d=$(dirname "$d"); done; [ -d "$d" ] && [ ! -w "$d" ] && echo permission_denied'
)
"""Shell: whether a file that is not there may be made where it should be."""


def _reason(session: Any, path: str, error: Exception, *, writing: bool) -> Flow[str]:
    """Deepagents' error code, found out in the sandbox; the error's own words when it is none of them."""
    file = shlex.quote(path)
    missing = _ABOVE.format(file=file) if writing else "echo file_not_found"
    access = f"[ -w {file} ]" if writing else f"[ -r {file} ]"
    ask = (
        f"if [ -d {file} ]; then echo is_directory; elif [ -e {file} ]; then {access} || echo permission_denied; "
        f"else {missing}; fi"
    )
    try:
        output = yield partial(session.run_command, ask)
    except Exception as second:
        if not is_run_time_failure(second):
            raise
        return str(error)
    return output.stdout.strip() or str(error)


def _told(result: Callable[..., R], operation: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """A file operation; a sandbox that is lost or was replaced becomes its result's error."""
    token = _inside_file_operation.set(True)
    try:
        return operation(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - what is not ours is raised by _words
        return result(error=_words(error))
    finally:
        _inside_file_operation.reset(token)


async def _atold(result: Callable[..., R], operation: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
    token = _inside_file_operation.set(True)
    try:
        return await operation(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - what is not ours is raised by _words
        return result(error=_words(error))
    finally:
        _inside_file_operation.reset(token)


def _words(error: Exception) -> str:
    if isinstance(error, _ReplacedError) or is_run_time_failure(error):
        return f"Error: {error}"
    raise error
