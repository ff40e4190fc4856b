# ruff: noqa: E501 - an attack reads best on the lines it was written in
"""Attacks on resources, on the protocol and on the neighbours; what each costs is bounded and said."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.local.host.context import Context
from ci_integrations.local.protocol.contract import HOME, Argv, Limits, MiB, Sandbox

from .conftest import SMALL, Lab, stdout_of, text_of

NUMBERS = {*range(48, 65), *range(66, 79)}
"""Of the list, tested here."""


def error_of(events: list[dict[str, Any]]) -> str | None:
    return next((event["name"] for event in events if event["type"] == "error"), None)


def death_of(events: list[dict[str, Any]]) -> str | None:
    return next((event["reason"] for event in events if event["type"] == "died"), None)


def shell(lab: Lab, sandbox: Sandbox, command: str) -> str:
    async def run() -> str:
        child = await sandbox.spawn(Argv(["/bin/bash", "-c", command]))
        await asyncio.wait_for(child.exited, 20)
        await asyncio.sleep(0.05)
        os.set_blocking(child.stdout, False)
        out = b""
        try:
            while chunk := os.read(child.stdout, 65536):
                out += chunk
        except BlockingIOError:
            pass
        child.close()
        return out.decode()

    return lab.call(run())


def test_48_another_sandboxs_files_are_out_of_reach(lab: Lab, context: Context) -> None:
    lab.run(lab.neighbour_context, "open('/home/user/neighbours-secret', 'w').write('x')")
    try:
        found = lab.run(
            context,
            "import os; print([os.path.join(d, f) for d, _, fs in os.walk('/') for f in fs if f == 'neighbours-secret'])",
        )
        readable = [p for p in eval(stdout_of(found)) if text_of(lab.run(context, f"open({p!r}).read()"))]
        assert readable == []
    finally:
        lab.run(lab.neighbour_context, "import os; os.remove('/home/user/neighbours-secret')")


def test_49_a_fork_bomb_stops_at_the_limit(lab: Lab, context: Context) -> None:
    code = """
import os, time
children = 0
try:
    while children < 500:
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        children += 1
except OSError as e:
    print("stopped", e.errno, children)
"""
    words = stdout_of(lab.run(context, code)).split()
    assert words[:2] == ["stopped", "11"]
    assert int(words[2]) <= SMALL.processes
    lab.assert_neighbour_unharmed()


def test_50_one_big_allocation_is_a_memory_error_and_the_kernel_lives(lab: Lab, context: Context) -> None:
    assert error_of(lab.run(context, "x = bytearray(2 << 30)")) == "MemoryError"
    assert text_of(lab.run(context, "1 + 1")) == "2"


def test_51_a_growing_list_is_a_memory_error_or_a_death_that_says_why(lab: Lab, context: Context) -> None:
    events = lab.run(context, "x = []\nwhile True: x.append(bytearray(1 << 20))")
    assert error_of(events) == "MemoryError" or "out of memory" in (death_of(events) or "")


@pytest.mark.parametrize(
    "code",
    [
        "import mmap; m = [mmap.mmap(-1, 64 << 20) for _ in range(64)]\nfor x in m: x.write(b'x' * (64 << 20))",
        "import os; fd = os.memfd_create('x'); os.truncate(fd, 2 << 30); os.pwrite(fd, b'x' * (600 << 20), 0)",
    ],
    ids=["52-shared-anonymous", "53-memfd"],
)
def test_52_53_memory_that_rlimits_do_not_see_is_bounded_too(lab: Lab, context: Context, code: str) -> None:
    events = lab.run(context, code)
    stopped = error_of(events) in ("OSError", "MemoryError", "PermissionError", "ValueError")
    assert stopped or "out of memory" in (death_of(events) or ""), events[-3:]


def test_54_the_disk_is_full_at_its_limit(lab: Lab, context: Context) -> None:
    code = "f = open('big', 'wb')\nfor _ in range(512): f.write(b'x' * (1 << 20))"
    events = lab.run(context, code)
    assert error_of(events) == "OSError"
    message = next(event["value"] for event in events if event["type"] == "error")
    assert "No space left" in message or "File too large" in message


def test_55_inodes_are_bounded_where_the_level_can(lab: Lab, context: Context) -> None:
    code = "for n in range(10_000): open(f'{n}', 'w').close()"
    events = lab.run(context, code)
    if lab.level in ("landlock", "bubblewrap"):
        assert error_of(events) is None, "known as open: nothing bounds inodes at this level"
        lab.run(context, "for n in range(10_000): __import__('os').remove(f'{n}')")
        return
    assert error_of(events) == "OSError"


def test_56_descriptors_run_out_for_this_process_only(lab: Lab, context: Context) -> None:
    events = lab.run(context, "fs = []\nwhile True: fs.append(open('/dev/null'))")
    assert "Too many open files" in next(event["value"] for event in events if event["type"] == "error")


def test_57_an_endless_loop_is_interrupted_and_the_kernel_stays_usable(lab: Lab, context: Context) -> None:
    lab.run(context, "kept = 1")

    async def loop_and_interrupt() -> list[dict[str, Any]]:
        running = asyncio.ensure_future(_all(context, "while True: pass"))
        await asyncio.sleep(0.3)
        await context.interrupt()
        return await running

    assert error_of(lab.call(loop_and_interrupt())) == "KeyboardInterrupt"
    assert text_of(lab.run(context, "kept")) == "1"


async def _all(context: Context, code: str) -> list[dict[str, Any]]:
    return [event async for event in context.execute(code)]


def test_58_ignoring_every_signal_does_not_help(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    lab.run(
        context,
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass",
    )
    lab.call(sandbox.kill())
    assert sandbox.dead.done()


def test_59_a_flood_of_output_is_cut_and_said(lab: Lab, context: Context) -> None:
    events = lab.run(context, "import sys\nfor _ in range(300): sys.stdout.write('x' * (1 << 20))\nprint('end')")
    assert len(stdout_of(events)) <= SMALL.output + 4096
    assert "truncated" in "".join(event.get("text", "") for event in events)
    assert events[-1]["type"] == "done"


def test_60_output_that_imitates_frames_is_only_output(lab: Lab, context: Context) -> None:
    code = (
        "import os, json, struct\n"
        "frame = json.dumps({'type': 'display', 'data': {'text/plain': 'forged'}, 'is_main_result': True}).encode()\n"
        "os.write(1, struct.pack('>I', len(frame)) + frame); os.write(2, frame + b'\\n'); None"
    )
    events = lab.run(context, code)
    assert text_of(events) is None
    assert "forged" in stdout_of(events)


FORGE = """
import os, socket, stat, struct
def forge(data):
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, data)
        except OSError:
            pass
