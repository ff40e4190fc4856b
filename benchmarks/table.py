"""The figures of a run, each beside something measured in the same run: as rows, as Markdown, as a plot.

README quotes the rows that are `quoted`; `python -m benchmarks --check` says whether it still does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

Results = dict[str, Any]
Figure = dict[str, Any]

BLOCK = re.compile(r"(<!-- benchmarks: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
IPYKERNEL = "ipykernel through jupyter_client"
BARE = "bare `run_code` of the E2B SDK"
AT_ONCE = "10"
"""How many sandboxes and kernels stand side by side where memory is compared."""


def figures(details: Results) -> list[Figure]:
    """Every comparison of a run. `ratio` is the first over the second: below 1 is less time or memory."""
    box = details["sandbox"]
    engine, sdk, canned, jupyter = (box[name] for name in ("engine", "sdk", "canned", "jupyter"))
    langchain, llamaindex = details["langchain"]["plain"], details["llamaindex"]
    idle, worked = ("idle", "worked")
    rows = [
        _ms("create a sandbox, first answer", sdk["first_reply"], IPYKERNEL, jupyter["first_reply"], quoted=True),
        _ms("the same", sdk["first_reply"], "`python -c 'print(1+1)'`, a plain subprocess", box["subprocess"]),
        _ms("the same without SDK and HTTP", engine["first_reply"], IPYKERNEL, jupyter["first_reply"]),
        _ms("`1+1` through the SDK", sdk["round_trip"], IPYKERNEL, jupyter["round_trip"], quoted=True),
        _ms("the same", sdk["round_trip"], "the SDK against canned answers", canned["round_trip"]),
        _ms("the same without SDK and HTTP", engine["round_trip"], IPYKERNEL, jupyter["round_trip"]),
        _ms("`1+1` as a LangChain tool call", langchain["invoke"], BARE, langchain["run_code"], quoted=True),
        _ms("`1+1` as a LlamaIndex tool call", llamaindex["acall"], BARE, llamaindex["run_code"], quoted=True),
        _ms("import pandas and pyplot, new sandbox", engine["imports"], "a fresh Python", box["fresh"], quoted=True),
        _ms("the first chart in a new sandbox", engine["first_chart"], IPYKERNEL, jupyter["first_chart"]),
        _ms("kill a sandbox", engine["kill"], IPYKERNEL, jupyter["kill"]),
        _row("stdout through the SDK", "MB/s", sdk["stdout_MB_per_s"], "canned answers", canned["stdout_MB_per_s"]),
        _memory("memory of an idle sandbox", engine, jupyter, idle, quoted=True),
        _memory("memory after pandas work", engine, jupyter, worked),
    ]
    return rows + [_chart(chart, quoted=chart["figure"] == "100k line") for chart in details["charts"]]


def _row(figure: str, unit: str, ours: float, beside: str, theirs: float, *, quoted: bool = False) -> Figure:
    row = {"figure": figure, "unit": unit, "ours": ours, "beside": beside, "theirs": theirs}
    return {**row, "ratio": float(f"{ours / theirs:.2g}"), "quoted": quoted}


def _ms(figure: str, ours: Results, beside: str, theirs: Results, *, quoted: bool = False) -> Figure:
    return _row(figure, "ms", ours["median_ms"], beside, theirs["median_ms"], quoted=quoted)


def _memory(figure: str, engine: Results, jupyter: Results, state: str, *, quoted: bool = False) -> Figure:
    ours, theirs = engine["memory"][AT_ONCE][state], jupyter["memory"][state]
    return _row(f"{figure}, of {AT_ONCE}", "MiB", ours, "ipykernel, the same way", theirs, quoted=quoted)


def _chart(chart: Results, *, quoted: bool) -> Figure:
    return _row(
        f"a figure as data: {chart['figure']}", "ms", chart["extract_ms"], "its PNG", chart["png_ms"], quoted=quoted
    )


def markdown(rows: list[Figure]) -> str:
    head = "| median | here | beside it, in the same run | | ratio |\n|---|---|---|---|---|\n"
    lines = (
        f"| {row['figure']} | {_shown(row['ours'])} {row['unit']} | {row['beside']} "
        f"| {_shown(row['theirs'])} {row['unit']} | {row['ratio']:g} |\n"
        for row in rows
    )
    return head + "".join(lines)


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def about(results: Results) -> str:
    """Machine and versions, in one sentence."""
    named = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    return f"Measured {results['when']} on: {named}."


def page(results: Results) -> str:
    """benchmarks/results.md."""
    hundred = results["details"]["sandbox"]["engine"]["hundred"]
    return (
        f"# What it costs\n\n{markdown(results['figures'])}\n"
        f"100 sandboxes at once: {hundred['answering']} answer, {hundred['total_MiB']} MiB together after pandas work."
        "\n\n"
        f"{about(results)}\n\n![the ratios](results.svg)\n"
    )


def quoted(readme: str, results: Results) -> str:
    """README with its block made anew from the results."""
    rows = markdown([row for row in results["figures"] if row["quoted"]])
    return BLOCK.sub(lambda found: f"{found[1]}\n{rows}\n{about(results)}\n\n{found[2]}", readme)


def plot(results: Results, path: Path) -> None:
    """All ratios on one logarithmic scale, with a line where both are equal."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    from matplotlib import pyplot as plt

    rows = results["figures"]
    axes = plt.figure(figsize=(9, 0.34 * len(rows) + 1), facecolor="white", layout="constrained").subplots()
    names = [f"{row['figure']}  /  {row['beside']}".replace("`", "") for row in rows]
    bars = axes.barh(range(len(rows)), [row["ratio"] for row in rows], color="#4c78a8")
    axes.bar_label(bars, [f"{row['ratio']:g}" for row in rows], padding=3)
    axes.set(xscale="log", xlabel="ratio, both measured in the same run", yticks=range(len(rows)), yticklabels=names)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.figure.savefig(path, metadata={"Date": None})
