"""Recipes that people follow by hand, each with what it means: name -> (code, series as kind, name, x, y, extra)."""

from __future__ import annotations

import plain_kernel
import pytest

from ci_integrations.charts.read.dispatch import CHART_MIME, chart_from_mime

HEAD = "import numpy as np, pandas as pd, matplotlib.pyplot as plt, matplotlib.dates as mdates\n"
DAY = "2024-01-0{}T00:00:00"

RECIPES = {
    "months of pandas under another formatter": (
        ("ax = pd.Series([5, 7], pd.date_range('2024-01-31', periods=2, freq='ME'), name='s').plot(legend=True)\n"
        "ax.xaxis.set_major_formatter(mdates.DateFormatter('%b'))"),
        ("line", "s", ["2024-01-31T00:00:00", "2024-02-29T00:00:00"], [5, 7], {}),
    ),
    "error bars of two lengths on bars": (
        "plt.bar([0, 1], [2, 3]); plt.errorbar([0, 1], [2, 3], yerr=[[0.5, 1], [1, 2]], fmt='none')",
        ("bar", None, [0, 1], [2, 3], {"err_low": [1.5, 2], "err_high": [3, 5]}),
    ),
    "candles of thick and thin bars": (
        ("plt.bar([0, 1], [2, -1], 0.4, bottom=[10, 12], color='g')\n"
        "plt.bar([0, 1], [4, 3], 0.05, bottom=[9, 10], color='g')"),
        ("candlestick", None, [0, 1], None,
         {"low": [9, 10], "high": [13, 13], "body_low": [10, 11], "body_high": [12, 12]}),
    ),
    "candles of lines and rectangles": (
        ("for n, (o, h, l, c) in enumerate([(10, 13, 9, 12), (12, 14, 10, 11)]):\n"
        "    plt.plot([n, n], [l, h], 'k')\n"
        "    plt.gca().add_patch(plt.Rectangle((n - 0.25, min(o, c)), 0.5, abs(c - o), color='r'))"),
        ("candlestick", None, [0, 1], None,
         {"low": [9, 10], "high": [13, 14], "body_low": [10, 11], "body_high": [12, 12]}),
    ),
    "a timeline of lying lines": (
        ("plt.hlines(['a', 'b'], pd.to_datetime(['2024-01-01', '2024-01-03']),"
        " pd.to_datetime(['2024-01-02', '2024-01-05']))"),
        ("gantt", None, None, ["a", "b"],
         {"start": [DAY.format(1), DAY.format(3)], "end": [DAY.format(2), DAY.format(5)]}),
    ),
    "one line across a part of the plot": (
        "plt.hlines(3.5, 0, 2, label='mean')", ("rule", "mean", None, None, {"axis": "y", "value": 3.5})
    ),
    "weeks of pandas on an axis of days": (
        (
            "days = pd.Series(range(21), pd.date_range('2024-01-01', periods=21))\n"
            "fig, (top, low) = plt.subplots(2, sharex=True); days.plot(ax=top); top.remove()\n"
            "days.resample('W').sum().plot(ax=low)"
        ),
        ("line", None, [f"2024-01-{day}T00:00:00" for day in ("07", "14", "21")], [21, 70, 119], {}),
    ),
    "a line across that only the legend's list names": (
        "plt.axhline(2, color='k'); plt.legend(['mid'])",
        ("rule", "mid", None, None, {"axis": "y", "value": 2}),
    ),
    "stems in space": (
        "plt.figure().add_subplot(projection='3d').stem([0, 1], [2, 3], [4, 5])",
        ("stem", None, [0, 1], [2, 3], {"z": [4, 5]}),
    ),
    "arrows with colours": (
        "plt.quiver([0, 1], [2, 3], [1, 1], [0, 2], [5, 6])",
        ("quiver", None, [0, 1], [2, 3], {"u": [1, 1], "v": [0, 2], "color": [5, 6]}),
    ),
    "a line of coloured pieces": (
        ("from matplotlib.collections import LineCollection\n"
        "plt.gca().add_collection(LineCollection([[(0, 1), (1, 3)], [(1, 3), (2, 2)]], array=[1, 2]))"),
        ("line", None, [0, 1, 2], [1, 3, 2], {}),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def read():
    stories = [{"id": name, "cells": [f"{HEAD}{code}\nplt.show()"]} for name, (code, _) in RECIPES.items()]
    answers = plain_kernel.run_jobs(stories)
    return {answer["id"]: [_panel(display["data"]) for display in answer["cells"][0]["displays"]] for answer in answers}


def _panel(data):
    return chart_from_mime(CHART_MIME, data[CHART_MIME]).panels[0]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_as_it_was_meant(read, name):
    kind, label, x, y, extra = RECIPES[name][1]
    [panel] = read[name]
    [series] = panel.series
    assert (series.kind, series.name, series.values("x"), series.values("y")) == (kind, label, x, y)
    assert {key: series.extra.get(key) for key in extra} == extra


def test_a_third_scale_is_said():
    code = "fig, ax = plt.subplots(); ax.plot([1, 2])\n"
    code += "for n in 'bc':\n    twin = ax.twinx(); twin.set_ylabel(n); twin.plot([3, 4])"
    [answer] = plain_kernel.run_jobs([{"id": "one", "cells": [f"{HEAD}{code}\nplt.show()"]}])
    panel = _panel(answer["cells"][0]["displays"][0]["data"])
    assert panel.y2.label == "b"
    assert panel.notes == ("y2 is two axes; the other one is c",)


def test_thinner_bars_from_zero_are_bars():
    code = "plt.bar([1, 2], [10, 12], 0.8, bottom=[5, 6]); plt.bar([1, 2], [8, 13], 0.1)"
    [answer] = plain_kernel.run_jobs([{"id": "one", "cells": [f"{HEAD}{code}\nplt.show()"]}])
    panel = _panel(answer["cells"][0]["displays"][0]["data"])
    assert [(series.kind, series.values("y")) for series in panel.series] == [("bar", [10, 12]), ("bar", [8, 13])]
