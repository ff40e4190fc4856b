"""The extractor in an IPython shell: every figure once, with data; and nothing that the user could notice."""

from __future__ import annotations

import json
from pathlib import Path

import plain_kernel
import pytest

from ci_integrations.charts.read.dispatch import BOKEH_MIME, chart_from_mime
from ci_integrations.errors import ArtifactError

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
        "from matplotlib.figure import Figure as F\nf = F()\nf.subplots().plot([1, 2, 3], label='a')\nf.savefig('c')"
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
    from ci_integrations._core.hidden.shipping import EXTRACTOR
    from ci_integrations._core.kernels import hidden_cell

    first, second = cells("None", hidden_cell(EXTRACTOR.folder) + "\n" + PLOT, cloud=True)
    assert first["count"] == 2  # the first user cell was number 1
    assert len(charts_of(second)) == 1


def test_a_cell_that_patches_savefig_or_forges_a_payload_does_no_harm():
    patch = "import matplotlib.figure\nmatplotlib.figure.Figure.savefig = lambda *a, **k: 1 / 0\n"
    forged = f"from IPython.display import display\ndisplay({{'{CHART}': {{'panels': 3}}}}, raw=True)"
    first, second = cells(patch + PLOT + "plt.show()", forged)
    assert len(charts_of(first)) == 1
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
    [cell] = cells("import pandas as pd\npd.Series(range(3000), name='n')")
    table = cell["displays"][0]["data"][TABLE]
    assert table["shape"] == [3000, 1]
    assert len(table["rows"]) == 1000
    assert "1000 of 3000" in table["note"]


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


RANDOM = "import numpy as np, matplotlib.pyplot as plt\nrng = np.random.default_rng(1)\n"


def only_chart(*codes):
    [payload] = charts_of(cells(*codes)[-1])
    assert len(json.dumps(payload)) < 1_200_000
    return chart_from_mime(CHART, payload)


def drawn(seed=1, n=100_000):
    import numpy as np

    return np.random.default_rng(seed).normal(size=(2, n)).tolist()


def test_a_line_of_a_hundred_thousand_points_is_sent_whole_and_exact():
    code = "plt.plot(np.linspace(0.1, 7.3, 100_000), rng.normal(size=(2, 100_000))[1])\nplt.show()"
    chart = only_chart(RANDOM + code)
    import numpy as np

    series = chart.panels[0].series[0]
    assert chart.files == ()
    assert chart.complete
    assert series.values("x") == np.linspace(0.1, 7.3, 100_000).tolist()
    assert series.values("y") == drawn()[1]


def test_prices_and_counts_take_half_the_room_and_are_exact():
    chart = only_chart(RANDOM + "plt.scatter(*np.round(rng.normal(size=(2, 100_000)), 2))\nplt.show()")
    assert chart.files == ()
    assert chart.panels[0].series[0].values("x") == [round(v, 2) for v in drawn()[0]]


def test_points_that_do_not_fit_are_exact_in_files():
    chart = only_chart(RANDOM + "plt.scatter(*rng.normal(size=(2, 100_000)))\nplt.show()")
    assert chart.complete
    assert len(chart.files) == 2
    with pytest.raises(ArtifactError, match=r"chart\.load\(interpreter\.download\)"):
        chart.panels[0].series[0].values("y")
    whole = chart.load(lambda path: Path(path).read_bytes())
    assert [whole.panels[0].series[0].values(name) for name in "xy"] == drawn()
    assert whole.files == ()
    with pytest.raises(ArtifactError, match="is not what it was"):
        chart.load(lambda path: b"other")
    assert "n=100000, y from -4.19974 to 4.11991" in chart.describe()
    assert "in a file" in chart.to_markdown()


def test_a_series_too_long_for_any_place_makes_the_panel_incomplete():
    chart = only_chart(RANDOM + "plt.plot([1, 2])\nplt.plot(rng.normal(size=9_000_000))\nplt.show()")
    assert not chart.complete
    assert [series.values("y") for series in chart.panels[0].series] == [[1, 2]]
    assert chart.panels[0].notes == ("1 series left out: the figure is too large",)


BY_HAND = {
    "a Polygon": "ax.add_patch(Polygon([(0, 0), (1, 1), (1, 0)]))",
    "a FancyArrow": "ax.add_patch(FancyArrow(0, 0, 1, 1))",
    "a PathPatch": "ax.add_patch(PathPatch(Path([(0, 0), (1, 1), (1, 0)])))",
    "an arrow": "ax.arrow(0, 0, 1, 1)",
    "a Circle": "ax.add_artist(Circle((0, 0), 1))",
    "rectangles": "ax.add_patch(Rectangle((0, 0), 1, 2))",
    "a table": "ax.table([['a', 'b']])",
    "a picture": "ax.imshow(np.zeros((3, 3, 3)))",
    "coloured cells": "ax.pcolormesh(np.zeros((3, 3, 3)))",
    "free segments": "ax.add_collection(PolyCollection([[(0, 0), (1, 1), (1, 0)]]))",
    "a dendrogram": "import seaborn as sns; plt.close(fig); sns.clustermap(np.random.rand(4, 4))",
}
_HEAD = """import numpy as np, matplotlib.pyplot as plt
from matplotlib.patches import *
from matplotlib.path import Path
from matplotlib.collections import PolyCollection
fig, ax = plt.subplots()
ax.plot([0, 1])
"""


