"""One body of tests for every kind of kernel: our own, E2B's server as the local kind `jupyter` has it, and E2B."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest

from ci_integrations import CodeInterpreter
from ci_integrations.errors import SandboxError
from ci_integrations.rendering import render_text
from ci_integrations.results import ExecutionResult

KINDS = ["python", "jupyter", pytest.param("cloud", marks=pytest.mark.cloud)]
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
        self.kind, self.it = kind, CodeInterpreter(**options)

    def cell(self, code: str, **options: Any) -> Answer:
        began = time.monotonic()
        try:
            result = self.it.run(code, **options)
            text = render_text(result)
        except SandboxError as error:
            result, text = error.result or ExecutionResult(), str(error)
        return Answer(text, time.monotonic() - began, result)

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


def options_of(kind: str) -> dict[str, Any]:
    """What makes an interpreter of this kind. It skips where the kind cannot be had."""
    if kind == "cloud":
        return {"backend": "e2b"}
    if kind == "python":
        return {"backend": "local"}
    if find_spec("ci_integrations.local.guest.service") is None or find_spec("jupyter_server") is None:
        pytest.skip("the template kind `jupyter` needs the extra of that name")
    from ci_integrations.local.launcher import local_endpoint

    endpoint = local_endpoint()
    if endpoint.level not in ("namespaces", "bubblewrap"):
        pytest.skip(f"sandboxes of that kind need a network of their own, and the level here is {endpoint.level}")
    return {"backend": "e2b", "template": "jupyter", **endpoint.sdk_options()}


@pytest.fixture(scope="module", params=KINDS)
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """One sandbox for a module: at E2B's server its start takes seconds."""
    made = Session(request.param, sandbox_timeout=1800, **options_of(request.param))
    with made.it:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _ROWS:
        return
    terminalreporter.section("what kernels of each kind did")
    widths = [max(map(len, column)) for column in zip(*_ROWS, strict=True)]
    for row in sorted(_ROWS):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
