"""Shared by all rooms' tests: a clean environment, a steady hypothesis, the markers' switches."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "ci_integrations.testing.cassettes.plugin"]

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

FOREIGN = ("E2B_", "CI_INTEGRATIONS_", "LANGSMITH_", "LANGCHAIN_")
"""Settings of the machine that would change what the tests see."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-cloud", action="store_true", help="also run the tests marked `cloud` (needs E2B_API_KEY)")
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked `slow`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("cloud", "slow"):
        if config.getoption(f"--run-{name}"):
            continue
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"--run-{name} not given"))


@pytest.fixture(autouse=True)
def clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, endpoint or tracing of this machine reaches a test, unless it is marked `cloud` or records a cassette."""
    recording = "cassette" in request.fixturenames and request.config.getoption("--record-mode") not in {None, "none"}
    if recording or request.node.get_closest_marker("cloud"):
        return
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
