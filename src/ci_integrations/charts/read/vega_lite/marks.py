"""Reads Vega-Lite marks with their encodings as series: aggregation, binning, colour groups, grids and slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ci_integrations.charts.read import combine
from ci_integrations.charts.read.entry import ERRORS, MAX_CELLS, OTHER, Entry, PanelDraft, across, heat_map, rule
from ci_integrations.charts.read.plain import Json, column, floats, grouped, known, rank
from ci_integrations.charts.read.vega_lite import spans
from ci_integrations.charts.read.vega_lite.channels import Unit, axis_of, channel_title, ordered, series_name, value_of
from ci_integrations.charts.read.vega_lite.expressions import Unknown
from ci_integrations.charts.read.vega_lite.transforms import groups, key_of, measured, spread
from ci_integrations.charts.read.vega_lite.units import Bins, Key, Row

MAX_RULES = 200
"""Rules across the panel that one mark may draw."""
MAX_BINS = 10_000
"""Bins that are filled up where no row falls into them."""
_WITHOUT_PLACE = ("tooltip", "order", "key", "href", "text")
_ENDS = {"x", "y", "x2", "y2"}
_KINDS = {
    "bar": "bar", "line": "line", "trail": "line", "area": "area", "point": "scatter", "circle": "scatter",
    "square": "scatter", "tick": "scatter", "rect": "heatmap", "arc": "pie", "boxplot": "box", "rule": "rule",
    "errorband": "band", "errorbar": "errorbar", "geoshape": "choropleth", "image": "scatter",
}  # fmt: skip


def panel(units: list[Unit], title: str | None) -> PanelDraft:
    """Returns the panel that all units of one coordinate system make."""
    found = PanelDraft(title)
    notes: list[str] = []
    for unit in units:
        notes += unit.notes
        try:
            found.series += _standing(unit, series(unit))
        except Unknown as unknown:
            notes.append(f"not evaluated: {unknown}")
    if not found.series and not notes:
        notes.append("only words are drawn")
    for note in dict.fromkeys(notes):
        found.lack(note)
    found.series = combine.joined(found.series)
    combine.settle(found)
    if found.kind not in ("pie", "donut", "choropleth"):
        found.axes = _axes(units)
    colored = next((unit for unit in units if unit.is_measured("color")), None)
    found.color_label = None if colored is None else channel_title(colored.channel("color"))
    return found


def _axes(units: list[Unit]) -> dict[str, Json]:
    """The axes of a panel; maps have none."""
    if any(unit.is_map for unit in units):
        return {}
    names = dict.fromkeys(["x", "y", *(unit.second for unit in units if unit.second)])
    return {name: axis_of([unit for unit in units if unit.stands_on(name)], name[0]) for name in names}


def _standing(unit: Unit, entries: list[Entry]) -> list[Entry]:
    """The series of a mark with the axis they stand on and whether they stand beside or upon one another."""
    beside = unit.has("xOffset", "yOffset")
    # Marks of different layers are never stacked, only the groups of one mark are.
    stacked = len(entries) > 1 and not beside and all(unit.channel(which).get("stack", True) for which in "xy")
    for entry in entries:
        entry.axis, entry.dodged, entry.stack = unit.second or None, beside, "" if stacked else None
    return entries


def series(unit: Unit) -> list[Entry]:
    """Returns the unit's series, one for each colour group. Raises `Unknown` for a mark that is not known."""
    mark = unit.mark.get("type")
    kind = _KINDS.get(str(mark))
    if mark == "text":
        return []
    if kind is None:
        raise Unknown(f"mark {mark}")
    return _special(unit, kind) or _grouped(unit, kind)


def _special(unit: Unit, kind: str) -> list[Entry] | None:
    """Series of marks that are not one row for each mark with an x and a y; None for the others."""
    if kind == "heatmap" and unit.is_measured("color") and not unit.has("x2"):
        return [_grid(unit)]
    if kind == "pie":
        return [_slices(unit)]
    if kind == "heatmap" and len(_ENDS & unit.encoding.keys()) == 2:
        return spans.stripes(records(unit), "x2" if unit.has("x2") else "y2")
    return _spanning(unit, kind)


