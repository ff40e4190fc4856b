"""A thousand sandboxes leave nothing behind; fifty at once do not mix."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WARM, MANY = 60, 1000
MEMORY_NOISE = 6.0
"""MiB that the server may differ after a thousand sandboxes: allocators keep some; 7 KiB each would be a leak."""


def use(server: Any, number: int) -> None:
    with Sandbox.create(**server.endpoint.sdk_options()) as sandbox:
        assert sandbox.run_code(f"{number} + 1").text == str(number + 1)
        sandbox.files.write("me", str(number))
        assert sandbox.commands.run("cat me").stdout == str(number)


def test_a_thousand_sandboxes_leave_nothing(server: Any, show: Callable[[object], None]) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: use(server, number), range(WARM)))
        time.sleep(1)
        before = server.census()
        show(f"before: {before}")
        began = time.monotonic()
        list(pool.map(lambda number: use(server, number), range(MANY)))
        seconds = time.monotonic() - began
    after = server.settled(before)
    show(f"after {MANY} in {seconds:.0f} s: {after}")
    for what in ("processes", "fds", "mounts", "namespaces", "cgroups"):
        assert getattr(after, what) <= getattr(before, what), what
    assert after.memory <= before.memory + MEMORY_NOISE


def test_fifty_at_once_do_not_mix(server: Any, show: Callable[[object], None]) -> None:
    def work(number: int) -> Iterator[float]:
        with Sandbox.create(**server.endpoint.sdk_options()) as sandbox:
            sandbox.run_code(f"me = {number}")
            sandbox.files.write("me", f"file {number}")
            for _ in range(20):
                began = time.perf_counter()
                assert sandbox.run_code("1+1").text == "2"
                yield time.perf_counter() - began
                assert sandbox.run_code("me").text == str(number)
                assert sandbox.files.read("me") == f"file {number}"
                assert sandbox.commands.run("cat me; hostname").stdout == f"file {number}{sandbox.sandbox_id}\n"

    with ThreadPoolExecutor(50) as pool:
        seconds = sorted(s for each in pool.map(lambda number: list(work(number)), range(50)) for s in each)
    assert len(seconds) == 1000
    show(f"1+1 with 50 at once: median {seconds[500] * 1e3:.0f} ms, p99 {seconds[990] * 1e3:.0f} ms")
