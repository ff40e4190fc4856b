"""A kernel that dies between two cells: the next one runs at most once, and what is said of it is true."""

from __future__ import annotations

import itertools
import time

import pytest

from .conftest import Session

WAYS = {
    "exit()": "exit()",
    "os._exit": "os._exit(1)",
    "SIGKILL": "os.kill(os.getpid(), 9)",
    "segfault": "ctypes.string_at(0)",
    "memory": "[libc.memset(libc.malloc(1 << 26), 1, 1 << 26) for _ in range(10 ** 6)]",
}
BY_TIMER = """
import ctypes, os, threading
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.memset.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
threading.Timer({delay}, lambda: {way}).start()
"""
DELAY = 0.3
LIMIT = 30
MOMENTS = [step * 5 / 39 for step in range(40)]
"""Seconds between the death and the next cell."""
marks = itertools.count(1)


def die(session: Session, way: str) -> str:
    """Runs a cell after which the kernel dies. Returns what was said."""
    code = WAYS[way]
    if code == "exit()":
        return session.cell(code).text
    said = session.cell(BY_TIMER.format(delay=DELAY, way=code)).text
    time.sleep(DELAY)
    return said


def check_a_death(session: Session, way: str, moment: float) -> None:
    mark = f"m{next(marks)}"
    session.cell_that_ends("kept = 5")
    said = [die(session, way)]
    time.sleep(moment)
    answer = session.cell(f"_ = open('marks.txt', 'a').write('{mark} ')", timeout=LIMIT)
    said.append(answer.text)
    for _ in range(20):  # a kernel that runs out of memory takes its time to die
        said.append(session.cell("'kept' in dir()").text)
        if said[-1].endswith("Out: False"):
            break
        time.sleep(0.5)
    ran = session.read("marks.txt").split().count(mark)
    session.note(way, f"{moment:.2f} s", f"ran {ran}", f"{answer.seconds:.1f} s", answer.result.error or "ok")

    assert ran <= 1
    assert answer.seconds < LIMIT + 15
    if answer.result.error is None or "ran this code" in answer.text or "This code ran" in answer.text:
        assert ran == 1
    if "nothing ran" in answer.text or "did not run" in answer.text:
        assert ran == 0
    assert said[-1].endswith("Out: False")
    assert sum("the variable kept" in text or "kept," in text or ", kept" in text for text in said) == 1, said


@pytest.mark.dangerous
@pytest.mark.parametrize(("way", "moment"), list(zip(WAYS, [0.0, 0.4, 1.0, 1.4, 2.7], strict=True)))
def test_a_cell_after_a_death_runs_at_most_once_and_its_account_is_true(
    session: Session, way: str, moment: float
) -> None:
    check_a_death(session, way, moment)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", list(WAYS))
def test_at_every_moment(session: Session, way: str, moment: float) -> None:
    check_a_death(session, way, moment)


@pytest.mark.slow
def test_a_kernel_that_dies_again_and_again_is_followed_by_one_that_works(session: Session) -> None:
    for _ in range(7):
        session.cell("import os; os._exit(1)", timeout=20)
    assert session.cell_that_ends("6 * 7").result.text == "42"
