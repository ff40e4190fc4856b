"""Leases, pauses and ends, with a clock that the tests move."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.local.protocol.contract import EngineError, Exit
from ci_integrations.local.server.http import HttpError
from ci_integrations.local.server.state.records import SandboxRecord, SandboxRequest
from ci_integrations.local.server.state.sandboxes import SandboxTable

_spec = importlib.util.spec_from_file_location("server_fakes", Path(__file__).with_name("fakes.py"))
assert _spec is not None
assert _spec.loader is not None
fakes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fakes)


class House:
    """A table with its fakes at hand."""

    def __init__(self) -> None:
        self.clock = fakes.StandingClock()
        self.engine = fakes.FakeEngine()
        self.events: list[str] = []
        self.table = SandboxTable(self.engine, clock=self.clock, on_event=lambda kind, _: self.events.append(kind))

    async def create(self, **request: Any) -> SandboxRecord:
        return await self.table.create(SandboxRequest(template_id="base", **{"timeout": 10} | request))

    async def pass_time(self, seconds: float) -> None:
        self.clock.passed += seconds
        self.table.expire()
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def house() -> House:
    return House()


async def test_a_lease_ends_when_it_is_over_and_not_before(house: House) -> None:
    record = await house.create()
    await house.pass_time(9.9)
    assert house.table.find(record.sandbox_id) is record
    await house.pass_time(0.1)
    assert house.table.find(record.sandbox_id) is None
    assert house.engine.made[0].done == ["kill"]
    assert house.events == ["created", "killed"]


async def test_a_new_lease_counts_from_now_and_may_be_shorter(house: House) -> None:
    record = await house.create()
    house.table.lease(record, 3)
    assert house.table.left(record).total_seconds() == 3
    await house.pass_time(3)
    assert house.events[-1] == "killed"


async def test_extending_never_shortens(house: House) -> None:
    record = await house.create()
    house.table.extend(record, 3)
    assert house.table.left(record).total_seconds() == 10
    house.table.extend(record, 30)
    assert house.table.left(record).total_seconds() == 30


async def test_time_stands_still_while_paused(house: House) -> None:
    record = await house.create()
    await house.table.pause(record)
    await house.pass_time(10_000)
    assert record.state == "paused"
    await house.table.resume(record, None)
    assert house.table.left(record).total_seconds() == 10
    await house.pass_time(10)
    assert house.events == ["created", "paused", "resumed", "killed"]
    assert house.engine.made[0].done == ["freeze", "thaw", "kill"]


async def test_pausing_at_the_end_keeps_it(house: House) -> None:
    record = await house.create(pause_at_end=True)
    await house.pass_time(10)
    assert record.state == "paused"
    assert record.paused_at == house.clock.now()
    assert not record.running.is_set()
    await house.table.resume(record, 5)
    assert house.table.left(record).total_seconds() == 5
    assert record.running.is_set()


async def test_pausing_twice_is_a_conflict(house: House) -> None:
    record = await house.create()
    await house.table.pause(record)
    with pytest.raises(HttpError) as refused:
        await house.table.pause(record)
    assert refused.value.status == 409


async def test_a_sandbox_that_dies_by_itself_is_forgotten(house: House) -> None:
    record = await house.create()
    house.engine.made[0].dead.set_result(Exit(signal=9, reason="out of memory (limit 1 MiB)"))
    await asyncio.sleep(0)
    assert house.table.find(record.sandbox_id) is None
    assert house.events == ["created", "died"]
    with pytest.raises(HttpError) as refused:
        house.table.get(record.sandbox_id)
    assert refused.value.status == 404


async def test_a_sandbox_that_dies_in_the_middle_of_a_pause_is_a_404(house: House) -> None:
    record = await house.create()
    house.engine.made[0].dead.set_result(Exit(signal=9))
    with pytest.raises(HttpError) as refused:
        await house.table.pause(record)
    assert refused.value.status == 404


async def test_metrics_are_differences(house: House) -> None:
    record = await house.create()
    house.clock.passed += 4
    await house.table.sample(record)
    house.clock.passed += 1
    await house.table.sample(record)
    assert [share for _, share, _ in record.samples] == [50, 0]


async def test_closing_ends_all(house: House) -> None:
    for _ in range(3):
        await house.create()
    await house.table.close()
    assert [sandbox.done for sandbox in house.engine.made] == [["kill"]] * 3
    assert house.table.all() == []


async def test_the_spec_tells_the_engine_what_was_wished(house: House) -> None:
    record = await house.create(envs={"A": "b"})
    spec = house.engine.made[0].spec
    assert spec.envs == {
        "E2B_SANDBOX": "true",
        "E2B_SANDBOX_ID": record.sandbox_id,
        "E2B_TEMPLATE_ID": "base",
        "A": "b",
    }
    assert spec.allow_internet is False


async def test_a_sandbox_whose_network_fails_is_not_left_behind(house: House) -> None:
    with pytest.raises(EngineError):  # a fake cannot listen inside
        await house.create(allow_out=("packages.example.org",))
    [sandbox] = house.engine.made
    assert (sandbox.spec.allow_internet, sandbox.spec.allow_hosts) == (True, ("packages.example.org",))
    assert sandbox.done == ["kill"]
    assert house.table.all() == []
