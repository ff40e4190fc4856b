"""docs/e2b-protocol.md names every public method of the SDK that is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from e2b.sandbox_sync.commands.command import Commands
from e2b.sandbox_sync.commands.pty import Pty
from e2b.sandbox_sync.filesystem.filesystem import Filesystem
from e2b.sandbox_sync.git import Git
from e2b_code_interpreter import AsyncSandbox, Sandbox

DOCUMENT = Path(__file__).parents[3] / "docs" / "e2b-protocol.md"


@pytest.mark.parametrize("kind", [Sandbox, AsyncSandbox, Filesystem, Commands, Pty, Git])
def test_every_public_method_is_named(kind: type) -> None:
    named = set(re.findall(r"`(\w+)`", DOCUMENT.read_text()))
    assert {name for name in dir(kind) if not name.startswith("_")} <= named
