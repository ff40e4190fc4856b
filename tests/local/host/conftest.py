"""Real engines and sandboxes, one engine per level and module; Python runs in them without a kernel.

Runs as whoever runs pytest; `.ci/ordinary-user` runs the folder again as an ordinary user.

    async def test_something(sandbox):
        assert await python(sandbox, "result = 1 + 1") == 2
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from ci_integrations.local.host.engine import LocalEngine, start_engine
from ci_integrations.local.host.sandboxes import LocalSandbox
from ci_integrations.local.protocol.contract import Argv, Child, EngineError, Entry, Exit, Limits, SandboxSpec

ISOLATED = ("namespaces", "bubblewrap", "landlock")
TRIAL = "ci_integrations.local.guest.trial:main"
_numbers = itertools.count(1)


class CodeFailed(Exception):  # noqa: N818 - what happened, not what is wrong
    """The code in the sandbox raised; its traceback."""


async def engine_at(level: str, **options: Any) -> LocalEngine:
    """An engine at this level; skips the test where the machine cannot reach it."""
    try:
        return await start_engine(isolation=level, **{"preload": (), **options})
    except EngineError as error:
        if level == os.environ.get("CI_REQUIRE_LEVEL"):
            raise
        pytest.skip(f"cannot reach the level: {str(error).splitlines()[1].strip()}")


async def new_sandbox(engine: LocalEngine, limits: Limits | None = None, **spec: Any) -> LocalSandbox:
    return await engine.create(SandboxSpec(sandbox_id=f"test{next(_numbers)}", limits=limits or Limits(), **spec))


async def start_python(sandbox: LocalSandbox, code: str, config: dict[str, Any] | None = None, **how: Any) -> Child:
    """A process that runs `code` with its `control` socket and `config`."""
    return await sandbox.spawn(Entry(TRIAL, {"code": code, **(config or {})}), **how)


async def python(sandbox: LocalSandbox, code: str, config: dict[str, Any] | None = None, **how: Any) -> Any:
    """What the code left in its variable `result`. Raises CodeFailed, also when the process ended without an answer."""
    child = await start_python(sandbox, code, config, **how)
    try:
        return await answer(child)
    finally:
        child.close()


async def answer(child: Child) -> Any:
    line = await read_line(child)
    if not line:
        raise CodeFailed(f"{await child.exited} {await read_to_end(child.stderr)!r}")
    reply = json.loads(line)
    if "error" in reply:
        raise CodeFailed(reply["error"])
    return reply["result"]


async def read_line(child: Child) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        more = await asyncio.get_running_loop().sock_recv(child.control, 1 << 16)
        if not more:
            return b""
        data += more
    return data


async def shell(sandbox: LocalSandbox, command: str, **how: Any) -> tuple[Exit, bytes, bytes]:
    """How `bash -c` ended, and what it wrote."""
    child = await sandbox.spawn(Argv(["bash", "-c", command]), **how)
    try:
        out, err = await asyncio.gather(read_to_end(child.stdout), read_to_end(child.stderr))
        return await child.exited, out, err
    finally:
        child.close()


async def read_to_end(fd: int) -> bytes:
    data = b""
    while more := await read_some(fd):
        data += more
    return data


async def read_some(fd: int) -> bytes:
    """What is there, once something is; b"" at the end."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    while True:
        try:
            return os.read(fd, 1 << 16)
        except BlockingIOError:
            loop.add_reader(fd, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(fd)
            ready.clear()
        except OSError:
            return b""  # a terminal whose other side is closed


async def _engine(level: str) -> AsyncIterator[LocalEngine]:
    engine = await engine_at(level)
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ISOLATED)
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[LocalEngine]:
    """Of every level that isolates."""
    async for engine in _engine(request.param):
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare_engine() -> AsyncIterator[LocalEngine]:
    """Of level none: the control that shows what would happen without a barrier."""
    async for engine in _engine("none"):
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(engine: LocalEngine) -> AsyncIterator[LocalSandbox]:
    sandbox = await new_sandbox(engine)
    yield sandbox
    await sandbox.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def bare_sandbox(bare_engine: LocalEngine) -> AsyncIterator[LocalSandbox]:
    sandbox = await new_sandbox(bare_engine)
    yield sandbox
    await sandbox.kill()
