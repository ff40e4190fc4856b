"""Sandboxes of the kind `jupyter` on the real local server, through the unmodified SDK."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint, local_endpoint
from ci_integrations.local.server.state import service


@pytest.fixture(scope="session")
def endpoint() -> Endpoint:
    found = local_endpoint()
    if found.level not in service.LEVELS:
        pytest.skip(f"sandboxes of this kind need a network of their own, and the level here is {found.level}")
    return found


@pytest.fixture(scope="module")
def sandbox(endpoint: Endpoint) -> Iterator[Sandbox]:
    """One sandbox for a module: its start takes seconds. Tests that harm a kernel make a context of their own."""
    with Sandbox.create("jupyter", timeout=1800, envs={"WHERE": "here"}, **endpoint.sdk_options()) as sandbox:
        yield sandbox


@pytest.fixture
def http(endpoint: Endpoint, sandbox: Sandbox) -> Iterator[httpx.Client]:
    """What the SDK sends, sent by hand: for answers that the SDK does not show."""
    headers = {
        "E2b-Sandbox-Id": sandbox.sandbox_id,
        "E2b-Sandbox-Port": "49999",
        "X-Access-Token": str(sandbox._envd_access_token),
    }
    with httpx.Client(base_url=endpoint.url, headers=headers, timeout=60) as client:
        yield client
