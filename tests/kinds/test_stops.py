"""A cell that reaches its limit: the answer comes in time, and what it says of the variables is true."""

from __future__ import annotations

import asyncio
import time

import pytest

from ci_integrations.rendering import render_text

from .conftest import Session

CODES = {
    "busy loop": "while True: pass",
    "swallows once": "try:\n    while True: pass\nexcept KeyboardInterrupt: pass",
    "swallows always": "import time\nwhile 1:\n  try:\n    while 1: time.sleep(0.01)\n  except KeyboardInterrupt: pass",
    "top-level await": "import asyncio\nawait asyncio.sleep(60)",
    "sleep": "import time\ntime.sleep(60)",
    "sleep in C": "import ctypes\nctypes.CDLL(None).sleep(60)",
    "loop in C": "sum(range(10 ** 11))",
    "flood": "while True: print('x' * 1000)",
    "subprocess": "import subprocess\nsubprocess.run(['sleep', '60'])",
    "shell": "!sleep 60",
    "input": "input('name? ')\nwhile True: pass",
    "thread": "import threading\nthread = threading.Thread(target=threading.Event().wait, daemon=True)\n"
    "thread.start()\nthread.join()",
}
LIMIT = 2


def check_a_stop(session: Session, name: str, wait: float) -> None:
    session.cell_that_ends("kept = 5")
    stopped = session.cell(CODES[name], timeout=LIMIT)
    time.sleep(wait)
    after = session.cell("'kept' in dir()")
    kept = after.result.text
    session.note(name, f"then {wait:g} s", f"{stopped.seconds:.1f} s", f"next {after.seconds:.1f} s", f"kept {kept}")

    assert stopped.seconds < LIMIT + 6  # 1.5 on a calm machine
    assert (stopped.seconds >= LIMIT) == (name != "input")  # nobody can be asked: that is an error at once
    assert after.seconds < 40
    assert after.result.error is None
    if name == "swallows once":
        assert kept == "True"
    if "not known what is left" in stopped.text:
        assert after.result.events  # it is told now
    else:
        assert kept == str("variables from before are kept" in stopped.text or name == "input")
        assert ("the variable kept" in stopped.text) == (kept == "False")


@pytest.mark.dangerous
@pytest.mark.parametrize("name", ["busy loop", "swallows always", "top-level await", "flood"])
def test_a_cell_at_its_limit_is_stopped_in_time_and_the_next_one_runs(session: Session, name: str) -> None:
    check_a_stop(session, name, 0)


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0, 1, 5])
@pytest.mark.parametrize("name", list(CODES))
def test_every_kind_of_code_at_its_limit(session: Session, name: str, wait: float) -> None:
    check_a_stop(session, name, wait)


def test_a_top_level_await_is_interrupted_and_keeps_the_variables(session: Session) -> None:
    check_a_stop(session, "top-level await", 0)
    assert "variables from before are kept" in session.cell(CODES["top-level await"], timeout=LIMIT).text


@pytest.mark.parametrize("name", ["busy loop", "top-level await", "swallows always"])
def test_a_cancelled_cell_leaves_a_kernel_for_the_next_one(session: Session, name: str) -> None:
    session.cell_that_ends("kept = 5")

    async def cancel() -> str:
        it = session.it.as_async()
        task = asyncio.create_task(it.run(CODES[name]))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return render_text(await it.run("'kept' in dir()"))

    said = asyncio.run(cancel())
    assert said.endswith(("Out: True", "Out: False"))
    assert ("the variable kept" in said) == said.endswith("False")
