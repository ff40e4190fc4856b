"""The same picture from matplotlib, altair, plotly and bokeh has the same panel kind, series kinds and bar mode."""

from __future__ import annotations

import sys
from pathlib import Path

import plain_kernel
import pytest

from ci_integrations.charts.read.dispatch import CHART_MIME, chart_from_mime

sys.path.insert(0, str(Path(__file__).parent))
from four_libraries import DATA, DRAWN, EXPECTED, IMPORTS

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def panels():
    """What each library's picture is read as, by library and picture, through kernels with the extractor."""
    for library in IMPORTS:
        pytest.importorskip(library)
    jobs = [{"id": library, "cells": [DATA + IMPORTS[library], *DRAWN[library].values()]} for library in IMPORTS]
    found = {}
    for answer in plain_kernel.run_jobs(jobs):
        assert "crash" not in answer, answer.get("crash")
        setup, *cells = answer["cells"]
        assert setup["error"] is None, setup["error"]
        for name, cell in zip(DRAWN[answer["id"]], cells, strict=True):
            found[answer["id"], name] = read(cell)
    return found


def read(cell):
    assert cell["error"] is None, cell["error"]
    shown = [item for display in cell["displays"] for item in best(display["data"])]
    [chart] = [chart for mime, payload in shown if (chart := chart_from_mime(mime, payload)) is not None]
    [panel] = chart.panels
    assert panel.complete, panel.notes
    return panel.kind, sorted(series.kind for series in panel.series), panel.barmode


def best(data):
    """Our form where there is one, otherwise all that the library sends."""
    return [(CHART_MIME, data[CHART_MIME])] if CHART_MIME in data else list(data.items())


@pytest.mark.parametrize("picture", EXPECTED)
def test_it_is_read_as_what_a_person_sees(panels, picture):
    assert {library: panels[library, picture] for library in DRAWN} == dict.fromkeys(DRAWN, EXPECTED[picture])
