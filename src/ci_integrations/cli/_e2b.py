"""What the commands that talk to E2B share: the check for an endpoint, and the SDK's errors as one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ci_integrations.cli._terminal import stop


def endpoint(why: str) -> None:
    """Ends with exit code 2 when no E2B endpoint is configured. `why` says what needs one."""
    if not os.environ.get("E2B_API_KEY"):
        stop(f"{why}: set E2B_API_KEY (for a server of your own also E2B_API_URL)")


@contextmanager
def e2b_errors() -> Iterator[None]:
    """Turns the SDK's exceptions into one line and an exit code: 2 for a refused key, 1 for the others."""
    # Imported here: the SDK takes half a second, which `--help` need not wait for.
    import httpx
    from e2b.exceptions import AuthenticationException, SandboxException

    from ci_integrations.errors import SandboxUnreachableError

    try:
        yield
    except AuthenticationException as error:
        stop(f"E2B refused the key in E2B_API_KEY: {error}")
    # The SDK lets errors of the network through: which class it is depends on the call.
    except (httpx.TransportError, ConnectionError, TimeoutError) as error:
        raise SandboxUnreachableError(f"E2B cannot be reached: {error}") from error
    except SandboxException as error:
        raise SandboxUnreachableError(f"E2B answered: {error}") from error
