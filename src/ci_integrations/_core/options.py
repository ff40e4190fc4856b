"""Holds the options of an interpreter and checks them before anything is done.

An option that the SDK would silently ignore is an error here, with the name that it has today.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, Literal

from ci_integrations._core.policy import RecoveryPolicy
from ci_integrations._errors import (
    ConfigurationError,
)
from ci_integrations._json import text
from ci_integrations.results.model import SandboxEvent

RENAMED = {
    "timeout": "sandbox_timeout= is the sandbox's lifetime in seconds, execution_timeout= the limit of one cell",
    "timeout_ms": "sandbox_timeout= (seconds) is the sandbox's lifetime",
    "lifetime": "sandbox_timeout= (seconds) is the sandbox's lifetime",
    "auto_pause": 'lifecycle={"on_timeout": "pause"} says that today',
    "beta_create": 'create with lifecycle={"on_timeout": "pause"}; there is no beta_create any more',
    "cwd": "a sandbox has no working directory at creation today: use create_context(cwd=...)",
    "id": "the template is template= today",
    "template_id": "the template is template= today",
    "env_vars": "envs= is the name today",
    "on_stdout": "pass on_output= to run()",
    "on_stderr": "pass on_output= to run()",
    "on_exit": "pass on_output= to run(); a lost sandbox is reported in the result",
    "on_timeout": 'lifecycle={"on_timeout": ...} says that',
    "auto_resume": 'lifecycle={"on_timeout": "pause", "auto_resume": True} says that',
    "keep_alive": "sandbox_timeout= (seconds) is the sandbox's lifetime",
}
"""Options of older SDK versions, and keys in the wrong place, with what says it today."""


NO_MOUNTS = "mounts= shows folders of this machine in local sandboxes; at E2B, upload the files"

OLD_NAMES = {
    "create": "CodeInterpreter(...) makes the sandbox when the first cell runs",
    "beta_create": 'CodeInterpreter(lifecycle={"on_timeout": "pause"}) says that today',
    "run_code": "run(code) is the name here; the SDK's own is sandbox.run_code",
    "exec_cell": "run(code) is the name today",
    "notebook": "run(code) is the name today, create_context() makes a further kernel",
    "filesystem": "upload, download and list_files are here today; the SDK's own are sandbox.files",
    "process": "run_command is the name today; the SDK's own are sandbox.commands",
    "reconnect": "connect(sandbox_id) is the name today",
    "get_hostname": "get_host(port) is the name today",
    "keep_alive": RENAMED["keep_alive"],
}
"""Methods and attributes that the sandbox classes of older SDK versions had."""


def check_options(options: Mapping[str, object]) -> None:
    """Checks what is passed on to `Sandbox.create`.

    Raises ConfigurationError for a name that it does not know, and for a key of `lifecycle` that it would ignore.
    """
    for name in options:
        if name in RENAMED:
            raise ConfigurationError(f"unknown option {name!r}: {RENAMED[name]}")
    known = _create_options() if options else frozenset()  # asking the SDK means importing it, a second or so
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigurationError(_unknown_option(unknown[0], known))
    if options.get("lifecycle") is not None:
        _check_lifecycle(options["lifecycle"])


def _unknown_option(name: str, known: frozenset[str]) -> str:
    from difflib import get_close_matches

    ours = {field.name for field in fields(InterpreterOptions)}
    near = next(iter(get_close_matches(name, known | ours | set(RENAMED), n=1)), "")
    if near in RENAMED:
        return f"unknown option {name!r}: {RENAMED[near]}"
    meant = f"did you mean {near}=? " if near else ""
    return f"unknown option {name!r}; {meant}Sandbox.create knows {', '.join(sorted(known))}"


def _create_options() -> frozenset[str]:
    """Returns the names that the installed SDK's `Sandbox.create` takes."""
    import inspect

    from e2b import ApiParams, Sandbox

    named = {p.name for p in inspect.signature(Sandbox.create).parameters.values() if p.kind is not p.VAR_KEYWORD}
    return frozenset((named | set(ApiParams.__annotations__)) - {"timeout", "cls"})


def _check_lifecycle(lifecycle: object) -> None:
    if not isinstance(lifecycle, Mapping):
        raise ConfigurationError(f'lifecycle must be a dict like {{"on_timeout": "pause"}}, not {lifecycle!r}')
    _only_known("lifecycle", lifecycle, {"on_timeout", "auto_resume"})
    on_timeout = lifecycle.get("on_timeout")
    if isinstance(on_timeout, Mapping):
        _only_known('lifecycle["on_timeout"]', on_timeout, {"action", "mode", "keep_memory"})


