"""Turns drawn positions into values, and decides which axes are categorical and what each panel is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import pack
from ..importing import np
from .axes import Axis, fixed_labels, reach_of
from .series import Found, Raw, alike

if TYPE_CHECKING:
    from ..foreign import Array, Axes, Call, Column, Json, Series


# Kinds whose marks may be beside a category's tick, and kinds whose marks are exactly at it.
_FIXED = ("bar", "box", "violin", "heatmap", "gantt", "candlestick")
_LOOSE = ("line", "step", "scatter", "stem", "errorbar", "area", "band")
_DIRECTED = ("bar", "box", "violin", "histogram", "gantt", "stem", "band", "area")
"""Kinds of which the schema says whether they are horizontal."""
_LEADERS = ("candlestick", "histogram", "box", "violin", "heatmap", "contour", "hexbin", "bar")
"""The kind of a panel is the first of these that one of its series has, whatever else is drawn there."""


def categories(plane: dict[str, Axis], found: Found) -> None:
    """Makes categories of tick labels that were written by hand, when the marks are at those ticks."""
    for which, axis in plane.items():
        labels = _cell_labels(which, found) or axis.candidates() or _box_labels(axis, which, found)
        if labels and _fit(labels, which, found):
            axis.adopt(labels)


def _cell_labels(which: str, found: Found) -> dict[float, str]:
    """Returns the names of all rows or columns of a heat map, of which the ticks may show a few."""
    for raw in found.of("heatmap"):
        names = raw.flags.get(f"{which}_labels")
        if names:
            return dict(zip(getattr(raw, which).tolist(), names, strict=False))
    return {}


def _box_labels(axis: Axis, which: str, found: Found) -> dict[float, str]:
    """Returns the labels that a box plot gave to its groups; they are numbers when the groups have no names."""
    for raw in found.of("box") if axis.mode == "number" else ():
        if raw.flags["axis"] == which:
            labels = raw.flags["tick_labels"]
            own = dict(zip(map(float, raw.flags["groups"]), labels, strict=True)) if labels else {}
            return own or fixed_labels(axis.axis)
    return {}


def _fit(labels: dict[float, str], which: str, found: Found) -> bool:
    """Says whether marks are at the ticks: near them for bars and boxes, exactly there for lines and points."""
    ticks = np.array(sorted(labels))
    fixed = _all_places(found.of(*_FIXED), which)
    if fixed:
        return all(_near(places, ticks, reach_of(ticks)) for places in fixed)
    loose = [places[np.isfinite(places)] for places in _all_places(found.of(*_LOOSE), which)]
    span = float(np.min(np.diff(ticks))) if len(ticks) > 1 else 1.0
    return bool(loose) and all(_near(places, ticks, 1e-6 * span) for places in loose)


def _near(places: Array, ticks: Array, reach: float) -> bool:
    """Says whether every place has a tick within `reach`."""
    return len(places) == 0 or bool(np.all(np.min(np.abs(places[:, None] - ticks[None, :]), axis=1) <= reach))


def _all_places(raws: list[Raw], which: str) -> list[Array]:
    """Returns the positions of those series whose marks may be categories."""
    return [places for raw in raws if (places := _places(raw, which)) is not None]


def _places(raw: Raw, which: str) -> Array | None:
    """Returns a series' positions on an axis when they may be categories, which more than 5 000 are not."""
    if which not in raw.discrete or raw.ready:
        return None
    for key in ("at", "groups"):
        if key in raw.flags:
            return np.asarray(raw.flags[key], float)
    values = getattr(raw, which)
    if values is None or np.size(values) > 5000:
        return None
    return np.asarray(values, float)


