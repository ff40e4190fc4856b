"""A frame of a million rows and twenty columns, into a sandbox and out of it, beside Parquet on this machine.

    python -m benchmarks.frames [--rows 1000000]

Prints one line of JSON. Exit 1 when in and out take more than 3 times what `to_parquet` and `read_parquet` take in the
same run, or when this process needs more than twice the frame's memory for it. Needs pyarrow.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ci_integrations import CodeInterpreter

MOST_TIME, MOST_MEMORY = 3.0, 2.0


def frame(rows: int) -> pd.DataFrame:
    """Twenty columns as business data has them: numbers, times, categories, booleans, words of every length."""
    chance = np.random.default_rng(1)
    words = np.array([f"customer {n} of {n % 97}" for n in range(5000)], dtype=object)
    found: dict[str, Any] = {f"amount_{n}": chance.normal(100, 20, rows) for n in range(8)}
    found |= {f"count_{n}": chance.integers(0, 1 << 40, rows) for n in range(4)}
    found |= {f"when_{n}": pd.Timestamp("2024-01-01") + pd.to_timedelta(chance.integers(0, 10**7, rows), unit="s")
              for n in range(2)}  # fmt: skip
    found |= {f"kind_{n}": pd.Categorical.from_codes(chance.integers(0, 9, rows), list("abcdefghi")) for n in range(2)}
    found |= {"paid": chance.random(rows) < 0.5, "rank": pd.array(chance.integers(0, 99, rows), dtype="Int32")}
    found |= {"name": words[chance.integers(0, 5000, rows)], "note": words[chance.integers(0, 5000, rows)]}
    return pd.DataFrame(found)


class Memory:
    """The most that this process had resident, beyond what it had at the start: bytes."""

    def __enter__(self) -> Self:
        gc.collect()
        self.start, self.most, self._ended = resident(), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.most = max(self.most, resident() - self.start)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    value = work()
    return time.perf_counter() - began, value


def measure(rows: int) -> dict[str, Any]:
    table = frame(rows)
    size = int(table.memory_usage(deep=True).sum())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.parquet")
        table.head(1000).to_parquet(path)  # the first use loads pyarrow
        writing, _ = timed(lambda: table.to_parquet(path))
        reading, _ = timed(lambda: pd.read_parquet(path))
    with CodeInterpreter(backend="local") as interpreter:
        interpreter.put(warm=table.head(1000))
        interpreter.get("warm")
        with Memory() as memory:
            putting, _ = timed(lambda: interpreter.put(table=table))
        put_memory = memory.most
        with Memory() as memory:
            getting, back = timed(lambda: interpreter.get("table"))
    pd.testing.assert_frame_equal(table, back, check_exact=True)
    return {
        "rows": rows, "columns": table.shape[1], "megabytes": round(size / 1e6), "to_parquet": round(writing, 2),
        "read_parquet": round(reading, 2), "put": round(putting, 2), "get": round(getting, 2),
        "time ratio": round((putting + getting) / (writing + reading), 2),
        "memory of put": round(put_memory / size, 2), "memory of get": round(memory.most / size, 2),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    said = measure(parser.parse_args().rows)
    print(json.dumps(said))
    kept = said["time ratio"] <= MOST_TIME and max(said["memory of put"], said["memory of get"]) <= MOST_MEMORY
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