def _spanning(unit: Unit, kind: str) -> list[Entry] | None:
    """Series of marks that span the panel, or of which Vega-Lite computes the ends; None for the others."""
    if kind == "rule" and not (unit.has("x") and unit.has("y")):
        return _rules(unit)
    if kind in ("band", "errorbar") and not unit.has("x2", "y2"):
        return _spreads(unit, kind)
    return None


def _grouped(unit: Unit, kind: str) -> list[Entry]:
    """The groups of a mark as series, in the order in which Vega-Lite draws them."""
    splits = unit.splits
    parts = groups(records(unit), splits)
    keys = ordered(parts, list(map(unit.channel, splits)))
    found = [_one(unit, kind, parts[key], series_name(key)) for key in keys]
    if shared := [which for which in "xy" if unit.channel(which).get("stack") == "normalize"]:
        if unit.has("xOffset", "yOffset"):
            raise Unknown("shares side by side")
        combine.shares(found, 1.0, shared[0])
    return found


def records(unit: Unit) -> list[Row]:
    """Returns one record for each mark, with the value of each channel; aggregated when a channel asks for it."""
    names = [name for name in unit.encoding if name not in _WITHOUT_PLACE]
    channels = {name: channel for name in names if (channel := unit.channel(name))}
    wide = _shown(unit, channels)
    aggregated = {name: c for name, c in channels.items() if isinstance(c.get("aggregate"), str)}
    return _aggregated(unit, wide, channels, aggregated) if aggregated else wide


def _aggregated(unit: Unit, wide: list[Row], channels: dict[str, Json], aggregated: dict[str, Json]) -> list[Row]:
    """Returns one record for each group of rows, with the measures that channels ask for."""
    # What is not aggregated makes the groups, as in SQL.
    keys = [name for name in channels if name not in aggregated]
    parts = grouped((key_of(record, keys), row) for record, row in zip(wide, unit.rows, strict=True))
    measures = [{"op": c["aggregate"], "field": c.get("field"), "as": name} for name, c in aggregated.items()]
    return measured(parts, keys, measures)


def _shown(unit: Unit, channels: dict[str, Json]) -> list[Row]:
    """What each channel shows of each row, before anything is aggregated."""
    bins = {name: unit.bins(name) for name in channels}
    return [{name: value_of(row, c, bins[name]) for name, c in channels.items()} for row in unit.rows]


def _one(unit: Unit, kind: str, rows: list[Row], name: str | None) -> Entry:
    """One group of rows as a series."""
    # Vega-Lite connects points along the axis of places, unless `order` says how.
    if kind in ("line", "area") and not unit.has("order"):
        along = "y" if kind == "area" and unit.horizontal else "x"
        rows = sorted(rows, key=lambda row: rank(row.get(along)))
    found = Entry(kind, _column(unit, rows, "x", "longitude"), _column(unit, rows, "y", "latitude"), name)
    shown = [extra for extra in ("size", "text", "opacity") if "field" in unit.channel(extra)]
    shown += ["color"] if unit.is_measured("color") else []
    found.extra = {extra: column(rows, extra) for extra in shown}
    if kind in _FINISH:
        _FINISH[kind](unit, found, rows)
    return found


def _column(unit: Unit, rows: list[Row], *channels: str) -> list[object] | None:
    """The values of the first of these channels that is encoded; None without one."""
    name = next((name for name in channels if unit.has(name)), None)
    return None if name is None else column(rows, name)


def _line(unit: Unit, found: Entry, rows: list[Row]) -> None:
    """Lines that go in steps are of a kind of their own."""
    if str(unit.mark.get("interpolate", "")).startswith("step"):
        found.kind = "step"


def _box(unit: Unit, found: Entry, rows: list[Row]) -> None:
    """Boxes whose values are in x are horizontal."""
    found.orientation = "h" if unit.horizontal else None


def _bar(unit: Unit, found: Entry, rows: list[Row]) -> None:
    """Bars between two ends, over bins, or from zero."""
    found.orientation = "h" if unit.horizontal or (unit.has("x2") and unit.has("y")) else "v"
    if unit.has("x2", "y2"):
        spans.bars(unit, found, rows)
        return
    for which in "xy":
        bins = unit.bins(which)
        if bins is not None and found.kind == "bar":
            found.kind = "histogram"
            _all_bins(unit, found, which, bins)


