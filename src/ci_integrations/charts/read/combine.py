"""Decides what several marks mean together, once for all readers: boxes, error bars, candlesticks, stems, shares, the
panel's kind and how its bars stand.

Libraries without a mark of their own for these draw them from bars, lines and points. Places and ends are compared with
one tolerance. `extractor/matplotlib` runs in the kernel and decides the same for matplotlib.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import chain, repeat
from operator import itemgetter

from ci_integrations.charts.columns import is_number
from ci_integrations.charts.read.entry import ERRORS, OTHER, Entry, PanelDraft, of_kind
from ci_integrations.charts.read.plain import Json, as_list, plus, rank

TOLERANCE = 1e-9
"""Two ends are the same when they differ by less than this part of the larger one, or of 1."""
_LEADERS = ("candlestick", "gantt", "histogram", "box", "violin", "heatmap", "contour", "hexbin", "surface3d",
            "scatter3d")  # fmt: skip
MAX_SERIES = 2000
"""Series of a panel that are looked at together; a chart with more is refused."""
MAX_COMPARED = 2_000_000
"""Marks that are compared to find the owners of error bars or stems; beyond it these stay series of their own."""
_MARKS = ("scatter", "errorbar", "stem", "line", "step")
_STANDING = ("bar", "histogram", "area")

Stroke = tuple[object, float, float]
"""Place, and the two ends of what is drawn there."""
Spans = dict[object, tuple[float, ...]]
"""Place to its ends, in the order in which they were given."""
Pick = Callable[[tuple[float, ...]], float]


def settle(panel: PanelDraft, barmode: str | None = None) -> None:
    """Gives a panel its kind and bar mode. `barmode` is the library's own word for the latter, where it has one."""
    panel.kind = panel_kind(panel.series)
    panel.barmode = bar_mode(panel.series, barmode)


def joined(entries: list[Entry]) -> list[Entry]:
    """Returns the series with boxes, error bars, candlesticks and stems each made one series."""
    return _stems(_candles(_with_errors(_boxes(entries)))) if len(entries) <= MAX_SERIES else entries


def panel_kind(entries: list[Entry]) -> str:
    """Returns one word for all series: the kind that leads, or "mixed". Rules count only when there is nothing else."""
    kinds = {entry.kind for entry in entries}
    distinct = kinds - {"rule"} or kinds
    if len(distinct) == 1:
        return distinct.pop()
    leader = _first(_LEADERS, distinct)
    if leader is None and "bar" in distinct:
        return "bar" if distinct <= {"bar", "errorbar"} else "mixed"
    return leader or _leading_mark(entries) or _first(("area", "band"), distinct) or "mixed"


def _first(kinds: Iterable[str], among: Container[str]) -> str | None:
    """The first of these kinds that a series has."""
    return next((kind for kind in kinds if kind in among), None)


def _leading_mark(entries: list[Entry]) -> str | None:
    """The kind that is drawn first; points lead over a line that has fewer, such as a diagonal, in any order."""
    # Points with a trend, or a line with some points marked: one is the chart, the other explains it.
    marks = of_kind(entries, *_MARKS)
    longest = max((len(entry.places) for entry in of_kind(marks, "line", "step")), default=0)
    many = any(len(entry.places) > longest for entry in of_kind(marks, "scatter"))
    return "scatter" if many else marks[0].kind if marks else None


def bar_mode(entries: list[Entry], told: str | None = None) -> str | None:
    """Returns "group", "stack" or "overlay" for several series of bars, bins or areas; None for a single one."""
    for kind in _STANDING:
        alike = of_kind(entries, kind)
        if len(alike) > 1:
            return _stand(alike, None if kind == "area" else told)
    return None


def _stand(alike: list[Entry], told: str | None) -> str:
    """Stacks first, then the library's own word, then where the first two series stand."""
    first, second = alike[:2]
    if sum(entry.stack is not None for entry in alike) > 1:
        return "stack"
    if told is not None:
        return told
    # Bars at other places stand beside one another without a word about it.
    if first.dodged or (first.kind == "bar" and set(first.places).isdisjoint(second.places)):
        return "group"
    return "stack" if any(as_list(second.extra.get("base"))) else "overlay"


