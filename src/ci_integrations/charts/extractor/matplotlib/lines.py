"""Lines, steps, markers, stems, error bars and rules: what stands in `ax.lines` and in line collections."""

from __future__ import annotations

from typing import Any

from .hooks import tag_of
from .series import Found, Raw, hex_color, in_data, label_of

_NO_LINE = ("None", "none", "", " ")


def read(found: Found) -> None:
    for container in list(found.ax.containers):
        if type(container).__name__ == "StemContainer":
            _stem(found, container)
        elif type(container).__name__ == "ErrorbarContainer" and not _of_bars(found, container):
            _errorbar(found, container)
    for line in list(found.ax.lines):
        if id(line) not in found.done and line.get_visible():
            _line(found, line)
    for collection in list(found.ax.collections):
        if id(collection) not in found.done and type(collection).__name__ in ("LineCollection", "EventCollection"):
            _segments(found, collection)


def xy_of(line: Any) -> tuple[Any, Any]:
    """The drawn positions; a masked value is NaN."""
    import numpy as np

    x, y = line.get_xdata(orig=False), line.get_ydata(orig=False)
    return np.ma.filled(np.ma.asarray(x, float), np.nan), np.ma.filled(np.ma.asarray(y, float), np.nan)


def _line(found: Found, line: Any) -> None:
    note = tag_of(line)
    if note is not None and note.kind == "rule":
        _rule(found, line, note.data["axis"])
        return
    if note is not None and note.kind == "axline":
        _axline(found, line, note.data)
        return
    if note is not None or not in_data(line, found.ax):
        found.take([line])
        return
    x, y = xy_of(line)
    if len(x) == 0:
        found.take([line])
        return
    found.add(
        Raw(line_kind(line), label_of(line), x, y, discrete="xy", artists=[line], color=hex_color(line_color(line)))
    )


def line_kind(line: Any) -> str:
    bare = str(line.get_linestyle()) in _NO_LINE
    if bare or line.get_linewidth() == 0:
        return "scatter"
    return "step" if str(line.get_drawstyle()).startswith("steps") else "line"


def line_color(line: Any) -> Any:
    return line.get_markerfacecolor() if line_kind(line) == "scatter" else line.get_color()


def _rule(found: Found, line: Any, axis: str) -> None:
    x, y = xy_of(line)
    value = (x if axis == "x" else y)[:1]
    found.add(
        Raw("rule", label_of(line), extra={"axis": axis, "value": (axis + "1", value)}, artists=[line],
            color=hex_color(line.get_color()))
    )  # fmt: skip


def _axline(found: Found, line: Any, data: dict[str, Any]) -> None:
    first, second = data["xy1"], data["xy2"]
    if second is None:
        second = (first[0] + 1.0, first[1] + float(data["slope"]))
    x, y = ([float(first[i]), float(second[i])] for i in (0, 1))
    found.add(Raw("line", label_of(line), x, y, artists=[line], extra={"infinite": True}))


def _stem(found: Found, stem: Any) -> None:
    x, y = xy_of(stem.markerline)
    horizontal = False
    lines = stem.stemlines if isinstance(stem.stemlines, (list, tuple)) else [stem.stemlines]
    segments = [segment for item in lines for segment in getattr(item, "get_segments", list)()]
    if segments:
        horizontal = all(abs(segment[0][1] - segment[-1][1]) < 1e-12 for segment in segments) and len(segments) > 1
    found.add(
        Raw("stem", label_of(stem), x, y, discrete="xy", orientation="h" if horizontal else None,
            artists=[stem.markerline, stem.baseline, *lines])
    )  # fmt: skip


def _of_bars(found: Found, container: Any) -> bool:
    return any(getattr(other, "errorbar", None) is container for other in found.ax.containers)