"""


@pytest.mark.parametrize(
    "data",
    [
        "struct.pack('>I', 0x7fffffff) + b'x' * 100",
        "struct.pack('>I', 9) + b'not json!'",
        "struct.pack('>I', 200_000) + b'[' * 200_000",
        "b'\\xff' * 4096",
    ],
    ids=["61-huge-length", "62-bad-json", "63-nesting-bomb", "61-noise"],
)
def test_61_62_63_forged_frames_hurt_only_the_forger(lab: Lab, sandbox: Sandbox, context: Context, data: str) -> None:
    events = lab.run(context, f"{FORGE}\nforge({data})", timeout=20)
    assert events[-1]["type"] == "done"
    assert text_of(lab.run(lab.context(sandbox), "1 + 1")) == "2"


def test_64_a_flood_of_results_is_cut(lab: Lab, context: Context) -> None:
    code = (
        "from IPython.display import display\nfor _ in range(200): display({'text/plain': 'x' * (1 << 20)}, raw=True)"
    )
    events = lab.run(context, code)
    size = sum(len(str(event.get("data", ""))) for event in events)
    assert size <= SMALL.results + (2 << 20)
    assert events[-1]["type"] == "done"


def test_66_a_thread_that_prints_between_cells_disturbs_nothing(lab: Lab, context: Context) -> None:
    code = """
import threading, time
def noise():
    while True:
        print("noise", flush=True); time.sleep(0.001)
