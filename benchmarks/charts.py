"""Charts: the visible corpus through a kernel and the scorer, and what the extractor costs per figure.

    python benchmarks/charts.py                 the local sandbox, through `CodeInterpreter`
    python benchmarks/charts.py --kernel plain  a shell without a sandbox (no interpreter needed)
    python benchmarks/charts.py --off           the same with the extractor off: what the fallback gives
    python benchmarks/charts.py --overhead      only the cost: extraction, JSON size, and PNG rendering beside it

The corpus and its scorer lie beside the repository in ../shared/charts; without them only the cost is measured.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "charts"
sys.path.insert(0, str(ROOT / "tests" / "charts"))


def figures():
    """Name, and a function that draws it."""
    import matplotlib.pyplot as plt
    import numpy as np

    rng = np.random.default_rng(0)
    many = rng.normal(size=(2, 100_000))

    def small():
        fig, ax = plt.subplots()
        ax.plot(range(12), range(12), label="a")
        ax.legend()
        return fig

    def panels():
        fig, axes = plt.subplots(3, 3)
        for ax in axes.flat:
            ax.plot(range(12), range(12))
        return fig

    def line():
        fig, ax = plt.subplots()
        ax.plot(many[0].cumsum())
        return fig

    def scatter():
        fig, ax = plt.subplots()
        ax.scatter(*many)
        return fig

    def dates():
        fig, ax = plt.subplots()
        ax.plot(np.datetime64("2000-01-01") + np.arange(100_000).astype("m8[m]"), many[0].cumsum())
        return fig

    return {
        "12-point line": small,
        "3x3 panels": panels,
        "100k line": line,
        "100k scatter": scatter,
        "100k dates": dates,
    }


RUNS = 7


def overhead():
    """Of each figure: milliseconds of extraction with JSON, its bytes, milliseconds of the PNG. Medians, in turns."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    from ci_integrations.charts.extractor.matplotlib import figure as extractor

    rows = []
    for name, draw in figures().items():
        fig = draw()
        fig.canvas.draw()
        pairs = [
            (_ms(lambda: json.dumps(extractor.extract(fig))), _ms(lambda: fig.savefig(io.BytesIO(), format="png")))  # noqa: B023 - called here
            for _ in range(RUNS)
        ]
        extract, png = (round(median(times), 3) for times in zip(*pairs, strict=True))
        size = len(json.dumps(extractor.extract(fig)))
        rows.append({"figure": name, "extract_ms": extract, "json_bytes": size, "png_ms": png})
        plt.close(fig)
    return rows


def _ms(work):
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def through_plain_kernel(cases, *, full):
    import plain_kernel

    from ci_integrations.charts.read import dispatch

    jobs = [{"id": case.stem, "cells": [case.read_text("utf-8")], "full": full} for case in cases]
    for answer in plain_kernel.run_jobs(jobs):
        shown = [display["data"] for cell in answer["cells"] for display in cell["displays"]]
        found = [_chart(data, dispatch, full=full) for data in shown]
        yield answer["id"], [chart for chart in found if chart is not None]


def _chart(data, dispatch, *, full):
    """Ours, or with the extractor off what E2B's own fields and the libraries' MIME forms give."""
    for mime in sorted(data, key=lambda mime: mime != dispatch.CHART_MIME):
        chart = dispatch.chart_from_mime(mime, data[mime]) if full or mime != dispatch.CHART_MIME else None
        if chart is not None:
            return chart
    return dispatch.chart_from_e2b(data["e2b/chart"]) if "e2b/chart" in data else None


CLEAN = """%reset -f
import matplotlib, matplotlib.pyplot as plt
plt.close("all")
matplotlib.rcdefaults()
%matplotlib inline
del matplotlib, plt
"""
"""Between two cases: no names, no figures, no styles; what is imported stays so, which is what makes this fast."""


def through_interpreter(cases, *, full):
    """One kernel for all: the public API, as a caller has it. A case that does not run counts as one without charts."""
    from ci_integrations import CodeInterpreter

    with CodeInterpreter(backend="local", inject_extractor=full) as interpreter:
        for case in cases:
            interpreter.run(CLEAN)
            result = interpreter.run(case.read_text("utf-8"), timeout=120)
            if result.error is not None:
                print(f"{case.stem}: {result.error.name}: {result.error.value[:200]}", file=sys.stderr)
            yield case.stem, result.charts


def score(run, folder, details):
    from ci_integrations.charts import to_neutral

    for name, charts in run:
        neutral = to_neutral(charts) if charts else {}
        (folder / f"{name}.json").write_text(json.dumps(neutral, allow_nan=False), "utf-8")
    report = folder / "scores"
    command = [
        sys.executable,
        str(SHARED / "scorer.py"),
        str(folder),
        "--json",
        str(report),
        *(["-v"] if details else []),
    ]
    subprocess.run(command, check=True)
    cases = [case for case in json.loads(report.read_text("utf-8"))["cases"] if case["strict"]]
    sure = sum(
        all(p["complete"] for p in json.loads((folder / f"{c['id']}.json").read_text())["panels"]) for c in cases
    )
    print(f"complete on every panel: {sure} of the {len(cases)} strictly right cases")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", choices=("sandbox", "plain"), default="sandbox")
    parser.add_argument("--off", action="store_true")
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    if not options.overhead and SHARED.is_dir():
        began = time.perf_counter()
        cases = sorted((SHARED / "corpus").glob("*.py"))
        run = through_plain_kernel if options.kernel == "plain" else through_interpreter
        with tempfile.TemporaryDirectory() as folder:
            score(run(cases, full=not options.off), Path(folder), options.v)
        print(f"{time.perf_counter() - began:.0f} s for {len(cases)} cases")
    print(f"{'figure':16s}{'extract ms':>12s}{'JSON bytes':>12s}{'PNG ms':>10s}")
    for row in overhead():
        print(f"{row['figure']:16s}{row['extract_ms']:12.1f}{row['json_bytes']:12d}{row['png_ms']:10.1f}")


if __name__ == "__main__":
    main()
