"""What the LlamaIndex tool adds to the SDK: `acall` of `1+1` beside bare `sandbox.run_code` and `interpreter.run`,
in turns, one sandbox.

python -m benchmarks.adapters_llamaindex     # JSON; exit 1 when the promise of 1.0 ms is not kept
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.measure import summary

PROMISE_MS = 1.0
CALLS = 300
WARM = 20


async def measure(calls: int = CALLS) -> dict[str, Any]:
    """Medians of all three, and what `acall` adds: to the SDK's call, and to our interpreter's."""
    from ci_integrations.llamaindex import CodeInterpreterTool

    async with CodeInterpreterTool(backend="local") as tool:
        interpreter = await tool.session()
        await interpreter.run("1+1")
        sandbox = await interpreter.open()
        series: dict[str, list[float]] = {"run_code": [], "run": [], "acall": []}
        work: dict[str, Callable[[], Awaitable[Any]]] = {
            "run_code": lambda: sandbox.run_code("1+1"),
            "run": lambda: interpreter.run("1+1"),
            "acall": lambda: tool.acall(code="1+1"),
        }
        for turn in range(calls + WARM):
            for name in sorted(series, key=lambda name: hash((turn, name))):
                series[name].append(await _timed(work[name]))
    measured = {name: seconds[WARM:] for name, seconds in series.items()}
    return {
        **{name: summary(seconds) for name, seconds in measured.items()},
        "extra_ms": _extra(measured, "acall", "run_code"),
        "of_which_adapter_ms": _extra(measured, "acall", "run"),
        "promise_ms": PROMISE_MS,
    }


def _extra(measured: dict[str, list[float]], name: str, than: str) -> float:
    """The median of the differences within a turn, in milliseconds."""
    pairs = zip(measured[name], measured[than], strict=True)
    return round(statistics.median(a - b for a, b in pairs) * 1e3, 3)


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def main() -> int:
    figures = asyncio.run(measure())
    print(json.dumps(figures))
    return 0 if figures["extra_ms"] <= PROMISE_MS else 1


if __name__ == "__main__":
    sys.exit(main())