def _errorbar(found: Found, container: Any) -> None:
    import numpy as np

    data_line, caps, bars = container.lines
    collections = list(bars)
    if data_line is not None:
        x, y = xy_of(data_line)
        artists = [data_line, *caps, *collections]
    else:
        x, y = _given(found, collections) or _middles(collections)
        artists = [*caps, *collections]
    extra = error_ends(collections, np.asarray(x), np.asarray(y))
    kind = "errorbar"
    name = label_of(container) or (label_of(data_line) if data_line is not None else None)
    color = hex_color(data_line.get_color()) if data_line is not None else _collection_color(collections)
    found.add(Raw(kind, name, x, y, extra, discrete="xy", artists=artists, color=color))


def _collection_color(collections: list[Any]) -> str | None:
    colors = collections[0].get_color() if collections else []
    return hex_color(colors[0]) if len(colors) else None


def _given(found: Found, collections: list[Any]) -> tuple[Any, Any] | None:
    """Where the marks of an error bar without marks are: its middle is elsewhere when the two sides differ."""
    import numpy as np

    note = tag_of(collections[0]) if collections else None
    if note is None or note.kind != "errorbar":
        return None
    x, y = found.ax.convert_xunits(note.data["x"]), found.ax.convert_yunits(note.data["y"])
    x, y = np.broadcast_arrays(*(np.atleast_1d(np.ma.filled(np.ma.asarray(part, float), np.nan)) for part in (x, y)))
    return x, y


def _middles(collections: list[Any]) -> tuple[Any, Any]:
    import numpy as np

    points = [np.mean(np.asarray(segment)[:, :2], axis=0) for segment in collections[0].get_segments() if len(segment)]
    return np.array([p[0] for p in points]), np.array([p[1] for p in points])


def error_ends(collections: list[Any], x: Any, y: Any) -> dict[str, Any]:
    """Absolute ends of error bars, one per point: y ends in err_low/err_high, x ends in xerr_low/xerr_high."""
    extra: dict[str, Any] = {}
    for collection in collections:
        segments = list(collection.get_segments())
        upright = _upright(segments)
        at, low, high = (x, "err_low", "err_high") if upright else (y, "xerr_low", "xerr_high")
        ends = _ends(segments, 1 if upright else 0, at)
        if ends is not None:
            which = "y" if upright else "x"
            extra[low], extra[high] = (which, ends[0]), (which, ends[1])
    return extra


def _upright(segments: list[Any]) -> bool:
    for segment in segments:
        if len(segment) >= 2 and (segment[0][0] != segment[-1][0] or segment[0][1] != segment[-1][1]):
            return bool(abs(segment[0][0] - segment[-1][0]) <= 1e-12 * max(1.0, abs(segment[0][0])))
    return True


def _ends(segments: list[Any], value: int, at: Any) -> tuple[Any, Any] | None:
    """Segment ends in the order of the points; a point without a bar has NaN."""
    import numpy as np

    low, high = np.full(len(at), np.nan), np.full(len(at), np.nan)
    if len(segments) == len(at):
        for n, segment in enumerate(segments):
            if len(segment):
                ends = sorted((segment[0][value], segment[-1][value]))
                low[n], high[n] = ends
        return low, high
    for segment in segments:
        if len(segment):
            n = int(np.nanargmin(np.abs(at - segment[0][1 - value])))
            low[n], high[n] = sorted((segment[0][value], segment[-1][value]))
    return (low, high) if len(segments) else None


