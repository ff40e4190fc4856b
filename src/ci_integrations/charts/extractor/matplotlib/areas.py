"""Areas, bands, filled shapes and pies."""

from __future__ import annotations

from typing import Any

from .hooks import tag_of
from .lines import xy_of
from .series import Found, Raw, hex_color, in_data, label_of


def read(found: Found) -> None:
    _pies(found)
    for collection in list(found.ax.collections):
        note = tag_of(collection)
        if id(collection) in found.done or note is None:
            continue
        if note.kind == "area":
            _stacked(found, collection, note.data)
        elif note.kind == "fill":
            _fill(found, collection, note.data)
        elif note.kind == "broken":
            _broken(found, collection, note.data)
        elif note.kind == "span":
            found.take([collection])
    _untagged(found)
    for patch in list(found.ax.patches):
        if id(patch) not in found.done and type(patch).__name__ == "Polygon":
            _polygon(found, patch)


def _face(collection: Any) -> Any:
    faces = collection.get_facecolor()
    return hex_color(faces[0]) if len(faces) else None


def _convert(found: Found, axis: str, values: Any) -> Any:
    import numpy as np

    convert = found.ax.convert_xunits if axis == "x" else found.ax.convert_yunits
    return np.ma.filled(np.ma.asarray(np.ma.masked_invalid(np.ma.asarray(convert(values), float))), np.nan).astype(
        float
    )


def _stacked(found: Found, collection: Any, data: dict[str, Any]) -> None:
    x = _convert(found, "x", data["x"])
    raw = Raw("area", label_of(collection), x, data["y"], {}, discrete="x", artists=[collection])
    raw.color, raw.flags = _face(collection), {"stacked": True}
    found.add(raw)


def _fill(found: Found, collection: Any, data: dict[str, Any]) -> None:
    """To zero: an area. Between two curves: a band, `y` its upper edge and `y0` its lower one."""
    import numpy as np

    axis, value = ("y", "x") if data["horizontal"] else ("x", "y")
    at = np.ravel(_convert(found, axis, data["at"]))
    one = np.broadcast_to(np.ravel(_convert(found, value, data["one"])), at.shape).astype(float)
    two = np.broadcast_to(np.ravel(_convert(found, value, data["two"])), at.shape).astype(float)
    if data["where"] is not None:
        keep = np.ravel(np.asarray(data["where"], bool))
        at, one, two = at[keep], one[keep], two[keep]
    if not np.any(np.isfinite(one) & np.isfinite(two)):
        found.take([collection])  # seaborn's interval around single observations: nothing is drawn
        return
    flat = not np.any(np.nan_to_num(two)) or not np.any(np.nan_to_num(one))
    high, low = (one, two) if flat and not np.any(np.nan_to_num(two)) else (np.fmax(one, two), np.fmin(one, two))
    if flat and np.any(np.nan_to_num(two)):
        high, low = two, one
    extra: dict[str, Any] = {} if flat else {"y0": (value, low)}
    raw = Raw("area" if flat else "band", label_of(collection), at, high, extra, discrete=axis, artists=[collection])
    raw.color = _face(collection)
    if data["horizontal"]:
        raw.x, raw.y, raw.orientation = high, at, "h"
        if not flat:
            raw.extra["x0"] = raw.extra.pop("y0")
    raw.flags = {"edges": (one, two), "at": at}
    found.add(raw)


def _broken(found: Found, collection: Any, data: dict[str, Any]) -> None:
    import numpy as np

    low = np.array([float(found.ax.convert_xunits(start)) for start, _ in data["xranges"]])
    path_ends = [path.get_extents().x1 for path in collection.get_paths()]
    y0, height = data["yrange"]
    middle = float(found.ax.convert_yunits(y0)) + float(height) / 2
    extra = {"start": ("x", low), "end": ("x", np.array(path_ends, float))}
    raw = Raw("gantt", label_of(collection), None, np.full(len(low), middle), extra, "h", "y", artists=[collection])
    raw.color, raw.flags = _face(collection), {"at": raw.y}
    found.add(raw)


def unstack(found: Found) -> None:
    """Pandas draws an area as a line over a fill from the line below: one area with its own values."""
    import numpy as np

    if not getattr(found.ax, "_ci_area", False):
        return
    fills = [raw for raw in found.series if "edges" in raw.flags]
    upon = any(np.any(np.nan_to_num(raw.flags["edges"][0])) for raw in fills)
    for raw in fills:
        one, two = raw.flags["edges"]
        raw.kind, raw.y = "area", np.maximum(one, two) - np.minimum(one, two)
        raw.extra.clear()
        raw.flags["stacked"] = upon
        line = next((o for o in found.series if o.kind == "line" and _same_line(o, raw, one, two)), None)
        if line is not None:
            raw.name = raw.name or line.name
            found.series.remove(line)


