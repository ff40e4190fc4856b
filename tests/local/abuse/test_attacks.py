"""Attacks that try to read, reach or become what they must not: each stopped by the barrier that is named for it."""

from __future__ import annotations

from typing import Any

import pytest

from ci_integrations.local.host.context import Context

from .conftest import Host, Lab, on_host
from .items import NOTHING, PLAIN, Item


def shown(verdict: dict[str, Any]) -> int | str:
    if verdict["errno"] is not None:
        return verdict["errno"]
    return verdict["error"] or NOTHING


@pytest.mark.parametrize("item", PLAIN, ids=str)
def test_the_attack_is_stopped(item: Item, lab: Lab, context: Context) -> None:
    verdict = lab.attack(context, item.attack)
    if lab.level == "landlock" and item.landlock_open:
        assert verdict["through"], f"known as open ({item.landlock_open}), but it was stopped: {verdict}"
        return
    assert not verdict["through"], verdict
    assert shown(verdict) in item.stopped_by, verdict


@pytest.mark.parametrize("item", [item for item in PLAIN if item.control], ids=str)
def test_the_same_attack_works_without_our_barrier(item: Item, host: Host) -> None:
    verdict = on_host(host, item.attack)
    assert verdict["through"], verdict


def test_the_list_is_whole() -> None:
    from . import test_limits

    tested = {item.number for item in PLAIN} | test_limits.NUMBERS
    assert tested == set(range(1, 79))