def _only_known(where: str, given: Mapping[str, object], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise ConfigurationError(
                f"unknown key {key!r} in {where}: the SDK would ignore it and kill the sandbox at its timeout instead "
                f'of pausing it. Known: {", ".join(sorted(known))}; to pause: {{"on_timeout": "pause"}}'
            )


def are_seconds(value: object) -> bool:
    """Returns True for a positive, finite number."""
    return isinstance(value, Real) and 0 < float(value) < math.inf


def check_tables(option: str, tables: Mapping[str, object] | None) -> None:
    """Checks names of tables. Raises ConfigurationError for what cannot be a variable, and for tables without names."""
    if tables is not None and not isinstance(tables, Mapping):
        raise ConfigurationError(f"{option} takes names: {{'orders': frame}}")
    for name in tables or {}:
        check_variable(name)


def check_variable(name: object) -> None:
    """Raises ConfigurationError for what cannot be the name of a variable."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigurationError(f"{name!r} cannot be a variable's name: call the table something else")


def check_envs(envs: Mapping[str, str] | None) -> None:
    """Checks environment variables. Raises ConfigurationError, whose message never has a value in it."""
    for name, value in (envs or {}).items():
        # A lone surrogate cannot be encoded: it would fail in the SDK's transport, after the sandbox was made.
        fine = isinstance(name, str) and isinstance(value, str) and name and name + value == text(name + value)
        if not fine or "=" in name or "\0" in name + value:
            raise ConfigurationError(f"envs= maps names to text, without NUL: {name!r} or its value is not that")


@dataclass(frozen=True, kw_only=True)
class InterpreterOptions:
    """Holds everything that an interpreter is made from. See `CodeInterpreter` for what each option means."""

    backend: str = "auto"
    """`"e2b"`, `"local"`, or `"auto"`: E2B when a key or an E2B endpoint is given, by argument or environment,
    otherwise the local sandbox."""
    api_key: str | None = field(default=None, repr=False)
    """E2B's key; without it `E2B_API_KEY`. Never logged or shown."""
    template: str | None = None
    """Name or id of the template. None: the SDK's own, `code-interpreter-v1`."""
    sandbox_timeout: int = 300
    """Lifetime of the sandbox in seconds. Prolonged while cells run, never shortened."""
    execution_timeout: float | None = 60.0
    """Limit of one cell in seconds, kept exactly. None: no limit; the sandbox is kept alive while the cell runs."""
    queue_timeout: float | None = 600.0
    """Seconds that a cell waits for its turn in its kernel before `QueueTimeoutError`. None: for ever."""
    envs: Mapping[str, str] | None = field(default=None, repr=False)
    """Environment variables of every process in the sandbox."""
    metadata: Mapping[str, str] | None = None
    """Tags of the sandbox at the service, beside our own by which `ci-integrations reap` finds it."""
    packages: Sequence[str] = ()
    """Installed with pip in each new sandbox, within 300 seconds; restored after a loss."""
    files: object = None
    """Uploaded to each new sandbox: `{path there: local path or bytes}`, or local paths, which land in `/home/user`."""
    dataframes: Mapping[str, object] | None = field(default=None, repr=False)
    """Tables by the name of their variable: DataFrames, or what `put` takes. A new kernel has them before its first
    cell."""
    mounts: Mapping[str, str] | None = None
    """Folders and files of this machine that the local sandbox can read and not write, by their paths in it:
    `{"/data": "./data"}`. Refused at E2B."""
    setup_code: str | None = None
    """Python that is run first in each new sandbox; its variables are there for every cell."""
    on_sandbox_lost: Literal["restore", "recreate", "error"] = "restore"
    """`"restore"`: a new sandbox with packages, files and setup code. `"recreate"`: a bare one. `"error"`:
    `SandboxLostError`."""
    rerun_on_loss: bool = False
    """True: run code again that may already have run in part. Only for code without effects outside the sandbox."""
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    """How long to wait and when to give up."""
    inject_extractor: bool = True
    """True: figures and tables come back as data. In the cloud this costs one upload and one hidden cell."""
    on_replaced: Callable[[SandboxEvent], None] | None = None
    """Called when a lost sandbox was replaced."""
    restore: Literal["recipe", "replay"] = "recipe"
    """`"replay"`: also run again, in order, the cells that were run with `replayable=True`."""
    create_options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Every other keyword goes to the SDK's `Sandbox.create` as it is (`lifecycle=`, `network=`, `request_timeout=`,
    `allow_internet_access=` ...); one that the SDK does not know is refused."""

    def __post_init__(self) -> None:
        if self.on_sandbox_lost not in ("restore", "recreate", "error"):
            raise ConfigurationError(
                f'on_sandbox_lost must be "restore", "recreate" or "error", not {self.on_sandbox_lost!r}'
            )
        if self.restore not in ("recipe", "replay"):
            raise ConfigurationError(f'restore must be "recipe" or "replay", not {self.restore!r}')
        if self.backend not in ("auto", "e2b", "local"):
            raise ConfigurationError(f'backend must be "auto", "e2b" or "local", not {self.backend!r}')
        if not are_seconds(self.sandbox_timeout):
            raise ConfigurationError("sandbox_timeout is the sandbox's lifetime in seconds and must be positive")
        if self.execution_timeout is not None and not are_seconds(self.execution_timeout):
            raise ConfigurationError("execution_timeout is a cell's limit in seconds: positive, or None for no limit")
        check_envs(self.envs)
        check_tables("dataframes", self.dataframes)
        if self.mounts and self.backend == "e2b":
            raise ConfigurationError(NO_MOUNTS)

    def arguments(self) -> dict[str, Any]:
        """Returns the keyword arguments that make an interpreter with these options."""
        named = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "create_options"}
        return named | dict(self.create_options)
