"""Contexts for the kernel's tests, in a plain child process."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ci_integrations.local.host.context import Context, open_context
from ci_integrations.local.protocol.contract import Limits

_HERE = Path(__file__).parent


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"kernel_tests_{name}", _HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fakes = _load("fakes")
Events = list[dict[str, Any]]


class Cell:
    """The events of one run cell, by kind. `types` are without repeats: a text may come in several pieces."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.types = [kind for kind, _ in groupby(event["type"] for event in events)]
        self.stdout = "".join(e["text"] for e in events if e["type"] == "stdout")
        self.stderr = "".join(e["text"] for e in events if e["type"] == "stderr")
        self.displays = [e for e in events if e["type"] == "display"]
        self.errors = [e for e in events if e["type"] == "error"]
        self.died = next((e["reason"] for e in events if e["type"] == "died"), None)

    @property
    def value(self) -> str | None:
        return next((e["data"].get("text/plain") for e in self.displays if e["is_main_result"]), None)

    @property
    def error(self) -> tuple[str, str] | None:
        return (self.errors[-1]["name"], self.errors[-1]["value"]) if self.errors else None


Run = Callable[..., Awaitable[Cell]]


@pytest.fixture
def collect() -> Run:
    """Run a cell in a given context."""

    async def collect(context: Context, code: str, **options: Any) -> Cell:
        return Cell([event async for event in context.execute(code, **options)])

    return collect


class _Opener:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.contexts: list[Context] = []

    async def __call__(self, *, limits: Limits | None = None, **options: Any) -> Context:
        sandbox = fakes.PlainSandbox(str(self.home), limits)
        options.setdefault("cwd", str(self.home))
        context = await open_context(sandbox, **options)
        self.contexts.append(context)
        return context


@pytest_asyncio.fixture
async def opener(tmp_path: Path) -> AsyncIterator[_Opener]:
    opened = _Opener(tmp_path)
    yield opened
    for context in opened.contexts:
        await context.close()


@pytest_asyncio.fixture
async def run(opener: _Opener, collect: Run) -> Run:
    """Run a cell in one Python context, which is up and has run nothing."""
    context = await opener()
    await collect(context, "")

    async def run(code: str, **options: Any) -> Cell:
        return await collect(context, code, **options)

    return run