def _segments(found: Found, collection: Any) -> None:
    """`vlines`, `hlines`, event plots: parallel to an axis, one series. Free segments are given by their ends."""
    import numpy as np

    note = tag_of(collection)
    if note is not None and note.kind == "stream":
        return
    if note is not None and note.kind == "tree":
        found.take([collection])
        found.lack("the dendrogram is not read; its order is that of the map beside it")
        return
    segments = [np.asarray(segment)[:, :2] for segment in collection.get_segments() if len(segment) >= 2]
    if not segments or not in_data(collection, found.ax):
        _ruled(found, collection, segments)
        return
    ends = np.array([[segment[0], segment[-1]] for segment in segments])
    color, name = _collection_color([collection]), label_of(collection)
    if type(collection).__name__ == "EventCollection":
        positions = np.asarray(collection.get_positions(), float)
        which = "x" if collection.is_horizontal() else "y"
        at = np.full(len(positions), float(collection.get_lineoffset()))
        x, y = (positions, at) if which == "x" else (at, positions)
        found.add(Raw("scatter", name, x, y, {"event": True}, artists=[collection], color=color))
        return
    straight = all(len(segment) == 2 for segment in segments)
    upright, flat = np.all(ends[:, 0, 0] == ends[:, 1, 0]), np.all(ends[:, 0, 1] == ends[:, 1, 1])
    if straight and (upright or flat):
        which, across = ("y", 0) if upright else ("x", 1)
        low, high = np.sort(ends[:, :, 1 - across], axis=1).T
        axis = "x" if upright else "y"
        positions = ends[:, 0, across]
        one = "1" if len(positions) == 1 else ""  # a single line is a rule like any other: numbers, not lists
        extra = {"axis": axis, "value": (axis + one, positions), "low": (which + one, low), "high": (which + one, high)}
        raw = Raw("rule", name, None, None, extra, artists=[collection], color=color, discrete=axis)
        raw.flags = {"segments": ends, "upright": bool(upright), "positions": positions}
        found.add(raw)
        return
    if len(ends) > 1 and np.array_equal(ends[:-1, 1], ends[1:, 0]):
        _chain(found, collection, segments, name)
        return
    for segment in segments[:200]:
        found.add(Raw("line", name, segment[:, 0], segment[:, 1], artists=[collection], color=color))
    if len(segments) > 200:
        found.lack(f"{len(segments) - 200} more line segments")


def _chain(found: Found, collection: Any, segments: list[Any], name: str | None) -> None:
    """Each segment begins where the last one ended: one line, of which each piece may have its own colour."""
    import numpy as np

    points = np.concatenate([segments[0][:1], *(segment[1:] for segment in segments)])
    raw = Raw("line", name, points[:, 0], points[:, 1], discrete="xy", artists=[collection])
    if collection.get_array() is not None:
        found.mappables.append(collection)
        found.lack("the colours along a line are not read")
    else:
        raw.color = _collection_color([collection])
    found.add(raw)


def _ruled(found: Found, collection: Any, segments: list[Any]) -> None:
    """A collection that is data along one axis only, such as a rug; decoration otherwise."""
    import numpy as np

    found.take([collection])
    both = collection.get_transform().contains_branch_seperately(found.ax.transData)
    if segments and both[0] != both[1]:
        axis = "x" if both[0] else "y"
        values = np.array([segment[0][0 if both[0] else 1] for segment in segments])
        found.add(
            Raw("rule", label_of(collection), extra={"axis": axis, "value": (axis, values)}, artists=[collection])
        )


def lollipops(found: Found) -> None:
    """Markers at the ends of parallel segments are one stem series."""
    import numpy as np

    for lines in [raw for raw in found.series if raw.kind == "rule" and "segments" in raw.flags]:
        ends, upright = lines.flags["segments"], lines.flags["upright"]
        for dots in [raw for raw in found.series if raw.kind == "scatter" and raw.x is not None]:
            if len(dots.x) != len(ends):
                continue
            base, tip = ends[:, 0], ends[:, 1]
            at_tip = np.allclose(tip, np.column_stack([dots.x, dots.y]), rtol=1e-9, atol=1e-12)
            if at_tip and np.ptp(base[:, 1 if upright else 0]) == 0:
                dots.kind, dots.orientation = "stem", None if upright else "h"
                dots.name = dots.name or lines.name
                dots.order = min(dots.order, lines.order)
                found.series.remove(lines)
                break
