"""What the LangChain tool adds to the SDK: `invoke` of `1+1` beside bare `sandbox.run_code`, in turns, one sandbox.

python -m benchmarks.adapters_langchain     # JSON; exit 1 when the promise of 1.0 ms is not kept
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from benchmarks.measure import summary

PROMISE_MS = 1.0
CALLS = 300
WARM = 20


def measure(calls: int = CALLS) -> dict[str, Any]:
    """Medians of both, and the median of the differences of neighbours, as a ToolCall and as a plain dict."""
    from ci_integrations.langchain import CodeInterpreterTool

    ids = count()
    config = {"configurable": {"thread_id": "benchmark"}}

    def tool_call() -> dict[str, Any]:
        return {"type": "tool_call", "name": "code_interpreter", "id": f"c{next(ids)}", "args": {"code": "1+1"}}

    with CodeInterpreterTool(backend="local") as tool:
        tool.invoke({"code": "1+1"}, config)
        sandbox = tool.session(config).sandbox
        bare: Callable[[], Any] = lambda: sandbox.run_code("1+1")
        return {
            "plain": compared(bare, lambda: tool.invoke({"code": "1+1"}, config), calls),
            "tool_call": compared(bare, lambda: tool.invoke(tool_call(), config), calls),
            "promise_ms": PROMISE_MS,
        }


def compared(bare: Callable[[], Any], ours: Callable[[], Any], calls: int) -> dict[str, Any]:
    """Both measured in turns, so that the machine's moods hit both alike."""
    seconds: dict[Callable[[], Any], list[float]] = {bare: [], ours: []}
    for turn in range(calls + WARM):
        for work in (bare, ours) if turn % 2 else (ours, bare):
            start = time.perf_counter()
            work()
            seconds[work].append(time.perf_counter() - start)
    a, b = seconds[bare][WARM:], seconds[ours][WARM:]
    extra = statistics.median(y - x for x, y in zip(a, b, strict=True)) * 1e3
    return {"run_code": summary(a), "invoke": summary(b), "extra_ms": round(extra, 3)}


def main() -> int:
    figures = measure()
    print(json.dumps(figures))
    return 0 if max(figures["plain"]["extra_ms"], figures["tool_call"]["extra_ms"]) <= PROMISE_MS else 1


if __name__ == "__main__":
    sys.exit(main())
