"""Reads E2B's own chart dicts as a `Chart`: the fallback when our extractor is off.

E2B's extractor is silently wrong on a fifth of matplotlib's figures (bars with equal heights, histograms, box plots
read as lines, points over dates). What has such a shape is marked `complete: false` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read.entry import Entry, PanelDraft
from ci_integrations.charts.read.plain import Json, as_list, column, grouped, maps

_REASON = "from E2B's chart: {}"
_DOUBT = {
    "bar": "bars, histograms and lying bars look alike there, and labels are matched by order",
    "box_and_whisker": "box numbers are rounded, and lying boxes look like standing ones",
    "pie": "only angles are known, and nested pies are run together",
    "unknown": "the kind of chart is not known there",
}
_POSITIONS = {"datetime": "dates came as day numbers", "categorical": "categories came as positions"}
"""What is wrong with numbers on an axis of this scale."""
_KINDS = {"line": "line", "scatter": "scatter", "bar": "bar", "pie": "pie", "box_and_whisker": "box"}
_BOX = {"q1": "first_quartile", "median": "median", "q3": "third_quartile", "whislo": "min", "whishi": "max"}
_MANY = 5
"""Lines of one panel from which on they may be the parts of a box plot."""


def chart(raw: Json) -> Chart | None:
    """Returns the chart, or None for `{}`. Raises on nonsense: the caller catches."""
    if not raw.get("type"):
        return None
    # A figure with several axes is a chart of charts.
    several = raw["type"] == "superchart"
    panels = [_panel(part).plain() for part in (maps(raw["elements"]) if several else [raw])]
    title = raw.get("title") if several else None
    return Chart.model_validate({"title": title or None, "source": {"library": "matplotlib"}, "panels": panels})


def _panel(raw: Json) -> PanelDraft:
    """One of E2B's charts as a panel, with the reason when it cannot be trusted."""
    kind, elements = str(raw.get("type")), maps(raw.get("elements"))
    title = raw.get("title")
    panel = PanelDraft(str(title) if title else None, kind=_KINDS.get(kind, "mixed"))
    if kind != "pie":
        panel.axes = {which: _axis(raw, which) for which in "xy"}
    panel.series = _READERS[kind](elements) if kind in _READERS else []
    doubt = _DOUBT.get(kind) or _doubt(kind, raw, elements)
    if doubt:
        panel.lack(_REASON.format(doubt))
    return panel


def _doubt(kind: str, raw: Json, elements: list[Json]) -> str | None:
    """Why a line or scatter chart cannot be trusted, or None."""
    if not elements:
        return "flat lines are dropped there as grid lines"
    for which, place in (("x", 0), ("y", 1)):
        reason = _POSITIONS.get(str(raw.get(f"{which}_scale")))
        points = chain(*map(_points, elements)) if reason else ()
        if any(isinstance(point[place], (int, float)) for point in points):
            return reason
    if kind != "line":
        return None
    if len(elements) >= _MANY:
        return "box plots and stems look like lines there"
    return "lines of two equal ends are dropped there, and the number of axes is not told"


def _axis(raw: Json, which: str) -> Json:
    """The axis as E2B tells it."""
    return {key: raw.get(f"{which}_{key}") or None for key in ("label", "scale", "unit")}


def _points(element: Json) -> list[list[object]]:
    """The points of a line or of a group, each a list of x and y."""
    return list(map(as_list, as_list(element.get("points"))))


def _marks(elements: list[Json], kind: str, automatic: str) -> list[Entry]:
    """Lines or points; E2B names those without a label by a word and their number."""
    return [
        Entry(kind, [p[0] for p in _points(item)], [p[1] for p in _points(item)],
              None if item.get("label") in (None, f"{automatic} {n}") else str(item["label"]))
        for n, item in enumerate(elements, 1)
    ]  # fmt: skip


def _bars(elements: list[Json]) -> list[Entry]:
    """Bars by their groups; E2B calls a group without a name "Group 1" and so on."""
    groups = grouped((str(item.get("group")), item) for item in elements)
    return [
        Entry("bar", column(items, "label"), column(items, "value"), None if name.startswith("Group ") else name)
        for name, items in groups.items()
    ]


def _slices(elements: list[Json]) -> list[Entry]:
    """The slices of a pie, of which only the angles are told."""
    return [Entry("pie", column(elements, "label"), column(elements, "angle"), extra={"values_are": "degrees"})]


def _boxes(elements: list[Json]) -> list[Entry]:
    """Boxes with their five numbers and their outliers."""
    extra: Json = {ours: column(elements, theirs) for ours, theirs in _BOX.items()}
    extra["fliers"] = [as_list(item.get("outliers")) for item in elements]
    return [Entry("box", column(elements, "label"), extra=extra)]


_READERS: dict[str, Callable[[list[Json]], list[Entry]]] = {
    "line": lambda items: _marks(items, "line", "Line"), "scatter": lambda items: _marks(items, "scatter", "Group"),
    "bar": _bars, "pie": _slices, "box_and_whisker": _boxes,
}  # fmt: skip