def _same_line(line: Raw, fill: Raw, one: Any, two: Any) -> bool:
    import numpy as np

    on = len(line.y) == len(one) and np.allclose(line.x, fill.flags["at"], equal_nan=True)
    return bool(on and (np.allclose(line.y, one, equal_nan=True) or np.allclose(line.y, two, equal_nan=True)))


def _untagged(found: Found) -> None:
    """Filled polygons of a figure that was unpickled or made before the hooks: read from their outline."""
    for collection in list(found.ax.collections):
        if id(collection) in found.done or type(collection).__name__ != "FillBetweenPolyCollection":
            continue
        for path in collection.get_paths():
            half = len(path.vertices) // 2
            lower, upper = path.vertices[1:half], path.vertices[half + 1 : -1][::-1]
            if len(lower) == len(upper):
                x, y0, y = lower[:, 0], lower[:, 1], upper[:, 1]
                found.add(Raw("band", label_of(collection), x, y, {"y0": ("y", y0)}, artists=[collection]))
        if id(collection) not in found.done:
            found.take([collection])
            found.lack("a filled area could not be read")


def _polygon(found: Found, patch: Any) -> None:
    """`ax.fill`: the area under a drawn line says nothing new; any other is an area by its corners."""
    import numpy as np

    note = tag_of(patch)
    if note is None or note.kind != "polygon":
        return  # made by hand: `grids.leftovers` says so
    found.take([patch])
    if not in_data(patch, found.ax) or not patch.get_visible():
        return
    corners = np.asarray(patch.get_path().vertices, float)
    for line in found.ax.lines:
        x, y = xy_of(line)
        n = len(x)
        if n > 2 and len(corners) - n in (0, 1) and np.allclose(corners[:n], np.column_stack([x, y]), equal_nan=True):
            return
    x, y = corners[:, 0], corners[:, 1]
    found.add(
        Raw("area", label_of(patch), x, y, {"corners": True}, artists=[patch], discrete="xy",
            color=hex_color(patch.get_facecolor()))
    )  # fmt: skip


def _pies(found: Found) -> None:
    """Wedges of one `pie` call; labels may be in the legend instead."""
    seen: set[int] = set()
    for patch in list(found.ax.patches):
        note = tag_of(patch)
        if type(patch).__name__ != "Wedge" or id(patch) in found.done or (note is not None and id(note) in seen):
            continue
        if note is not None and note.kind == "pie":
            seen.add(id(note))
            _pie(found, note.artists, note.data["values"], note.data["labels"], hollow=bool(note.data["width"]))
        else:
            wedges = [item for item in found.ax.patches if type(item).__name__ == "Wedge" and tag_of(item) is None]
            angles = [abs(item.theta2 - item.theta1) for item in wedges]
            labels = [label_of(item) or "" for item in wedges]
            _pie(found, wedges, angles, labels if any(labels) else None, hollow=any(w.width for w in wedges))
            found.series[-1].extra["values_are"] = "degrees"


def _pie(found: Found, wedges: list[Any], values: Any, labels: list[str] | None, *, hollow: bool) -> None:
    if labels is None or not any(labels):
        labels = _legend_labels(found.ax, wedges)
    hollow = hollow or _covered(found, wedges)
    if labels is None:
        found.lack("the slices have no labels")
        labels = [f"slice {n + 1}" for n in range(len(wedges))]
    raw = Raw("pie", None, labels, list(map(float, values)), artists=list(wedges), ready=True, flags={"hollow": hollow})
    found.add(raw)


def _covered(found: Found, wedges: list[Any]) -> bool:
    """A white circle in the middle makes a donut."""
    radius = min(wedge.r for wedge in wedges) if wedges else 0
    inner = [p for p in found.ax.patches if type(p).__name__ == "Circle" and p.radius < radius]
    inner += [a for a in found.ax.artists if type(a).__name__ == "Circle"]
    found.take(inner)
    return bool(inner)


def _legend_labels(ax: Any, wedges: list[Any]) -> list[str] | None:
    """The legend lists the wedges in their order, or by their colours."""
    legend = ax.get_legend()
    if legend is None:
        return None
    texts = [text.get_text() for text in legend.get_texts()]
    if len(texts) == len(wedges):
        return texts
    handles = getattr(legend, "legend_handles", None) or getattr(legend, "legendHandles", [])
    by_color = {hex_color(h.get_facecolor()): t for h, t in zip(handles, texts, strict=False)
                if hasattr(h, "get_facecolor")}  # fmt: skip
    labels = [by_color.get(hex_color(wedge.get_facecolor()), "") for wedge in wedges]
    return labels if all(labels) else None