@pytest.fixture(scope="module")
def by_hand():
    stories = [{"id": name, "cells": [f"{_HEAD}{code}\nplt.show()"]} for name, code in BY_HAND.items()]
    return {story["id"]: story["cells"][-1] for story in plain_kernel.run_jobs(stories)}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_no_plotting_method_drew_is_not_taken_for_data(by_hand, name):
    payload = charts_of(by_hand[name])[-1]
    assert payload["panels"][0]["complete"] is False
    assert payload["panels"][0]["notes"]


UNREAD = {
    "a diagram of polygons": (
        "fig, ax = plt.subplots(); ax.add_patch(plt.Polygon([(0, 0), (1, 1), (1, 0)]))",
        "Polygon",
    ),
    "a table alone": ("fig, ax = plt.subplots(); ax.table([['1', '2']])", "Table"),
    "bars in space": ("ax = plt.subplot(projection='3d'); ax.bar([0, 1], [1, 2], zs=1, zdir='y')", "Patch3D"),
}


def test_a_figure_of_which_nothing_can_be_read_is_a_chart_that_says_so():
    head = "import matplotlib.pyplot as plt\n"
    drawn = cells(*(f"{head}{code}\nplt.gca().set_title('Flow')\nplt.show()" for code, _ in UNREAD.values()))
    for (name, (_, kind)), cell in zip(UNREAD.items(), drawn, strict=True):
        chart = chart_from_mime(CHART, charts_of(cell)[-1])
        [panel] = chart.panels
        assert (panel.title, panel.series, panel.complete) == ("Flow", (), False), name
        assert panel.notes == (f"a {kind} is not read",), name
        assert f"Incomplete: a {kind}" in chart.describe()
        assert chart.to_vega_lite() is None
        assert chart.to_markdown()
        assert chart.to_plotly()["data"] == []
        assert len(chart.to_dataframe()) == 0
    assert charts_of(cells(f"{head}plt.text(0, 0, 'words'); plt.show()")[0]) == []


def test_a_line_that_joins_two_panels_is_no_data():
    code = "from matplotlib.patches import ConnectionPatch\nimport matplotlib.pyplot as plt\n"
    code += "fig, (a, b) = plt.subplots(1, 2); a.pie([1, 2], labels=['x', 'y']); b.bar([0], [1])\n"
    code += "b.add_artist(ConnectionPatch((0, 0), (1, 1), a.transData, b.transData)); plt.show()"
    assert only_chart(code).complete


def test_arrows_and_barbs_keep_what_is_missing():
    for name in ("quiver", "barbs"):
        code = f"import matplotlib.pyplot as plt\nplt.{name}([0, 1], [2, 3], [5, float('nan')], [7, 8]); plt.show()"
        [series] = only_chart(code).panels[0].series
        assert (series.kind, series.values("x"), series.values("y")) == ("quiver", [0, 1], [2, 3])
        assert series.values("u") == [5, None]
        assert series.values("v")[0] == 7


def test_durations_say_in_which_unit_pandas_counts_them():
    code = "import pandas as pd, matplotlib.pyplot as plt\n"
    code += "pd.Series([1, 2, 3], pd.to_timedelta([0, 60, 120], unit='s').as_unit('ns')).plot(); plt.show()"
    [panel] = only_chart(code).panels
    assert (panel.x.unit, panel.series[0].values("x")) == ("ns", [0, 60 * 10**9, 120 * 10**9])


def test_words_arrows_and_legends_leave_a_chart_complete():
    code = _HEAD + "ax.lines[0].set_label('a'); ax.add_artist(ax.legend()); ax.fill([0, 1, 1], [0, 1, 0])\n"
    code += "ax.annotate('peak', (0, 0), (1, 1), arrowprops={'arrowstyle': '->'}, bbox={'boxstyle': 'round'})\n"
    code += "plt.show()"
    chart = only_chart(code)
    assert chart.complete
    assert [(s.kind, s.values("x")) for s in chart.panels[0].series] == [("line", [0, 1]), ("area", [0, 1, 1, 0])]


def test_bars_on_a_time_axis_are_spans_not_lengths_since_1970():
    code = "import pandas as pd, matplotlib.pyplot as plt\nt = pd.to_datetime(['2024-01-01', '2024-01-10'])\n"
    code += "plt.barh(['a', 'b'], pd.to_timedelta(['3D', '4D']), left=t)\nplt.show()"
    [panel] = only_chart(code).panels
    [series] = panel.series
    assert (panel.kind, series.kind, series.x, series.values("y")) == ("gantt", "gantt", None, ["a", "b"])
    assert series.values("end") == ["2024-01-04T00:00:00", "2024-01-14T00:00:00"]


