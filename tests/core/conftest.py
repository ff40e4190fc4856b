"""One E2B service per test, and one body for both faces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fake_e2b import FakeE2B


@pytest.fixture
def service() -> Iterator[FakeE2B]:
    with FakeE2B() as fake:
        yield fake


@pytest.fixture(autouse=True)
def no_ambient_e2b(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("E2B_API_KEY", "E2B_API_URL", "E2B_DOMAIN", "E2B_SANDBOX_URL", "E2B_DEBUG", "CI_INTEGRATIONS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
