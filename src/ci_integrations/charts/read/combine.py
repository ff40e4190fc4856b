"""What several of bokeh's glyphs mean together: candlesticks, boxes with whiskers, stems with heads."""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]


def candles(entries: list[Entry]) -> list[Entry]:
    """Floating bars, each within the upright segment at its place, are candlesticks."""
    bars = [e for e in entries if e["kind"] == "bar" and e.get("orientation") == "v" and "base" in e["extra"]]
    wicks = [e for e in entries if e["kind"] == "rule" and e["extra"].get("axis") == "x" and "low" in e["extra"]]
    if not bars or len(wicks) != 1:
        return entries
    wick, body = wicks[0]["extra"], {}
    for bar in bars:
        for at, base, length in zip(bar["x"], bar["extra"]["base"], bar["y"], strict=True):
            if base is None or length is None:
                return entries
            body[at] = sorted((base, base + length))
    spans = list(zip(wick["value"], wick["low"], wick["high"], strict=True))
    if len(body) != len(spans) or any(at not in body or not _within(body[at], a, b) for at, a, b in spans):
        return entries
    lows, highs = ([body[at][n] for at, _, _ in spans] for n in (0, 1))
    extra = {"low": wick["low"], "high": wick["high"], "body_low": lows, "body_high": highs}
    merged: Entry = {"name": None, "kind": "candlestick", "x": wick["value"], "y": None, "extra": extra}
    return [merged, *(entry for entry in entries if entry not in (*bars, *wicks))]


def _within(body: list[float], low: float, high: float) -> bool:
    slack = 1e-9 * max(1.0, abs(high))
    return body[0] >= low - slack and body[1] <= high + slack


def boxes(entries: list[Entry]) -> list[Entry]:
    """Two bars on top of one another between whiskers, at the same places, are boxes: they meet in the median."""
    bars = [e for e in entries if e["kind"] == "bar" and e.get("orientation") == "v" and "base" in e["extra"]]
    whiskers = [e for e in entries if _upright(e)]
    if len(bars) != 2 or not whiskers:
        return entries
    lower, upper = sorted((_ends(bar["x"], bar["extra"]["base"], bar["extra"]["end"]) for bar in bars), key=_sum)
    reach = _reach(whiskers, list(lower))
    if not reach or lower.keys() != upper.keys() or any(lower[at][1] != upper[at][0] for at in lower):
        return entries
    if any(reach[at][0] > lower[at][0] or reach[at][1] < upper[at][1] for at in lower):
        return entries
    extra = {"q1": [lower[at][0] for at in lower], "median": [lower[at][1] for at in lower],
             "q3": [upper[at][1] for at in lower], "whislo": [reach[at][0] for at in lower],
             "whishi": [reach[at][1] for at in lower]}  # fmt: skip
    merged: Entry = {"name": None, "kind": "box", "x": list(lower), "y": None, "extra": extra}
    rest = [entry for entry in entries if entry not in (*bars, *whiskers) and not _caps(entry, reach)]
    return [merged, *rest]


def _upright(entry: Entry) -> bool:
    extra = entry["extra"]
    if entry["kind"] == "errorbar":
        return "err_low" in extra and "x" in entry
    return entry["kind"] == "rule" and extra.get("axis") == "x" and "low" in extra


def _ends(places: list[Any], one: list[Any], two: list[Any]) -> dict[Any, tuple[float, float]]:
    """The lower and the higher end at each place; nothing when one is missing."""
    if any(v is None for v in (*one, *two)):
        return {}
    return {at: (min(pair), max(pair)) for at, *pair in zip(places, one, two, strict=True)}


def _sum(ends: dict[Any, tuple[float, float]]) -> float:
    return sum(low for low, _ in ends.values())


def _reach(whiskers: list[Entry], places: list[Any]) -> dict[Any, tuple[float, float]]:
    """How far the whiskers at each place go; nothing when they stand elsewhere."""
    found: dict[Any, tuple[float, float]] = {}
    for entry in whiskers:
        lying = entry["kind"] == "errorbar"
        names = ("err_low", "err_high") if lying else ("low", "high")
        ends = _ends(entry["x"] if lying else entry["extra"]["value"], *(entry["extra"][name] for name in names))
        if set(ends) != set(places):
            return {}
        found = {at: (min(ends[at][0], found.get(at, ends[at])[0]), max(ends[at][1], found.get(at, ends[at])[1]))
                 for at in ends}  # fmt: skip
    return found


def _caps(entry: Entry, reach: dict[Any, tuple[float, float]]) -> bool:
    """The short strokes at the whiskers' ends, one on each place: flat rectangles."""
    if not entry.get("_flat") or set(entry["x"]) != set(reach):
        return False
    return all(y in reach[at] for at, y in zip(entry["x"], entry["y"], strict=True))


def stems(entries: list[Entry]) -> list[Entry]:
    """Segments from zero to points over categories are their stems."""
    found = list(entries)
    for rule in [entry for entry in entries if entry["kind"] == "rule" and "low" in entry["extra"]]:
        extra = rule["extra"]
        if not all(isinstance(at, str) for at in extra["value"]) or not all(0 in ends for ends in _pairs(extra)):
            continue
        far = [low or high for low, high in _pairs(extra)]
        at, value = ("x", "y") if extra["axis"] == "x" else ("y", "x")
        for head in found:
            if head["kind"] == "scatter" and (head[at], head[value]) == (extra["value"], far):
                found.remove(rule)
                head["kind"], head["orientation"] = "stem", "v" if at == "x" else "h"
                break
    return found


def _pairs(extra: dict[str, Any]) -> list[tuple[Any, Any]]:
    return list(zip(extra["low"], extra["high"], strict=True))
