"""Decides what several marks mean together, once for all readers: boxes, error bars, candlesticks, stems, shares, the
panel's kind and how its bars stand.

Libraries without a mark of their own for these draw them from bars, lines and points. Places and ends are compared with
one tolerance. `extractor/matplotlib` runs in the kernel and decides the same for matplotlib.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ci_integrations.charts.columns import is_number
from ci_integrations.charts.read.entry import Entry, PanelDraft
from ci_integrations.charts.read.plain import as_list, plus, rank

TOLERANCE = 1e-9
"""Two ends are the same when they differ by less than this part of the larger one, or of 1."""
_LEADERS = (
    "candlestick", "gantt", "histogram", "box", "violin", "heatmap", "contour", "hexbin", "surface3d", "scatter3d",
)  # fmt: skip
_MARKS = ("scatter", "errorbar", "stem", "line", "step")
_STANDING = ("bar", "histogram", "area")

Stroke = tuple[object, float, float]
"""Place, and the two ends of what is drawn there."""
Spans = dict[object, tuple[float, float]]
"""Place to two ends, in the order in which they were given."""


def settle(panel: PanelDraft, barmode: str | None = None) -> None:
    """Gives a panel its kind and bar mode. `barmode` is the library's own word for the latter, where it has one."""
    panel.kind = panel_kind(panel.series)
    panel.barmode = bar_mode(panel.series, barmode)


def joined(entries: list[Entry]) -> list[Entry]:
    """Returns the series with boxes, error bars, candlesticks and stems each made one series."""
    return _stems(_candles(_with_errors(_boxes(entries))))


def panel_kind(entries: list[Entry]) -> str:
    """Returns one word for all series: the kind that leads, or "mixed". Rules count only when there is nothing else."""
    every = list(dict.fromkeys(entry.kind for entry in entries))
    distinct = [kind for kind in every if kind != "rule"] or every[:1]
    if len(distinct) == 1:
        return distinct[0]
    leader = next((kind for kind in _LEADERS if kind in distinct), None)
    if leader is None and "bar" in distinct:
        return "bar" if set(distinct) <= {"bar", "errorbar"} else "mixed"
    leader = leader or _leading_mark(entries)
    return leader or next((kind for kind in ("area", "band") if kind in distinct), "mixed")


def _leading_mark(entries: list[Entry]) -> str | None:
    """The kind that is drawn first; points lead over a line that has fewer, such as a diagonal, in any order."""
    marks = [entry for entry in entries if entry.kind in _MARKS]
    longest = max((len(entry.places) for entry in marks if entry.kind in ("line", "step")), default=0)
    if any(entry.kind == "scatter" and len(entry.places) > longest for entry in marks):
        return "scatter"
    return marks[0].kind if marks else None


def bar_mode(entries: list[Entry], told: str | None = None) -> str | None:
    """Returns "group", "stack" or "overlay" for several series of bars, bins or areas; None for a single one."""
    for kind in _STANDING:
        alike = [entry for entry in entries if entry.kind == kind]
        if len(alike) > 1:
            return _stand(alike, None if kind == "area" else told)
    return None


def _stand(alike: list[Entry], told: str | None) -> str:
    first, second = alike[:2]
    if sum(entry.stack is not None for entry in alike) > 1:
        return "stack"
    if told is not None:
        return told
    if first.dodged or (first.kind == "bar" and not set(first.places) & set(second.places)):
        return "group"
    return "stack" if any(as_list(second.extra.get("base"))) else "overlay"


def shares(entries: list[Entry], whole: float, value: str = "") -> None:
    """Turns each value into its part of all at the same place, of `whole`; `extra.amount` keeps what it was.

    `value` is the axis along which they are stacked; without it the bars' orientation says so.
    """
    total: defaultdict[object, float] = defaultdict(float)
    axes = [value or ("x" if entry.horizontal else "y") for entry in entries]
    rows = [
        list(zip(entry.column("y" if axis == "x" else "x"), entry.column(axis), strict=False))
        for entry, axis in zip(entries, axes, strict=True)
    ]
    for place, amount in (pair for row in rows for pair in row):
        total[place] += abs(amount) if is_number(amount) else 0
    for entry, axis, row in zip(entries, axes, rows, strict=True):
        entry.extra["amount"] = entry.column(axis)
        entry.put(axis, [_share(amount, total[place], whole) for place, amount in row])


def _share(amount: object, total: float, whole: float) -> float | None:
    return whole * amount / total if is_number(amount) and total else None


