"""Cassettes see all that the SDK says, replay it without a network, and complain about everything that does not fit."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import vcr
import yaml
from e2b_code_interpreter import AsyncSandbox, Sandbox

from ci_integrations.testing.cassettes import (
    CassetteMismatchError,
    CassetteMissError,
    TrafficBlockedError,
    block_traffic,
    use_cassette,
)

WIRE = [
    "POST /v2/sandboxes",
    "POST /execute",
    "POST /files",
    "GET /files",
    "POST /filesystem.Filesystem/ListDir",
    "POST /process.Process/Start",
    "DELETE /sandboxes/sbx1",
]
"""What `story` makes of the wire."""


def story(options: dict[str, Any]) -> list[object]:
    """REST, a streamed cell, files both ways, an RPC and an RPC stream; all that came back."""
    told: list[object] = []
    sandbox = Sandbox.create(**options)
    told.append(sandbox.sandbox_id)
    execution = sandbox.run_code("a", on_stdout=lambda message: told.append(message.line))
    told.append(execution.text)
    sandbox.files.write("f", "content of f")
    told.append(sandbox.files.read("f"))
    told.append([entry.name for entry in sandbox.files.list("/home/user")])
    told.append(sandbox.commands.run("echo hello").stdout)
    told.append(sandbox.kill())
    return told


async def astory(options: dict[str, Any]) -> list[object]:
    told: list[object] = []
    sandbox = await AsyncSandbox.create(**options)
    execution = await sandbox.run_code("a", on_stdout=lambda message: told.append(message.line))
    told.append(execution.text)
    await sandbox.files.write("f", b"content of f")
    told.append(await sandbox.files.read("f"))
    told.append([entry.name for entry in await sandbox.files.list("/home/user")])
    told.append((await sandbox.commands.run("echo hello")).stdout)
    told.append(await sandbox.kill())
    return told


def test_what_the_pinned_sdk_asks_for(server: Any, tmp_path: Path) -> None:
    """The contract with the SDK: REST, cells, files and RPC, all through the two methods of pyqwest that are replaced.

    `.ci/run` asks the newest, the known-good (constraints.txt) and the lowest SDK. A change here means: record anew.
    """
    with use_cassette(tmp_path / "c.yaml", record_mode="once"):
        story(server.options())
    recorded = yaml.safe_load((tmp_path / "c.yaml").read_text())["interactions"]
    asked = [f"{each['request']['method']} {urlsplit(each['request']['uri']).path}" for each in recorded]
    assert asked == server.seen == WIRE


def test_what_was_recorded_is_replayed_to_the_letter(server: Any, elsewhere: dict[str, Any], tmp_path: Path) -> None:
    with use_cassette(tmp_path / "c.yaml", record_mode="once") as tape:
        recorded = story(server.options())
    assert tape.recorded == len(server.seen) == 7

    with use_cassette(tmp_path / "c.yaml") as tape:
        assert story(elsewhere) == recorded
    assert tape.played == 7
    assert len(server.seen) == 7


async def test_the_async_sdk_likewise(server: Any, elsewhere: dict[str, Any], tmp_path: Path) -> None:
    with use_cassette(tmp_path / "c.yaml", record_mode="once") as tape:
        recorded = await astory(server.options())
    assert tape.recorded == len(server.seen) == 7

    with use_cassette(tmp_path / "c.yaml") as tape:
        assert await astory(elsewhere) == recorded
    assert tape.played == 7


def test_a_cassette_recorded_sync_replays_async(server: Any, elsewhere: dict[str, Any], tmp_path: Path) -> None:
    with use_cassette(tmp_path / "c.yaml", record_mode="once"):
        recorded = story(server.options())
    with use_cassette(tmp_path / "c.yaml"):
        assert asyncio.run(astory(elsewhere)) == recorded[1:]


def test_recording_does_not_hold_the_stream_back(server: Any, tmp_path: Path) -> None:
    server.pause = 0.3
    arrived: list[float] = []
    with use_cassette(tmp_path / "c.yaml", record_mode="once"), Sandbox.create(**server.options()) as sandbox:
        start = time.monotonic()
        sandbox.run_code("a", on_stdout=lambda _: arrived.append(time.monotonic() - start))
        end = time.monotonic() - start
    assert arrived[0] < end - 0.5  # three pauses lie between the first line and the end


def test_same_code_in_two_sandboxes_and_threads_is_told_apart(
    server: Any, elsewhere: dict[str, Any], tmp_path: Path
) -> None:
    def cells(options: dict[str, Any]) -> list[Any]:
        first, second = Sandbox.create(**options), Sandbox.create(**options)
        with ThreadPoolExecutor(5) as pool:
            jobs = [pool.submit(sandbox.run_code, f"cell {n}") for n in range(3) for sandbox in (first, second)]
            return [(job.result().text, job.result().logs.stdout) for job in jobs]

    with use_cassette(tmp_path / "c.yaml", record_mode="once"):
        recorded = cells(server.options())
    with use_cassette(tmp_path / "c.yaml"):
        assert cells(elsewhere) == recorded


def test_secrets_are_not_written(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "hush-hush-hush")
    with (
        use_cassette(tmp_path / "c.yaml", record_mode="once", secrets=("swordfish1",)),
        Sandbox.create(envs={"K": "hush-hush-hush"}, **server.options()) as sandbox,
    ):
        sandbox.run_code("print('swordfish1', 'hush-hush-hush')")
        sandbox.commands.run("echo swordfish1")
    text = (tmp_path / "c.yaml").read_text()
    for secret in ("tok-0123456789abcdef", server.options()["api_key"], "hush-hush-hush", "swordfish1", "127.0.0.1"):
        assert secret not in text
    assert "REDACTED" in text
    assert "x-api-key" not in text.lower()


def test_a_miss_is_loud_names_the_closest_and_reaches_nobody(
    server: Any, elsewhere: dict[str, Any], tmp_path: Path
) -> None:
    with use_cassette(tmp_path / "c.yaml", record_mode="once"):
        Sandbox.create(**server.options()).run_code("a")
    asked = len(server.seen)
    with (
        pytest.raises(CassetteMissError, match=r"POST /execute[\s\S]*differs in _?[\s\S]*asked .*'b'"),
        use_cassette(tmp_path / "c.yaml"),
    ):
        Sandbox.create(**elsewhere).run_code("b")
    assert len(server.seen) == asked


def test_a_miss_of_a_cell_names_a_cell_and_not_the_extractor(
    server: Any, elsewhere: dict[str, Any], tmp_path: Path
) -> None:
    with use_cassette(tmp_path / "c.yaml", record_mode="once"):
        sandbox = Sandbox.create(**server.options())
        sandbox.run_code("main(get_ipython(), '/tmp/.ci_source/1')")
        sandbox.run_code("a")
    with pytest.raises(CassetteMissError) as missed, use_cassette(tmp_path / "c.yaml"):
        Sandbox.create(**elsewhere).run_code("b")
    assert "<extractor>" not in str(missed.value)
    assert "'code': 'a'" in str(missed.value)


def test_a_miss_that_somebody_swallows_is_raised_again_at_the_end(tmp_path: Path, elsewhere: dict[str, Any]) -> None:
    with (
        pytest.raises(CassetteMismatchError, match="POST /v2/sandboxes"),
        use_cassette(tmp_path / "missing.yaml"),
        contextlib.suppress(BaseException),
    ):
        Sandbox.create(**elsewhere)


@pytest.mark.parametrize("call", ["files.list", "run_code", "kill"])
def test_a_miss_is_not_retried_by_the_sdk(server: Any, tmp_path: Path, call: str) -> None:
    calls = {
        "files.list": lambda sandbox: sandbox.files.list("/"),
        "run_code": lambda sandbox: sandbox.run_code("a"),
        "kill": lambda sandbox: sandbox.kill(),
    }
    sandbox = Sandbox.create(**server.options())
    with pytest.raises(CassetteMissError), use_cassette(tmp_path / "missing.yaml") as tape:
        calls[call](sandbox)
    assert tape.missed == 1


async def test_an_async_miss_comes_through_as_it_is(server: Any, tmp_path: Path) -> None:
    sandbox = await AsyncSandbox.create(**server.options())
    with pytest.raises(CassetteMissError, match="ListDir"), use_cassette(tmp_path / "missing.yaml"):
        await sandbox.files.list("/")


def test_what_was_not_asked_for_fails(server: Any, elsewhere: dict[str, Any], tmp_path: Path) -> None:
    with use_cassette(tmp_path / "c.yaml", record_mode="once"):
        Sandbox.create(**server.options()).run_code("a")
    with pytest.raises(CassetteMismatchError, match=r"1 of 2 .*POST /execute"), use_cassette(tmp_path / "c.yaml"):
        Sandbox.create(**elsewhere)


def test_a_block_that_raises_writes_nothing(server: Any, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), use_cassette(tmp_path / "c.yaml", record_mode="once"):
        Sandbox.create(**server.options())
        raise ZeroDivisionError
    assert not (tmp_path / "c.yaml").exists()


def test_recording_anew_replaces_the_cassette(server: Any, elsewhere: dict[str, Any], tmp_path: Path) -> None:
    for code in ("old", "new"):
        with use_cassette(tmp_path / "c.yaml", record_mode="all"):
            Sandbox.create(**server.options()).run_code(code)
    assert "old" not in (tmp_path / "c.yaml").read_text()
    with use_cassette(tmp_path / "c.yaml"):
        assert Sandbox.create(**elsewhere).run_code("new").text == "'new'"


def test_the_guard_lets_nothing_out(server: Any, tmp_path: Path) -> None:
    with block_traffic():
        with pytest.raises(TrafficBlockedError, match="POST /v2/sandboxes"):
            Sandbox.create(**server.options())
        with pytest.raises(TrafficBlockedError):
            asyncio.run(AsyncSandbox.create(**server.options()))
        assert server.seen == []
        with use_cassette(tmp_path / "c.yaml", record_mode="once"):
            Sandbox.create(**server.options())
    assert server.seen == ["POST /v2/sandboxes"]


def test_plain_vcrpy_still_sees_nothing(server: Any, tmp_path: Path) -> None:
    """When this fails, vcrpy has learned to see the SDK's transport, and the two replaced methods can go."""
    with vcr.use_cassette(str(tmp_path / "plain.yaml"), record_mode="once") as plain:
        story(server.options())
    assert len(server.seen) == 7
    assert len(plain) == 0
