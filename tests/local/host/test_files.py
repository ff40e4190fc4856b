"""The server's end of the file worker against workers that lie, stall and die."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_integrations.local.host import files
from ci_integrations.local.host.files import FileEntry, FileError, FileWorker, read_entry

Answer = Callable[[socket.socket], None]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
ENTRY = {
    "name": "a", "path": "/a", "type": "file", "size": 1, "mode": 0o644, "permissions": "-rw-r--r--", "owner": "user",
    "group": "user", "modified": 1, "metadata": {},
}  # fmt: skip


class LyingSandbox:
    """Its worker answers every request with what it is told to."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.spawned = 0

    async def spawn(self, *_: Any, **__: Any) -> Any:
        self.spawned += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        threading.Thread(target=self._work, args=(theirs,), daemon=True).start()
        exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return SimpleNamespace(control=ours, exited=exited, close=ours.close)

    def _work(self, control: socket.socket) -> None:
        with control:
            while fds := socket.recv_fds(control, 1, 1)[1]:
                with socket.socket(fileno=fds[0]) as channel:
                    size = struct.unpack("!I", channel.recv(4))[0]
                    channel.recv(size)
                    self._answer(channel)


def frame(value: object) -> bytes:
    payload = json.dumps(value).encode()
    return struct.pack("!I", len(payload)) + payload


def says(raw: bytes) -> Answer:
    return lambda channel: channel.sendall(raw)


async def ask(answer: Answer) -> FileEntry:
    worker = FileWorker(LyingSandbox(answer))  # type: ignore[arg-type]
    try:
        return await worker.stat("x")
    finally:
        worker.close()


async def test_an_honest_answer_is_read() -> None:
    assert (await ask(says(frame({"entry": ENTRY})))).permissions == "-rw-r--r--"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0",
        struct.pack("!I", 10) + b"{}",
        struct.pack("!I", 0xFFFFFFFF) + b"x" * 100,
        struct.pack("!I", 5) + b"[1,2]",
        struct.pack("!I", 4) + b"\xff\xfe\xff\xfe",
        frame({}),
        frame({"entry": None}),
        frame({"entry": {**ENTRY, "size": "much"}}),
        frame({"entry": {**ENTRY, "size": -1}}),
        frame({"entry": {**ENTRY, "modified": 1 << 80}}),
        frame({"entry": {**ENTRY, "metadata": [1]}}),
        struct.pack("!I", 200_000) + b"[" * 200_000,
        frame({"error": ["x"], "message": {"y": 1}}),
    ],
)
async def test_nonsense_is_an_error(raw: bytes) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(FileError):
            await ask(says(raw))


async def test_silence_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.Channel.answer, "__defaults__", (0.2,))
    stop = threading.Event()
    with pytest.raises(FileError, match="did not answer"):
        await ask(lambda _: stop.wait(5) and None)
    stop.set()


async def test_transfers_that_never_end_keep_nobody_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CROWDED_SECONDS", 0.1)
    monkeypatch.setattr(files, "MAX_CHANNELS", 2)
    worker = FileWorker(LyingSandbox(says(frame({"entry": ENTRY}))))  # type: ignore[arg-type]
    request: dict[str, object] = {"op": "read", "path": "x"}
    async with worker.channel(request), worker.channel(request):
        with pytest.raises(FileError, match="2 transfers are under way"):
            await worker.stat("x")
    assert (await worker.stat("x")).size == 1
    worker.close()


async def test_what_is_no_socket_is_not_taken_for_a_connection() -> None:
    def passes_a_file(channel: socket.socket) -> None:
        with open(os.devnull) as file:  # noqa: PTH123
            socket.send_fds(channel, [frame({})], [file.fileno()])

    worker = FileWorker(LyingSandbox(passes_a_file))  # type: ignore[arg-type]
    with pytest.raises(FileError):
        await worker.connect(80)
    worker.close()


async def test_a_worker_that_died_is_started_again() -> None:
    sandbox = LyingSandbox(says(frame({"entry": ENTRY})))
    worker = FileWorker(sandbox)  # type: ignore[arg-type]
    await worker.stat("x")
    assert worker._child is not None
    worker._child.exited.set_result(None)  # type: ignore[arg-type]
    await worker.stat("x")
    assert sandbox.spawned == 2
    worker.close()


@given(JSON)
def test_an_entry_is_either_right_or_refused(value: object) -> None:
    try:
        entry = read_entry(value)
    except FileError:
        return
    assert isinstance(entry, FileEntry)


@given(st.dictionaries(st.sampled_from(sorted(ENTRY)), JSON))
def test_a_changed_entry_is_either_right_or_refused(changes: dict[str, object]) -> None:
    try:
        entry = read_entry({**ENTRY, **changes})
    except FileError:
        return
    entry.name.encode()
    assert 0 <= entry.size < 1 << 62