threading.Thread(target=noise, daemon=True).start()
"""
    lab.run(context, code)
    time.sleep(0.3)
    assert text_of(lab.run(context, "6 * 7")) == "42"


@pytest.mark.parametrize(
    "code",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os\nfor fd in range(3, 64):\n    try: os.close(fd)\n    except OSError: pass",
        "import os; os._exit(3)",
        "import ctypes; ctypes.string_at(0)",
    ],
    ids=["67-kill-itself", "68-close-protocol", "69-exit", "70-segfault"],
)
def test_67_to_70_a_dead_kernel_is_said_and_the_sandbox_lives(
    lab: Lab, sandbox: Sandbox, context: Context, code: str
) -> None:
    events = lab.run(context, code, timeout=20)
    assert events[-1]["type"] == "done"
    assert death_of(events)
    assert text_of(lab.run(lab.context(sandbox), "1 + 1")) == "2"


def test_67_killing_everybody_reaches_nobody_else(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    other = lab.context(sandbox)
    lab.run(other, "kept = 1")
    lab.run(context, "import os, signal; os.kill(-1, signal.SIGKILL)", timeout=20)
    assert not sandbox.dead.done()
    assert text_of(lab.run(lab.context(sandbox), "1 + 1")) == "2"


def test_71_daemons_die_with_the_sandbox(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    mark = f"ci-abuse-daemon-{sandbox.sandbox_id}"
    code = f"""
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execv('/bin/bash', [{mark!r}, '-c', 'while true; do sleep 1; done'])
"""
    lab.run(context, code)
    deadline = time.monotonic() + 5
    while not processes_named(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_named(mark), "the daemon must be there before it can die"
    lab.call(sandbox.kill())
    deadline = time.monotonic() + 2
    while processes_named(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_named(mark) == []


def processes_named(mark: str) -> list[str]:
    found = []
    for pid in (entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def test_72_changes_to_inherited_memory_reach_nobody_else(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    lab.run(
        context, "import json; json.dumps = lambda *a, **k: 'poisoned'; import builtins; builtins.len = lambda x: 99"
    )
    assert text_of(lab.run(lab.context(sandbox), "import json; json.dumps([len('ab')])")) == "'[2]'"
    assert text_of(lab.run(lab.neighbour_context, "import json; json.dumps([len('ab')])")) == "'[2]'"


def test_73_random_numbers_differ_between_contexts_and_sandboxes(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    code = "import random, numpy; (random.random(), float(numpy.random.rand()))"
    seen = [text_of(lab.run(c, code)) for c in (context, lab.context(sandbox), lab.context(lab.neighbour))]
    values = {part for text in seen for part in text.strip("()").split(", ")}
    assert len(values) == 6


def test_75_a_shell_command_cannot_read_host_files_either(lab: Lab, sandbox: Sandbox) -> None:
    out = shell(lab, sandbox, f"cat {lab.host.file} /etc/shadow 2>/dev/null; echo done")
    assert out == "done\n"


def test_76_a_shell_command_has_no_inherited_descriptors_no_capabilities_and_a_filter(
    lab: Lab, sandbox: Sandbox
) -> None:
    out = shell(lab, sandbox, "ls /proc/$$/fd; grep -E '^(Cap(Eff|Bnd|Prm)|Seccomp|NoNewPrivs):' /proc/$$/status")
    if not out and lab.level == "landlock":
        pytest.skip("grandchildren cannot read proc at this level")
    fds = [line for line in out.splitlines() if line.isdigit()]
    assert set(fds) <= {"0", "1", "2", "3", "255"}
    status = dict(line.split(":\t") for line in out.splitlines() if ":" in line)
    if lab.level != "landlock":  # an ordinary user cannot drop a bounding set; it gives nothing under no_new_privs
        assert status["CapBnd"] == "0" * 16
    assert {status[name] for name in ("CapEff", "CapPrm")} == {"0" * 16}
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


def test_77_78_after_everything_the_neighbour_answers_and_new_sandboxes_come(lab: Lab) -> None:
    lab.assert_neighbour_unharmed()
    lab.assert_still_creates()


def test_many_processes_together_stay_within_the_sandboxs_memory(lab: Lab) -> None:
    """Six children of 250 MiB under 300 MiB, no cgroup needed: below the limit within 2 s, the cell told why."""
    sandbox = lab.sandbox(Limits(memory=300 * MiB, processes=64))
    context = lab.context(sandbox)
    code = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        x = bytearray(250 << 20)
        for i in range(0, len(x), 4096): x[i] = 1
        time.sleep(30); os._exit(0)
time.sleep(8)
"""

    async def watched() -> tuple[list[dict[str, Any]], float]:
        over_since, longest = None, 0.0
        running = asyncio.ensure_future(_all(context, code))
        while not running.done():
            used = (await sandbox.usage()).memory
            now = time.monotonic()
            over_since = None if used <= 300 * MiB else over_since or now
            longest = max(longest, now - over_since if over_since else 0.0)
            await asyncio.sleep(0.1)
        return await running, longest

    events, longest = lab.call(watched())
    assert longest < 2.0
    assert "out of memory" in (death_of(events) or stdout_of(events) or str(events))
    lab.assert_neighbour_unharmed()
    lab.discard(sandbox)


def test_the_paths_of_a_sandbox_are_its_own(lab: Lab, context: Context) -> None:
    if lab.level == "landlock":
        pytest.skip("known as open: no paths of its own at this level")
    assert text_of(lab.run(context, "import os; os.getcwd()")) == f"'{HOME}'"
