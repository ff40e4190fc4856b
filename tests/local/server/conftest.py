"""The real server, started as users' processes start it, and real sandboxes on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint, local_endpoint


@pytest.fixture(scope="session")
def endpoint() -> Endpoint:
    return local_endpoint()


@pytest.fixture(scope="module")
def shared(endpoint: Endpoint) -> Iterator[Sandbox]:
    """One sandbox for the tests of a module that leave nothing behind."""
    with Sandbox.create(timeout=600, **endpoint.sdk_options()) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(endpoint: Endpoint) -> Iterator[Sandbox]:
    with Sandbox.create(timeout=600, **endpoint.sdk_options()) as sandbox:
        yield sandbox
