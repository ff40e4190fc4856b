"""The kinds of sandbox that the client's tests run on, with one body of tests for all of them.

    pytest                             # our own kernel; a stand-in for E2B where a test can have one
    pytest --kind=jupyter              # the kind `jupyter` of the local server: jupyter-server and ipykernel, as at E2B
    pytest --kind=own --kind=jupyter   # one after the other; the recovery matrix then shows both side by side
    pytest --run-cloud                 # the dangerous tests at E2B (needs E2B_API_KEY, costs money)

A test that asks for the fixture `kind` runs on the kinds that were asked for; all others are left out then, because no
kind changes what they see.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

NAMES = ("own", "jupyter", "e2b")
VARIABLES = {"api_url": "E2B_API_URL", "sandbox_url": "E2B_SANDBOX_URL", "api_key": "E2B_API_KEY"}
"""What the SDK reads, by the name of the option that says the same."""


@dataclass(frozen=True)
class Kind:
    """One kind of sandbox, and how interpreters and the bare SDK get one of it."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    """For our interpreters, tools, registries."""
    template: dict[str, str] = field(default_factory=dict)
    """For `Sandbox.create` of the SDK, beside `address`."""
    asked: bool = False
    """Named by `--kind`: nothing stands in for it then."""

    @cached_property
    def address(self) -> dict[str, Any]:
        """How the bare SDK reaches its server. Starts the local one."""
        from ci_integrations.local.launcher import local_endpoint

        return {} if self.name == "e2b" else dict(local_endpoint().sdk_options())

    @cached_property
    def variables(self) -> dict[str, str]:
        """The environment in which `backend="e2b"` leads to it; empty for our own kernel."""
        if self.name == "e2b":
            return {name: os.environ[name] for name in (*VARIABLES.values(), "E2B_DOMAIN") if name in os.environ}
        # No variable says that there is no proxy: the server's address is enough here.
        named = {VARIABLES[name]: str(value) for name, value in self.address.items() if name in VARIABLES}
        return named if self.name == "jupyter" else {}


OPTIONS: dict[str, dict[str, Any]] = {
    "own": {"backend": "local"},
    "jupyter": {"backend": "e2b", "template": "jupyter"},
    "e2b": {"backend": "e2b"},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kind", action="append", choices=NAMES, help="run the client's tests on this kind of sandbox, and only those"
    )
    parser.addoption(
        "--run-cloud", action="store_true", help="run the dangerous tests at E2B, and only those (needs E2B_API_KEY)"
    )


def asked_for(config: pytest.Config) -> list[str]:
    """The kinds that were named on the command line."""
    if config.getoption("--run-cloud"):
        return ["e2b"]
    return list(config.getoption("--kind") or [])


def pytest_configure(config: pytest.Config) -> None:
    if "e2b" in asked_for(config) and not os.environ.get("E2B_API_KEY"):
        raise pytest.UsageError("tests at E2B need a key: set E2B_API_KEY")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    asked = asked_for(metafunc.config)
    if asked and _asks_for_kind(metafunc.definition):
        metafunc.parametrize("kind", asked, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of the kinds that were asked for, and says why one of them is skipped."""
    asked = asked_for(config)
    if not asked:
        return
    kept = [item for item in items if _wanted(item, dangerous=config.getoption("--run-cloud"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept
    for item in items:
        own = item.get_closest_marker("own_kernel")
        if own is not None and item.callspec.params["kind"] != "own":  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.skip(reason=f"only on our own kernel: {own.args[0]}"))


def _asks_for_kind(item: pytest.Item) -> bool:
    """Whether its `kind` is our fixture, and not an argument that the test's own table fills.

    A test that looks at the stand-in for E2B itself, the fixture `service`, makes sense with that alone.
    """
    if "service" in getattr(item, "fixturenames", ()):
        return False
    tables = [mark.args[0] for mark in item.iter_markers("parametrize")]
    names = [name.strip() for names in tables for name in (names.split(",") if isinstance(names, str) else names)]
    return "kind" in getattr(item, "fixturenames", ()) and "kind" not in names


def _wanted(item: pytest.Item, *, dangerous: bool) -> bool:
    """Whether a kind changes what the test sees, and at E2B, where each costs money, whether it is worth that."""
    if item.get_closest_marker("cloud"):
        return dangerous
    return _asks_for_kind(item) and (not dangerous or item.get_closest_marker("dangerous") is not None)


def _skip_without_jupyter() -> None:
    """Skips where that kind cannot be had: its extra is not installed, or sandboxes have no network of their own."""
    from ci_integrations.local.launcher import local_endpoint
    from ci_integrations.local.protocol.contract import EngineError
    from ci_integrations.local.server.state import service

    try:
        service.check(local_endpoint().level)
    except EngineError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """The kind of sandbox that the test runs on: our own, unless kinds were asked for."""
    name = getattr(request, "param", "own")
    if name == "jupyter":
        _skip_without_jupyter()
    template = {"template": "jupyter"} if name == "jupyter" else {}
    found = Kind(name, OPTIONS[name], template, asked=bool(asked_for(request.config)))
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in found.variables.items():  # for fixtures that outlive a test
            patch.setenv(variable, value)
        yield found
