"""Box plots and violins, from the statistics they were drawn with (`Axes.bxp`, `Axes.violin`, seaborn)."""

from __future__ import annotations

from typing import Any

from .hooks import Tag, tag_of
from .series import Found, Raw, hex_color

_BOX = ("q1", "med", "q3", "whislo", "whishi", "mean")
_NAMES = {"med": "median"}


def read(found: Found) -> None:
    for kind in ("box", "violin"):
        tags = _tags(found, kind)
        for note in tags:
            found.take(note.artists)
        for group in _groups(tags):
            found.add(_series(kind, group))


def _tags(found: Found, kind: str) -> list[Tag]:
    seen: dict[int, Tag] = {}
    for artist in [*found.ax.lines, *found.ax.patches, *found.ax.collections]:
        note = tag_of(artist)
        if note is not None and note.kind == kind:
            seen.setdefault(id(note), note)
    return list(seen.values())


def _groups(tags: list[Tag]) -> list[list[tuple[Tag, int]]]:
    """One series per call; calls of one colour or one hue, each with few boxes, are parts of one series."""
    series: dict[Any, list[tuple[Tag, int]]] = {}
    colors = [_color(note) for note in tags]
    several = len({color for color in colors if color}) > 1 and not _one_each(tags)
    for n, (note, color) in enumerate(zip(tags, colors, strict=True)):
        key = note.data.get("hue") or (color if several else None)
        if len(tags) > 1 and key is None and _overlapping(tags):
            key = n
        series.setdefault(key, []).extend((note, place) for place in range(len(note.data["stats"])))
    return list(series.values())


def _one_each(tags: list[Tag]) -> bool:
    """Calls with a single box each, every one in a place of its own: seaborn colours groups like that."""
    places = [float(note.data["positions"][0]) for note in tags]
    alone = all(len(note.data["positions"]) == 1 for note in tags)
    return alone and len({round(place) for place in places}) == len(places)


def _overlapping(tags: list[Tag]) -> bool:
    """True when two calls stand side by side in the same groups."""
    positions = [float(p) for note in tags for p in note.data["positions"]]
    counts = {len(note.data["positions"]) for note in tags}
    return len(counts) == 1 and counts != {1} and len(positions) > 1


def _color(note: Tag) -> str | None:
    boxes = note.data["boxes"]
    if not boxes:
        return None
    faces = {_face(box) for box in boxes}
    return faces.pop() if len(faces) == 1 else None


def _face(box: Any) -> str | None:
    face = box.get_facecolor() if hasattr(box, "get_facecolor") else box.get_color()
    if hasattr(face, "ndim") and face.ndim == 2:
        face = face[0] if len(face) else None
    return hex_color(face)


def _series(kind: str, group: list[tuple[Tag, int]]) -> Raw:
    import numpy as np

    first = group[0][0]
    stats = [note.data["stats"][place] for note, place in group]
    positions = np.array([float(note.data["positions"][place]) for note, place in group])
    horizontal = bool(first.data["horizontal"])
    value = "x" if horizontal else "y"
    order = np.argsort(positions, kind="stable")
    stats, positions = [stats[n] for n in order], positions[order]
    extra: dict[str, Any] = {}
    keys = _BOX if kind == "box" else ("q1", "median", "q3", "min", "max", "mean", "n")
    for key in keys:
        if all(key in entry for entry in stats):
            extra[_NAMES.get(key, key)] = (value if key != "n" else "n", np.array([float(e[key]) for e in stats]))
    if kind == "box":
        extra["fliers"] = [[float(v) for v in np.asarray(entry.get("fliers", ())).tolist()] for entry in stats]
    axis = "y" if horizontal else "x"
    name = first.data.get("hue") or first.data.get("label")
    artists = [artist for note, _ in group for artist in note.artists]
    raw = Raw(kind, name if isinstance(name, str) else None, None, None, extra, "h" if horizontal else None, axis)
    raw.artists, raw.color = artists, _color(first)
    raw.flags = {"groups": positions, "axis": axis, "tick_labels": _labels(stats)}
    return raw


def _labels(stats: list[dict[str, Any]]) -> list[str] | None:
    labels = [str(entry["label"]) for entry in stats if entry.get("label") not in (None, "")]
    return labels if len(labels) == len(stats) else None