def finish(raw: Raw, plane: dict[str, Axis]) -> Series:
    """Returns a series as the schema has it."""
    x, y = (raw.x, raw.y) if raw.ready else _columns(raw, plane)
    if raw.kind == "gantt":
        x = None
    if plane["x"].ax.name == "polar" and _closed(x, y):
        x, y = x[:-1], y[:-1]
    extra = {key: _extra(value, plane, between=raw.kind == "rule") for key, value in raw.extra.items()}
    entry: Series = {"name": raw.name, "kind": raw.kind, "x": x, "y": y}
    if extra:
        entry["extra"] = extra
    if raw.orientation and raw.kind in _DIRECTED:
        entry["orientation"] = raw.orientation
    return entry


def _closed(x: Column, y: Column) -> bool:
    """Says whether a radar's polygon over categories repeats its first corner, which is no value of its own."""
    plain = isinstance(x, list) and isinstance(y, list) and len(x) > 2
    return plain and isinstance(x[0], str) and (x[0], y[0]) == (x[-1], y[-1])


def _columns(raw: Raw, plane: dict[str, Axis]) -> tuple[Column, Column]:
    """Returns x and y as values; boxes and histograms have their groups and bins in x, however they were drawn."""
    if raw.kind in ("box", "violin"):
        return plane[raw.flags["axis"]].values(raw.flags["groups"]), None
    if raw.kind == "histogram":
        axis = plane[raw.flags["axis"]]
        return _counted(raw, axis) if axis.mode == "category" else (axis.values(raw.x), pack.column(raw.y))
    if raw.kind == "heatmap":
        x, y = (raw.flags.get(f"{which}_labels") or plane[which].values(getattr(raw, which)) for which in "xy")
        return x, y
    return _column(raw.x, plane["x"], raw.kind), _column(raw.y, plane["y"], raw.kind)


def _column(places: Array | None, axis: Axis, kind: str) -> Column:
    """Returns the places of a series as values, of which those of lines and areas may lie between categories."""
    if places is None:
        return None
    return axis.values(np.asarray(places, float).ravel(), exact=kind in ("line", "step", "area", "band"))


def _counted(raw: Raw, axis: Axis) -> tuple[list[Json], Column]:
    """Returns a histogram of words: numpy's bins are between the categories, each of which is in one bin."""
    edges, ticks = np.asarray(raw.extra.pop("edges")[1], float), np.array(sorted(axis.labels))
    places = np.clip(np.searchsorted(edges, ticks, side="right") - 1, 0, len(raw.y) - 1)
    return [axis.labels[float(tick)] for tick in ticks], pack.column(np.asarray(raw.y, float)[places])


def _extra(value: Json, plane: dict[str, Axis], *, between: bool) -> Json:
    """Returns an extra column as values of the axis it names, a single one where the name ends in "1"."""
    if not isinstance(value, tuple):
        return value
    which, array = value
    if which.endswith("1"):
        return plane[which[0]].values(array, between=between)[0]
    if which == "n" or which not in plane or getattr(array, "ndim", 1) == 2:
        return pack.column(array)
    return plane[which].values(array, between=between)


def barmode(raws: list[Raw]) -> str | None:
    """Returns how several series of bars, bins or areas are drawn: beside, upon or before one another."""
    if sum(bool(raw.flags.get("stacked")) for raw in raws) > 1:
        return "stack"
    several = _several(raws)
    if not several:
        return None
    if several[0].kind == "bar":
        return _bars_mode(several[0].flags, several[1].flags)
    return "group" if all(raw.flags.get("beside") for raw in several) else "overlay"


def _several(raws: list[Raw]) -> list[Raw]:
    """Returns the bars, the bins or the areas, of whichever there are several."""
    kinds = ([raw for raw in raws if raw.kind == kind] for kind in ("bar", "histogram", "area"))
    return next((group for group in kinds if len(group) > 1), [])


def _bars_mode(one: Call, two: Call) -> str:
    """Returns how bars of a second call are drawn, at the places of the first ones or elsewhere."""
    if not alike(one["at"], two["at"]):
        return "group"
    return "stack" if np.any(np.nan_to_num(two["base"]) != 0) else "overlay"


