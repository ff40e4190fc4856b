"""One E2B service per test, and one body for both faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sandbox_kinds import Kind

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
def interpreter(request: pytest.FixtureRequest, face: str, kind: Kind) -> Iterator[Callable[..., Any]]:
    """Makes interpreters of either face, and closes them: for the stand-in, or for a kind that was asked for.

    A test that looks at the stand-in itself (`service`) has no other kind.
    """
    made: list[Any] = []
    where = kind.options if kind.asked else request.getfixturevalue("service").options

    def make(**options: Any) -> Any:
        made.append(FACES[face](**{**where, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def no_ambient_e2b(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "kind" in request.fixturenames and request.getfixturevalue("kind").asked:
        return
    for name in ("E2B_API_KEY", "E2B_API_URL", "E2B_DOMAIN", "E2B_SANDBOX_URL", "E2B_DEBUG", "CI_INTEGRATIONS_BACKEND"):
        monkeypatch.delenv(name, raising=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the recovery matrix: a line for each failure, moment and door, a column for each kind of sandbox."""
    reports = [one for some in terminalreporter.stats.values() for one in some if getattr(one, "when", "") == "call"]
    rows = [row for report in reports for key, row in report.user_properties if key == "matrix"]
    if not rows:
        return
    kinds = sorted({row[3] for row in rows})
    table: dict[tuple[str, ...], dict[str, str]] = {}
    for failure, moment, door, kind, gets, ran in rows:
        table.setdefault((failure, moment, door), {})[kind] = f"{gets}, ran {ran}"
    lines = [("failure", "moment", "door", *kinds)]
    lines += [(*key, *(cells.get(kind, "-") for kind in kinds)) for key, cells in table.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    terminalreporter.section("recovery matrix")
    for line in lines:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    twice = sum(row[5] > 1 for row in rows if "rerun" not in row[0])
    terminalreporter.write_line(f"{len(rows)} cells; code run twice without being asked to: {twice}")
