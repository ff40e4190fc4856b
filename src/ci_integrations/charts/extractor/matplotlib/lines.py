"""Reads lines, steps, markers, stems, error bars and rules: everything in `ax.lines` and in line collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..importing import np
from .hooks import tag_of
from .series import Found, Raw, filled, hex_color, in_data, label_of

if TYPE_CHECKING:
    from ..foreign import Array, Call, Collection, Color, Container, Extra, Line


_NO_LINE = ("None", "none", "", " ")
MAX_FREE = 200
"""Line segments that are not parallel to an axis and become one series each."""


def read(found: Found) -> None:
    """Adds stems and error bars first, because their lines are no series of their own."""
    for container in list(found.ax.containers):
        if type(container).__name__ == "StemContainer":
            _stem(found, container)
        elif type(container).__name__ == "ErrorbarContainer" and not _of_bars(found, container):
            _errorbar(found, container)
    for line in found.left(found.ax.lines):
        if line.get_visible():
            _line(found, line)
    for collection in found.left(found.ax.collections, "LineCollection", "EventCollection"):
        _collection(found, collection)


def xy_of(line: Line) -> tuple[Array, Array]:
    """Returns the drawn positions; a masked value is NaN."""
    return filled(line.get_xdata(orig=False)), filled(line.get_ydata(orig=False))


def _line(found: Found, line: Line) -> None:
    """Adds one line; those of which a hook knows are rules or belong to other series, and are not lines."""
    note = tag_of(line)
    if note.kind == "rule":
        _rule(found, line, note.data["axis"])
    elif note.kind == "axline":
        _axline(found, line, note.data)
    elif note.kind or not in_data(line, found.ax):
        found.take([line])
    else:
        _points(found, line)


def _points(found: Found, line: Line) -> None:
    """Adds a line or markers by their positions; a line without any is nothing."""
    x, y = xy_of(line)
    if len(x) == 0:
        found.take([line])
        return
    color = hex_color(line_color(line))
    found.add(Raw(line_kind(line), label_of(line), x, y, discrete="xy", artists=[line], color=color))


def line_kind(line: Line) -> str:
    """Returns "scatter" for markers without a line, "step" or "line" for a line."""
    bare = str(line.get_linestyle()) in _NO_LINE
    if bare or line.get_linewidth() == 0:
        return "scatter"
    return "step" if str(line.get_drawstyle()).startswith("steps") else "line"


def line_color(line: Line) -> Color:
    """Returns the colour of the markers when there is no line, otherwise that of the line."""
    return line.get_markerfacecolor() if line_kind(line) == "scatter" else line.get_color()


def _rule(found: Found, line: Line, axis: str) -> None:
    """Adds a line across the panel by its value."""
    x, y = xy_of(line)
    extra = {"axis": axis, "value": (axis + "1", (x if axis == "x" else y)[:1])}
    found.add(Raw("rule", label_of(line), extra=extra, artists=[line], color=hex_color(line.get_color())))


def _axline(found: Found, line: Line, data: Call) -> None:
    """Adds a line without ends by two of its points."""
    first, second = data["xy1"], data["xy2"]
    if second is None:
        second = (first[0] + 1.0, first[1] + float(data["slope"]))
    x, y = ([float(first[i]), float(second[i])] for i in (0, 1))
    found.add(Raw("line", label_of(line), x, y, artists=[line], extra={"infinite": True}))


def _stem(found: Found, stem: Container) -> None:
    """Adds the markers of a stem plot, which is horizontal when its stems are."""
    x, y = xy_of(stem.markerline)
    # Until matplotlib 3.8 `stem(use_line_collection=False)` drew each stem as a line of its own.
    lines = stem.stemlines if isinstance(stem.stemlines, (list, tuple)) else [stem.stemlines]
    segments = [segment for item in lines for segment in getattr(item, "get_segments", list)()]
    horizontal = len(segments) > 1 and all(abs(segment[0][1] - segment[-1][1]) < 1e-12 for segment in segments)
    found.add(
        Raw("stem", label_of(stem), x, y, discrete="xy", orientation="h" if horizontal else None,
            artists=[stem.markerline, stem.baseline, *lines])
    )  # fmt: skip


def _of_bars(found: Found, container: Container) -> bool:
    """Says whether error bars were drawn by `bar`, which knows them itself."""
    return any(getattr(other, "errorbar", None) is container for other in found.ax.containers)


def _errorbar(found: Found, container: Container) -> None:
    """Adds the marks of `ax.errorbar` with the ends of their error bars; the marks themselves may be invisible."""
    line, caps, bars = container.lines
    collections = list(bars)  # one for y errors, one for x errors, or both
    x, y = xy_of(line) if line is not None else _given(found, collections) or _middles(collections)
    raw = Raw("errorbar", label_of(container), x, y, error_ends(collections, x, y), discrete="xy")
    raw.artists = [*caps, *collections]
    raw.color = _collection_color(collections)
    if line is not None:
        raw.name = raw.name or label_of(line)
        raw.artists.insert(0, line)
        raw.color = hex_color(line.get_color())
    found.add(raw)


def _collection_color(collections: list[Collection]) -> str | None:
    """Returns the colour of the first line, or None without lines."""
    colors = collections[0].get_color() if collections else []
    return hex_color(colors[0]) if len(colors) else None


def _given(found: Found, collections: list[Collection]) -> tuple[Array, Array] | None:
    """Returns where error bars without marks belong: their middle is elsewhere when the two sides differ."""
    note = tag_of(collections[0]) if collections else None
    if note is None or note.kind != "errorbar":
        return None
    x, y = np.broadcast_arrays(*(np.atleast_1d(filled(found.convert(which, note.data[which]))) for which in "xy"))
    return x, y


def _middles(collections: list[Collection]) -> tuple[Array, Array]:
    """Returns the middles of error bars whose marks are not known."""
    points = [np.mean(np.asarray(segment)[:, :2], axis=0) for segment in collections[0].get_segments() if len(segment)]
    return np.array([p[0] for p in points]), np.array([p[1] for p in points])


def error_ends(collections: list[Collection], x: Array, y: Array) -> Extra:
    """Returns absolute ends of error bars, one per point: `err_low`, `err_high` in y, `xerr_low`, `xerr_high` in x."""
    extra: Extra = {}
    for collection in collections:
        segments = list(collection.get_segments())
        which, prefix, at = ("y", "", x) if _upright(segments) else ("x", "x", y)
        ends = _ends(segments, "xy".index(which), at)
        if ends is not None:
            extra[f"{prefix}err_low"], extra[f"{prefix}err_high"] = (which, ends[0]), (which, ends[1])
    return extra


def _upright(segments: list[Array]) -> bool:
    """Says whether error bars are vertical, by the first one that has a length; True when none has."""
    for segment in segments:
        if len(segment) >= 2 and (segment[0][0] != segment[-1][0] or segment[0][1] != segment[-1][1]):
            return bool(abs(segment[0][0] - segment[-1][0]) <= 1e-12 * max(1.0, abs(segment[0][0])))
    return True


def _ends(segments: list[Array], value: int, at: Array) -> tuple[Array, Array] | None:
    """Returns segment ends in the order of the points; a point without a bar has NaN."""
    low, high = np.full(len(at), np.nan), np.full(len(at), np.nan)
    if not segments and len(at):
        return None
    for place, segment in enumerate(segments):
        if len(segment):
            # Fewer bars than points: each of them belongs to the nearest point.
            n = place if len(segments) == len(at) else int(np.nanargmin(np.abs(at - segment[0][1 - value])))
            low[n], high[n] = sorted((segment[0][value], segment[-1][value]))
    return low, high


def _collection(found: Found, collection: Collection) -> None:
    """Adds `vlines`, `hlines`, event plots and free segments; what a hook knows better is left to its reader."""
    kind = tag_of(collection).kind
    if kind == "stream":
        return
    if kind == "tree":
        found.take([collection])
        found.lack("the dendrogram is not read; its order is that of the map beside it")
        return
    segments = [np.asarray(segment)[:, :2] for segment in collection.get_segments() if len(segment) >= 2]
    if not segments or not in_data(collection, found.ax):
        _ruled(found, collection, segments)
    elif type(collection).__name__ == "EventCollection":
        _events(found, collection)
    else:
        _segments(found, collection, segments)


def _events(found: Found, collection: Collection) -> None:
    """Adds a row of an event plot as points on a line."""
    positions = np.asarray(collection.get_positions(), float)
    at = np.full(len(positions), float(collection.get_lineoffset()))
    x, y = (positions, at) if collection.is_horizontal() else (at, positions)
    color = _collection_color([collection])
    found.add(Raw("scatter", label_of(collection), x, y, {"event": True}, artists=[collection], color=color))


def _segments(found: Found, collection: Collection, segments: list[Array]) -> None:
    """Adds segments parallel to an axis, or a chain of segments, as one series; free ones as a line each."""
    ends = np.array([[segment[0], segment[-1]] for segment in segments])
    upright, flat = np.all(ends[:, 0, 0] == ends[:, 1, 0]), np.all(ends[:, 0, 1] == ends[:, 1, 1])
    if all(len(segment) == 2 for segment in segments) and (upright or flat):
        _parallel(found, collection, ends, upright=bool(upright))
        return
    if len(ends) > 1 and np.array_equal(ends[:-1, 1], ends[1:, 0]):
        _chain(found, collection, segments)
        return
    color, name = _collection_color([collection]), label_of(collection)
    for segment in segments[:MAX_FREE]:
        found.add(Raw("line", name, segment[:, 0], segment[:, 1], artists=[collection], color=color))
    if len(segments) > MAX_FREE:
        found.lack(f"{len(segments) - MAX_FREE} more line segments")


def _parallel(found: Found, collection: Collection, ends: Array, *, upright: bool) -> None:
    """Adds `vlines` or `hlines` as rules with ends."""
    axis, which, across = ("x", "y", 0) if upright else ("y", "x", 1)
    low, high = np.sort(ends[:, :, 1 - across], axis=1).T
    positions = ends[:, 0, across]
    one = "1" if len(positions) == 1 else ""  # a single line is a rule like any other: numbers, not lists
    extra = {"axis": axis, "value": (axis + one, positions), "low": (which + one, low), "high": (which + one, high)}
    raw = Raw("rule", label_of(collection), None, None, extra, artists=[collection], discrete=axis)
    raw.color = _collection_color([collection])
    raw.flags = {"segments": ends, "upright": upright, "positions": positions}
    found.add(raw)


def _chain(found: Found, collection: Collection, segments: list[Array]) -> None:
    """Adds segments that each begin where the last one ended as one line, whose pieces may differ in colour."""
    points = np.concatenate([segments[0][:1], *(segment[1:] for segment in segments)])
    raw = Raw("line", label_of(collection), points[:, 0], points[:, 1], discrete="xy", artists=[collection])
    if collection.get_array() is not None:
        found.mappables.append(collection)
        found.lack("the colours along a line are not read")
    else:
        raw.color = _collection_color([collection])
    found.add(raw)


def _ruled(found: Found, collection: Collection, segments: list[Array]) -> None:
    """Adds a collection that is data along one axis only, such as a rug, as rules; any other is decoration."""
    found.take([collection])
    both = collection.get_transform().contains_branch_seperately(found.ax.transData)
    if segments and both[0] != both[1]:
        axis, place = ("x", 0) if both[0] else ("y", 1)
        extra = {"axis": axis, "value": (axis, np.array([segment[0][place] for segment in segments]))}
        found.add(Raw("rule", label_of(collection), extra=extra, artists=[collection]))


def lollipops(found: Found) -> None:
    """Makes one stem series of parallel segments and the markers at their ends."""
    for lines in [raw for raw in found.of("rule") if "segments" in raw.flags]:
        dots = next((dots for dots in found.of("scatter") if _at_tips(dots, lines)), None)
        if dots is not None:
            dots.kind, dots.orientation = "stem", None if lines.flags["upright"] else "h"
            dots.name = dots.name or lines.name
            dots.order = min(dots.order, lines.order)
            found.series.remove(lines)


def _at_tips(dots: Raw, lines: Raw) -> bool:
    """Says whether each marker is at the end of one segment, and all segments begin at one value."""
    if dots.x is None or len(dots.x) != len(lines.flags["segments"]):
        return False
    base, tip = lines.flags["segments"][:, 0], lines.flags["segments"][:, 1]
    at_tip = np.allclose(tip, np.column_stack([dots.x, dots.y]), rtol=1e-9, atol=1e-12)
    return bool(at_tip and np.ptp(base[:, 1 if lines.flags["upright"] else 0]) == 0)
