"""The toolkit's further tools: shell, files, packages, links. Handed out by `toolkit.py`.

Each answers with an `ExecutionResult`, so that all artifacts have one schema. Each output is bounded.
"""

from __future__ import annotations

import mimetypes
import posixpath
import re
import shlex
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from ci_integrations._core.flow import Flow
from ci_integrations.langchain._base import SandboxTool
from ci_integrations.langchain._call import RUNTIME, Call, Injected
from ci_integrations.langchain._sessions import opened
from ci_integrations.results.model import ExecutionError, FileArtifact
from ci_integrations.results.result import ExecutionResult

HOME = "/home/user"
MAX_READ = 200_000
"""Bytes that one `read_file` fetches."""
MAX_ENTRIES = 500
LINK_SECONDS = 3600
INSTALL_SECONDS = 300.0
NO_FILE = 66
"""The exit code by which a command of ours says that there is no such file."""

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-\[\],<>=!~+:/@ ]{0,200}")


class ShellInput(BaseModel):
    command: str = Field(description="The command, for bash.")
    background: bool = Field(default=False, description="True: start it, for example a server, and do not wait.")
    runtime: Injected = RUNTIME


class RunShellCommand(SandboxTool):
    _spills: ClassVar[bool] = True

    name: str = "run_shell_command"
    description: str = (
        "Runs a shell command in the sandbox where the code runs, in /home/user. Gives stdout, stderr and the exit "
        "code. With background=true it gives a process id; output then goes to the log file that is named."
    )
    args_schema: Any = ShellInput
    command_timeout: float = 60.0
    """Seconds that a command in the foreground may take."""

    def _work(
        self, session: Any, call: Call, *, command: str, background: bool = False, **_: Any
    ) -> Flow[ExecutionResult]:
        if background:
            return (yield from self._start(session, command))
        output = yield partial(session.run_command, command, timeout=self.command_timeout, on_output=call.on_output)
        return of_command(command, output)

    def _asked(self, arguments: dict[str, Any]) -> tuple[str, str]:
        return str(arguments.get("command")), "bash"

    def _start(self, session: Any, command: str) -> Flow[ExecutionResult]:
        folder = f"{HOME}/.ci"
        script = f'mkdir -p {folder}; exec >{folder}/$$.log 2>&1; eval "$1"'
        wrapped = f"exec bash -c {shlex.quote(script)} bash {shlex.quote(command)}"
        handle = yield partial(session.run_command, wrapped, background=True, timeout=None)
        pid = int(handle.pid)
        yield handle.disconnect
        told = f"started as process {pid}; its output: {folder}/{pid}.log"
        return answer(f"%%bash --bg\n{command}", told, language="python")


class StopInput(BaseModel):
    pid: int = Field(gt=1, description="The process id that run_shell_command gave.")
    runtime: Injected = RUNTIME


class StopShellCommand(SandboxTool):
    name: str = "stop_shell_command"
    description: str = "Stops a command that run_shell_command started in the background."
    args_schema: Any = StopInput

    def _work(self, session: Any, call: Call, *, pid: int, **_: Any) -> Flow[ExecutionResult]:
        stop = f"kill -TERM -- -{pid} 2>/dev/null || kill -TERM {pid}"
        output = yield partial(session.run_command, stop)
        return answer(stop, f"process {pid} was told to stop") if output.ok else of_command(stop, output, "tool")


class ListInput(BaseModel):
    path: str = Field(default=HOME, description="A directory.")
    runtime: Injected = RUNTIME


class ListFiles(SandboxTool):
    name: str = "list_files"
    description: str = "Lists a directory of the sandbox: name, kind and size of each entry."
    args_schema: Any = ListInput

    def _work(self, session: Any, call: Call, *, path: str = HOME, **_: Any) -> Flow[ExecutionResult]:
        entries = yield partial(session.list_files, path)
        shown = sorted(entries, key=lambda entry: str(entry.name))[:MAX_ENTRIES]
        lines = [_entry(entry) for entry in shown] or ["(empty directory)"]
        if len(entries) > len(shown):
            lines.append(f"[and {len(entries) - len(shown)} more]")
        files = [entry for entry in shown if not _is_directory(entry)]
        artifacts = tuple(file_artifact(n, entry.path, entry.size) for n, entry in enumerate(files))
        return answer(f"list_files({path!r})", "\n".join(lines), artifacts=artifacts)


class ReadInput(BaseModel):
    path: str = Field(description="A text file.")
    start_line: int = Field(default=1, ge=1, description="The first line to read, counted from 1.")
    max_lines: int = Field(default=500, ge=1, le=10_000, description="How many lines at most.")
    runtime: Injected = RUNTIME


class ReadFile(SandboxTool):
    name: str = "read_file"
    description: str = "Reads lines of a text file in the sandbox. Read other files with code."
    args_schema: Any = ReadInput

    def _work(
        self, session: Any, call: Call, *, path: str, start_line: int = 1, max_lines: int = 500, **_: Any
    ) -> Flow[ExecutionResult]:
        title, file, last = f"read_file({path!r})", shlex.quote(posixpath.join(HOME, path)), start_line + max_lines - 1
        lines = f"sed -n '{start_line},{last}p;{last}q' {file} | head -c {MAX_READ + 1}"
        output = yield partial(session.run_command, f"[ -f {file} ] || exit {NO_FILE}; wc -c < {file} && {lines}")
        if output.exit_code == NO_FILE:
            return problem(title, "FileNotFoundError", f"there is no file {path}")
        if not output.ok:
            return of_command(title, output, "tool")
        size, _newline, text = output.stdout.partition("\n")
        if "\0" in text or text.count("\ufffd") > len(text) / 100:
            return problem(title, "NotText", f"{path} is no text ({size.strip()} bytes): read it with code")
        cut = f", cut after {MAX_READ:,} bytes" if len(text.encode()) > MAX_READ else ""
        text = text[:MAX_READ] or "(no such lines)"
        return answer(title, f"{text}\n[{path}, {size.strip()} bytes, from line {start_line}{cut}]")


