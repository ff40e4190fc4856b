"""Reads box plots and violins from the statistics they were drawn with (`Axes.bxp`, `Axes.violin`, seaborn)."""

from __future__ import annotations

from typing import TypeAlias

from ..importing import np
from .hooks import Tag, tag_of
from .series import Found, Raw, face_of, hex_color

_STATISTICS = {
    "box": {"q1": "q1", "med": "median", "q3": "q3", "whislo": "whislo", "whishi": "whishi", "mean": "mean"},
    "violin": {key: key for key in ("q1", "median", "q3", "min", "max", "mean", "n")},
}
"""The statistics of each kind, as matplotlib or our hook names them, and their names in the schema."""

_Member: TypeAlias = tuple[Tag, int]
"""One box: the call that drew it, and its place among the boxes of that call."""


def read(found: Found) -> None:
    """Adds a series for each call, or one for several calls that belong together."""
    for kind in ("box", "violin"):
        tags = _tags(found, kind)
        for note in tags:
            found.take(note.artists)
        for group in _groups(tags):
            found.add(_series(kind, group))


def _tags(found: Found, kind: str) -> list[Tag]:
    """Returns the calls of one kind in the order in which they drew."""
    notes = (tag_of(artist) for artist in [*found.ax.lines, *found.ax.patches, *found.ax.collections])
    return list({id(note): note for note in notes if note.kind == kind}.values())


def _groups(tags: list[Tag]) -> list[list[_Member]]:
    """Returns one series per call; calls of one colour or one hue, each with few boxes, are parts of one series."""
    series: dict[object, list[_Member]] = {}
    colors = [_color(note) for note in tags]
    several = len(set(colors) - {None}) > 1 and not _one_each(tags)
    apart = len(tags) > 1 and _overlapping(tags)
    for n, (note, color) in enumerate(zip(tags, colors, strict=True)):
        key = note.data.get("hue") or (color if several else None)
        if key is None and apart:
            key = n
        series.setdefault(key, []).extend((note, place) for place in range(len(note.data["stats"])))
    return list(series.values())


def _one_each(tags: list[Tag]) -> bool:
    """Says whether each call drew one box in a place of its own: seaborn colours groups like that."""
    places = [float(note.data["positions"][0]) for note in tags]
    alone = all(len(note.data["positions"]) == 1 for note in tags)
    return alone and len(set(map(round, places))) == len(places)


def _overlapping(tags: list[Tag]) -> bool:
    """Says whether two calls drew side by side in the same groups."""
    counts = {len(note.data["positions"]) for note in tags}
    return len(counts) == 1 and counts.isdisjoint({0, 1})


def _color(note: Tag) -> str | None:
    """Returns the colour of a call's boxes, or None when there are several or none."""
    faces = {hex_color(face_of(box)) for box in note.data["boxes"]}
    return faces.pop() if len(faces) == 1 else None


def _series(kind: str, group: list[_Member]) -> Raw:
    """Returns boxes or violins as one series, in the order of their places."""
    first = group[0][0]
    places = np.array([float(note.data["positions"][place]) for note, place in group])
    # Calls of one series come group by group, or hue by hue; readers expect the order of the axis.
    order = np.argsort(places, kind="stable")
    stats = [note.data["stats"][place] for note, place in (group[n] for n in order)]
    horizontal = bool(first.data["horizontal"])
    axis, value = ("y", "x") if horizontal else ("x", "y")
    raw = Raw(kind, orientation="h" if horizontal else None, discrete=axis, color=_color(first))
    for key, name in _STATISTICS[kind].items():
        if all(key in entry for entry in stats):
            raw.extra[name] = ("n" if key == "n" else value, np.array([float(entry[key]) for entry in stats]))
    if kind == "box":
        raw.extra["fliers"] = [np.asarray(entry.get("fliers", ()), float).tolist() for entry in stats]
    label = first.data.get("hue") or first.data.get("label")
    raw.name = label if isinstance(label, str) else None
    raw.artists = [artist for note, _ in group for artist in note.artists]
    labels = [str(entry["label"]) for entry in stats if entry.get("label") not in (None, "")]
    raw.flags = {"groups": places[order], "axis": axis, "tick_labels": labels if len(labels) == len(stats) else None}
    return raw