def shares(entries: list[Entry], whole: float, value: str = "") -> None:
    """Turns each value into its part of all at the same place, of `whole`; `extra.amount` keeps what it was.

    `value` is the axis along which they are stacked; without it the bars' orientation says so.
    """
    total: defaultdict[object, float] = defaultdict(float)
    rows = [(entry, value or entry.value_axis) for entry in entries]
    for entry, axis in rows:
        for place, amount in zip(entry.column(OTHER[axis]), entry.column(axis), strict=False):
            total[place] += abs(amount) if is_number(amount) else 0
    for entry, axis in rows:
        entry.extra["amount"] = amounts = entry.column(axis)
        wholes = [total[place] for place in entry.column(OTHER[axis])]
        entry.put(axis, [_share(amount, all_of_it, whole) for amount, all_of_it in zip(amounts, wholes, strict=False)])


def _share(amount: object, total: float, whole: float) -> float | None:
    """A value's part of the total, times `whole`; None where the value is missing or the total is zero."""
    return whole * amount / total if is_number(amount) and total else None


def _boxes(entries: list[Entry]) -> list[Entry]:
    """Two bars on top of one another between whiskers, at the same places, are boxes: they meet in the median."""
    bars, whiskers = _floating(entries), _standing_on("x", of_kind(entries, "rule", "errorbar"))
    if len(bars) != 2 or not whiskers:
        return entries
    lower, upper = sorted(map(_by_place, map(_body, bars)), key=_height)
    reach = _reach(whiskers)
    if not _is_box(lower, upper, reach):
        return entries
    extra: Json = {"q1": _picked(lower, lower, min), "median": _picked(lower, lower, max)}
    extra["q3"] = _picked(upper, lower, max)
    extra |= {"whislo": _picked(reach, lower, min), "whishi": _picked(reach, lower, max)}
    caps = [entry for entry in entries if _caps(entry, reach)]
    return _replaced(entries, [*bars, *whiskers, *caps], Entry("box", list(lower), extra=extra))


def _is_box(lower: Spans, upper: Spans, reach: Spans) -> bool:
    """True when both bars meet and no whisker ends inside them, at every place."""
    if not reach or not lower.keys() == upper.keys() == reach.keys():
        return False
    # The median is where the lower bar ends and the upper one begins.
    meet = all(_same(max(lower[at]), min(upper[at])) for at in lower)
    return meet and all(_within((*lower[at], *upper[at]), reach[at]) for at in lower)


def _height(spans: Spans) -> float:
    """How low the bars stand, to tell the lower ones from the upper ones."""
    return sum(map(min, spans.values()))


def _reach(whiskers: list[Entry]) -> Spans:
    """The ends of all the whiskers at each place; nothing when some stand elsewhere."""
    each = [_by_place(_ends_of(whisker)) for whisker in whiskers]
    together = all(ends.keys() == each[0].keys() for ends in each)
    return {at: tuple(chain(*map(itemgetter(at), each))) for at in each[0]} if together else {}


def _caps(entry: Entry, reach: Spans) -> bool:
    """True for the short strokes at the whiskers' ends, one on each place: flat rectangles."""
    if not entry.flat or set(entry.places) != reach.keys():
        return False
    heights = zip(entry.places, entry.values, strict=True)
    return all(is_number(y) and any(map(_same, repeat(y), reach[at])) for at, y in heights)


def _with_errors(entries: list[Entry]) -> list[Entry]:
    """Error bars at the places of bars or points belong to these. Points that carry error bars are of that kind."""
    found, errors = list(entries), of_kind(entries, "errorbar")
    for error in errors if _is_affordable(entries, errors) else ():
        owner = next((entry for entry in found if _owns(entry, error)), None)
        if owner is not None:
            _attach(owner, error)
            found.remove(error)
    for entry in of_kind(found, "scatter", "line"):
        if not entry.extra.keys().isdisjoint(("err_low", "xerr_low")):
            entry.kind = "errorbar"
    return found


