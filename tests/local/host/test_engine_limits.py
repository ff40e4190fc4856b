"""A sandbox's limits: what reaches one is told so, and nobody else notices. Each with a control within the limit."""

from __future__ import annotations

import asyncio
import time

import pytest

from ci_integrations.local.protocol.contract import HOME, Argv, Limits, MiB

from .conftest import CodeFailed, answer, new_sandbox, python, shell, start_python

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIX_CHILDREN = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        block = bytearray(config["each"])
        for i in range(0, len(block), 4096):
            block[i] = 1
        control.send(b"+")
        time.sleep(600)
control.send(b"ready")
time.sleep(config["seconds"])
result = "lived"
"""


async def test_six_children_over_the_memory_limit_are_ended_with_the_reason(engine):
    sandbox = await new_sandbox(engine, Limits(memory=300 * MiB))
    neighbour = await new_sandbox(engine)
    start = time.monotonic()
    child = await start_python(sandbox, SIX_CHILDREN, {"each": 250 * MiB, "seconds": 600})
    while not child.exited.done():
        assert await python(neighbour, "result = 6 * 7") == 42
        assert time.monotonic() - start < 30
    assert (await child.exited).reason == "out of memory (limit 300 MiB)"
    while (await sandbox.usage()).memory > 300 * MiB:
        assert time.monotonic() - start < 30
        await asyncio.sleep(0.05)
    assert await python(sandbox, "result = 'still there'") == "still there"
    child.close()
    await asyncio.gather(sandbox.kill(), neighbour.kill())


async def test_six_children_within_the_limit_live(engine):
    sandbox = await new_sandbox(engine, Limits(memory=600 * MiB))
    child = await start_python(sandbox, SIX_CHILDREN, {"each": 60 * MiB, "seconds": 600})
    loop = asyncio.get_running_loop()
    seen = b""
    while seen.count(b"+") < 6:
        seen += await loop.sock_recv(child.control, 64)
    await asyncio.sleep(1.5)
    assert not child.exited.done()
    assert (await sandbox.usage()).memory > 360 * MiB
    child.close()
    await sandbox.kill()


async def test_one_large_allocation_is_a_memory_error_in_the_code(engine):
    small, large = (
        await new_sandbox(engine, Limits(memory=200 * MiB)),
        await new_sandbox(engine, Limits(memory=800 * MiB)),
    )
    code = "result = len(bytearray(400 << 20))"
    with pytest.raises(CodeFailed, match="MemoryError"):
        await python(small, code)
    assert await python(large, code) == 400 << 20
    assert await python(small, "result = 1") == 1
    await asyncio.gather(small.kill(), large.kill())


async def test_address_space_is_limited_unless_a_runtime_needs_it(engine):
    sandbox = await new_sandbox(engine, Limits(memory=200 * MiB))
    reserve = "import mmap; result = len(mmap.mmap(-1, 8 << 30, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))"
    with pytest.raises(CodeFailed, match=r"OSError|MemoryError"):
        await python(sandbox, reserve)
    assert await python(sandbox, reserve, address_space_limit=False) == 8 << 30
    await sandbox.kill()


async def test_shared_memory_without_an_address_space_limit_meets_the_watchdog(engine):
    sandbox = await new_sandbox(engine, Limits(memory=200 * MiB))
    code = "import mmap, time\nm = mmap.mmap(-1, 600 << 20)\nfor i in range(0, len(m), 4096): m[i] = 1\ntime.sleep(60)"
    child = await start_python(sandbox, code, address_space_limit=False)
    assert (await asyncio.wait_for(asyncio.shield(child.exited), 20)).reason == "out of memory (limit 200 MiB)"
    child.close()
    await sandbox.kill()


async def test_processes_are_limited(engine):
    code = """
import os, time
count = 0
try:
    while count < 100:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except BlockingIOError:
    pass
result = count
"""
    few, many = await new_sandbox(engine, Limits(processes=32)), await new_sandbox(engine, Limits(processes=200))
    assert 20 <= await python(few, code) < 32
    assert await python(many, code) == 100
    await asyncio.gather(few.kill(), many.kill())


async def test_open_files_are_limited(engine):
    code = "kept = []\ntry:\n    while len(kept) < 500: kept.append(open('/dev/null'))\n"
    code += "except OSError: pass\nresult = len(kept)"
    few, many = await new_sandbox(engine, Limits(open_files=64)), await new_sandbox(engine, Limits(open_files=1024))
    assert await python(few, code) < 64
    assert await python(many, code) == 500
    await asyncio.gather(few.kill(), many.kill())


async def test_the_disk_is_limited_for_all_folders_together(engine):
    if engine.level != "namespaces":
        pytest.skip("each folder by itself at bubblewrap, only each file at landlock: documented")
    small, large = await new_sandbox(engine, Limits(disk=32 * MiB)), await new_sandbox(engine)
    fill = "head -c 20000000 /dev/zero > ~/one && head -c 20000000 /dev/zero > /tmp/two"
    outcome, _, err = await shell(small, fill)
    assert outcome.code == 1
    assert b"No space left on device" in err
    assert (await shell(large, fill))[0].code == 0
    assert (await small.usage()).disk_total == 32 * MiB
    await asyncio.gather(small.kill(), large.kill())


async def test_one_file_cannot_be_larger_than_the_disk(engine):
    sandbox = await new_sandbox(engine, Limits(disk=8 * MiB))
    outcome, _, _ = await shell(sandbox, "head -c 20000000 /dev/zero > ~/one")
    assert outcome.code != 0
    assert (await shell(sandbox, "head -c 4000000 /dev/zero > ~/one"))[0].code == 0
    await sandbox.kill()


async def test_inodes_are_limited(engine):
    if engine.level != "namespaces":
        pytest.skip("not limited at this level: documented")
    few, many = await new_sandbox(engine, Limits(inodes=100)), await new_sandbox(engine)
    flood = f"for i in $(seq 200); do echo > {HOME}/$i || exit 9; done"
    assert (await shell(few, flood))[0].code == 9
    assert (await shell(many, flood))[0].code == 0
    await asyncio.gather(few.kill(), many.kill())


async def test_cpu_time_is_limited_for_the_whole_sandbox(engine):
    sandbox = await new_sandbox(engine, Limits(cpu_seconds=1))
    child = await sandbox.spawn(Argv(["bash", "-c", "while :; do :; done & while :; do :; done"]))
    outcome = await asyncio.wait_for(asyncio.shield(child.exited), 30)
    assert outcome.reason == "CPU time used up (limit 1 s)"
    child.close()
    await sandbox.kill()


async def test_a_limit_hit_by_one_command_leaves_the_others_alone(engine):
    sandbox = await new_sandbox(engine, Limits(memory=300 * MiB))
    quiet = await start_python(sandbox, "control.recv(1); result = 'alive'")
    greedy = await start_python(sandbox, SIX_CHILDREN, {"each": 100 * MiB, "seconds": 60})
    assert (await asyncio.wait_for(asyncio.shield(greedy.exited), 30)).reason == "out of memory (limit 300 MiB)"
    quiet.control.send(b"1")
    assert await answer(quiet) == "alive"
    quiet.close()
    greedy.close()
    await sandbox.kill()
