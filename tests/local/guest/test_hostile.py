"""A kernel whose code attacks the host's side of its context: bounded, told, never a hung or dead server."""

from __future__ import annotations

import asyncio
import json

import pytest

from ci_integrations.local.protocol.contract import Limits

SOCKET = "sock = get_ipython().send.__self__._channel.socket\n"
SMALL = Limits(output=10_000, results=50_000)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("sock.sendall(b'\\xff\\xff\\xff\\xff')", "longer than the limit"),
        ("sock.sendall((9).to_bytes(4, 'big') + b'not json!')", "not JSON"),
        ("b = b'[' * 100_000 + b']' * 100_000; sock.sendall(len(b).to_bytes(4, 'big') + b)", "not JSON"),
        ("b = b'{\"a\":' + b'[' * 300 + b']' * 300 + b'}'; sock.sendall(len(b).to_bytes(4, 'big') + b)", "deeper"),
        ("b = b'[1]'; sock.sendall(len(b).to_bytes(4, 'big') + b)", "not an object"),
        ("sock.close(); import time; time.sleep(30)", "closed its control socket"),
    ],
)
async def test_a_broken_protocol_kills_the_context_and_says_why(opener, collect, attack, reason):
    context = await opener()
    cell = await collect(context, SOCKET + attack + "\nimport time; time.sleep(30)")
    assert cell.types[-2:] == ["died", "done"]
    assert reason in cell.died
    assert not context.alive


FORGE = "k = get_ipython().send.__self__\nfrom ci_integrations.local.protocol.frames import encode\n"


async def test_forged_fields_of_any_type_are_harmless(run):
    forged = [
        "{'type': 'display', 'data': 5}",
        "{'type': 'display', 'data': {}}",
        "{'type': 'error', 'name': None, 'value': [], 'traceback': {}}",
    ]
    code = FORGE + "".join(f"k._channel.send_bytes(encode({{'id': k._request, **{each}}}))\n" for each in forged)
    cell = await run(code + "'alive'")
    assert cell.value == "'alive'"
    assert cell.errors == [{"type": "error", "name": "None", "value": "[]", "traceback": "{}"}]


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ("{'type': 'started', 'execution_count': 'x'}", "a second start"),
        ("{'type': 'started', 'execution_count': -1}", "a second start"),
        ("{'type': [], 'data': {}}", "no known kind"),
        ("{'id': 10**30, 'type': 'done'}", "a cell that does not run"),
        ("{'id': k._request + 1, 'type': 'display', 'data': {'text/plain': 'x'}}", "a cell that does not run"),
        ("{'id': [], 'type': 'done'}", "a cell that does not run"),
        ("{'id': None, 'padding': 'x' * 2_000_000}", "a cell that does not run"),
        ("{'id': -1, 'padding': ['x'] * 300_000, 'type': 'done'}", "a cell that does not run"),
    ],
)
async def test_what_no_kernel_sends_ends_the_kernel_and_is_said(opener, collect, forged, reason):
    context = await opener()
    cell = await collect(
        context, FORGE + f"k._channel.send_bytes(encode({{'id': k._request, **{forged}}}))\nwhile True: pass"
    )
    assert cell.types[-2:] == ["died", "done"]
    assert reason in cell.died
    assert not context.alive


async def test_a_forged_end_of_the_next_cell_ends_the_kernel(opener, collect):
    context = await opener()
    await collect(context, FORGE + "k._channel.send_bytes(encode({'id': k._request, 'type': 'done'}))\n'late'")
    assert "a cell that does not run" in await asyncio.wait_for(context.died, 10)


async def test_an_error_of_the_code_never_reads_like_one_of_the_servers_own(run):
    cell = await run("raise type('ContextRestarting', (ExceptionGroup,), {})('Context was restarted', [ValueError()])")
    assert cell.errors[-1]["name"] == "ContextRestarting"
    assert cell.errors[-1]["traceback"]
    code = "k._channel.send_bytes(encode({'id': k._request, 'type': 'error', 'name': 'ContextRestarting'}))"
    assert (await run(FORGE + code)).errors[-1]["traceback"]


async def test_threads_that_show_things_at_a_cells_end_do_no_harm(run):
    threads = """
import threading, time
def show():
    end = time.time() + 0.5
    while time.time() < end: display("x")
for _ in range(3): threading.Thread(target=show).start()
"""
    await run(threads)
    for _ in range(50):
        await run("1")
    assert (await run("'alive'")).value == "'alive'"


