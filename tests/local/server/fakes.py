"""An engine whose sandboxes do nothing, and a clock that stands until it is moved: for rules about time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from ci_integrations.local.protocol.contract import EngineError, Exit, Level, SandboxDead, SandboxSpec, Usage
from ci_integrations.local.server.state.records import Clock


class StandingClock(Clock):
    """Moves when told to."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return 1000 + self.passed


class FakeSandbox:
    """Notes what is done to it."""

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec
        self.sandbox_id = spec.sandbox_id
        self.home = "/home/user"
        self.dead: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.done: list[str] = []

    async def spawn(self, *_: Any, **__: Any) -> Any:
        raise EngineError("a fake runs nothing")

    async def _note(self, what: str) -> None:
        if self.dead.done():
            raise SandboxDead
        self.done.append(what)

    async def freeze(self) -> None:
        await self._note("freeze")

    async def thaw(self) -> None:
        await self._note("thaw")

    async def usage(self) -> Usage:
        await self._note("usage")
        return Usage(memory=5, cpu_seconds=2.0, disk_used=1, disk_total=10, processes=1)

    async def kill(self) -> None:
        await self._note("kill")
        self.dead.set_result(Exit(signal=9))


class FakeEngine:
    level: Level = "none"
    why_not_stronger = "it is a fake"

    def __init__(self) -> None:
        self.made: list[FakeSandbox] = []

    async def create(self, spec: SandboxSpec) -> FakeSandbox:
        sandbox = FakeSandbox(spec)
        self.made.append(sandbox)
        return sandbox

    async def close(self) -> None:
        pass
