"""Shell, files, packages and links of a sandbox as flows that answer with an `ExecutionResult`.

All artifacts have one schema, and every text is bounded. Adapters wrap these flows as tools of their framework.
"""

from __future__ import annotations

import mimetypes
import posixpath
import re
import shlex
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow
from ci_integrations._names import HOME, INSTALL_SECONDS
from ci_integrations._names import OWN_FOLDER as FOLDER
from ci_integrations.interpreter import CommandOutput, OutputHandler
from ci_integrations.results.model import Artifact, ExecutionError, FileArtifact
from ci_integrations.results.result import ExecutionResult

MAX_READ = 200_000
"""Bytes that one `read_lines` fetches."""
MAX_ENTRIES = 500
"""Entries of a directory that one `list_directory` shows."""
LINK_SECONDS = 3600
"""How long a download link works."""
NO_FILE = 66
"""The exit code by which a command of ours says that there is no such file."""
A_FOLDER = 67
"""The exit code by which it says that the path is a directory."""

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-\[\],<>=!~+:/@ ]{0,200}")


class Entry(Protocol):
    """One entry of a directory: the SDK's `EntryInfo`."""

    name: str
    path: str
    size: int
    type: object
    """An enum of the SDK; its value is `"dir"` or `"file"`."""


def run_command(
    session: AnyInterpreter, command: str, *, timeout: float | None, on_output: OutputHandler | None = None
) -> Flow[ExecutionResult]:
    """Runs a shell command to its end, at most `timeout` seconds."""
    output: CommandOutput = yield partial(session.run_command, command, timeout=timeout, on_output=on_output)
    return of_command(command, output)


def start_command(session: AnyInterpreter, command: str) -> Flow[ExecutionResult]:
    """Starts a shell command and does not wait. The answer names its process id and the file that has its output."""
    script = f'mkdir -p {FOLDER}; exec >{FOLDER}/$$.log 2>&1; eval "$1"'
    # `exec`, so that the process id is that of the shell which writes the log, and not of one around it.
    wrapped = f"exec bash -c {shlex.quote(script)} bash {shlex.quote(command)}"
    handle = yield partial(session.run_command, wrapped, background=True, timeout=None)
    pid = int(handle.pid)
    yield handle.disconnect  # otherwise the SDK holds a stream open for as long as the command runs
    told = f"started as process {pid}; its output: {FOLDER}/{pid}.log"
    return answer(f"%%bash --bg\n{command}", told, language="python")


def stop_command(session: AnyInterpreter, pid: int) -> Flow[ExecutionResult]:
    """Sends SIGTERM to the process group `pid`, or to the process where there is no such group."""
    # The group first: a server that the shell started is not the shell.
    stop = f"kill -TERM -- -{pid} 2>/dev/null || kill -TERM {pid}"
    output: CommandOutput = yield partial(session.run_command, stop)
    return answer(stop, f"process {pid} was told to stop") if output.ok else of_command(stop, output, "tool")


def list_directory(session: AnyInterpreter, path: str = HOME) -> Flow[ExecutionResult]:
    """Lists the first `MAX_ENTRIES` entries of a directory by name; files are artifacts too."""
    entries: list[Entry] = yield partial(session.list_files, path)
    shown = sorted(entries, key=lambda entry: str(entry.name))[:MAX_ENTRIES]
    lines = [_entry(entry) for entry in shown] or ["(empty directory)"]
    if len(entries) > len(shown):
        lines.append(f"[and {len(entries) - len(shown)} more]")
    files = [entry for entry in shown if not _is_directory(entry)]
    artifacts = tuple(file_artifact(number, entry.path, entry.size) for number, entry in enumerate(files))
    return answer(f"list_files({path!r})", "\n".join(lines), artifacts=artifacts)


def read_lines(
    session: AnyInterpreter, path: str, *, start_line: int = 1, max_lines: int = 500
) -> Flow[ExecutionResult]:
    """Reads lines of a text file, at most `MAX_READ` bytes. `start_line` counts from 1."""
    title, file, last = f"read_file({path!r})", shlex.quote(posixpath.join(HOME, path)), start_line + max_lines - 1
    # Cut in the sandbox: a file of gigabytes must not travel here. One byte more shows that there is more.
    lines = f"sed -n '{start_line},{last}p;{last}q' {file} | head -c {MAX_READ + 1}"
    output: CommandOutput = yield partial(session.run_command, f"{_is_file(file)}; wc -c < {file} && {lines}")
    if not output.ok:
        return _no_file(title, path, output)
    size, _newline, text = output.stdout.partition("\n")
    # The SDK decodes bytes that are no UTF-8 as U+FFFD.
    if "\0" in text or text.count("\ufffd") > len(text) / 100:
        return problem(title, "NotText", f"{path} is no text ({size.strip()} bytes): read it with code")
    cut = f", cut after {MAX_READ:,} bytes" if len(text.encode()) > MAX_READ else ""
    text = text[:MAX_READ] or "(no such lines)"
    return answer(title, f"{text}\n[{path}, {size.strip()} bytes, from line {start_line}{cut}]")


