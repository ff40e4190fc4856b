"""The visible corpus and the fresh scripts through a shell, the readers and the shared scorer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import plain_kernel
import pytest
from fresh import make
from sandbox_kinds import OPTIONS, Kind

from ci_integrations import CodeInterpreter
from ci_integrations.charts import to_neutral
from ci_integrations.charts.read import dispatch

try:
    import vl_convert
except ImportError:  # an extra; the reading is tested without it
    vl_convert = None

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "charts"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not SHARED.is_dir(), reason="the corpus and its scorer are not beside the repository"),
]


def scored(corpus, folder):
    """The scorer's report, and the figures as they came by case."""
    found = {}
    scripts = sorted(corpus.glob("[0-9]*.py"))
    jobs = [{"id": script.stem, "cells": [script.read_text("utf-8")]} for script in scripts]
    for answer in plain_kernel.run_jobs(jobs):
        assert "crash" not in answer, answer.get("crash")
        charts = [
            chart for display in answer["cells"][0]["displays"] if (chart := chart_of(display["data"])) is not None
        ]
        found[answer["id"]] = charts
        form = to_neutral(charts) if charts else {}
        (folder / f"{answer['id']}.json").write_text(json.dumps(form, allow_nan=False), "utf-8")
    report = folder / "scores"
    command = [sys.executable, str(SHARED / "scorer.py"), str(folder), "--corpus", str(corpus), "--json", str(report)]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads(report.read_text("utf-8")), found


def chart_of(data):
    order = sorted(data, key=lambda mime: mime != dispatch.CHART_MIME)
    return next((chart for mime in order if (chart := dispatch.chart_from_mime(mime, data[mime])) is not None), None)


def test_the_visible_corpus_is_read_truthfully(tmp_path):
    report, figures = scored(SHARED / "corpus", tmp_path)
    summary = report["summary"]
    assert summary["recall"] >= 97
    assert summary["strict"] >= 92
    assert summary["silent_wrong"] <= 1
    strict = [case["id"] for case in report["cases"] if case["strict"]]
    forms = [json.loads((tmp_path / f"{name}.json").read_text("utf-8")) for name in strict]
    assert sum(all(panel["complete"] for panel in form["panels"]) for form in forms) >= 0.95 * len(strict)
    assert sum(all(map(renders, charts)) for charts in figures.values()) >= 0.9 * summary["n"]


def renders(chart):
    """Through Vega-Lite; what that grammar cannot say does not."""
    spec = chart.to_vega_lite()
    return spec is not None and (vl_convert is None or len(vl_convert.vegalite_to_png(json.dumps(spec))) > 1000)


@pytest.mark.parametrize("name", make.SETS)
def test_the_fresh_scripts_are_read_truthfully(tmp_path, name):
    make.write_set(name, tmp_path / "corpus")
    (tmp_path / "out").mkdir()
    summary = scored(tmp_path / "corpus", tmp_path / "out")[0]["summary"]
    assert summary["n"] == 20
    assert summary["strict"] >= 90
    assert summary["silent_wrong"] == 0


def forms(options, scripts):
    """What an interpreter gives for each script, in the scorer's form."""
    found = {}
    with CodeInterpreter(**options, execution_timeout=120) as interpreter:
        for script in scripts:
            interpreter.run("%reset -f\nimport matplotlib.pyplot as plt; plt.close('all'); plt.rcdefaults()")
            charts = [one.chart.load(interpreter.download) for one in interpreter.run(script.read_text("utf-8")).charts]
            found[script.stem] = to_neutral(charts) if charts else {}
    return found


def test_sandboxes_of_every_kind_give_the_same_charts(kind: Kind, tmp_path):
    if not kind.asked or kind.name == "own":
        pytest.skip("our own kernel is what the others are compared with: --kind=jupyter")
    scripts = sorted((SHARED / "corpus").glob("[0-9]*.py"))
    ours, theirs = forms(OPTIONS["own"], scripts), forms(kind.options, scripts)
    differ = [name for name, form in ours.items() if theirs[name] != form]
    for name, form in theirs.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(form, allow_nan=False), "utf-8")
    report = tmp_path / "scores"
    command = [sys.executable, str(SHARED / "scorer.py"), str(tmp_path), "--corpus", str(SHARED / "corpus")]
    subprocess.run([*command, "--json", str(report)], check=True, capture_output=True)
    print(f"{len(scripts)} scripts, {len(differ)} differ: {differ}; {json.loads(report.read_text('utf-8'))['summary']}")
    assert differ == []
