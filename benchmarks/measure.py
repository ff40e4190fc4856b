"""Timing, summaries and memory of process trees. Used by every benchmark here."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


def timed(work: Callable[[], Any], times: int, warm: int = 1) -> list[float]:
    """Seconds of each of `times` calls, after `warm` unmeasured ones."""
    for _ in range(warm):
        work()
    return [_seconds(work) for _ in range(times)]


async def atimed(work: Callable[[], Awaitable[Any]], times: int, warm: int = 1) -> list[float]:
    """The same for an async call."""
    for _ in range(warm):
        await work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - start)
    return seconds


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and p90 in milliseconds, and how many were measured."""
    ordered = sorted(seconds)
    p90 = ordered[min(len(ordered) - 1, math.ceil(0.9 * len(ordered)) - 1)]
    return {"median_ms": round(statistics.median(ordered) * 1e3, 3), "p90_ms": round(p90 * 1e3, 3), "n": len(ordered)}


def descendants(root: int) -> list[int]:
    """Pids of all processes below `root`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        for child in parents.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def pss(pids: list[int]) -> int:
    """Bytes of proportional memory of these processes together."""
    return sum(_pss(pid) for pid in pids)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