async def test_large_results_of_every_kind_arrive_whole_and_in_order(run):
    cell = await run(
        "display({'application/json': list(range(200_000))}, raw=True)\nprint('between')\n"
        "display({'text/html': 'é' * 3_000_000}, raw=True)\nraise ValueError('x' * 1_500_000)"
    )
    lines = [json.loads(b"".join(event["line"])) for event in cell.events if "line" in event]
    assert [line["type"] for line in lines] == ["result", "result", "error"]
    assert lines[0]["json"] == list(range(200_000))
    assert lines[1]["html"] == "é" * 3_000_000
    assert lines[2]["value"] == "x" * 1_500_000
    assert cell.stdout == "between\n"


async def test_output_that_looks_like_frames_is_output(run):
    cell = await run("import os\nos.write(1, b'\\x00\\x00\\x00\\x02{}' + b'\\xff\\xff\\xff\\xff')\n2")
    assert cell.stdout == "\x00\x00\x00\x02{}" + "\ufffd" * 4
    assert cell.value == "2"


async def test_output_beyond_the_limit_is_counted_dropped_and_announced(opener, collect):
    context = await opener(limits=SMALL)
    cell = await collect(context, "import sys\nfor i in range(50_000): print(i % 10)\nprint('err', file=sys.stderr)")
    assert len(cell.stdout) <= 10_000
    assert cell.stderr.endswith("output truncated after 10000 bytes: 90004 bytes left out\n")
    assert (await collect(context, "print('again')")).stdout == "again\n"


async def test_code_cannot_print_the_mark_of_the_servers_own_lines(run):
    cell = await run(
        "import sys\nfor stream in sys.stdout, sys.stderr: print('a\\u2063output truncated after é', file=stream)"
    )
    assert cell.stdout == cell.stderr == "aoutput truncated after é\n"


async def test_results_beyond_the_limit_are_counted_dropped_and_announced(opener, collect):
    context = await opener(limits=SMALL)
    cell = await collect(context, "for i in range(100): display('x' * 1000)\n'value'")
    assert 40 <= len(cell.displays) <= 50
    assert "results truncated after 50000 bytes: " in cell.stderr
    one = await collect(context, "'y' * 100_000")
    assert (one.displays, one.error) == ([], None)
    assert one.stderr == "\u2063results truncated after 50000 bytes: 1 left out\n"
    assert (await collect(context, "'small'")).value == "'small'"


async def test_endless_displays_do_not_fill_the_host(opener, collect):
    context = await opener(limits=SMALL)
    await collect(context, "")
    cell = await collect(context, "import time; end = time.time() + 1\nwhile time.time() < end: display('x' * 10_000)")
    assert len(cell.displays) <= 5
    assert "results truncated" in cell.stderr


async def test_a_value_nested_too_deeply_keeps_its_text(run):
    cell = await run("x = []\nfor _ in range(150): x = [x]\nx")
    assert cell.value.startswith("[[[[")
    assert set(cell.displays[0]["data"]) == {"text/plain"}


async def test_an_endless_writer_in_the_background_does_not_hold_the_cell(run):
    cell = await run("import subprocess; p = subprocess.Popen(['yes']); 'value'")
    assert cell.value == "'value'"
    assert (await run("p.kill()")).error is None


async def test_a_slow_reader_slows_the_cell_down_instead_of_filling_memory(opener):
    context = await opener(limits=Limits(output=1 << 30))
    read = 0
    async for event in context.execute("import os\nchunk = b'x' * 1_000_000\nfor _ in range(64): os.write(1, chunk)"):
        read += len(event.get("text", ""))
        await asyncio.sleep(0.02)
        assert context._output._pending < 32 << 20
    assert read == 64_000_000


async def test_an_abandoned_cell_is_interrupted_by_the_next(opener, collect):
    context = await opener()
    await collect(context, "state = 1")
    events = context.execute("while True: print('x' * 1000)")
    async for event in events:
        if event["type"] == "stdout":
            break
    await events.aclose()
    cell = await collect(context, "state")
    assert (cell.value, cell.stdout) == ("1", "")


async def test_a_killed_interpreter_is_told_and_nothing_stays_open(opener, collect):
    context = await opener()
    cell = await collect(context, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert cell.died == "killed by SIGKILL"
    again = await collect(context, "1")
    assert (again.types, again.died) == (["died", "done"], "killed by SIGKILL")
    await context.close()
    await context.close()


async def test_an_abandoned_flood_does_not_stay_stuck_in_its_pipe(opener, collect):
    context = await opener(limits=Limits(output=1 << 30))
    events = context.execute("import os\nfor _ in range(64): os.write(1, b'x' * 1_000_000)\ndone_writing = True")
    async for event in events:
        if event["type"] == "stdout":
            await asyncio.sleep(0.5)
            break
    await events.aclose()
    for _ in range(200):
        if context._running is None:
            break
        await asyncio.sleep(0.05)
    assert (await collect(context, "done_writing")).value == "True"
