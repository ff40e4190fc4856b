"""Reads bars, histograms, waterfalls and Gantt charts: rectangles, and the error bars that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..importing import np
from . import candles
from .hooks import Tag, tag_of
from .lines import error_ends
from .series import Found, Raw, alike, directions, first_color, hex_color, in_data, label_of

if TYPE_CHECKING:
    from ..foreign import Array, Call, Collection, Color, Container, Extra, Patch


_KEYS = ("at", "base", "length", "thick")
"""What a series of bars keeps of each bar: its middle, where it begins, its length and its width."""


def read(found: Found) -> None:
    """Adds bars, histograms and loose rectangles; bars of one `bar` call each become one series."""
    for container in found.left(found.ax.containers, "BarContainer"):
        if any(patch.axes is found.ax for patch in container.patches):
            _container(found, container)
    for artist in found.left([*found.ax.patches, *found.ax.lines, *found.ax.collections]):
        if tag_of(artist).kind == "histogram":
            _histogram(found, tag_of(artist), [artist])
    _loose(found)
    _merge_single(found)


def finish(found: Found) -> None:
    """Joins bars with error bars and wicks that were drawn apart from them, when every series is known."""
    _errors_on_bars(found)
    candles.read(found)


def _container(found: Found, container: Container) -> None:
    """Adds the rectangles of one call: a histogram or a tree map when the hook says so, bars otherwise."""
    patches = [patch for patch in container.patches if patch.axes is found.ax]
    note = tag_of(patches[0])
    found.take(patches)
    if note.kind == "histogram":
        _histogram(found, note, patches, label_of(container))
        return
    if note.kind == "treemap":
        values = note.data["values"]
        extra = {"value": ("n", values)}
        found.add(Raw("treemap", None, note.data["labels"], values.tolist(), extra, artists=patches, ready=True))
        return
    raw = _bars(patches, label_of(container), horizontal=container.orientation == "horizontal")
    errors = getattr(container, "errorbar", None)
    if errors is not None:
        line, caps, collections = errors.lines
        raw.extra.update(_bar_errors(raw, list(collections)))
        found.take(artist for artist in (line, *caps, *collections) if artist is not None)
    found.add(raw)


def _bar_errors(raw: Raw, collections: list[Collection]) -> Extra:
    """Returns the ends of the error bars along the bars' own direction."""
    ends = error_ends(collections, raw.flags["at"], raw.flags["at"])
    axis, prefix = ("x", "x") if raw.orientation == "h" else ("y", "")
    names = [name for name in ("err_low", "err_high") if prefix + name in ends]
    return {name: (axis, ends[prefix + name][1]) for name in names}


def _bars(patches: list[Patch], name: str | None, *, horizontal: bool) -> Raw:
    """Returns rectangles as a series of bars; a base is told only where one of them does not begin at zero."""
    box = np.array([[p.get_x(), p.get_y(), p.get_width(), p.get_height()] for p in patches], float)
    at = _clean(box[:, 1] + box[:, 3] / 2 if horizontal else box[:, 0] + box[:, 2] / 2)
    base, length = (box[:, 0], box[:, 2]) if horizontal else (box[:, 1], box[:, 3])
    across, value = directions(horizontal=horizontal)
    extra = _based(value, base, length) if np.any(np.nan_to_num(base) != 0) else {}
    raw = Raw(
        "bar", name, at, length, extra, "h" if horizontal else "v", across, artists=list(patches),
        color=hex_color(patches[0].get_facecolor()),
    )  # fmt: skip
    raw.flags = {"at": at, "base": base, "length": length, "thick": box[:, 3] if horizontal else box[:, 2]}
    if horizontal:
        raw.x, raw.y = length, at
    return raw


def _based(value: str, base: Array, length: Array) -> Extra:
    """Returns where bars begin and end on the axis `value`."""
    return {"base": (value, base), "start": (value, base), "end": (value, base + length)}


def _clean(values: Array) -> Array:
    """Returns middles of bars without noise: each is an edge plus half a width, whose last digit is none of theirs."""
    rounded = np.round(values, 9)
    return np.where(np.abs(rounded - values) <= 1e-12 * np.maximum(1.0, np.abs(values)), rounded, values)


def _histogram(found: Found, note: Tag, patches: list[Patch], name: str | None = None) -> None:
    """Adds the bins of one `hist` call or of seaborn's, whatever artists drew them."""
    edges, counts = note.data["edges"], note.data["counts"]
    horizontal = note.data["horizontal"]
    axis, _ = directions(horizontal=horizontal)
    raw = Raw("histogram", name or label_of(patches[0]), _middles(edges), np.asarray(counts, float))
    raw.extra, raw.orientation = {"edges": (axis, edges)}, "h" if horizontal else None
    raw.artists, raw.color = [*patches, *note.artists], hex_color(_fill_color(patches[0]))
    raw.flags = {"axis": axis} | {key: note.data.get(key) for key in ("stacked", "beside")}
    found.add(raw)


def _middles(edges: Array) -> Array:
    """Returns the middles between edges."""
    return (edges[:-1] + edges[1:]) / 2


def _fill_color(patch: Patch) -> Color:
    """Returns the colour of a bin: that of its outline when it is not filled."""
    if not hasattr(patch, "get_facecolor"):
        return patch.get_color()
    face = patch.get_facecolor()
    if getattr(face, "ndim", 1) == 2:
        return first_color(face)
    return face if face[3] > 0 else patch.get_edgecolor()


