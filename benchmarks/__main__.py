"""All benchmarks in one run: `python -m benchmarks [--quick]`, under five minutes.

Writes benchmarks/results.json, results.md (a table with machine and versions) and results.svg. Every figure stands
beside something measured in the same run; the README quotes from results.json, and a test checks the quote.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import adapters_langchain, adapters_llamaindex, charts, sandbox

HERE = Path(__file__).parent
PACKAGES = ("e2b", "e2b-code-interpreter", "ipython", "ipykernel", "jupyter-client", "matplotlib", "numpy", "pandas")


def machine() -> dict[str, Any]:
    """What this was measured on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        **{name: version(name) for name in PACKAGES},
    }


def everything(*, quick: bool) -> dict[str, Any]:
    calls = 100 if quick else 300
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "sandbox": sandbox.report(quick=quick),
        "langchain": adapters_langchain.measure(calls),
        "llamaindex": asyncio.run(adapters_llamaindex.measure(calls)),
        "charts": charts.overhead(),
    }


def table(results: dict[str, Any]) -> str:
    """The ratios first, then what was measured, as Markdown."""
    box = results["sandbox"]
    lines = ["| ratio, both sides measured in one run | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in box["ratios"].items()]
    lines += [
        "",
        "| median, ms | local engine | local, through the SDK | jupyter_client + ipykernel |",
        "|---|---|---|---|",
    ]
    for key, words in (("first_reply", "create to first reply"), ("round_trip", "1+1"), ("kill", "kill")):
        lines.append(f"| {words} | {_ms(box['engine'], key)} | {_ms(box['sdk'], key)} | {_ms(box['jupyter'], key)} |")
    lines += ["", "| MiB of PSS for each sandbox | idle | after pandas work |", "|---|---|---|"]
    lines += [
        f"| {count} at once | {each['idle']} | {each['worked']} |" for count, each in box["engine"]["memory"].items()
    ]
    about = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    return "\n".join([*lines, "", f"Measured {results['when']} on: {about}.", ""])


def _ms(report: dict[str, Any], key: str) -> str:
    return f"{report[key]['median_ms']:.1f}"


def plot(results: dict[str, Any], path: Path) -> None:
    """First reply and round trip, beside what everybody has."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    box = results["sandbox"]
    figure, panels = plt.subplots(1, 2, figsize=(8, 2.6))
    for panel, key, title in zip(panels, ("first_reply", "round_trip"), ("create → first reply", "1+1"), strict=True):
        names = ("engine", "sdk", "jupyter")
        panel.barh(names, [box[name][key]["median_ms"] for name in names], color=("#4c78a8", "#72b7b2", "#bab0ac"))
        panel.set_title(title)
        panel.set_xlabel("ms, median")
        panel.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path)


def main() -> int:
    results = everything(quick="--quick" in sys.argv)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(table(results))
    plot(results, HERE / "results.svg")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
