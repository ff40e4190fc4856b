"""A pytest plugin brings two fixtures, when a conftest names it in `pytest_plugins`.

    pytest_plugins = ["ci_integrations.testing.cassettes.plugin"]

`cassette` plays everything the test says to E2B from `cassettes/<module>/<test>.yaml` beside the test file.
`e2b_blocked` makes a test fail when it talks to E2B. `--record-mode` is as in pytest-recording, which may be
installed or not: `none` (default), `once`, `new_episodes`, `all`, `rewrite` (the same as `all`).

Recording needs an endpoint: E2B itself when `E2B_API_KEY` is set; otherwise the local sandbox is spoken to as if it
were E2B.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from ci_integrations.testing.cassettes._tape import RecordMode, Tape, block_traffic, use_cassette

_NO_KEY = "e2b_" + "0" * 40
"""The SDK looks at the form of a key even when nobody asks for it."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if pluginmanager.has_plugin("recording"):  # pytest-recording has added the same option
        return
    parser.addoption(
        "--record-mode",
        choices=("none", "once", "new_episodes", "all", "rewrite"),
        help="how the `cassette` fixture treats cassettes (default: none)",
    )


@pytest.fixture
def cassette(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tape]:
    """Plays or records the E2B SDK's traffic of this test. Close what you open: a session's end is on the tape."""
    path = _path_for(request.node)
    mode = _record_mode(request.config)
    if mode == "none" or (mode == "once" and path.exists()):
        monkeypatch.setenv("E2B_API_KEY", _NO_KEY)
    else:
        _choose_endpoint(monkeypatch)
    with use_cassette(path, record_mode=mode) as tape:
        yield tape


@pytest.fixture
def e2b_blocked() -> Iterator[None]:
    """Lets no request of the E2B SDK leave this test, which `pytest-socket` cannot do. A cassette inside it works."""
    with block_traffic():
        yield


def _record_mode(config: pytest.Config) -> RecordMode:
    asked = config.getoption("--record-mode") or "none"
    return "all" if asked == "rewrite" else cast("RecordMode", asked)


def _path_for(node: pytest.Item) -> Path:
    """The cassette of a test; characters that file systems refuse become `_`."""
    name = re.sub(r"[^\w.-]+", "_", node.name).strip("_")
    return node.path.parent / "cassettes" / node.path.stem / f"{name}.yaml"


def _choose_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chooses E2B when there is a key, and otherwise the local sandbox, by the variables that lead the SDK anywhere."""
    if os.environ.get("E2B_API_KEY"):
        return
    from ci_integrations.local.launcher import local_endpoint

    endpoint = local_endpoint()
    monkeypatch.setenv("E2B_API_URL", endpoint.url)
    monkeypatch.setenv("E2B_SANDBOX_URL", endpoint.url)
    monkeypatch.setenv("E2B_API_KEY", endpoint.token)
