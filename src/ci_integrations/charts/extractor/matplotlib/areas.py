"""Reads areas, bands, filled shapes and pies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..importing import np
from .hooks import tag_of
from .lines import xy_of
from .names import handles_of
from .series import Found, Raw, alike, directions, first_color, hex_color, in_data, label_of

if TYPE_CHECKING:
    from ..foreign import Array, Axes, Call, Collection, Patch, UserData


def read(found: Found) -> None:
    """Adds pies, then what hooks know of fills and spans, then the fills and polygons of which they know nothing."""
    _pies(found)
    for collection in found.left(found.ax.collections):
        note = tag_of(collection)
        reader = _READERS.get(note.kind)
        if reader is not None:
            reader(found, collection, note.data)
    _untagged(found)
    for patch in found.left(found.ax.patches, "Polygon"):
        _polygon(found, patch)


def _face(collection: Collection) -> str | None:
    """Returns the colour of a fill."""
    return hex_color(first_color(collection.get_facecolor()))


def _convert(found: Found, axis: str, values: UserData) -> Array:
    """Returns positions on an axis as floats; what is missing, masked or infinite is NaN."""
    positions: Array = np.ma.asarray(found.convert(axis, values), float)
    return np.ma.filled(np.ma.asarray(np.ma.masked_invalid(positions)), np.nan).astype(float)


def _stacked(found: Found, collection: Collection, data: Call) -> None:
    """Adds one layer of a stack with its own values, without those below it."""
    x = _convert(found, "x", data["x"])
    raw = Raw("area", label_of(collection), x, data["y"], {}, discrete="x", artists=[collection])
    raw.color, raw.flags = _face(collection), {"stacked": True}
    found.add(raw)


def _fill(found: Found, collection: Collection, data: Call) -> None:
    """Adds a fill to zero as an area; one between two curves as a band, `y` its upper edge and `y0` its lower one."""
    axis, value = directions(horizontal=data["horizontal"])
    at = np.ravel(_convert(found, axis, data["at"]))
    one, two = (np.broadcast_to(np.ravel(_convert(found, value, data[key])), at.shape) for key in ("one", "two"))
    if data["where"] is not None:
        keep = np.ravel(np.asarray(data["where"], bool))
        at, one, two = at[keep], one[keep], two[keep]
    if not np.any(np.isfinite(one) & np.isfinite(two)):
        found.take([collection])  # seaborn's interval around single observations: nothing is drawn
        return
    raw = Raw("area", label_of(collection), at, one, discrete=axis, artists=[collection])
    if not _is_zero(two):
        raw.y = two if _is_zero(one) else np.fmax(one, two)
    if not (_is_zero(one) or _is_zero(two)):
        raw.kind, raw.extra = "band", {f"{value}0": (value, np.fmin(one, two))}
    if data["horizontal"]:
        raw.x, raw.y, raw.orientation = raw.y, at, "h"
    raw.color, raw.flags = _face(collection), {"edges": (one, two), "at": at}
    found.add(raw)


def _is_zero(edge: Array) -> bool:
    """Says whether an edge is at zero wherever it is known."""
    return not np.any(np.nan_to_num(edge))


def _broken(found: Found, collection: Collection, data: Call) -> None:
    """Adds the spans of `broken_barh` as tasks at the middle of their row."""
    low = np.array([float(found.ax.convert_xunits(start)) for start, _ in data["xranges"]])
    # The lengths may be durations, which cannot be converted as places: the paths have the ends.
    ends = np.array([path.get_extents().x1 for path in collection.get_paths()], float)
    y0, height = data["yrange"]
    middle = float(found.ax.convert_yunits(y0)) + float(height) / 2
    extra = {"start": ("x", low), "end": ("x", ends)}
    raw = Raw("gantt", label_of(collection), None, np.full(len(low), middle), extra, "h", "y", artists=[collection])
    raw.color, raw.flags = _face(collection), {"at": raw.y}
    found.add(raw)


def _span(found: Found, collection: Collection, data: Call) -> None:
    """Leaves out a span that is a collection: it is no area, and `bars` reads spans as rules."""
    found.take([collection])


_READERS = {"area": _stacked, "fill": _fill, "broken": _broken, "span": _span}
"""What reads a collection, by the kind of its tag."""


def unstack(found: Found) -> None:
    """Makes an area with its own values of what pandas draws as a line over a fill from the line below."""
    if not getattr(found.ax, "_ci_area", False):
        return
    fills = [raw for raw in found.series if "edges" in raw.flags]
    upon = not all(_is_zero(raw.flags["edges"][0]) for raw in fills)
    for raw in fills:
        one, two = raw.flags["edges"]
        raw.kind, raw.y = "area", np.maximum(one, two) - np.minimum(one, two)
        raw.extra.clear()
        raw.flags["stacked"] = upon
        line = next((line for line in found.of("line") if _same_line(line, raw, one, two)), None)
        if line is not None:
            raw.name = raw.name or line.name
            found.series.remove(line)


def _same_line(line: Raw, fill: Raw, one: Array, two: Array) -> bool:
    """Says whether a line runs along one of the edges of a fill."""
    edges = any(alike(line.y, edge, gaps=True) for edge in (one, two))
    return edges and alike(line.x, fill.flags["at"], gaps=True)


def _untagged(found: Found) -> None:
    """Adds fills of a figure that was unpickled or made before the hooks: they are read from their outline."""
    for collection in found.left(found.ax.collections, "FillBetweenPolyCollection"):
        for path in collection.get_paths():
            half = len(path.vertices) // 2
            lower, upper = path.vertices[1:half], path.vertices[half + 1 : -1][::-1]
            if len(lower) == len(upper):
                x, y0, y = lower[:, 0], lower[:, 1], upper[:, 1]
                found.add(Raw("band", label_of(collection), x, y, {"y0": ("y", y0)}, artists=[collection]))
        if id(collection) not in found.done:
            found.take([collection])
            found.lack("a filled area could not be read")


def _polygon(found: Found, patch: Patch) -> None:
    """Adds what `ax.fill` drew as an area by its corners, unless it only fills the space below a drawn line."""
    if tag_of(patch).kind != "polygon":
        return  # made by hand: `grids.leftovers` says so
    found.take([patch])
    if not in_data(patch, found.ax) or not patch.get_visible():
        return
    corners = np.asarray(patch.get_path().vertices, float)
    if any(_follows(corners, *xy_of(line)) for line in found.ax.lines):
        return
    x, y = corners[:, 0], corners[:, 1]
    found.add(
        Raw("area", label_of(patch), x, y, {"corners": True}, artists=[patch], discrete="xy",
            color=hex_color(patch.get_facecolor()))
    )  # fmt: skip


def _follows(corners: Array, x: Array, y: Array) -> bool:
    """Says whether a line has the same corners, of which the polygon may repeat the first."""
    n = len(x)
    alike = n > 2 and len(corners) - n in (0, 1)
    return alike and bool(np.allclose(corners[:n], np.column_stack([x, y]), equal_nan=True))


def _pies(found: Found) -> None:
    """Adds the wedges of each `pie` call as one series, those without a tag together as one by their angles."""
    for patch in found.left(found.ax.patches, "Wedge"):
        note = tag_of(patch)
        if note.kind == "pie":
            _pie(found, note.artists, note.data["values"], note.data["labels"], hollow=bool(note.data["width"]))
            continue
        wedges = [item for item in found.ax.patches if type(item).__name__ == "Wedge" and not tag_of(item).kind]
        angles = [abs(item.theta2 - item.theta1) for item in wedges]
        labels = [label_of(item) or "" for item in wedges]
        _pie(found, wedges, angles, labels, hollow=any(wedge.width for wedge in wedges))
        found.series[-1].extra["values_are"] = "degrees"


def _pie(found: Found, wedges: list[Patch], values: Array, labels: list[str] | None, *, hollow: bool) -> None:
    """Adds one pie; labels that it does not have itself may be in the legend."""
    if labels is None or not any(labels):
        labels = _legend_labels(found.ax, wedges)
    hollow = hollow or _covered(found, wedges)
    if labels is None:
        found.lack("the slices have no labels")
        labels = [f"slice {n + 1}" for n in range(len(wedges))]
    raw = Raw("pie", None, labels, list(map(float, values)), artists=list(wedges), ready=True, flags={"hollow": hollow})
    found.add(raw)


def _covered(found: Found, wedges: list[Patch]) -> bool:
    """Says whether a circle covers the middle, as people draw a donut."""
    radius = min((wedge.r for wedge in wedges), default=0)
    inner = [p for p in found.ax.patches if type(p).__name__ == "Circle" and p.radius < radius]
    inner += [a for a in found.ax.artists if type(a).__name__ == "Circle"]
    found.take(inner)
    return bool(inner)


def _legend_labels(ax: Axes, wedges: list[Patch]) -> list[str] | None:
    """Returns the legend's texts, which are in the wedges' order or belong to their colours."""
    legend = ax.get_legend()
    if legend is None:
        return None
    texts = [text.get_text() for text in legend.get_texts()]
    if len(texts) == len(wedges):
        return texts
    by_color = {hex_color(handle.get_facecolor()): text for handle, text in zip(handles_of(legend), texts, strict=False)
                if hasattr(handle, "get_facecolor")}  # fmt: skip
    labels = [by_color.get(hex_color(wedge.get_facecolor()), "") for wedge in wedges]
    return labels if all(labels) else None
