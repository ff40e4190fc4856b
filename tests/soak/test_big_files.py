"""A gibibyte up and down: the server passes it on and keeps none of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from e2b_code_interpreter import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MIB = 1 << 20
SIZE = 1024
PEAK = 150
ROOM = {"disk": 1200 * MIB, "memory": 4096 * MIB}


def blocks(seen: Any) -> Iterator[bytes]:
    """SIZE blocks of a MiB, each another one, so that a lost or doubled one shows."""
    for number in range(SIZE):
        block = hashlib.sha256(str(number).encode()).digest() * (MIB // 32)
        seen.update(block)
        yield block


def test_a_gibibyte_up_and_down(start: Callable[..., Any], show: Callable[[object], None]) -> None:
    server = start(limits=ROOM)
    with Sandbox.create(timeout=600, **server.endpoint.sdk_options()) as sandbox:
        sandbox.files.write("small", b"x")
        calm = server.peak_memory()
        sent, came = hashlib.sha256(), hashlib.sha256()
        sandbox.files.write("big", blocks(sent))
        up = server.peak_memory()
        assert sandbox.files.get_info("big").size == SIZE * MIB
        for block in sandbox.files.read("big", format="stream"):
            came.update(block)
        down = server.peak_memory()
    assert came.digest() == sent.digest()
    show(f"peak of the server: {calm:.0f} MiB before, {up:.0f} after 1 GiB up, {down:.0f} after 1 GiB down")
    assert down < PEAK
