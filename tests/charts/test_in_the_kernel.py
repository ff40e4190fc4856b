"""The extractor in an IPython shell: every figure once, with data; and nothing that the user could notice."""

from __future__ import annotations

import json

import plain_kernel
import pytest

CHART = "application/vnd.ci-chart.v1+json"
TABLE = "application/vnd.ci-table.v1+json"
FILES = "application/vnd.ci-files.v1+json"
PLOT = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2, 3], label='a')\n"

STORIES = {
    "shown": [PLOT + "plt.show()"],
    "flushed at the end": [PLOT],
    "returned": [PLOT + "fig"],
    "shown and returned": [PLOT + "plt.show()\nfig"],
    "saved, closed": [PLOT + "fig.savefig('a.png'); plt.close(fig)"],
    "saved in memory": [PLOT + "import io; fig.savefig(io.BytesIO(), format='svg'); plt.close('all')"],
    "saved and shown": [PLOT + "plt.savefig('a.png')\nplt.show()"],
    "closed unseen": [PLOT + "plt.close()"],
    "on agg": ["import matplotlib\nmatplotlib.use('Agg')\n" + PLOT + "plt.savefig('b.png')"],
    "without pyplot": [
        "from matplotlib.figure import Figure\nf = Figure()\nf.subplots().plot([1, 2, 3], label='a')\nf.savefig('c.png')"
    ],
    "after %reset -f": ["%reset -f", PLOT + "plt.show()"],
    "after del sys": ["import sys\ndel sys\ndisplay = 3", PLOT + "plt.show()"],
    "after an error": [PLOT + "1/0"],
}


@pytest.fixture(scope="module")
def answers():
    stories = plain_kernel.run_jobs([{"id": name, "cells": cells} for name, cells in STORIES.items()])
    return {story["id"]: story["cells"][-1] for story in stories}


@pytest.mark.parametrize("name", STORIES)
def test_each_figure_is_reported_once_with_picture_and_data(answers, name):
    shown = [display["data"] for display in answers[name]["displays"]]
    charts = [data for data in shown if CHART in data]
    assert len(charts) == 1
    assert sum("image/png" in data for data in shown) == 1
    assert "image/png" in charts[0]
    series = charts[0][CHART]["panels"][0]["series"]
    assert [(s["name"], s["x"], s["y"]) for s in series] == [("a", [0, 1, 2], [1, 2, 3])]
    assert answers[name]["stderr"] == ""


def cells(*codes, **job):
    [answer] = plain_kernel.run_jobs([{"id": "one", "cells": list(codes), **job}])
    assert "crash" not in answer, answer.get("crash")
    return answer["cells"]


def charts_of(cell):
    return [display["data"][CHART] for display in cell["displays"] if CHART in display["data"]]


def test_leaves_no_name_and_prints_nothing():
    [cell] = cells("print(sorted(n for n in globals() if 'ci' in n.lower() and not n.startswith('_i')))")
    assert cell["stdout"].strip() == "[]"
    assert cell["stderr"] == ""


def test_the_cloud_bootstrap_keeps_the_execution_count_and_works_twice():
    from ci_integrations.charts.extractor import bootstrap_code

    first, second = cells("None", bootstrap_code() + "\n" + PLOT, cloud=True)
    assert first["count"] == 2  # the first user cell was number 1
    assert len(charts_of(second)) == 1


def test_a_cell_that_patches_savefig_or_forges_a_payload_does_no_harm():
    patch = "import matplotlib.figure\nmatplotlib.figure.Figure.savefig = lambda *a, **k: 1 / 0\n"
    forged = "from IPython.display import display\ndisplay({'%s': {'panels': 3}}, raw=True)" % CHART
    first, second = cells(patch + PLOT + "plt.show()", forged)
    assert len(charts_of(first)) == 1
    from ci_integrations.charts.readers import chart_from_mime

    assert [chart_from_mime(CHART, payload) for payload in charts_of(second)] == [None]


