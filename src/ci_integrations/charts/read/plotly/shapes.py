"""Shapes in plotly's layout: lines and bands across the plot are rules, as `add_hline` and `add_vrect` make them."""

from __future__ import annotations

import re
from typing import Any

from ci_integrations.charts.read.plotly.layout import axis, value_list, words

MAX_SHAPES = 500
_AXIS = re.compile(r"[xy]\d*")


def add(panels: list[dict[str, Any]], layout: dict[str, Any]) -> None:
    """Each shape at data goes to the panels on whose axes it stands; one that is no line or band is noted there."""
    for shape in value_list(layout.get("shapes"))[:MAX_SHAPES]:
        if not isinstance(shape, dict) or shape.get("visible") is False:
            continue
        refs = {which: str(shape.get(f"{which}ref") or which) for which in "xy"}
        at = [which for which in "xy" if _AXIS.fullmatch(refs[which])]
        for panel in panels if at else []:
            second = _seconds(panel, refs, layout)
            if second is None:
                continue
            entry = _entry(shape, at)
            if entry is None:
                panel["complete"] = False
                panel["notes"].append(f"a {words(shape.get('type')) or 'rect'} drawn by hand is not read")
                continue
            for name, own in second.items():
                if name in at:
                    entry["axis"], panel[f"_{name}2"] = f"{name}2", own
            panel["series"].append(entry)


def _seconds(panel: dict[str, Any], refs: dict[str, str], layout: dict[str, Any]) -> dict[str, str] | None:
    """Which of the shape's axes are second ones of this panel; None when it stands elsewhere."""
    key, found = panel["_key"], {}
    if key[0] != "xy":
        return None
    for which, home in zip("xy", key[1:], strict=True):
        name = refs[which].removesuffix(" domain")
        if name not in ("paper", home):
            if axis(layout, name).get("overlaying") != home:
                return None
            found[which] = name
    return found


def _entry(shape: dict[str, Any], at: list[str]) -> dict[str, Any] | None:
    name = words(shape.get("name")) or words(shape.get("label"))
    ends = {which: [shape.get(f"{which}0"), shape.get(f"{which}1")] for which in "xy"}
    kind = shape.get("type") or "rect"
    if len(at) == 2:
        return {"kind": "line", "name": name, **ends, "extra": {}} if kind == "line" else None
    [which] = at
    one, two = ends[which]
    if kind == "line" and one == two:
        return {"kind": "rule", "name": name, "extra": {"axis": which, "value": one}}
    if kind == "rect":
        span = {"start": [one], "end": [two], "value": [one, two]}
        return {"kind": "rule", "name": name, "extra": {"axis": which, **span}}
    return None