_FINISH: dict[str, Callable[[Unit, Entry, list[Row]], None]] = {
    "line": _line, "bar": _bar, "box": _box, "area": spans.between, "band": spans.between, "errorbar": spans.between,
    "rule": spans.rules,
}  # fmt: skip


def _all_bins(unit: Unit, found: Entry, which: str, bins: Bins) -> None:
    """Bins in order, x bins and y counts as everywhere; an empty one between others has no bar: a count of zero."""
    other, (start, _, size) = OTHER[which], bins
    middles = zip(found.column(which), found.column(other), strict=True)
    have = {round((at - start) / size - 0.5): count for at, count in middles if isinstance(at, float)}
    places = range(min(have), max(have) + 1) if have else range(0)
    # Vega-Lite makes no row for an empty bin, but the axis has a place for it.
    if unit.channel(other).get("aggregate") == "count" and len(places) < MAX_BINS:
        found.x = [start + (n + 0.5) * size for n in places]
        found.y = [have.get(n, 0) for n in places]
        found.extra["edges"] = [start + n * size for n in (*places, places[-1] + 1)] if places else []


def _rules(unit: Unit) -> list[Entry]:
    """Rules across the whole panel; a datum stands there without rows."""
    which = "x" if unit.has("x") else "y"
    rows = unit.rows if "field" in unit.channel(which) else unit.rows or [{}]
    marks = records(replace(unit, rows=rows))
    found = dict.fromkeys((row.get(which), series_name(key_of(row, unit.splits))) for row in marks)
    return [rule(which, value, name) for value, name in list(found)[:MAX_RULES]]


def _grid(unit: Unit) -> Entry:
    """Coloured rectangles over two axes as a heat map."""
    rows = records(unit)
    places = {which: ordered(set(zip(known(column(rows, which)))), [unit.channel(which)]) for which in "xy"}
    x, y = ([value for (value,) in places[which]] for which in "xy")
    if len(x) * len(y) > MAX_CELLS:
        raise Unknown("too many cells")
    return heat_map(x, y, zip(*(column(rows, name) for name in ("x", "y", "color")), strict=True))


def _slices(unit: Unit) -> Entry:
    """The arcs of a pie; one with an inner radius is a donut."""
    rows = records(unit)
    label = next((name for name in ("color", "fill", "detail") if "field" in unit.channel(name)), None)
    names = [str(row.get(label)) if label else f"slice {n + 1}" for n, row in enumerate(rows)]
    return Entry("donut" if unit.mark.get("innerRadius") else "pie", names, column(rows, "theta"))


def _spreads(unit: Unit, kind: str) -> list[Entry]:
    """Error bands and bars over raw rows: mean and standard deviation or error, or quartiles. Others are not known."""
    extent = str(unit.mark.get("extent") or "stderr")
    value, at = ("x", "y") if unit.horizontal else ("y", "x")
    # Bootstrapping is random: what was drawn cannot be computed again.
    if extent == "ci":
        raise Unknown("bootstrapped confidence intervals")
    found: dict[Key, list[tuple[object, float, float, float]]] = {}
    for key, rows in groups(records(unit), [at, *unit.splits]).items():
        amounts = floats(column(rows, value))
        if amounts:
            found.setdefault(key[1:], []).append((key[0], *spread(amounts, extent)))
    return [_spread(kind, at, marks, series_name(key)) for key, marks in found.items()]


def _spread(kind: str, at: str, marks: list[tuple[object, float, float, float]], name: str | None) -> Entry:
    """A band or error bars from the places, low ends, middles and high ends of its marks."""
    places, low, middle, high = (list(column) for column in zip(*marks, strict=True))
    value = OTHER[at]
    if kind == "band":
        found = across(at, places, high, kind, {f"{value}0": low})
    else:
        found = across(at, places, middle, kind, dict(zip(ERRORS[value], (low, high), strict=True)))
    found.name = name
    return found
