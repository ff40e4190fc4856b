"""The command line as a user calls it: words in, exit code and what was printed out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.cli import main

PENGUINS = Path(__file__).parents[2] / "src" / "ci_integrations" / "data" / "penguins.csv"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Call the command line in this process; `cli("run", "-")`."""
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        printed = capfd.readouterr()
        return Outcome(int(end.value.code or 0), printed.out, printed.err)

    return call


@pytest.fixture
def penguins() -> Path:
    return PENGUINS
