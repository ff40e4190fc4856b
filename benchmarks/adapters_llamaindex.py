"""What the LlamaIndex tool adds to the SDK: `acall` of `1+1` beside bare `sandbox.run_code`, in turns, one sandbox.

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


async def measure(calls: int = CALLS) -> dict[str, Any]:
    """Medians of both, and the median of the differences of neighbours."""
    from ci_integrations.llamaindex import CodeInterpreterTool

    async with CodeInterpreterTool(backend="local") as tool:
        interpreter = await tool.session()
        await interpreter.run("1+1")
        sandbox = await interpreter.open()
        bare: list[float] = []
        ours: list[float] = []
        for turn in range(calls + 20):
            pair = [(bare, lambda: sandbox.run_code("1+1")), (ours, lambda: tool.acall(code="1+1"))]
            for seconds, work in pair if turn % 2 else reversed(pair):
                seconds.append(await _timed(work))
    bare, ours = bare[20:], ours[20:]
    extra = statistics.median(a - b for a, b in zip(ours, bare, strict=True)) * 1e3
    return {"run_code": summary(bare), "acall": summary(ours), "extra_ms": round(extra, 3), "promise_ms": PROMISE_MS}


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
