"""The async SDK, which speaks the same wire with other code."""

from __future__ import annotations

import asyncio

import pytest
from e2b import CommandExitException, SandboxNotFoundException, TimeoutException
from e2b_code_interpreter import AsyncSandbox

from ci_integrations.local.launcher import Endpoint


async def test_the_life_of_a_sandbox(endpoint: Endpoint) -> None:
    options = endpoint.sdk_options()
    sandbox = await AsyncSandbox.create(timeout=60, metadata={"a": "b"}, **options)
    seen: list[str] = []
    execution = await sandbox.run_code("print('hi'); 6 * 7", on_stdout=lambda message: seen.append(message.line))
    assert (execution.text, seen) == ("42", ["hi\n"])

    context = await sandbox.create_code_context(cwd="/tmp")
    assert (await sandbox.run_code("import os; os.getcwd()", context=context)).text == "/tmp"
    await sandbox.remove_code_context(context)

    await sandbox.files.write("a/b", "text")
    assert await sandbox.files.read("a/b") == "text"
    assert [entry.name for entry in await sandbox.files.list("a")] == ["b"]

    handle = await sandbox.commands.run("read x; echo got $x; exit 2", background=True, stdin=True)
    await sandbox.commands.send_stdin(handle.pid, "input\n")
    with pytest.raises(CommandExitException) as failed:
        await handle.wait()
    assert (failed.value.stdout, failed.value.exit_code) == ("got input\n", 2)

    assert (await sandbox.get_info()).metadata == {"a": "b"}
    await sandbox.set_timeout(30)
    found = await AsyncSandbox.list(**options).next_items()
    assert sandbox.sandbox_id in [info.sandbox_id for info in found]
    assert await sandbox.is_running()
    assert await sandbox.kill()
    assert not await sandbox.is_running()
    with pytest.raises(SandboxNotFoundException):
        await sandbox.get_info()
    with pytest.raises(TimeoutException):
        await sandbox.run_code("1")


async def test_many_at_once(endpoint: Endpoint) -> None:
    async def work(number: int) -> str | None:
        async with await AsyncSandbox.create(**endpoint.sdk_options()) as sandbox:
            await sandbox.run_code(f"me = {number}")
            return (await sandbox.run_code("me")).text

    assert await asyncio.gather(*(work(i) for i in range(12))) == [str(i) for i in range(12)]


async def test_a_cancelled_cell_is_interrupted(endpoint: Endpoint) -> None:
    async with await AsyncSandbox.create(**endpoint.sdk_options()) as sandbox:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await sandbox.run_code("import time\nfor n in range(1000): time.sleep(0.05)")
        assert (await sandbox.run_code("n < 999")).text == "True"