def _boxes(entries: list[Entry]) -> list[Entry]:
    """Two bars on top of one another between whiskers, at the same places, are boxes: they meet in the median."""
    bars = [entry for entry in entries if _floats(entry)]
    whiskers = [entry for entry in entries if entry.kind in ("rule", "errorbar") and _has_ends(entry, "x")]
    if len(bars) != 2 or not whiskers:
        return entries
    lower, upper = sorted((_sorted(_by_place(_body(bar))) for bar in bars), key=_height)
    reach = _reach(whiskers)
    if not lower.keys() == upper.keys() == reach.keys() or not reach or not _is_box(lower, upper, reach):
        return entries
    extra: dict[str, object] = {
        "q1": [lower[at][0] for at in lower], "median": [lower[at][1] for at in lower],
        "q3": [upper[at][1] for at in lower], "whislo": [reach[at][0] for at in lower],
        "whishi": [reach[at][1] for at in lower],
    }  # fmt: skip
    gone = [*bars, *whiskers, *(entry for entry in entries if _caps(entry, reach))]
    return _replaced(entries, gone, Entry("box", list(lower), extra=extra))


def _is_box(lower: Spans, upper: Spans, reach: Spans) -> bool:
    meet = all(_same(lower[at][1], upper[at][0]) for at in lower)
    return meet and all(_within((lower[at][0], upper[at][1]), reach[at]) for at in lower)


def _height(spans: Spans) -> float:
    return sum(low for low, _ in spans.values())


def _reach(whiskers: list[Entry]) -> Spans:
    """How far all the whiskers at each place go; nothing when some stand elsewhere."""
    found = _sorted(_by_place(_ends_of(whiskers[0])))
    for whisker in whiskers[1:]:
        ends = _sorted(_by_place(_ends_of(whisker)))
        if ends.keys() != found.keys():
            return {}
        found = {at: (min(found[at][0], low), max(found[at][1], high)) for at, (low, high) in ends.items()}
    return found


def _caps(entry: Entry, reach: Spans) -> bool:
    """The short strokes at the whiskers' ends, one on each place: flat rectangles."""
    if not entry.flat or set(entry.places) != reach.keys():
        return False
    heights = zip(entry.places, entry.values, strict=True)
    return all(is_number(y) and any(_same(y, end) for end in reach[at]) for at, y in heights)


def _with_errors(entries: list[Entry]) -> list[Entry]:
    """Error bars at the places of bars or points belong to these. Points that carry error bars are of that kind."""
    found = list(entries)
    for error in [entry for entry in entries if entry.kind == "errorbar"]:
        which = "x" if "err_low" in error.extra else "y"
        ends = _by_place(_ends_of(error))
        owner = next((entry for entry in found if _owns(entry, error, which, ends)), None)
        if owner is None:
            continue
        names = ("err_low", "err_high") if which == "x" or owner.horizontal else ("xerr_low", "xerr_high")
        for n, name in enumerate(names):
            owner.extra[name] = [ends[at][n] for at in owner.column(which)]
        found.remove(error)
    for entry in found:
        if entry.kind in ("scatter", "line") and not entry.extra.keys().isdisjoint(("err_low", "xerr_low")):
            entry.kind = "errorbar"
    return found


def _owns(entry: Entry, error: Entry, which: str, ends: Spans) -> bool:
    if entry.kind not in ("bar", "scatter", "line") or error.name not in (None, entry.name):
        return False
    places = entry.column(which)
    known = not entry.extra.keys().isdisjoint(error.extra)
    return not known and 0 < len(places) == len(ends) and ends.keys() == set(places)


def _candles(entries: list[Entry]) -> list[Entry]:
    """Floating bars, each within the upright stroke at its place, are candlesticks."""
    bodies = [entry for entry in entries if _floats(entry)]
    wicks = [entry for entry in entries if entry.kind in ("rule", "line") and _has_ends(entry, "x")]
    body = _by_place([stroke for entry in bodies for stroke in _body(entry)])
    wick = _by_place([stroke for entry in wicks for stroke in _ends_of(entry)])
    if not body or body.keys() != wick.keys() or not all(_within(body[at], wick[at]) for at in body):
        return entries
    low, high = (list(column) for column in zip(*_sorted(wick).values(), strict=True))
    extra: dict[str, object] = {"low": low, "high": high}
    one, two = _prices(bodies[0]) or ("body_low", "body_high")
    spans = body if _prices(bodies[0]) else _sorted(body)
    extra |= {one: [spans[at][0] for at in wick], two: [spans[at][1] for at in wick]}
    return _replaced(entries, [*bodies, *wicks], Entry("candlestick", list(wick), extra=extra))


def _prices(body: Entry) -> tuple[str, str] | None:
    """Which end of a body is the opening and which the closing price, when the fields that they come from say it."""
    first, second = body.ends or ("", "")
    pairs = (("open", "close"), ("close", "open"))
    return next(((one, two) for one, two in pairs if one in first and two in second), None)


def _stems(entries: list[Entry]) -> list[Entry]:
    """Strokes from one base to points are the stems of these points, which may have a name and sizes."""
    found = list(entries)
    for which in ("x", "y"):
        strokes = [entry for entry in found if entry.kind in ("rule", "line", "stem") and _has_ends(entry, which)]
        for head in [entry for entry in found if entry.kind == "scatter"]:
            for some in (*([entry] for entry in strokes), strokes):
                if _carry(some, head, which):
                    found = [entry for entry in found if entry not in some]
                    strokes = [entry for entry in strokes if entry not in some]
                    head.kind, head.orientation = "stem", "v" if which == "x" else "h"
                    break
    return found