def test_a_figure_of_an_earlier_cell_is_reported_again_when_it_is_shown_again():
    first, second = cells(PLOT + "plt.show()", "fig")
    assert len(charts_of(first)) == len(charts_of(second)) == 1


def test_what_cannot_be_read_is_said():
    code = (
        "from matplotlib.patches import PathPatch\nfrom matplotlib.path import Path\nimport matplotlib.pyplot as plt\n"
    )
    code += "plt.gca().add_patch(PathPatch(Path([(0, 0), (1, 1), (1, 0)])))\nplt.plot([0, 1])\nplt.show()"
    [cell] = cells(code)
    [panel] = charts_of(cell)[0]["panels"]
    assert panel["complete"] is False
    assert panel["notes"]


def test_tables_keep_index_types_and_strange_values():
    code = """
import pandas as pd, decimal
frame = pd.DataFrame({
    "when": pd.date_range("2024-01-01", periods=2, tz="Europe/Berlin"),
    "cat": pd.Categorical(["a", "b"]),
    "money": [decimal.Decimal("1.10"), None],
    "took": pd.to_timedelta(["1h", "2h"]),
    "nested": [{"k": [1, 2]}, [3]],
}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["l", "n"]))
frame
"""
    [cell] = cells(code)
    [data] = [display["data"] for display in cell["displays"]]
    table = data[TABLE]
    assert table["index"] == 2
    assert [c["name"] for c in table["columns"]] == ["l", "n", "when", "cat", "money", "took", "nested"]
    assert table["rows"][0] == ["x", 1, "2024-01-01T00:00:00+01:00", "a", "1.10", "0 days 01:00:00", {"k": [1, 2]}]
    assert table["shape"] == [2, 5]
    assert data["e2b/data"]["took"] == ["0 days 01:00:00", "0 days 02:00:00"]


def test_a_long_table_says_how_long_it_is():
    [cell] = cells("import pandas as pd\npd.Series(range(1000), name='n')")
    table = cell["displays"][0]["data"][TABLE]
    assert table["shape"] == [1000, 1]
    assert len(table["rows"]) == 200
    assert "200 of 1000" in table["note"]


def test_files_that_a_cell_wrote_are_listed_once():
    first, second = cells("open('a.csv', 'w').write('x\\n1\\n')", "1 + 1")
    [files] = [display["data"][FILES]["files"] for display in first["displays"] if FILES in display["data"]]
    assert [(f["path"].rpartition("/")[2], f["size"], f["mime"]) for f in files] == [("a.csv", 4, "text/csv")]
    assert len(files[0]["sha256"]) == 64
    assert not [display for display in second["displays"] if FILES in display["data"]]


def test_without_full_there_are_only_formatters():
    saved, shown = cells(PLOT + "fig.savefig('a.png'); plt.close(fig)", PLOT + "plt.show()", full=False)
    assert charts_of(saved) == []
    assert not [display for display in saved["displays"] if FILES in display["data"]]
    [data] = [display["data"] for display in shown["displays"]]
    assert data["e2b/chart"]["type"] == "line"
    assert data["e2b/chart"]["elements"] == [{"label": "a", "points": [[0, 1], [1, 2], [2, 3]]}]


def test_a_hundred_thousand_points_stay_small_and_exact_enough():
    code = "import numpy as np, matplotlib.pyplot as plt\nrng = np.random.default_rng(1)\n"
    code += "x, y = rng.normal(size=(2, 100_000))\nplt.scatter(x, y)\nplt.show()\nprint(repr(float(y[777])))"
    [cell] = cells(code)
    [payload] = charts_of(cell)
    assert len(json.dumps(payload)) < 1_200_000
    from ci_integrations.charts.readers import chart_from_mime

    chart = chart_from_mime(CHART, payload)
    values = chart.panels[0].series[0].values("y")
    assert len(values) == 100_000
    assert values[777] == pytest.approx(float(cell["stdout"]), rel=1e-6)
    assert "7 digits" in chart.panels[0].notes[0]
