"""Where a sandbox runs, and with which of the SDK's options. The only place that starts the local server.

E2B is meant when a key or an endpoint of E2B's kind is given; else the local sandbox. Options pass through to
`Sandbox.create` as they are; what it would silently ignore is refused here, with today's name.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

from ci_integrations.errors import (
    AuthenticationError,
    ConfigurationError,
    LocalSandboxUnavailable,
    MissingDependencyError,
)

logger = logging.getLogger("ci_integrations")

BackendName = Literal["auto", "e2b", "local"]

_ENDPOINT_OPTIONS = ("api_url", "domain", "sandbox_url", "debug")
_ENDPOINT_VARIABLES = ("E2B_API_URL", "E2B_DOMAIN", "E2B_SANDBOX_URL")

_LOCAL_NEEDS = ("IPython", "uvicorn", "httptools")
"""In the extra `local`; the server is a process of its own, which could only say so in a traceback."""

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

_KEYLESS = (
    'set E2B_API_KEY (or pass api_key="e2b_..."), or run without a key in the local sandbox: backend="local" '
    '(pip install "ci-integrations[local]")'
)


def choose(backend: str, api_key: str | None, options: Mapping[str, Any]) -> Literal["e2b", "local"]:
    """`"e2b"` or `"local"`. An explicit backend wins, then `CI_INTEGRATIONS_BACKEND`, then a key or an endpoint."""
    wanted = backend if backend != "auto" else os.environ.get("CI_INTEGRATIONS_BACKEND", "auto") or "auto"
    if wanted not in ("auto", "e2b", "local"):
        raise ConfigurationError(f'CI_INTEGRATIONS_BACKEND must be "auto", "e2b" or "local", not {wanted!r}')
    if wanted == "auto":
        wanted = "e2b" if _points_to_e2b(api_key, options) else "local"
    if wanted == "e2b" and not _has_key(api_key, options):
        raise AuthenticationError(f"E2B needs a key: {_KEYLESS}")
    return "local" if wanted == "local" else "e2b"


def _has_key(api_key: str | None, options: Mapping[str, Any]) -> bool:
    return bool(api_key or os.environ.get("E2B_API_KEY") or options.get("debug") or _debug())


def _debug() -> bool:
    return os.environ.get("E2B_DEBUG", "").lower() == "true"


def _points_to_e2b(api_key: str | None, options: Mapping[str, Any]) -> bool:
    return (
        bool(api_key or os.environ.get("E2B_API_KEY") or _debug())
        or any(options.get(name) for name in _ENDPOINT_OPTIONS)
        or any(os.environ.get(name) for name in _ENDPOINT_VARIABLES)
    )


def refused(reason: str) -> AuthenticationError:
    """The error for a key that the service did not accept."""
    return AuthenticationError(f"E2B refused the key ({reason}): {_KEYLESS}")


def check_local_extra() -> None:
    """Raise MissingDependencyError when the local sandbox cannot be started for want of its extra."""
    if any(find_spec(name) is None for name in _LOCAL_NEEDS):
        raise MissingDependencyError("The local sandbox", "local")


def local_connection() -> dict[str, Any]:
    """Start the local server if it is not running, and say how the SDK reaches it. Blocks; thread-safe."""
    check_local_extra()
    from ci_integrations.local.launcher import LocalServerError, local_endpoint

    try:
        options: dict[str, Any] = local_endpoint().sdk_options()
    except LocalServerError as error:
        raise LocalSandboxUnavailable(str(error)) from error
    return options


def local_connection_at(url: str) -> dict[str, Any] | None:
    """As `local_connection`, when the local server that this process runs is the one at `url`. Starts nothing."""
    launcher = sys.modules.get("ci_integrations.local.launcher")
    endpoint = launcher.running_at(url) if launcher else None
    return endpoint.sdk_options() if endpoint else None


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what `Sandbox.create` does not know, and keys of `lifecycle` that it would silently ignore."""
    for name in options:
        if name in RENAMED:
            raise ConfigurationError(f"unknown option {name!r}: {RENAMED[name]}")
    known = _create_options() if options else frozenset()
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigurationError(_unknown_option(unknown[0], known))
    if options.get("lifecycle") is not None:
        _check_lifecycle(options["lifecycle"])


def _unknown_option(name: str, known: frozenset[str]) -> str:
    from dataclasses import fields
    from difflib import get_close_matches

    from ci_integrations._session import InterpreterOptions

    ours = {field.name for field in fields(InterpreterOptions)}
    near = next(iter(get_close_matches(name, known | ours | set(RENAMED), n=1)), "")
    if near in RENAMED:
        return f"unknown option {name!r}: {RENAMED[near]}"
    meant = f"did you mean {near}=? " if near else ""
    return f"unknown option {name!r}; {meant}Sandbox.create knows {', '.join(sorted(known))}"


def _create_options() -> frozenset[str]:
    """The names that the installed SDK's `Sandbox.create` takes."""
    import inspect

    from e2b import ApiParams, Sandbox

    named = {p.name for p in inspect.signature(Sandbox.create).parameters.values() if p.kind is not p.VAR_KEYWORD}
    return frozenset((named | set(ApiParams.__annotations__)) - {"timeout", "cls"})


def _check_lifecycle(lifecycle: Any) -> None:
    if not isinstance(lifecycle, Mapping):
        raise ConfigurationError(f'lifecycle must be a dict like {{"on_timeout": "pause"}}, not {lifecycle!r}')
    _only_known("lifecycle", lifecycle, {"on_timeout", "auto_resume"})
    on_timeout = lifecycle.get("on_timeout")
    if isinstance(on_timeout, Mapping):
        _only_known('lifecycle["on_timeout"]', on_timeout, {"action", "mode", "keep_memory"})


def _only_known(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise ConfigurationError(
                f"unknown key {key!r} in {where}: the SDK would ignore it and kill the sandbox at its timeout instead "
                f'of pausing it. Known: {", ".join(sorted(known))}; to pause: {{"on_timeout": "pause"}}'
            )
