"""Reads box plots and violins from the statistics they were drawn with (`Axes.bxp`, `Axes.violin`, seaborn)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from ..importing import np
from .hooks import Tag, tag_of
from .series import Found, Raw, directions, face_of, hex_color

if TYPE_CHECKING:
    from ..foreign import Extra, Stats


_STATISTICS = {
    "box": {"q1": "q1", "med": "median", "q3": "q3", "whislo": "whislo", "whishi": "whishi", "mean": "mean"},
    "violin": {key: key for key in ("q1", "median", "q3", "min", "max", "mean", "n")},
}
"""The statistics of each kind, as matplotlib or our hook names them, and their names in the schema."""

_Member: TypeAlias = tuple[float, "Stats", Tag]
"""One box: its place on the axis, its statistics and the call that drew it."""


def read(found: Found) -> None:
    """Adds a series for each call, or one for several calls that belong together."""
    tags = _tags(found)
    for kind in _STATISTICS:
        for group in _groups([note for note in tags if note.kind == kind]):
            found.add(_series(kind, group))


def _tags(found: Found) -> list[Tag]:
    """Returns the calls that drew boxes or violins, in that order, and takes all that they drew."""
    notes = (tag_of(artist) for artist in [*found.ax.lines, *found.ax.patches, *found.ax.collections])
    tags = list({id(note): note for note in notes if note.kind in _STATISTICS}.values())
    for note in tags:
        found.take(note.artists)
    return tags


def _groups(tags: list[Tag]) -> list[list[_Member]]:
    """Returns one series per call; calls of one colour or one hue, each with few boxes, are parts of one series."""
    series: dict[object, list[_Member]] = {}
    colors = [_color(note) for note in tags]
    several = len(set(colors) - {None}) > 1 and not _one_each(tags)
    apart = len(tags) > 1 and _overlapping(tags)
    for n, (note, color) in enumerate(zip(tags, colors, strict=True)):
        key = note.data.get("hue") or (color if several else None) or (n if apart else None)
        places = map(float, note.data["positions"])
        series.setdefault(key, []).extend((at, entry, note) for at, entry in zip(places, note.data["stats"]))  # noqa: B905
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
    first = group[0][2]
    # Calls of one series come group by group, or hue by hue; readers expect the order of the axis.
    places, stats, _ = zip(*sorted(group, key=itemgetter(0)), strict=True)
    horizontal = bool(first.data["horizontal"])
    axis, value = directions(horizontal=horizontal)
    raw = Raw(kind, orientation="h" if horizontal else None, discrete=axis, color=_color(first))
    raw.extra = _statistics(kind, stats, value)
    if kind == "box":
        raw.extra["fliers"] = [np.asarray(entry.get("fliers", ()), float).tolist() for entry in stats]
    label = first.data.get("hue") or first.data.get("label")
    raw.name = label if isinstance(label, str) else None
    raw.artists = [artist for _, _, note in group for artist in note.artists]
    raw.flags = {"groups": np.array(places), "axis": axis, "tick_labels": _labels(stats)}
    return raw


def _statistics(kind: str, stats: Sequence[Stats], value: str) -> Extra:
    """Returns the statistics that every box has, as columns on the axis `value`; counts are on none."""
    known = {name: key for key, name in _STATISTICS[kind].items() if all(key in entry for entry in stats)}
    columns = {name: np.array([float(entry[key]) for entry in stats]) for name, key in known.items()}
    return {name: ("n" if name == "n" else value, column) for name, column in columns.items()}


def _labels(stats: Sequence[Stats]) -> list[str] | None:
    """Returns the label of each box, or None when one has none."""
    labels = [entry.get("label") for entry in stats]
    return None if {None, ""} & set(labels) else list(map(str, labels))