def _carry(strokes: list[Entry], head: Entry, which: str) -> bool:
    """True when each point of `head` is the far end of one stroke, and the near ends are all the same."""
    ends = [stroke for entry in strokes for stroke in _ends_of(entry)]
    points = zip(head.column(which), head.column("y" if which == "x" else "x"), strict=False)
    tips = _in_order((place, value) for place, value in points if is_number(value))
    bases = {0.0, *ends[0][1:]} if ends and len(ends) == len(tips) else ()
    return any(_reach_from(base, ends, tips) for base in bases)


def _reach_from(base: float, ends: list[Stroke], tips: list[tuple[object, float]]) -> bool:
    if not all(_same(base, one) or _same(base, two) for _, one, two in ends):
        return False
    far = _in_order((place, two if _same(base, one) else one) for place, one, two in ends)
    return all(at == place and _same(one, two) for (at, one), (place, two) in zip(far, tips, strict=True))


def _in_order(points: Iterable[tuple[object, float]]) -> list[tuple[object, float]]:
    return sorted(points, key=lambda point: (rank(point[0]), point[1]))


def _floats(entry: Entry) -> bool:
    return entry.kind == "bar" and not entry.horizontal and isinstance(entry.extra.get("base"), list)


def _body(bar: Entry) -> list[Stroke]:
    """Place and both ends of each floating bar; those with a missing end are left out."""
    bases = as_list(bar.extra["base"])
    ends = as_list(bar.extra.get("end")) or [plus(base, length) for base, length in zip(bases, bar.values, strict=True)]
    return list(_strokes(bar.places, bases, ends))


def _has_ends(entry: Entry, which: str) -> bool:
    """True for strokes that all stand on axis `which`: rules with two ends, lines in straight pieces, stems."""
    extra = entry.extra
    if entry.kind == "stem":
        return entry.horizontal == (which == "y")
    if entry.kind == "rule":
        return extra.get("axis") == which and isinstance(extra.get("low"), list)
    if entry.kind == "errorbar":
        return ("err_low" if which == "x" else "xerr_low") in extra
    return entry.name is None and not extra and _pieces(entry, which) is not None


def _ends_of(entry: Entry) -> list[Stroke]:
    """Place and both ends of each stroke or whisker."""
    extra = entry.extra
    if entry.kind == "stem":
        return list(_strokes(entry.places, [0.0] * len(entry.places), entry.values))
    if entry.kind == "rule":
        return list(_strokes(as_list(extra["value"]), as_list(extra["low"]), as_list(extra["high"])))
    if entry.kind == "errorbar":
        name, places = ("err", entry.x) if "err_low" in extra else ("xerr", entry.y)
        return list(_strokes(places or (), as_list(extra.get(f"{name}_low")), as_list(extra.get(f"{name}_high"))))
    return _pieces(entry, "x") or _pieces(entry, "y") or []


def _pieces(entry: Entry, which: str) -> list[Stroke] | None:
    """The strokes of a line that goes straight along the other axis, lifting the pen between them; or None."""
    places, values = (list(entry.column(name)) for name in (which, "y" if which == "x" else "x"))
    if places and places[-1] is None:
        places, values = places[:-1], values[:-1]
    # plotly draws many strokes as one line in which every third point is missing.
    gaps = all(place is None for place in places[2::3])
    if not gaps or len(places) % 3 != 2 or places[::3] != places[1::3] or len(values) != len(places):
        return None
    found = list(_strokes(places[::3], values[::3], values[1::3]))
    return found if 3 * len(found) == len(places) + 1 else None


def _strokes(places: Sequence[object], ones: Sequence[object], twos: Sequence[object]) -> Iterator[Stroke]:
    for place, one, two in zip(places, ones, twos, strict=False):
        if is_number(one) and is_number(two):
            yield place, one, two


def _by_place(strokes: list[Stroke]) -> Spans:
    """The two ends at each place; nothing when two strokes share a place."""
    found = {place: (one, two) for place, one, two in strokes}
    return found if len(found) == len(strokes) else {}


def _sorted(spans: Spans) -> Spans:
    return {at: (min(ends), max(ends)) for at, ends in spans.items()}


def _same(one: float, two: float) -> bool:
    return abs(one - two) <= TOLERANCE * max(1.0, abs(one), abs(two))


def _within(inner: tuple[float, float], outer: tuple[float, float]) -> bool:
    low, high = min(outer), max(outer)
    return (low <= min(inner) or _same(low, min(inner))) and (max(inner) <= high or _same(high, max(inner)))


def _replaced(entries: list[Entry], gone: list[Entry], merged: Entry) -> list[Entry]:
    return [merged, *(entry for entry in entries if entry not in gone)]
