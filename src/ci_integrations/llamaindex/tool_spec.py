"""Offers the sandbox as a family of tools: `CodeInterpreterToolSpec`. Its methods for the host are no tools.

Users of `AzureCodeInterpreterToolSpec` change the import: constructor, methods and return shapes are the same.
"""

from __future__ import annotations

import asyncio
import functools
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from llama_index.core.tools import FunctionTool, ToolMetadata
from llama_index.core.tools.tool_spec.base import BaseToolSpec

from ci_integrations._adapters import workspace_tools
from ci_integrations._adapters.sessions import Given
from ci_integrations._adapters.spill import spilled
from ci_integrations._core.flow import drive
from ci_integrations._errors import ConfigurationError
from ci_integrations._names import HOME
from ci_integrations.errors import SandboxError
from ci_integrations.interpreter import CodeInterpreter
from ci_integrations.llamaindex._sessions import OwnsSessions, Sessions
from ci_integrations.llamaindex.analysis.dataset import placed
from ci_integrations.llamaindex.analysis.extract import extract_code
from ci_integrations.llamaindex.tool import CodeInterpreterTool
from ci_integrations.results.clean import IN_ARTIFACT, clean_output, cut, quoted
from ci_integrations.results.model import Artifact
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import event_lines

if TYPE_CHECKING:
    import pandas as pd

MAX_READ_CHARS = 20_000
"""Characters of a file, or of a command's output, that the model reads."""

COMMAND_SECONDS = 60.0
"""How long a shell command may take."""

Data = str | bytes | IO[str] | IO[bytes]

_log = logging.getLogger(__name__)


@dataclass
class RemoteFileMetadata:
    """A file in the sandbox."""

    filename: str
    """Relative to the sandbox's home directory."""
    size_in_bytes: int
    file_full_path: str


