"""The toolkit's further tools: shell, files, packages, links. Handed out by `toolkit.py`.

Each of them wraps a flow of `_adapters/workspace_tools.py` and answers with an `ExecutionResult`, so that all artifacts
have one schema. Each output is bounded. The docstrings of the inputs are what a model reads about the tools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from langchain_core.tools import ArgsSchema
from pydantic import BaseModel, Field, PrivateAttr

from ci_integrations._adapters import workspace_tools
from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow
from ci_integrations._names import HOME
from ci_integrations.langchain._base import SandboxTool
from ci_integrations.langchain._call import RUNTIME, Call, Injected
from ci_integrations.results.result import ExecutionResult

Work = Callable[..., Flow[ExecutionResult]]
"""A flow on a session, with the arguments of a tool."""


class ShellInput(BaseModel):
    """The arguments of `run_shell_command`."""

    command: str = Field(description="The command, for bash.")
    background: bool = Field(default=False, description="True: start it, for example a server, and do not wait.")
    runtime: Injected = RUNTIME


class StopInput(BaseModel):
    """Stops a command that run_shell_command started in the background."""

    pid: int = Field(gt=1, description="The process id that run_shell_command gave.")
    runtime: Injected = RUNTIME


class ListInput(BaseModel):
    """Lists a directory of the sandbox: name, kind and size of each entry."""

    path: str = Field(default=HOME, description="A directory.")
    runtime: Injected = RUNTIME


class ReadInput(BaseModel):
    """Reads lines of a text file in the sandbox. Read other files with code."""

    path: str = Field(description="A text file.")
    start_line: int = Field(default=1, ge=1, description="The first line to read, counted from 1.")
    max_lines: int = Field(default=500, ge=1, le=10_000, description="How many lines at most.")
    runtime: Injected = RUNTIME


class WriteInput(BaseModel):
    """Writes a text file in the sandbox; what was there is replaced."""

    path: str = Field(description="Where to write, for example /home/user/notes.md. Folders are made.")
    content: str = Field(description="The whole new content.")
    runtime: Injected = RUNTIME


class InstallInput(BaseModel):
    """Installs Python packages into the sandbox with pip. A package that was imported needs a restart."""

    packages: list[str] = Field(min_length=1, max_length=50, description='Names, as for pip: ["polars", "scipy>=1.14"]')
    runtime: Injected = RUNTIME


class LinkInput(BaseModel):
    """Gives an address from which the user can download a file of the sandbox, for an hour."""

    path: str = Field(description="A file in the sandbox.")
    runtime: Injected = RUNTIME


class PortInput(BaseModel):
    """Gives the address under which the user reaches a server that runs in the sandbox."""

    port: int = Field(ge=1, le=65535, description="The port that a server in the sandbox listens on.")
    runtime: Injected = RUNTIME


class WorkspaceTool(SandboxTool):
    """A tool that does one flow. Its `args_schema` says what the model gives and, as its docstring, what it is for."""

    _flow: Work = PrivateAttr()
    _streams: bool = PrivateAttr()
    """True for a flow that takes `on_output`."""

    def __init__(self, flow: Work, schema: type[BaseModel], *, name: str, streams: bool = False) -> None:
        super().__init__(name=name, description=schema.__doc__, args_schema=schema)
        self._flow, self._streams = flow, streams

    def _work(self, session: AnyInterpreter, call: Call, **arguments: object) -> Flow[ExecutionResult]:
        return self._flow(session, **arguments, **({"on_output": call.on_output} if self._streams else {}))


class RunShellCommand(SandboxTool):
    """Runs a shell command, in the foreground with live output, or in the background."""

    _spills: ClassVar[bool] = True

    name: str = "run_shell_command"
    description: str = (
        "Runs a shell command in the sandbox where the code runs, in /home/user. Gives stdout, stderr and the exit "
        "code. With background=true it gives a process id; output then goes to the log file that is named."
    )
    args_schema: ArgsSchema | None = ShellInput
    command_timeout: float = 60.0
    """Seconds that a command in the foreground may take."""

    def _work(
        self, session: AnyInterpreter, call: Call, *, command: str, background: bool = False, **_: object
    ) -> Flow[ExecutionResult]:
        if background:
            return workspace_tools.start_command(session, command)
        return workspace_tools.run_command(session, command, timeout=self.command_timeout, on_output=call.on_output)

    def _asked(self, arguments: Mapping[str, object]) -> tuple[str, str]:
        return str(arguments.get("command")), "bash"


ALL: dict[str, Callable[..., SandboxTool]] = {
    "run_shell_command": RunShellCommand,
    "stop_shell_command": partial(WorkspaceTool, workspace_tools.stop_command, StopInput),
    "list_files": partial(WorkspaceTool, workspace_tools.list_directory, ListInput),
    "read_file": partial(WorkspaceTool, workspace_tools.read_lines, ReadInput),
    "write_file": partial(WorkspaceTool, workspace_tools.write_text, WriteInput),
    "install_packages": partial(WorkspaceTool, workspace_tools.install, InstallInput, streams=True),
    "get_download_link": partial(WorkspaceTool, workspace_tools.download_link, LinkInput),
    "get_port_url": partial(WorkspaceTool, workspace_tools.port_address, PortInput),
}
"""Name to what makes the tool."""


def make(names: Sequence[str]) -> list[SandboxTool]:
    """Returns new tools of these names."""
    return [ALL[name](name=name) for name in names]