def _is_file(quoted: str) -> str:
    """Returns the shell's words that go on only with a file."""
    return f"[ -d {quoted} ] && exit {A_FOLDER}; [ -f {quoted} ] || exit {NO_FILE}"


def _no_file(title: str, path: str, output: CommandOutput) -> ExecutionResult:
    """Returns the answer of a tool that needed a file."""
    if output.exit_code == NO_FILE:
        return problem(title, "FileNotFoundError", f"there is no file {path}")
    if output.exit_code == A_FOLDER:
        return problem(title, "IsADirectoryError", f"{path} is a directory: list it")
    return of_command(title, output, "tool")


def write_text(session: AnyInterpreter, path: str, content: str) -> Flow[ExecutionResult]:
    """Writes a text file and makes its folders; what was there is replaced."""
    data = content.encode("utf-8", "replace")
    written: str = yield partial(session.upload, data, path)
    file = file_artifact(0, written or path, len(data))
    code = f"%%writefile {posixpath.relpath(file.path, HOME)}\n{content}"
    return answer(code, f"wrote {len(data):,} bytes", language="python", artifacts=(file,))


def install(
    session: AnyInterpreter, packages: Sequence[str], *, on_output: OutputHandler | None = None
) -> Flow[ExecutionResult]:
    """Installs Python packages with pip, in at most `INSTALL_SECONDS`."""
    title = f"%pip install {shlex.join(packages)}"
    wrong = [name for name in packages if not _PACKAGE.fullmatch(name)]
    if wrong:
        return problem(title, "ValueError", f"not a package name: {wrong[0]!r}")
    # `--` keeps a name that begins with a dash from being an option of pip.
    command = f"python3 -m pip install -q --no-input --disable-pip-version-check -- {shlex.join(packages)}"
    run = partial(session.run_command, command, timeout=INSTALL_SECONDS, on_output=on_output)
    output: CommandOutput = yield run
    if not output.ok:
        return of_command(title, output, "tool")
    return answer(title, f"installed {', '.join(packages)}", language="python")


def download_link(session: AnyInterpreter, path: str) -> Flow[ExecutionResult]:
    """Gives an address from which a file can be downloaded for `LINK_SECONDS`."""
    path = posixpath.join(HOME, path)
    title, file = f"get_download_link({path!r})", shlex.quote(path)
    output: CommandOutput = yield partial(session.run_command, f"{_is_file(file)}; wc -c < {file}")
    if not output.ok:
        return _no_file(title, path, output)
    sandbox = yield session.open
    url: str = yield partial(sandbox.download_url, path, use_signature_expiration=LINK_SECONDS)
    linked = file_artifact(0, path, int(output.stdout.strip() or 0)).model_copy(update={"url": url})
    return answer(title, url, artifacts=(linked,))


def port_address(session: AnyInterpreter, port: int) -> Flow[ExecutionResult]:
    """Gives the address under which a server in the sandbox is reached from outside."""
    host: str = yield partial(session.get_host, port)
    # E2B serves ports by TLS; the local server's names end in localhost, where there is none.
    scheme = "http" if re.search(r"localhost(:\d+)?$", host) else "https"
    return answer(f"get_port_url({port})", f"{scheme}://{host}")


def answer(code: str, text: str, *, language: str = "tool", artifacts: tuple[Artifact, ...] = ()) -> ExecutionResult:
    """Returns a tool's answer. With `language="python"`, `code` does the same in a notebook; otherwise it only names
    the call.
    """
    return ExecutionResult(code=code, language=language, stdout=text, artifacts=artifacts)


def problem(code: str, name: str, value: str) -> ExecutionResult:
    """Returns the answer of a tool that could not do what it was asked for."""
    return ExecutionResult(code=code, language="tool", error=ExecutionError(name=name, value=value))


def of_command(code: str, output: CommandOutput, language: str = "bash") -> ExecutionResult:
    """Returns a command's output as a result. A command that failed says so in words and in `error`."""
    error = None
    if not output.ok:
        value = output.error or f"exit code {output.exit_code}"
        error = ExecutionError(name="CommandFailed", value=value)
    return ExecutionResult(
        code=code, language=language, stdout=output.stdout, stderr=output.stderr, error=error,
        incomplete=output.error is not None,
    )  # fmt: skip


def file_artifact(number: int, path: str, size: int) -> FileArtifact:
    """Returns the artifact of a file that stays in the sandbox."""
    mime = mimetypes.guess_type(path)[0]
    return FileArtifact(id=f"a{number}", path=path, name=posixpath.basename(path), size=size, mime=mime)


def _is_directory(entry: Entry) -> bool:
    return bool(getattr(entry.type, "value", entry.type) == "dir")


def _entry(entry: Entry) -> str:
    return f"{entry.name}/" if _is_directory(entry) else f"{entry.name} ({entry.size:,} bytes)"
