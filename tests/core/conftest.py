"""One E2B service per test, and one body for both faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .faces import FACES
from .fake_e2b import FakeE2B


@pytest.fixture
def service() -> Iterator[FakeE2B]:
    """A stand-in for E2B in this process; every test leaves it without a sandbox."""
    with FakeE2B() as fake:
        yield fake


@pytest.fixture(params=sorted(FACES))
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def interpreter(service: FakeE2B, face: str) -> Iterator[Callable[..., Any]]:
    """Makes interpreters of either face for the service, and closes them."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(FACES[face](**{**service.options, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def no_ambient_e2b(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("E2B_API_KEY", "E2B_API_URL", "E2B_DOMAIN", "E2B_SANDBOX_URL", "E2B_DEBUG", "CI_INTEGRATIONS_BACKEND"):
        monkeypatch.delenv(name, raising=False)


_ROWS: list[tuple[str, ...]] = []


@pytest.fixture
def matrix() -> list[tuple[str, ...]]:
    """Where the matrix test writes its rows."""
    return _ROWS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _ROWS:
        return
    head = ("failure", "moment", "door", "the caller gets", "ran", "sandboxes made")
    widths = [max(len(row[column]) for row in [head, *_ROWS]) for column in range(len(head))]
    terminalreporter.section("recovery matrix")
    for row in [head, *_ROWS]:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    twice = sum(int(row[4]) > 1 for row in _ROWS if "rerun" not in row[0])
    terminalreporter.write_line(f"{len(_ROWS)} cells; code run twice without being asked to: {twice}")