def panel_kind(ax: Axes, raws: list[Raw]) -> str:
    """Returns one word for the panel; "mixed" only when bars share it with something else."""
    kinds = [raw.kind for raw in raws if raw.kind != "rule"] or ["rule"]
    if ax.name == "polar":
        return "radar" if any(map(_in_words, raws)) or _labelled(ax) else "polar"
    if ax.name == "3d":
        return kinds[0] if set(kinds) - {"scatter3d", "line"} else "scatter3d"
    if set(kinds) == {"pie"}:
        return _pie_kind(raws)
    return "gantt" if _is_gantt(ax, raws) else _leading_kind(raws, kinds)


def _pie_kind(raws: list[Raw]) -> str:
    """Returns "donut" when one of the pies has a hole."""
    return "donut" if any(raw.flags.get("hollow") for raw in raws) else "pie"


def _leading_kind(raws: list[Raw], kinds: list[str]) -> str:
    """Returns the kind of series that names a flat panel."""
    leader = next((leader for leader in _LEADERS if leader in kinds), None)
    if leader == "bar" and not set(kinds) <= {"bar", "errorbar"}:
        return "mixed"
    return leader or _leading_mark(raws) or next((kind for kind in ("area", "band") if kind in kinds), kinds[0])


def _leading_mark(raws: list[Raw]) -> str | None:
    """Returns the kind that is drawn first; points lead over a line that has fewer, such as a diagonal, in any order.

    `charts/read/combine.py` has the same rule for other libraries.
    """
    marks = [raw for raw in raws if raw.kind in ("scatter", "errorbar", "stem", "line", "step")]
    longest = max((np.size(raw.x) for raw in marks if raw.kind in ("line", "step")), default=0)
    if any(raw.kind == "scatter" and np.size(raw.x) > longest for raw in marks):
        return "scatter"
    return marks[0].kind if marks else None


def _in_words(raw: Raw) -> bool:
    """Says whether a series has words for places already."""
    return isinstance(raw.x, list) and bool(raw.x) and isinstance(raw.x[0], str)


def _labelled(ax: Axes) -> bool:
    """Says whether the angles of a polar panel have other labels than degrees."""
    axis = Axis(ax, "x")
    return any(not label.endswith("\N{DEGREE SIGN}") for label in axis.candidates().values())


def _is_gantt(ax: Axes, raws: list[Raw]) -> bool:
    """Says whether all bars are horizontal and begin somewhere on a time axis."""
    if any(raw.kind == "gantt" for raw in raws):
        return True
    bars = [raw for raw in raws if raw.kind == "bar"]
    tasks = bool(bars) and all(raw.orientation == "h" and "start" in raw.extra for raw in bars)
    return tasks and Axis(ax, "x").scale == "datetime"


def spans(found: Found) -> None:
    """Makes tasks of the bars of a Gantt chart: their length on a time axis would be a date of 1970."""
    if _is_timeline(found):
        _timeline(found)
    if not _is_gantt(found.ax, found.series):
        return
    for raw in found.of("bar"):
        raw.kind = "gantt"
        raw.extra.pop("base", None)


def _is_timeline(found: Found) -> bool:
    """Says whether there are only horizontal lines, each on a named place of its own, between two times."""
    if not found.series or any("segments" not in raw.flags or raw.flags["upright"] for raw in found.series):
        return False
    y = Axis(found.ax, "y")
    return Axis(found.ax, "x").scale == "datetime" and bool(y.labels or y.candidates())


def _timeline(found: Found) -> None:
    """Makes tasks of horizontal lines."""
    for raw in found.series:
        segments = raw.flags["segments"]
        raw.kind, raw.orientation, raw.y = "gantt", "h", raw.flags["positions"]
        raw.extra = {"start": ("x", segments[:, 0, 0]), "end": ("x", segments[:, 1, 0])}
        raw.flags = {"at": raw.y}
