"""These fixtures give the endpoint that is checked, and sandboxes on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.testing.conformance import Options


@pytest.fixture(scope="session")
def options() -> Options:
    """Returns what the SDK's calls need to reach the endpoint; nothing when the E2B_* variables name one."""
    if any(os.environ.get(name) for name in ("E2B_API_KEY", "E2B_API_URL")):
        return {}
    from ci_integrations.local.launcher import local_endpoint

    return dict(local_endpoint().sdk_options())


@pytest.fixture(scope="session")
def sandbox(options: Options) -> Iterator[Sandbox]:
    """Yields one sandbox for all checks that leave it as it was: in the cloud each costs money and a second."""
    marks = {"metadata": {"suite": "conformance"}, "envs": {"CONFORMANCE": "global"}}
    made = Sandbox.create(os.environ.get("CONFORMANCE_TEMPLATE"), timeout=300, **marks, **options)
    yield made
    made.kill()


@pytest.fixture
def own_sandbox(options: Options) -> Iterator[Sandbox]:
    """Yields a sandbox for one check, which may pause or kill it or shorten its life."""
    made = Sandbox.create(os.environ.get("CONFORMANCE_TEMPLATE"), timeout=120, **options)
    yield made
    made.kill()
