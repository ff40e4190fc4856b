"""Vega-Lite marks from one end to another: floating bars, bands, rules; and what several of them mean together."""

from __future__ import annotations

from typing import Any

from ci_integrations.charts.read.vega_lite.transforms import Row

Entry = dict[str, Any]


def bars(found: Entry, rows: list[Row], which: str, channels: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Bars with two ends: over time they are spans, over ready-made bins a histogram, else lengths over a base."""
    first, second = channels
    start, end = [row.get(which) for row in rows], [row.get(f"{which}2") for row in rows]
    if first.get("bin") == "binned":
        _ready_bins(found, start, end, which)
        return
    found["extra"] |= {"start": start, "end": end}
    if first.get("type") == "temporal":
        found["kind"], found[which] = "gantt", None
        return
    found[which] = [_length(a, b) for a, b in zip(start, end, strict=True)]
    found["extra"]["base"] = start
    found["_fields"] = [str(first.get("field")).lower(), str(second.get("field")).lower()]


def _length(low: Any, high: Any) -> float | None:
    return high - low if isinstance(low, (int, float)) and isinstance(high, (int, float)) else None


def _ready_bins(found: Entry, start: list[Any], end: list[Any], which: str) -> None:
    """Bins in x and counts in y as everywhere, also when the bars lie."""
    counts = found["y" if which == "x" else "x"]
    found["orientation"] = "v" if which == "x" else "h"
    found["kind"], found["x"], found["y"] = "histogram", [(a + b) / 2 for a, b in zip(start, end, strict=True)], counts
    found["extra"]["edges"] = [*start, *end[-1:]]


def between(found: Entry, rows: list[Row], which: str) -> None:
    ends: list[list[Any]] = [[row.get(which), row.get(f"{which}2")] for row in rows]
    low: list[Any] = [None if None in pair else min(pair) for pair in ends]
    high: list[Any] = [None if None in pair else max(pair) for pair in ends]
    if found["kind"] == "errorbar":
        found["extra"] |= {"err_low": low, "err_high": high}
        found[which] = [None if a is None or b is None else (a + b) / 2 for a, b in zip(low, high, strict=True)]
        return
    found["kind"], found[which] = "band", high
    found["extra"][f"{which}0"] = low


def stripes(rows: list[Row], end: str) -> list[Entry]:
    """Rectangles across the whole panel, from one place of an axis to another."""
    axis = end[0]
    ends = [(row.get(axis), row.get(end)) for row in rows[:200]]
    return [{"name": None, "kind": "rule", "extra": {"axis": axis, "start": one, "end": two, "value": [one, two]}}
            for one, two in ends]  # fmt: skip


def rules(found: Entry, rows: list[Row], ranged: list[str], *, upright: bool | None) -> None:
    """Rules between two ends, as under error bars and candles; from zero to a value over categories they are stems."""
    for which in ranged:
        axis = "x" if which == "y" else "y"
        found["extra"] |= {"axis": axis, "value": found[axis], "low": [row.get(which) for row in rows],
                           "high": [row.get(f"{which}2") for row in rows]}  # fmt: skip
        found["x"] = found["y"] = None
    if not ranged and upright is not None:
        found["kind"] = "stem"
        found["orientation"] = "v" if upright else "h"


def joined(entries: list[Entry]) -> list[Entry]:
    """The series of a panel with stems and their heads, bodies and their wicks made one."""
    entries = _candles(_stems(entries))
    for entry in entries:
        entry.pop("_fields", None)
    return entries


def _stems(entries: list[Entry]) -> list[Entry]:
    """A stem with points at its ends is one series: the points', which may have a name and sizes."""
    found = list(entries)
    for stem in [entry for entry in entries if entry["kind"] == "stem"]:
        for head in found:
            if head["kind"] == "scatter" and (head["x"], head["y"]) == (stem["x"], stem["y"]):
                found.remove(stem)
                head["kind"] = "stem"
                break
    return found


def _candles(entries: list[Entry]) -> list[Entry]:
    """Floating bars, each within the upright rule at its place, are candlesticks."""
    bodies = [e for e in entries if e["kind"] == "bar" and e.get("orientation") == "v" and "_fields" in e]
    wicks = [e for e in entries if e["kind"] == "rule" and e["extra"].get("axis") == "x" and "low" in e["extra"]]
    body, wick = _ends(bodies, "start", "end"), _ends(wicks, "low", "high")
    if not bodies or body.keys() != wick.keys() or not all(_within(body[at], wick[at]) for at in body):
        return entries
    places = list(body)
    extra = {name: [pick(wick[at]) for at in places] for name, pick in (("low", min), ("high", max))}
    fields = bodies[0]["_fields"]
    if "open" in fields[0] and "close" in fields[1]:
        extra |= {name: [body[at][n] for at in places] for n, name in enumerate(("open", "close"))}
    elif "close" in fields[0] and "open" in fields[1]:
        extra |= {name: [body[at][n] for at in places] for n, name in enumerate(("close", "open"))}
    else:
        extra |= {name: [pick(body[at]) for at in places] for name, pick in (("body_low", min), ("body_high", max))}
    merged: Entry = {"name": None, "kind": "candlestick", "x": places, "y": None, "extra": extra}
    return [merged, *(entry for entry in entries if entry not in (*bodies, *wicks))]


def _ends(entries: list[Entry], low: str, high: str) -> dict[Any, tuple[float, float]]:
    """The two ends at each place; nothing when two of them share a place or an end is missing."""
    found: dict[Any, tuple[float, float]] = {}
    for entry in entries:
        places = entry["extra"].get("value") or entry["x"]
        for at, one, two in zip(places, entry["extra"][low], entry["extra"][high], strict=True):
            if at in found or not isinstance(one, (int, float)) or not isinstance(two, (int, float)):
                return {}
            found[at] = (one, two)
    return found


def _within(body: tuple[float, float], wick: tuple[float, float]) -> bool:
    return min(wick) <= min(body) and max(body) <= max(wick)
