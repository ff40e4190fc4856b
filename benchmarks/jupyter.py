"""What a cell and a figure cost beside the bare SDK, on kernels as at E2B: the kind `jupyter` of the local server.

    python -m benchmarks.jupyter

Both run in one sandbox each, in turns. `ratio` is ours to the bare SDK's; our figures come with their data.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

DRAW = "import matplotlib.pyplot as plt\n"
CELLS = {
    "`1 + 1`": "1 + 1",
    "print of 1 MB": "print('x' * 1_000_000)",
    "a line of 12 points": f"{DRAW}plt.plot(range(12)); plt.show()",
    "3x3 panels": f"{DRAW}_, axes = plt.subplots(3, 3)\nfor ax in axes.flat: ax.bar('abc', [1, 2, 3])\nplt.show()",
    "a scatter of 10,000": f"{DRAW}plt.scatter(range(10_000), range(10_000)); plt.show()",
}
TIMES = 15


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(*works: Callable[[], Any], times: int = TIMES) -> list[float]:
    """The median of each, in seconds; the first two rounds are not counted."""
    rounds = [[seconds(work) for work in works] for _ in range(times + 2)][2:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def main() -> int:
    from e2b_code_interpreter import Sandbox

    from ci_integrations import CodeInterpreter
    from ci_integrations.local.launcher import local_endpoint

    address: dict[str, Any] = dict(local_endpoint().sdk_options())

    def bare_start() -> None:
        with Sandbox.create("jupyter", **address) as sandbox:
            sandbox.run_code("1 + 1")

    def our_start() -> None:
        with CodeInterpreter(backend="e2b", template="jupyter", **address) as interpreter:
            interpreter.run("1 + 1")

    rows = [("a sandbox and its first answer", *in_turns(our_start, bare_start, times=3))]
    with (
        Sandbox.create("jupyter", timeout=1800, **address) as bare,
        CodeInterpreter(backend="e2b", template="jupyter", sandbox_timeout=1800, **address) as ours,
    ):
        for name, code in CELLS.items():

            def our_cell(code: str = code) -> None:
                assert ours.run(code).error is None

            def bare_cell(code: str = code) -> None:
                assert bare.run_code(code).error is None

            rows.append((name, *in_turns(our_cell, bare_cell)))
    print(f"| {'kind `jupyter`, median':30} | ours     | bare SDK | ratio |\n|---|---|---|---|")
    for name, our, other in rows:
        print(f"| {name:30} | {our * 1000:5.0f} ms | {other * 1000:5.0f} ms | {our / other:.2f}  |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