def _loose(found: Found) -> None:
    """Adds patches that no container holds: stairs, spans, and rectangles drawn one by one."""
    rectangles = []
    for patch in found.left(found.ax.patches):
        kind, note = type(patch).__name__, tag_of(patch)
        if not patch.get_visible():
            continue
        if note.kind == "span":
            _span(found, patch, note.data)
        elif kind == "StepPatch":
            _stairs(found, patch)
        elif kind == "Rectangle" and patch.get_width() == 0 == patch.get_height():
            found.take([patch])  # a proxy for the legend
        elif kind == "Rectangle" and in_data(patch, found.ax):
            rectangles.append(patch)
    for group in _by_color(rectangles):
        found.add(_bars(group, None, horizontal=_are_horizontal(group)))
        found.lack("rectangles drawn one by one are read as bars")


def _by_color(patches: list[Patch]) -> list[list[Patch]]:
    """Returns loose rectangles in groups of one colour: nothing else says which of them belong together."""
    groups: dict[object, list[Patch]] = {}
    for patch in patches:
        groups.setdefault(hex_color(patch.get_facecolor()), []).append(patch)
    return list(groups.values())


def _are_horizontal(patches: list[Patch]) -> bool:
    """Says whether rectangles are horizontal bars, which share their thickness and differ in length."""
    heights, widths = ({round(p.get_height(), 9) for p in patches}, {round(p.get_width(), 9) for p in patches})
    return len(heights) == 1 and len(widths) > 1


def _span(found: Found, patch: Patch, data: Call) -> None:
    """Adds a band across the panel as a rule from its start to its end."""
    axis = data["axis"]
    ends = [float(found.convert(axis, data[key])) for key in ("low", "high")]
    extra = {"axis": axis, "start": (axis + "1", ends[:1]), "end": (axis + "1", ends[1:]), "value": (axis, ends)}
    found.add(Raw("rule", label_of(patch), None, None, extra, artists=[patch]))


def _stairs(found: Found, patch: Patch) -> None:
    """Adds what `ax.stairs` drew: heights between edges."""
    values, edges, _baseline = patch.get_data()
    horizontal = getattr(patch, "orientation", "vertical") == "horizontal"
    edges, heights = np.asarray(edges, float), np.asarray(values, float)
    axis, value = directions(horizontal=horizontal)
    extra = {"edges": (axis, edges), "values": (value, heights)}
    color = hex_color(_fill_color(patch))
    found.add(Raw("step", label_of(patch), _middles(edges), heights, extra, artists=[patch], color=color))


def _merge_single(found: Found) -> None:
    """Makes one series of `bar` calls with one category each, as in a loop, when none of them has a name."""
    last: Raw | None = None
    for raw in found.of("bar"):
        if last is None or not _continues(last, raw):
            last = raw
            continue
        _append(last, raw)
        found.series.remove(raw)


def _continues(last: Raw, raw: Raw) -> bool:
    """Says whether a bar is the next one of a series that is drawn bar by bar."""
    same = last.orientation == raw.orientation and raw.name is None and last.name is None
    return same and _single(last) and _single(raw) and not _overlap(last, raw)


def _single(raw: Raw) -> bool:
    """Says whether a series is one bar, or was put together of single bars."""
    return len(raw.flags["at"]) == 1 or "merged" in raw.flags


def _overlap(one: Raw, two: Raw) -> bool:
    """Says whether bars of two series are closer to each other than half their width."""
    gap = np.abs(one.flags["at"][:, None] - two.flags["at"][None, :])
    return bool(np.any(gap < 0.5 * max(one.flags["thick"][0], two.flags["thick"][0])))


def _append(one: Raw, two: Raw) -> None:
    """Puts the bars of the second series behind those of the first one."""
    one.flags = {key: np.concatenate([one.flags[key], two.flags[key]]) for key in _KEYS} | {"merged": True}
    one.x, one.y = np.concatenate([one.x, two.x]), np.concatenate([one.y, two.y])
    value = "x" if one.orientation == "h" else "y"
    if np.any(one.flags["base"] != 0):
        one.extra.update(_based(value, one.flags["base"], one.flags["length"]))
    for key in ("err_low", "err_high"):
        if key in one.extra and key in two.extra:
            one.extra[key] = (value, np.concatenate([one.extra[key][1], two.extra[key][1]]))
    one.artists += two.artists


def _errors_on_bars(found: Found) -> None:
    """Gives error bars that were drawn on their own over bars, as seaborn and many people do, to those bars."""
    bars = found.of("bar")
    for error in found.of("errorbar"):
        bar = next((bar for bar in bars if _at_tips(error, bar)), None)
        if bar is not None:
            axis, prefix = ("x", "x") if bar.orientation == "h" else ("y", "")
            for name in ("err_low", "err_high"):
                bar.extra[name] = (axis, error.extra[prefix + name][1])
            found.series.remove(error)


def _at_tips(error: Raw, bar: Raw) -> bool:
    """Says whether each error bar is at the end of one of the bars, along its direction."""
    horizontal = bar.orientation == "h"
    across, value = directions(horizontal=horizontal)
    tip = bar.flags["base"] + bar.flags["length"]
    known = ("xerr_low" if horizontal else "err_low") in error.extra
    return known and alike(getattr(error, across), bar.flags["at"]) and alike(getattr(error, value), tip)