class WriteInput(BaseModel):
    path: str = Field(description="Where to write, for example /home/user/notes.md. Folders are made.")
    content: str = Field(description="The whole new content.")
    runtime: Injected = RUNTIME


class WriteFile(SandboxTool):
    name: str = "write_file"
    description: str = "Writes a text file in the sandbox; what was there is replaced."
    args_schema: Any = WriteInput

    def _work(self, session: Any, call: Call, *, path: str, content: str, **_: Any) -> Flow[ExecutionResult]:
        data = content.encode("utf-8", "replace")
        written = yield partial(session.upload, data, path)
        file = file_artifact(0, written or path, len(data))
        code = f"%%writefile {posixpath.relpath(file.path, HOME)}\n{content}"
        return answer(code, f"wrote {len(data):,} bytes", language="python", artifacts=(file,))


class InstallInput(BaseModel):
    packages: list[str] = Field(min_length=1, max_length=50, description='Names, as for pip: ["polars", "scipy>=1.14"]')
    runtime: Injected = RUNTIME


class InstallPackages(SandboxTool):
    name: str = "install_packages"
    description: str = (
        "Installs Python packages into the sandbox with pip. A package that was imported needs a restart."
    )
    args_schema: Any = InstallInput

    def _work(self, session: Any, call: Call, *, packages: list[str], **_: Any) -> Flow[ExecutionResult]:
        title = f"%pip install {shlex.join(packages)}"
        wrong = [name for name in packages if not _PACKAGE.fullmatch(name)]
        if wrong:
            return problem(title, "ValueError", f"not a package name: {wrong[0]!r}")
        command = f"python3 -m pip install -q --no-input --disable-pip-version-check -- {shlex.join(packages)}"
        output = yield partial(session.run_command, command, timeout=INSTALL_SECONDS, on_output=call.on_output)
        if not output.ok:
            return of_command(title, output, "tool")
        return answer(title, f"installed {', '.join(packages)}", language="python")


class LinkInput(BaseModel):
    path: str = Field(description="A file in the sandbox.")
    runtime: Injected = RUNTIME


class DownloadLink(SandboxTool):
    name: str = "get_download_link"
    description: str = "Gives an address from which the user can download a file of the sandbox, for an hour."
    args_schema: Any = LinkInput

    def _work(self, session: Any, call: Call, *, path: str, **_: Any) -> Flow[ExecutionResult]:
        path = posixpath.join(HOME, path)
        output = yield partial(session.run_command, f"test -f {shlex.quote(path)} && wc -c < {shlex.quote(path)}")
        title = f"get_download_link({path!r})"
        if not output.ok:
            return problem(title, "FileNotFoundError", f"there is no file {path}")
        sandbox = yield opened(session)
        url = yield partial(sandbox.download_url, path, use_signature_expiration=LINK_SECONDS)
        file = file_artifact(0, path, int(output.stdout.strip() or 0)).model_copy(update={"url": url})
        return answer(title, url, artifacts=(file,))


class PortInput(BaseModel):
    port: int = Field(ge=1, le=65535, description="The port that a server in the sandbox listens on.")
    runtime: Injected = RUNTIME


class PortUrl(SandboxTool):
    name: str = "get_port_url"
    description: str = "Gives the address under which the user reaches a server that runs in the sandbox."
    args_schema: Any = PortInput

    def _work(self, session: Any, call: Call, *, port: int, **_: Any) -> Flow[ExecutionResult]:
        host = yield partial(session.get_host, port)
        scheme = "http" if re.search(r"localhost(:\d+)?$", host) else "https"
        return answer(f"get_port_url({port})", f"{scheme}://{host}")


def answer(code: str, text: str, *, language: str = "tool", artifacts: tuple[Any, ...] = ()) -> ExecutionResult:
    """`code` is what does the same in a notebook where `language` is python; else it only names the call."""
    return ExecutionResult(code=code, language=language, stdout=text, artifacts=artifacts)


def problem(code: str, name: str, value: str, **known: Any) -> ExecutionResult:
    return ExecutionResult(code=code, language="tool", error=ExecutionError(name=name, value=value), **known)


def of_command(code: str, output: Any, language: str = "bash") -> ExecutionResult:
    """A command's output; a failed one says so in words and in `error`."""
    error = None
    if not output.ok:
        value = output.error or f"exit code {output.exit_code}"
        error = ExecutionError(name="CommandFailed", value=value)
    return ExecutionResult(
        code=code, language=language, stdout=output.stdout, stderr=output.stderr, error=error,
        incomplete=output.error is not None,
    )  # fmt: skip


def file_artifact(number: int, path: str, size: int) -> FileArtifact:
    mime = mimetypes.guess_type(path)[0]
    return FileArtifact(id=f"a{number}", path=path, name=posixpath.basename(path), size=size, mime=mime)


def _is_directory(entry: Any) -> bool:
    return bool(getattr(entry.type, "value", entry.type) == "dir")


def _entry(entry: Any) -> str:
    return f"{entry.name}/" if _is_directory(entry) else f"{entry.name} ({entry.size:,} bytes)"


ALL: dict[str, Callable[[], SandboxTool]] = {
    tool.model_fields["name"].default: tool
    for tool in (
        RunShellCommand, StopShellCommand, ListFiles, ReadFile, WriteFile, InstallPackages, DownloadLink, PortUrl
    )
}  # fmt: skip


def make(names: list[str]) -> list[SandboxTool]:
    return [ALL[name]() for name in names]
