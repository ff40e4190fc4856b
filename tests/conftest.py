"""Shared by all rooms' tests: a clean environment, a steady hypothesis, the markers' switches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # for `sandbox_kinds`
pytest_plugins = ["pytester", "ci_integrations.testing.cassettes.plugin", "sandbox_kinds"]

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

FOREIGN = ("E2B_", "CI_INTEGRATIONS_", "LANGSMITH_", "LANGCHAIN_")
"""Settings of the machine that would change what the tests see."""

LONGEST = (
    "docs/test_code_blocks.py",
    "charts/test_in_the_kernel.py",
    "core/test_local.py",
    "llamaindex/test_saved_context.py",
    "langchain/test_two_processes.py",
    "docs/test_generated.py",
    "charts/test_seaborn_and_exports.py",
    "langchain/test_in_the_sandbox.py",
    "local/server/test_launcher.py",
    "charts/read/test_same_picture.py",
    "core/test_matrix.py",
    "local/server/test_run_code.py",
    "langchain/test_core_only.py",
    "local/abuse/test_hidden_means.py",
    "cassettes/test_plugin.py",
    "local/server/test_hostile_clients.py",
    "local/server/test_network.py",
    "core/test_stress.py",
    "javascript/test_javascript_sdk.py",
)
"""Files that take longest, by pytest's own measure. They run first: one of them begun last would keep one worker busy
while the others have nothing to do."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked `slow`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for name in ("cloud", "slow"):
        if config.getoption(f"--run-{name}"):
            continue
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"--run-{name} not given"))
    here = Path(__file__).parent
    rank = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(autouse=True)
def clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, endpoint or tracing of this machine reaches a test, unless it records a cassette or its kind is E2B."""
    recording = "cassette" in request.fixturenames and request.config.getoption("--record-mode") not in {None, "none"}
    if recording or request.node.get_closest_marker("cloud"):
        return
    kind = request.getfixturevalue("kind") if "kind" in request.fixturenames else None
    variables = getattr(kind, "variables", {})  # some tests have a `kind` of their own
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