def _owns(entry: Entry, error: Entry) -> bool:
    """True when the error bars stand at the entry's places, one at each, and it has none of its own there."""
    if entry.kind not in ("bar", "scatter", "line") or error.name not in (None, entry.name):
        return False
    places, own = (part.column(_errors_on(error)) for part in (error, entry))
    if len(own) != len(places) or not entry.extra.keys().isdisjoint(error.extra):
        return False
    return 0 < len(own) == len(set(own)) and set(own) == set(places)


def _is_affordable(ones: list[Entry], others: list[Entry]) -> bool:
    """False when comparing all marks of both would take long: the sandbox chooses how many there are."""
    return len(ones) * sum(len(entry.x or entry.y or ()) + 1 for entry in others) <= MAX_COMPARED


def _errors_on(error: Entry) -> str:
    """The axis on which error bars have their places: upright ones, along y, have them on x."""
    return "x" if "err_low" in error.extra else "y"


def _attach(owner: Entry, error: Entry) -> None:
    """Adds the ends of error bars to the series that they belong to, in the order of its marks."""
    which = _errors_on(error)
    rows = {place: n for n, place in enumerate(error.column(which))}
    for name, column in error.extra.items():
        # The values of bars go in one direction only, so their error bars need no word for it.
        own = name.removeprefix("x") if owner.horizontal else name
        owner.extra[own] = [as_list(column)[rows[place]] for place in owner.column(which)]


def _candles(entries: list[Entry]) -> list[Entry]:
    """Floating bars, each within the upright stroke at its place, are candlesticks."""
    bodies, wicks = _floating(entries), _standing_on("x", of_kind(entries, "rule", "line"))
    body, wick = (_by_place(list(chain(*map(ends, parts)))) for ends, parts in ((_body, bodies), (_ends_of, wicks)))
    if not body or body.keys() != wick.keys() or not all(_within(body[at], wick[at]) for at in body):
        return entries
    parts = {"low": (wick, min), "high": (wick, max)} | _prices(bodies[0], body)
    extra: Json = {name: _picked(spans, wick, pick) for name, (spans, pick) in parts.items()}
    return _replaced(entries, [*bodies, *wicks], Entry("candlestick", list(wick), extra=extra))


def _prices(bar: Entry, body: Spans) -> dict[str, tuple[Spans, Pick]]:
    """The ends of the bodies, as opening and closing prices when the names of their fields say so."""
    first, second = bar.ends or ("", "")
    for one, two in (("open", "close"), ("close", "open")):
        if one in first and two in second:
            return {one: (body, itemgetter(0)), two: (body, itemgetter(1))}
    return {"body_low": (body, min), "body_high": (body, max)}


def _stems(entries: list[Entry]) -> list[Entry]:
    """Strokes from one base to points are the stems of these points, which may have a name and sizes."""
    found = list(entries)
    for which, orientation in (("x", "v"), ("y", "h")):
        heads, strokes = of_kind(found, "scatter"), _standing_on(which, of_kind(found, "rule", "line", "stem"))
        for head in heads if _is_affordable(strokes, heads) else ():
            # All strokes are one series, or each of them is one.
            stems = next((some for some in (*zip(strokes), strokes) if _carry(some, head, which)), None)
            if stems is not None:
                found, strokes = ([entry for entry in some if entry not in stems] for some in (found, strokes))
                head.kind, head.orientation = "stem", orientation
    return found


def _carry(strokes: Sequence[Entry], head: Entry, which: str) -> bool:
    """True when each point of `head` is the far end of one stroke, and the near ends are all the same."""
    ends = list(chain(*map(_ends_of, strokes)))
    points = zip(head.column(which), head.column(OTHER[which]), strict=False)
    tips = _in_order((place, value) for place, value in points if is_number(value))
    if not ends or len(ends) != len(tips):
        return False
    return any(_reach_from(base, ends, tips) for base in (0.0, *ends[0][1:]))


def _reach_from(base: float, ends: list[Stroke], tips: list[tuple[object, float]]) -> bool:
    """True when each stroke has one end at `base` and the other at a tip."""
    if not all(_same(base, one) or _same(base, two) for _, one, two in ends):
        return False
    far = _in_order((place, two if _same(base, one) else one) for place, one, two in ends)
    return all(at == place and _same(one, two) for (at, one), (place, two) in zip(far, tips, strict=True))