class CodeInterpreterToolSpec(OwnsSessions, BaseToolSpec):
    """Offers tools that share one sandbox session. Make one spec for each user.

    The model is offered `code_interpreter` and `list_files`; `spec_functions` of `to_tool_list` opts in to
    `read_file`, `write_file`, `install_packages`, `run_command` and `reset`.

    `interpreter`, `timeout`, `options`: as for `CodeInterpreterTool`.
    `files`: local paths, in the home directory from the start.
    `dataframes`: `{name: DataFrame}`, variables of these names from the start, as they are here.
    `local_save_path`: an existing folder into which pictures are also written.
    `sanitize_input`: True: fences and prose around the code are taken off, as in Azure's spec.
    `pool_management_endpoint`, `session_id`: Azure's; they mean nothing here.
    """

    spec_functions: list[str | tuple[str, str]] = ["code_interpreter", "list_files"]  # noqa: RUF012 - core's way

    def __init__(
        self,
        pool_management_endpoint: str | None = None,
        session_id: str | None = None,
        local_save_path: str | None = None,
        sanitize_input: bool = True,  # noqa: FBT001, FBT002 - Azure's signature
        *,
        interpreter: Given = None,
        timeout: float | None = None,
        files: Sequence[str | Path] = (),
        dataframes: Mapping[str, pd.DataFrame] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(pool_management_endpoint, str | None):
            raise ConfigurationError("the first argument is Azure's endpoint: name an interpreter, interpreter=...")
        if pool_management_endpoint or session_id:
            _log.info("pool_management_endpoint and session_id are Azure's; the sandbox is chosen by other options")
        if local_save_path and not Path(local_save_path).is_dir():
            raise ConfigurationError(f"local_save_path {local_save_path} is not a directory")
        if files:
            options["files"] = placed(files, HOME)
        if dataframes:
            options["dataframes"] = dataframes
        self.tool = CodeInterpreterTool(interpreter, timeout=timeout, scope="tool", **options)
        self._sessions = self.tool.sessions
        self._save_path = local_save_path
        self._sanitize = sanitize_input
        self._results: list[ExecutionResult] = []

    # What the model may be offered ------------------------------------------------------------------------------

    def code_interpreter(self, python_code: str) -> dict[str, object]:
        """Run Python code and wait.

        The `ExecutionResult` as plain JSON; under `properties` the same in Azure's words.
        """
        code = extract_code(python_code) if self._sanitize else None
        result = self.tool.run(code or python_code)
        self._results.append(result)
        if self._save_path:
            result.model_copy(update={"artifacts": result.images}).save_all(self._save_path)
        raw: dict[str, object] = result.model_dump(mode="json")
        return raw | {"properties": _azure(result)}

    def list_files(self, path: str = HOME) -> list[RemoteFileMetadata]:
        """List the files in a directory of the sandbox (default: the home directory).

        Args:
            path (str): The directory.

        """
        return [_metadata(entry.path, entry.size) for entry in self._sandbox().list_files(path)]

    def read_file(self, path: str) -> str:
        """Read a text file in the sandbox; long files are cut in the middle.

        Args:
            path (str): The file's path, absolute or relative to the home directory.

        """
        text = self._sandbox().download(_absolute(path)).decode("utf-8", "replace")
        return cut(text, MAX_READ_CHARS, whole="in the file itself")

    def write_file(self, path: str, text: str) -> str:
        """Write a text file in the sandbox, replacing what was there.

        Args:
            path (str): The file's path, absolute or relative to the home directory.
            text (str): What to write.

        """
        self._sandbox().upload(text.encode(), _absolute(path))
        return f"wrote {len(text)} characters to {_absolute(path)}"

    def install_packages(self, packages: list[str]) -> str:
        """Install Python packages in the sandbox.

        Args:
            packages (list[str]): Names as pip takes them, for example "scikit-learn" or "polars==1.9".

        """
        bad = [name for name in packages if not name or name.startswith("-") or any(c.isspace() for c in name)]
        if bad or not packages:
            return f"Error: not package names: {bad}"
        done = drive(workspace_tools.install(self._sandbox(), packages))
        return done.stdout.strip() if done.error is None else _said(done)

    def run_command(self, command: str) -> str:
        """Run a shell command in the sandbox and wait for its end.

        Args:
            command (str): The command, as for bash.

        """
        session = self._sandbox()
        done = drive(workspace_tools.run_command(session, command, timeout=COMMAND_SECONDS))
        path = drive(spilled(session, self._sessions.redactor.result(done), MAX_READ_CHARS))
        end = done.error.value if done.error else "exit code 0"
        out, err = (quoted(clean_output(stream)) for stream in (done.stdout, done.stderr))
        parts = [out, err and f"stderr:\n{err}", end]
        text = "\n".join(part.rstrip() for part in parts if part)
        return cut(text, MAX_READ_CHARS, whole=f"in {path}" if path else IN_ARTIFACT)

    def reset(self) -> str:
        """Start Python in the sandbox afresh: variables and imports are forgotten, files are left as they are."""
        self._sandbox().restart_context()
        return "Python was started afresh: no variables; files are as they were"

    def to_tool_list(
        self,
        spec_functions: list[str | tuple[str, str]] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[FunctionTool]:
        """Returns the tools by name. `code_interpreter` is a `CodeInterpreterTool` with pictures and live output."""
        names = list(spec_functions or self.spec_functions)
        # Base classes would make a plain FunctionTool of it, without pictures and live output.
        others = [name for name in names if name != "code_interpreter"]
        made = map(self._telling, super().to_tool_list(others, func_to_metadata_mapping) if others else [])
        if func_to_metadata_mapping and "code_interpreter" in func_to_metadata_mapping:
            self.tool.metadata.description = func_to_metadata_mapping["code_interpreter"].description
        return [self.tool if name == "code_interpreter" else next(made) for name in names]

    # The host's side --------------------------------------------------------------------------------------------

    def upload_file(
        self, data: Data | None = None, local_file_path: str | None = None, remote_file_path: str | None = None
    ) -> list[RemoteFileMetadata]:
        """Puts a file into the sandbox's home directory: `local_file_path`, or `data` (bytes, text or a file object).

        `data` needs `remote_file_path`.
        """
        if (data is None) == (local_file_path is None):
            raise ConfigurationError("give either data or local_file_path")
        if data is not None and remote_file_path is None:
            raise ConfigurationError("data needs remote_file_path=, the name it gets in the sandbox")
        content = Path(str(local_file_path)).read_bytes() if data is None else _bytes(data)
        remote = _absolute(remote_file_path or Path(str(local_file_path)).name)
        self._sandbox().upload(content, remote)
        return [_metadata(remote, len(content))]

    def upload_files(self, *local_file_paths: str) -> list[RemoteFileMetadata]:
        """Puts several files into the sandbox's home directory."""
        return [uploaded for path in local_file_paths for uploaded in self.upload_file(local_file_path=path)]

    def upload_dataframe(self, df: pd.DataFrame, remote_file_path: str) -> list[RemoteFileMetadata]:
        """Puts a DataFrame into the sandbox as CSV, without its index."""
        return self.upload_file(df.to_csv(index=False).encode(), remote_file_path=remote_file_path)

    def download_file_to_local(self, remote_file_path: str, local_file_path: str | None = None) -> io.BytesIO | None:
        """Fetches a file: into `local_file_path`, or as a stream of bytes when that is not given."""
        content = self._sandbox().download(_absolute(remote_file_path))
        if local_file_path is None:
            return io.BytesIO(content)
        Path(local_file_path).write_bytes(content)
        return None

    def artifacts(self) -> list[Artifact]:
        """Returns what all direct calls of `code_interpreter` gave so far. For agents' calls see `artifacts_from`."""
        return [artifact for result in self._results for artifact in result.artifacts]

    def _sandbox(self) -> CodeInterpreter:
        return self._sessions.blocking().interpreter

    def _telling(self, tool: FunctionTool) -> FunctionTool:
        """Returns `tool` with answers that begin with the loss of a sandbox, where there was one, and without secrets.

        What the model sees of a new sandbox would mislead it otherwise.
        """
        told = _Telling(tool.fn, self._sessions)
        made = cast(
            "_SandboxTool", _SandboxTool.from_defaults(fn=told, async_fn=told.awaited, tool_metadata=tool.metadata)
        )
        made.sessions = self._sessions
        return made


class _Telling:
    """A method of a spec whose answers begin with the loss of a sandbox, and have no secrets."""

    def __init__(self, fn: Callable[..., object], sessions: Sessions) -> None:
        self.fn, self.sessions = fn, sessions
        functools.update_wrapper(self, fn)

    def __call__(self, *args: object, **kwargs: object) -> object:
        redactor = self.sessions.redactor
        try:
            answer = self.fn(*args, **kwargs)
        except Exception as error:
            news, said = self._news(), redactor.text(str(error))
            if news or said != str(error):
                raise SandboxError("\n".join([*news, said])) from error
            raise
        news = self._news()
        return redactor.text("\n".join([*news, str(answer)])) if news or redactor else answer

    # Core makes such a function itself, but a local one, which cannot be pickled.
    async def awaited(self, *args: object, **kwargs: object) -> object:
        """Does it in a thread."""
        return await asyncio.to_thread(self, *args, **kwargs)

    def _news(self) -> list[str]:
        return event_lines(self.sessions.blocking().interpreter.pending_events())


class _SandboxTool(FunctionTool):
    """A tool of a spec. Agents know by `sessions` that it works in the sandbox."""

    sessions: Sessions


def _azure(result: ExecutionResult) -> dict[str, object]:
    return {
        "status": "Success" if result.ok else "Failed",
        "result": result.text,
        "stdout": result.stdout,
        "stderr": result.stderr if result.error is None else f"{result.stderr}{result.error.traceback}",
        "executionTimeInMilliseconds": None if result.duration is None else round(result.duration * 1000),
    }


def _said(result: ExecutionResult) -> str:
    """Returns what went wrong in words: the end of what was written to stderr, otherwise the error."""
    return result.stderr.strip()[-2000:] or (f"Error: {result.error.value}" if result.error else "")


def _metadata(path: str, size: int | None) -> RemoteFileMetadata:
    return RemoteFileMetadata(path.removeprefix(f"{HOME}/"), size or 0, path)


def _absolute(path: str) -> str:
    """Returns the full path in the sandbox. Azure's `/mnt/data` is our home directory."""
    relative = path.removeprefix("/mnt/data/")
    return relative if relative.startswith("/") else f"{HOME}/{relative}"


def _bytes(data: Data) -> bytes:
    content = data if isinstance(data, (str, bytes)) else data.read()
    return content.encode() if isinstance(content, str) else bytes(content)
