"""Which endpoint is checked, and sandboxes on it. One is shared by the checks that leave it as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox


@pytest.fixture(scope="session")
def options() -> dict[str, Any]:
    """What the SDK's calls need to reach the endpoint: nothing when the E2B_* variables name one."""
    if any(os.environ.get(name) for name in ("E2B_API_KEY", "E2B_API_URL")):
        return {}
    from ci_integrations.local.launcher import local_endpoint

    return dict(local_endpoint().sdk_options())


@pytest.fixture(scope="session")
def sandbox(options: dict[str, Any]) -> Iterator[Sandbox]:
    made = Sandbox.create(timeout=300, metadata={"suite": "conformance"}, envs={"CONFORMANCE": "global"}, **options)
    yield made
    made.kill()


@pytest.fixture
def own_sandbox(options: dict[str, Any]) -> Iterator[Sandbox]:
    """For checks that pause, kill or shorten the life of theirs."""
    made = Sandbox.create(timeout=120, **options)
    yield made
    made.kill()