def _in_order(points: Iterable[tuple[object, float]]) -> list[tuple[object, float]]:
    """Points in an order of their own, so that both sides of a comparison can be drawn in any order."""
    return sorted(points, key=lambda point: (rank(point[0]), point[1]))


def _floating(entries: list[Entry]) -> list[Entry]:
    """The upright bars that stand on bases of their own."""
    bars = of_kind(entries, "bar")
    return [entry for entry in bars if not entry.horizontal and isinstance(entry.extra.get("base"), list)]


def _body(bar: Entry) -> list[Stroke]:
    """Place and both ends of each floating bar; those with a missing end are left out."""
    bases = as_list(bar.extra["base"])
    return _strokes(bar.places, bases, as_list(bar.extra.get("end")) or list(map(plus, bases, bar.values)))


def _standing_on(which: str, entries: list[Entry]) -> list[Entry]:
    """The entries that are strokes with their places on axis `which`."""
    return [entry for entry in entries if _has_ends(entry, which)]


def _has_ends(entry: Entry, which: str) -> bool:
    """True for rules with two ends, whiskers and stems on axis `which`, and for lines in straight pieces."""
    extra = entry.extra
    if entry.kind == "rule":
        return extra.get("axis") == which and isinstance(extra.get("low"), list)
    if entry.kind == "errorbar":
        return _errors_on(entry) == which
    if entry.kind == "stem":
        return entry.value_axis != which
    return entry.name is None and not extra and bool(_pieces(entry, which))


def _ends_of(entry: Entry) -> list[Stroke]:
    """Place and both ends of each stroke or whisker."""
    if entry.kind == "stem":
        return _strokes(entry.places, [0.0] * len(entry.places), entry.values)
    if entry.kind == "line":
        return _pieces(entry, "x") or _pieces(entry, "y")
    which = _errors_on(entry)
    if entry.kind == "errorbar":
        return _strokes(entry.column(which), *(as_list(entry.extra[name]) for name in ERRORS[OTHER[which]]))
    return _strokes(*(as_list(entry.extra[name]) for name in ("value", "low", "high")))


def _pieces(entry: Entry, which: str) -> list[Stroke]:
    """The strokes of a line that goes straight along the other axis, lifting the pen between them; or nothing."""
    places, values = list(entry.column(which)), list(entry.column(OTHER[which]))
    if places[-1:] == [None]:
        places, values = places[:-1], values[:-1]
    # plotly draws many strokes as one line in which every third point is missing.
    gaps = places[2::3]
    straight = len(places) % 3 == 2 and places[::3] == places[1::3] and gaps == [None] * len(gaps)
    found = _strokes(places[::3], values[::3], values[1::3]) if straight else []
    return found if 3 * len(found) == len(places) + 1 else []


def _strokes(places: Sequence[object], ones: Sequence[object], twos: Sequence[object]) -> list[Stroke]:
    """Rows with two known ends; the others are left out."""
    rows = zip(places, ones, twos, strict=False)
    return [(place, one, two) for place, one, two in rows if is_number(one) and is_number(two)]


def _by_place(strokes: list[Stroke]) -> Spans:
    """The two ends at each place; nothing when two strokes share a place."""
    found: Spans = {place: (one, two) for place, one, two in strokes}
    return found if len(found) == len(strokes) else {}


def _picked(spans: Spans, places: Iterable[object], pick: Pick) -> list[float]:
    """One number for each place, such as the lowest end."""
    return [pick(spans[at]) for at in places]


def _same(one: float, two: float) -> bool:
    """True when two ends differ by no more than the tolerance."""
    return abs(one - two) <= TOLERANCE * max(1.0, abs(one), abs(two))


def _within(inner: tuple[float, ...], outer: tuple[float, ...]) -> bool:
    """True when no end of `inner` lies outside `outer` by more than the tolerance."""
    ends = min(inner), max(inner)
    held = max(ends[0], min(outer)), min(ends[1], max(outer))
    return _same(ends[0], held[0]) and _same(ends[1], held[1])


def _replaced(entries: list[Entry], gone: list[Entry], merged: Entry) -> list[Entry]:
    """The series without those that were made one, which comes first."""
    return [merged, *(entry for entry in entries if entry not in gone)]