def test_a_second_bokeh_cell_does_not_report_the_first_one_again():
    code = "from bokeh.plotting import figure, output_file, show\noutput_file('b.html')\n"
    code += "p = figure()\np.line([1, 2], [3, {}])\nshow(p)"
    _, second = cells(code.format(4), code.format(5))
    [doc] = [display["data"][BOKEH_MIME] for display in second["displays"] if BOKEH_MIME in display["data"]]
    [panel] = chart_from_mime(BOKEH_MIME, doc).panels
    assert [series.values("y") for series in panel.series] == [[3, 5]]


KINDS = {
    "a stack of a dict's views": (
        "plt.stackplot([1, 2], d.values(), labels=d.keys())",
        [("area", "a", [1, 2], [1, 2]), ("area", "b", [1, 2], [3, 4])],
    ),
    "seaborn lines over single observations": (
        "sns.lineplot(x=[1, 2, 1, 2], y=[1, 2, 3, 4], hue=['a', 'a', 'b', 'b'])",
        [("line", "a", [1, 2], [1, 2]), ("line", "b", [1, 2], [3, 4])],
    ),
    "a seaborn histogram as an outline": (
        "sns.histplot(x=[0, 1, 1, 2], bins=2, element='step')", [("histogram", None, [0.5, 1.5], [1, 3])]
    ),
    "a seaborn histogram with bars side by side": (
        "sns.histplot(x=[0, 1, 1, 2], hue=list('aabb'), hue_order=['b', 'a'], bins=2, multiple='dodge')",
        [("histogram", "a", [0.5, 1.5], [1, 1]), ("histogram", "b", [0.5, 1.5], [0, 2])],
    ),
    "points coloured by numbers under a legend of colours": (
        "s = plt.scatter([1, 2], [3, 4], c=[0, 1]); plt.legend(*s.legend_elements())",
        [("scatter", None, [1, 2], [3, 4])],
    ),
    "a fill of the colour of another series": (
        "plt.fill_between([1, 2], [3, 4], color='C0'); plt.plot([1, 2], [5, 6], color='C0', label='s'); plt.legend()",
        [("area", None, [1, 2], [3, 4]), ("line", "s", [1, 2], [5, 6])],
    ),
    "cells by pcolor": ("plt.pcolor([[1, 2], [3, 4]])", [("heatmap", None, [0.5, 1.5], [0.5, 1.5])]),
    "a heat map with few of its names": (
        "sns.heatmap(pd.DataFrame([[1, 2, 3]], ['r'], ['x', 'y', 'z']), xticklabels=2)",
        [("heatmap", None, ["x", "y", "z"], ["r"])],
    ),
    "pandas bars over a regular time index": (
        "pd.Series([1, 2], pd.period_range('2024-01', periods=2, freq='M')).plot.bar()", None
    ),
}  # fmt: skip


def test_series_are_read_as_they_were_meant():
    head = "import numpy as np, pandas as pd, seaborn as sns, matplotlib.pyplot as plt\nd = {'a': [1, 2], 'b': [3, 4]}"
    _, *drawn = cells(head, *(f"{code}\nplt.show()" for code, _ in KINDS.values()))
    for (name, (_, expected)), cell in zip(KINDS.items(), drawn, strict=True):
        panel = chart_from_mime(CHART, charts_of(cell)[-1]).panels[0]
        found = [(s.kind, s.name, s.values("x"), s.values("y")) for s in panel.series]
        if expected is not None:
            assert found == expected, name
        else:  # pandas 3.1 draws them at periods, older ones at places with labels
            assert found[0][2] in (["2024-01-01T00:00:00", "2024-02-01T00:00:00"], ["2024-01", "2024-02"])


STACKS = {
    "plt.stackplot([1, 2], [[1, 2], [3, 4]])": "stack",
    "plt.hist([[1, 2], [2, 3]], stacked=True)": "stack",
    "plt.hist([[1, 2], [2, 3]])": "group",
    "pd.DataFrame(d).plot.area()": "stack",
    "pd.DataFrame(d).plot.area(stacked=False)": "overlay",
    "sns.histplot(x=[1, 2, 2], hue=list('aab'), multiple='stack')": "stack",
    "sns.histplot(x=[1, 2, 2], hue=list('aab'))": "overlay",
}


def test_areas_and_bins_say_whether_they_stand_upon_one_another():
    head = "import numpy as np, pandas as pd, seaborn as sns, matplotlib.pyplot as plt\nd = {'a': [1, 2], 'b': [3, 4]}"
    _, *drawn = cells(head, *(f"{code}\nplt.show()" for code in STACKS))
    for (code, expected), cell in zip(STACKS.items(), drawn, strict=True):
        assert chart_from_mime(CHART, charts_of(cell)[-1]).panels[0].barmode == expected, code
