"""All benchmarks in one run, under five minutes.

    python -m benchmarks            # run; write results.json, results.md, results.svg here, and README's quote of them
    python -m benchmarks --quick    # a shorter run that is printed only
    python -m benchmarks --write    # run nothing: make README's quote, results.md and the plot from results.json
    python -m benchmarks --check    # run nothing: exit 1 when README or results.md is not what results.json says

Every figure stands beside something measured in the same run.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import table

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
PACKAGES = (
    "ci-integrations", "e2b", "e2b-code-interpreter", "langchain-core", "llama-index-core", "ipython", "ipykernel",
    "jupyter-client", "matplotlib", "numpy", "pandas",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """What this was measured on."""
    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load before": round(os.getloadavg()[0], 2),
        **{name: version(name) for name in PACKAGES},
    }


def everything(*, quick: bool) -> dict[str, Any]:
    import asyncio

    from benchmarks import adapters_langchain, adapters_llamaindex, charts, sandbox

    calls = 100 if quick else 300
    start = time.monotonic()
    results: dict[str, Any] = {"when": datetime.now(UTC).date().isoformat(), "machine": machine()}
    details = {
        "sandbox": sandbox.report(quick=quick),
        "langchain": adapters_langchain.measure(calls),
        "llamaindex": asyncio.run(adapters_llamaindex.measure(calls)),
        "charts": charts.overhead(),
    }
    took = round(time.monotonic() - start)
    return {**results, "seconds": took, "figures": table.figures(details), "details": details}


def files(results: dict[str, Any]) -> dict[Path, str]:
    """What is made from the results, by path."""
    return {HERE / "results.md": table.page(results), README: table.quoted(README.read_text("utf-8"), results)}


def check(results: dict[str, Any]) -> int:
    stale = [path.name for path, text in files(results).items() if path.read_text("utf-8") != text]
    if stale:
        print(f"not what results.json says (python -m benchmarks --write): {', '.join(stale)}")
    return int(bool(stale))


def write(results: dict[str, Any]) -> int:
    for path, text in files(results).items():
        path.write_text(text, "utf-8")
    table.plot(results, HERE / "results.svg")
    return 0


def main() -> int:
    asked = sys.argv[1:]
    if asked in (["--check"], ["--write"]):
        kept = json.loads((HERE / "results.json").read_text("utf-8"))
        return check(kept) if asked == ["--check"] else write(kept)
    if asked not in ([], ["--quick"]):
        print(__doc__)
        return 2
    results = everything(quick=bool(asked))
    print(table.page(results))
    print(f"took {results['seconds']} s")
    if not asked:
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
