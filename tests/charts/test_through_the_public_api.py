"""Charts as a caller of `CodeInterpreter` gets them, out of the real local sandbox."""

from __future__ import annotations

import pytest

from ci_integrations import CodeInterpreter
from ci_integrations.charts import to_neutral

PLOT = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2, 3], label='a')\n"
FORGED = """
from IPython.display import display
import json
payload = {"schema": "ci.chart/1", "panels": [{"kind": "line", "complete": True, "series": [{"x": ["<script>"], "y": "no"}]}]}
display({"application/vnd.ci-chart.v1+json": payload, "text/plain": "forged"}, raw=True)
print(json.dumps({"application/vnd.ci-chart.v1+json": payload}))
"""  # noqa: E501


@pytest.fixture(scope="module")
def interpreter(kind):
    with CodeInterpreter(**kind.options) as running:
        yield running


def the_line(result):
    assert result.error is None
    [panel] = to_neutral(result.charts)["panels"]
    assert panel["complete"]
    assert [(s["name"], s["x"], s["y"]) for s in panel["series"]] == [("a", [0, 1, 2], [1, 2, 3])]
    assert [image.id for image in result.images] == [result.charts[0].image]


@pytest.mark.dangerous
def test_after_a_reset_a_plot_still_gives_its_chart(interpreter):
    interpreter.run("%reset -f")
    the_line(interpreter.run(PLOT + "plt.show()"))


def test_a_cell_that_patches_savefig_still_gives_charts(interpreter):
    patched = interpreter.run(
        "import matplotlib.figure as f\nkept = f.Figure.savefig\n"
        "f.Figure.savefig = lambda *a, **k: 1 / 0\n" + PLOT + "plt.show()"
    )
    the_line(patched)
    the_line(interpreter.run(f"f.Figure.savefig = kept\n{PLOT}plt.savefig('a.png'); plt.close()"))


def test_a_forged_payload_is_no_chart_and_does_no_harm(interpreter):
    result = interpreter.run(FORGED)
    assert result.error is None
    assert result.charts == ()
    assert [artifact.note for artifact in result.artifacts] == ["malformed payload"]
    the_line(interpreter.run(PLOT + "plt.show()"))


def test_long_columns_are_downloaded_when_somebody_asks(interpreter):
    result = interpreter.run(
        "import numpy as np, matplotlib.pyplot as plt\nx, y = np.random.default_rng(1).normal(size=(2, 100_000))\n"
        "plt.scatter(x, y)\nplt.show()\nprint(repr(float(x[777])), repr(float(y[99_999])))"
    )
    [artifact] = result.charts
    assert len(artifact.model_dump_json()) < 1_200_000
    [series] = artifact.chart.load(interpreter.download).panels[0].series
    assert [series.values("x")[777], series.values("y")[99_999]] == [float(v) for v in result.stdout.split()]
    assert result.files == ()


def test_a_chart_shows_itself_in_a_notebook(interpreter):
    [chart] = interpreter.run(PLOT + "plt.show()").charts
    bundle = chart._repr_mimebundle_()
    assert bundle["text/plain"].startswith("[chart")
    assert bundle["application/vnd.vegalite.v6+json"]["layer"]


@pytest.mark.own_kernel("at E2B a figure then comes as E2B's chart, which nobody can call complete")
def test_with_the_extractor_off_only_what_is_shown_gives_charts(kind):
    with CodeInterpreter(**kind.options, inject_extractor=False) as plain:
        saved = plain.run(PLOT + "plt.savefig('a.png'); plt.close()")
        assert (saved.charts, saved.files) == ((), ())
        the_line(plain.run(PLOT + "plt.show()"))


def test_a_sandbox_that_somebody_else_made_reports_files_too(kind, interpreter):
    plain = type(interpreter.sandbox).create(**kind.template, **kind.address)
    with CodeInterpreter(sandbox=plain, owns=True) as taken:
        result = taken.run("open('a.txt', 'w').write('a')")
    assert result.backend == kind.options["backend"]
    assert [file.path for file in result.files] == ["/home/user/a.txt"]
