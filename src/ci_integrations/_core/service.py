"""Decides where a sandbox runs, and with which of the SDK's options. The only place that starts the local server.

E2B is meant when a key or an endpoint of E2B's kind is given, otherwise the local sandbox. Options pass through to
`Sandbox.create` as they are; what it would silently ignore is refused here, with today's name.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from ci_integrations._errors import (
    AuthenticationError,
    ConfigurationError,
    LocalSandboxUnavailable,
    MissingDependencyError,
)

logger = logging.getLogger("ci_integrations")

Connection = dict[str, object]
"""Options of the SDK that say where a sandbox runs and how to reach it."""

_ENDPOINT_OPTIONS = ("api_url", "domain", "sandbox_url", "debug")
_ENDPOINT_VARIABLES = ("E2B_API_URL", "E2B_DOMAIN", "E2B_SANDBOX_URL")

_LOCAL_NEEDS = ("IPython", "uvicorn", "httptools")
"""In the extra `local`; the server is a process of its own, which could only say so in a traceback."""


_KEYLESS = (
    'set E2B_API_KEY (or pass api_key="e2b_..."), or run without a key in the local sandbox: backend="local" '
    '(pip install "ci-integrations[local]")'
)


def choose(backend: str, api_key: str | None, options: Mapping[str, object]) -> Literal["e2b", "local"]:
    """Returns `"e2b"` or `"local"`. An explicit backend wins, then `CI_INTEGRATIONS_BACKEND`, then a key or endpoint.

    Raises AuthenticationError when E2B is meant and there is no key.
    """
    wanted = backend if backend != "auto" else os.environ.get("CI_INTEGRATIONS_BACKEND", "auto") or "auto"
    if wanted not in ("auto", "e2b", "local"):
        raise ConfigurationError(f'CI_INTEGRATIONS_BACKEND must be "auto", "e2b" or "local", not {wanted!r}')
    if wanted == "auto":
        wanted = "e2b" if _points_to_e2b(api_key, options) else "local"
    if wanted == "e2b" and not _has_key(api_key, options):
        raise AuthenticationError(f"E2B needs a key: {_KEYLESS}")
    return "local" if wanted == "local" else "e2b"


def _has_key(api_key: str | None, options: Mapping[str, object]) -> bool:
    return bool(api_key or os.environ.get("E2B_API_KEY") or options.get("debug") or _debug())


def _debug() -> bool:
    return os.environ.get("E2B_DEBUG", "").lower() == "true"


def _points_to_e2b(api_key: str | None, options: Mapping[str, object]) -> bool:
    return (
        bool(api_key or os.environ.get("E2B_API_KEY") or _debug())
        or any(options.get(name) for name in _ENDPOINT_OPTIONS)
        or any(os.environ.get(name) for name in _ENDPOINT_VARIABLES)
    )


def refused(reason: str) -> AuthenticationError:
    """Returns the error for a key that the service did not accept."""
    return AuthenticationError(f"E2B refused the key ({reason}): {_KEYLESS}")


def check_local_extra() -> None:
    """Raises MissingDependencyError when the local sandbox cannot be started because its extra is not installed."""
    if any(find_spec(name) is None for name in _LOCAL_NEEDS):
        raise MissingDependencyError("The local sandbox", "local")


def local_connection(mounts: Mapping[str, str] | None = None) -> Connection:
    """Starts the local server if it is not running, and returns how the SDK reaches it. Blocks; thread-safe.

    `mounts`: folders that its sandboxes can read; each set of them has a server of its own. Raises ConfigurationError
    for one that cannot be.

    Raises MissingDependencyError without its extra, and LocalSandboxUnavailable when no isolation works here.
    """
    check_local_extra()
    from ci_integrations.local.launcher import LocalServerError, local_endpoint
    from ci_integrations.local.protocol.mounts import MountError, checked

    try:
        options = {"mounts": checked(mounts)} if mounts else {}
        return dict(local_endpoint(**options).sdk_options())
    except MountError as error:
        raise ConfigurationError(str(error)) from error
    except LocalServerError as error:
        raise LocalSandboxUnavailable(str(error)) from error


def local_connection_at(url: str) -> Connection | None:
    """Returns how the SDK reaches the local server, if this process runs one at `url`. Starts nothing."""
    # Looked up, not imported: a process that has not loaded the launcher has started no server.
    launcher = sys.modules.get("ci_integrations.local.launcher")
    endpoint = launcher.running_at(url) if launcher else None
    return endpoint.sdk_options() if endpoint else None
