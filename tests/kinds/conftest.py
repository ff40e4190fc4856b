"""One sandbox for each module and kind of kernel, and a table of what it did.

pytest --kind=own --kind=jupyter --run-slow -n0 tests/kinds     # every moment, every code, both kinds
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sandbox_kinds import Kind

from ci_integrations import CodeInterpreter
from ci_integrations.errors import SandboxError
from ci_integrations.rendering import render_text
from ci_integrations.results import ExecutionResult

_ROWS: list[tuple[str, ...]] = []


@dataclass
class Answer:
    """What one cell gave, and after how many seconds."""

    text: str
    seconds: float
    result: ExecutionResult


class Session:
    """An interpreter whose answers are results, also where it raises: as an agent's tool has it."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind, self.options = kind, options
        self.it = CodeInterpreter(**options)

    def cell(self, code: str, **options: Any) -> Answer:
        began, said = time.monotonic(), None
        try:
            result = self.it.run(code, **options)
        except SandboxError as error:
            result, said = error.result or ExecutionResult(), str(error)
        seconds = time.monotonic() - began
        return Answer(said or render_text(result), seconds, result)

    def cell_that_ends(self, code: str) -> Answer:
        """Runs code without effects until a kernel has run it to its end: the first tries may meet a death."""
        for _ in range(4):
            answer = self.cell(code)
            if answer.result.error is None:
                return answer
        raise AssertionError(answer.text)

    def read(self, path: str) -> str:
        """A file's text, read without the kernel."""
        return self.it.run_command(f"cat {path} 2>/dev/null || true").stdout

    def note(self, *cells: object) -> None:
        """Adds a row to the table at the end of the test run."""
        _ROWS.append((self.kind, *map(str, cells)))


@pytest.fixture(scope="module")
def session(kind: Kind) -> Iterator[Session]:
    """One sandbox for a module: at E2B's server its start takes seconds."""
    made = Session(kind.name, sandbox_timeout=1800, **kind.options)
    with made.it:
        yield made


@pytest.fixture(autouse=True)
def notes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sends the test's rows along with its report: workers have no terminal."""
    yield
    request.node.user_properties += [("kinds", row) for row in _ROWS]
    _ROWS.clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        one for some in terminalreporter.stats.values() for one in some if getattr(one, "when", "") == "teardown"
    ]
    rows = [row for report in reports for key, row in report.user_properties if key == "kinds"]
    if not rows:
        return
    terminalreporter.section("what kernels of each kind did")
    for row in sorted(rows):
        terminalreporter.write_line("  ".join(row))
