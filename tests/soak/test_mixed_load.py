"""An hour's work of several users in three minutes: the server does not grow."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WARM_SECONDS, SECONDS = 30, 150
MEMORY_NOISE = 10.0
"""MiB by which the server may be larger after the load than after its warm-up."""


def cell(sandbox: Sandbox, chance: random.Random) -> None:
    number = chance.randrange(1000)
    assert sandbox.run_code(f"x = {number}; x * 2").text == str(number * 2)


def failing_cell(sandbox: Sandbox, chance: random.Random) -> None:
    error = sandbox.run_code("1/0").error
    assert error is not None
    assert error.name == "ZeroDivisionError"


def chart(sandbox: Sandbox, chance: random.Random) -> None:
    [picture] = sandbox.run_code("import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()").results
    assert picture.png


def much_output(sandbox: Sandbox, chance: random.Random) -> None:
    lines = sandbox.run_code("for n in range(20_000): print(n)").logs.stdout
    assert "".join(lines).count("\n") == 20_000


def files(sandbox: Sandbox, chance: random.Random) -> None:
    data = chance.randbytes(chance.randrange(1, 2_000_000))
    sandbox.files.write("data", data)
    assert bytes(sandbox.files.read("data", format="bytes")) == data
    sandbox.files.remove("data")


def command(sandbox: Sandbox, chance: random.Random) -> None:
    assert sandbox.commands.run("seq 1000 | tail -1").stdout == "1000\n"


def background(sandbox: Sandbox, chance: random.Random) -> None:
    assert sandbox.commands.run("sleep 100", background=True).kill()


def watch(sandbox: Sandbox, chance: random.Random) -> None:
    watcher = sandbox.files.watch_dir(".")
    sandbox.files.write("seen", "x")
    deadline = time.monotonic() + 5
    while not watcher.get_new_events():
        assert time.monotonic() < deadline
    watcher.stop()


def context(sandbox: Sandbox, chance: random.Random) -> None:
    other = sandbox.create_code_context()
    assert sandbox.run_code("'other'", context=other).text == "other"
    sandbox.remove_code_context(other)


def pause(sandbox: Sandbox, chance: random.Random) -> None:
    sandbox.pause()
    sandbox.connect()
    assert sandbox.is_running()


DEEDS = (cell, cell, cell, failing_cell, chart, much_output, files, command, background, watch, context, pause)


class User(threading.Thread):
    def __init__(self, server: Any, stop: threading.Event, seed: int) -> None:
        super().__init__()
        self._options = server.endpoint.sdk_options()
        self._stop_now = stop
        self._chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._stop_now.is_set():
            with Sandbox.create(**self._options) as sandbox:
                self.done["sandboxes"] += 1
                for _ in range(self._chance.randrange(1, 12)):
                    self._do(sandbox, self._chance.choice(DEEDS))

    def _do(self, sandbox: Sandbox, deed: Callable[[Sandbox, random.Random], None]) -> None:
        try:
            deed(sandbox, self._chance)
            self.done[deed.__name__] += 1
        except Exception as error:
            self.failures.append(f"{deed.__name__}: {type(error).__name__}: {error}")


def load(server: Any, seconds: float, seed: int) -> Counter[str]:
    """Four users for so long; nothing of them is left. Fails when anything failed."""
    stop = threading.Event()
    users = [User(server, stop, seed + number) for number in range(4)]
    for user in users:
        user.start()
    time.sleep(seconds)
    stop.set()
    for user in users:
        user.join(60)
        assert not user.is_alive(), "a request hangs"
    assert [line for user in users for line in user.failures] == []
    return sum((user.done for user in users), Counter())


def test_three_minutes_of_mixed_load(server: Any, show: Callable[[object], None]) -> None:
    load(server, WARM_SECONDS, seed=1)
    time.sleep(1)
    before = server.census()
    show(f"before: {before}")
    done = load(server, SECONDS, seed=100)
    after = server.settled(before)
    show(f"after:  {after}; {dict(done)}")
    for what in ("processes", "fds", "mounts", "namespaces", "cgroups"):
        assert getattr(after, what) <= getattr(before, what), what
    assert after.memory <= before.memory + MEMORY_NOISE
