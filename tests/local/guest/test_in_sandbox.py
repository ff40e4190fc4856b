"""Contexts in a real sandbox: what depends on its walls, its home and its limits."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from ci_integrations.local.host.context import open_context
from ci_integrations.local.host.engine import start_engine
from ci_integrations.local.protocol.contract import Limits, MiB, SandboxSpec

pytestmark = pytest.mark.isolated


@pytest_asyncio.fixture
async def sandbox():
    engine = await start_engine()
    made = await engine.create(SandboxSpec(sandbox_id="kernel-tests", limits=Limits(memory=512 * MiB, output=100_000)))
    yield made
    await made.kill()
    await engine.close()


async def test_a_python_context_is_the_sandboxs_user_at_home_within_its_limits(sandbox, collect):
    context = await open_context(sandbox)
    where = await collect(context, "import os; (os.getcwd(), os.environ['HOME'], os.getuid(), os.listdir('/home'))")
    assert where.value == "('/home/user', '/home/user', 1000, ['user'])"
    big = await collect(context, "kept = 1\nx = bytearray(2 << 30)")
    assert big.errors[0]["name"] == "MemoryError"
    assert (await collect(context, "kept")).value == "1"
    flood = await collect(context, "for i in range(100_000): print(i)")
    assert flood.stderr == "\n\u2063output truncated after 100000 bytes: 488890 bytes left out\n"
    await context.close()


async def test_the_data_stack_is_there_at_once_and_draws(sandbox, collect):
    context = await open_context(sandbox, cwd="/nowhere")
    cell = await collect(context, "import os, sys; 'pandas' in sys.modules, os.getcwd()")
    assert cell.value == "(True, '/home/user')"
    drawn = await collect(context, "import matplotlib.pyplot as plt\nplt.plot([1, 2]); None")
    assert "image/png" in drawn.displays[0]["data"]
    await context.close()


async def test_contexts_of_one_sandbox_are_processes_of_their_own(sandbox, collect):
    one, two = await open_context(sandbox), await open_context(sandbox)
    await collect(one, "mine = 1; open('shared.txt', 'w').write('file')")
    assert (await collect(two, "mine")).errors[0]["name"] == "NameError"
    assert (await collect(two, "open('shared.txt').read()")).value == "'file'"
    draw = "import numpy, random; (random.random(), numpy.random.rand())"
    assert (await collect(one, draw)).value != (await collect(two, draw)).value
    await one.kill("for the test")
    assert (await collect(two, "1 + 1")).value == "2"
    await two.close()
    await one.close()


async def test_bash_and_javascript_run_in_the_same_sandbox(sandbox, collect):
    bash = await open_context(sandbox, language="bash")
    assert (await collect(bash, "whoami; echo data > f.txt; pwd")).stdout == "user\n/home/user\n"
    if Path(sys.executable).with_name("deno").exists():
        js = await open_context(sandbox, language="javascript")
        assert json.loads((await collect(js, "Deno.readTextFileSync('f.txt').trim()")).value) == "data"
        await js.close()
    await bash.close()


async def test_a_real_jupyter_kernel_over_zeromq_runs_in_the_sandbox(sandbox, collect, tmp_path, monkeypatch):
    """ZeroMQ asks for the network's interfaces when it listens, and aborts at an error that it does not expect."""
    pytest.importorskip("ipykernel")
    folder = tmp_path / "kernels" / "toy"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "language": "toy", "display_name": "Toy"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    context = await open_context(sandbox, language="toy")
    assert (await collect(context, "print('out'); x = 6")).stdout.endswith("out\n")
    assert (await collect(context, "x * 7")).value == "42"
    await context.close()
