"""Reads Vega-Lite marks that go from one end to another: floating bars, ready-made bins, bands and rules."""

from __future__ import annotations

from ci_integrations.charts.read.entry import ERRORS, OTHER, Entry
from ci_integrations.charts.read.plain import column, low_high, middles, minus
from ci_integrations.charts.read.vega_lite.channels import Unit
from ci_integrations.charts.read.vega_lite.units import Row

MAX_STRIPES = 200
"""Bands across the panel that one mark may draw."""


def bars(unit: Unit, found: Entry, rows: list[Row]) -> None:
    """Reads bars with two ends: over time spans, over ready-made bins a histogram, otherwise lengths over a base."""
    which = "x" if unit.has("x2") else "y"
    first, second = unit.channel(which), unit.channel(f"{which}2")
    start, end = column(rows, which), column(rows, f"{which}2")
    if first.get("bin") == "binned":
        # Bins in x and counts in y as everywhere, also when the bars are horizontal.
        found.orientation = "v" if which == "x" else "h"
        found.kind, found.y = "histogram", found.y if which == "x" else found.x
        found.x = middles(start, end)
        found.extra["edges"] = [*start, *end[-1:]]
        return
    found.extra |= {"start": start, "end": end}
    # The length of a span of time would be read as a date of 1970.
    if first.get("type") == "temporal":
        found.kind = "gantt"
        found.put(which, None)
        return
    found.put(which, list(map(minus, end, start)))
    found.extra["base"] = start
    found.ends = str(first.get("field")).lower(), str(second.get("field")).lower()


def between(unit: Unit, found: Entry, rows: list[Row]) -> None:
    """Reads bands, and error bars with given ends; areas with one end stay what they are."""
    which = "y" if unit.has("y2") else "x"
    if not unit.has("x2", "y2"):
        return
    low, high = low_high(column(rows, which), column(rows, f"{which}2"))
    if found.kind != "errorbar":
        found.kind = "band"
        found.put(which, high)
        found.extra[f"{which}0"] = low
        return
    found.extra |= zip(ERRORS[which], (low, high), strict=True)
    found.put(which, middles(low, high))


def stripes(rows: list[Row], end: str) -> list[Entry]:
    """Reads rectangles across the whole panel, from one place of an axis to another."""
    axis = end[0]
    ends = zip(column(rows[:MAX_STRIPES], axis), column(rows, end), strict=False)
    return [Entry("rule", extra={"axis": axis, "start": a, "end": b, "value": [a, b]}) for a, b in ends]


def rules(unit: Unit, found: Entry, rows: list[Row]) -> None:
    """Reads rules between two ends, as under error bars and candles; from zero over categories they are stems."""
    ranged = [which for which in "xy" if unit.has(f"{which}2")]
    for which in ranged:
        axis = OTHER[which]
        ends = {"low": column(rows, which), "high": column(rows, f"{which}2")}
        found.extra |= {"axis": axis, "value": found.column(axis), **ends}
        found.x = found.y = None
    if not ranged and unit.discrete("x") != unit.discrete("y"):
        found.kind, found.orientation = "stem", "v" if unit.discrete("x") else "h"
