"""Reads shapes in plotly's layout: lines and bands across the plot are rules, as `add_hline` makes them."""

from __future__ import annotations

import re

from ci_integrations.charts.read.entry import Entry, rule, stripe
from ci_integrations.charts.read.plain import Json, maps
from ci_integrations.charts.read.plotly.layout import Draft, axis, words

MAX_SHAPES = 500
"""Shapes of one figure that are looked at."""
_AXIS = re.compile(r"[xy]\d*")


def add(panels: list[Draft], layout: Json) -> None:
    """Adds each shape at data to the panels on whose axes it stands; one that is no line or band is noted there."""
    for shape in maps(layout.get("shapes"))[:MAX_SHAPES]:
        if shape.get("visible") is False:
            continue
        refs = {which: str(shape.get(f"{which}ref") or which) for which in "xy"}
        # A shape that refers to the paper, or to a whole domain, stands on no value of that axis.
        at = [which for which in "xy" if _AXIS.fullmatch(refs[which])]
        for panel in panels if at else []:
            second = _second_axes(panel, refs, layout)
            if second is not None:
                _put(panel, shape, at, second)


def _put(panel: Draft, shape: Json, at: list[str], second: dict[str, str]) -> None:
    """Adds a shape to a panel as a series of its own, or notes that it is not read."""
    entry = _entry(shape, at)
    if entry is None:
        panel.lack(f"a {words(shape.get('type')) or 'rect'} drawn by hand is not read")
        return
    for which, own in second.items():
        if which in at:
            entry.axis = f"{which}2"
            panel.second[entry.axis] = own
    panel.series.append(entry)


def _second_axes(panel: Draft, refs: dict[str, str], layout: Json) -> dict[str, str] | None:
    """Which of the shape's axes are second ones of this panel; None when it stands elsewhere."""
    found: dict[str, str] = {}
    if panel.place.kind != "xy":
        return None
    for which, home in (("x", panel.place.x), ("y", panel.place.y)):
        name = refs[which].removesuffix(" domain")
        if name not in ("paper", home):
            if axis(layout, name).get("overlaying") != home:
                return None
            found[which] = name
    return found


def _entry(shape: Json, at: list[str]) -> Entry | None:
    """A shape as a series; None when it is neither a line nor a band across the plot."""
    name = words(shape.get("name")) or words(shape.get("label"))
    ends = {which: [shape.get(f"{which}0"), shape.get(f"{which}1")] for which in "xy"}
    kind = shape.get("type") or "rect"
    if len(at) == 2:
        return Entry("line", ends["x"], ends["y"], name) if kind == "line" else None
    [which] = at
    one, two = ends[which]
    if kind == "line" and one == two:
        return rule(which, one, name)
    return stripe(which, one, two, name) if kind == "rect" else None
