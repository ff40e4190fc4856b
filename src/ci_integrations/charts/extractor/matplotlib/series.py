"""Holds the series of one Axes while they are read: positions as drawn, not yet turned into values.

`Raw` keeps x and y as float arrays on the panel's axes; `Found` collects them together with what could not be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..importing import np

if TYPE_CHECKING:
    from ..foreign import Array, Artist, Axes, Call, Color, Extra, UserData


@dataclass(eq=False)
class Raw:
    """One series. `x`, `y`: float arrays, or None. `extra` values: plain JSON, or `("x"|"y"|"n", array)` to convert."""

    kind: str
    name: str | None = None
    x: Array = None
    y: Array = None
    extra: Extra = field(default_factory=dict)
    orientation: str | None = None
    discrete: str = ""
    """The axes, of "xy", whose positions may be categories."""
    order: int = 0
    """The place at which its first artist is drawn among all artists of the Axes."""
    artists: list[Artist] = field(default_factory=list)
    ready: bool = False
    """x and y are finished labels or numbers already."""
    color: Color = None
    """What identifies the series in a legend, as "#rrggbb"."""
    flags: Call = field(default_factory=dict)
    """What later readers must know and the schema does not have, such as where bars begin."""


@dataclass(eq=False)
class Found:
    """What one Axes holds: series, notes on what could not be read, and the artists already dealt with."""

    ax: Axes
    series: list[Raw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True
    done: set[int] = field(default_factory=set)
    """Ids of the artists that a reader has dealt with."""
    order: dict[int, int] = field(default_factory=dict)
    """At which place each artist is drawn, by its id."""
    mappables: list[Artist] = field(default_factory=list)
    """Artists whose colours are numbers: a colour bar has the label of these numbers."""

    def add(self, raw: Raw) -> None:
        """Takes a series in, at the place at which the first of its artists is drawn."""
        places = [self.order[id(artist)] for artist in raw.artists if id(artist) in self.order]
        raw.order = min(places) if places else len(self.order) + len(self.series)
        self.take(raw.artists)
        self.series.append(raw)

    def take(self, artists: Iterable[Artist]) -> None:
        """Marks artists as dealt with: no later reader looks at them, and none of them is missing."""
        self.done.update(id(artist) for artist in artists)

    def left(self, artists: Iterable[Artist], *kinds: str) -> Iterator[Artist]:
        """Yields the artists that no reader has dealt with yet, of these classes' names if there are any."""
        for artist in list(artists):
            if id(artist) not in self.done and (not kinds or type(artist).__name__ in kinds):
                yield artist

    def of(self, *kinds: str) -> list[Raw]:
        """Returns the series of these kinds."""
        return [raw for raw in self.series if raw.kind in kinds]

    def convert(self, axis: str, values: UserData) -> UserData:
        """Returns what the user gave as positions on the axis "x" or "y": words and times become numbers."""
        return self.ax.convert_xunits(values) if axis == "x" else self.ax.convert_yunits(values)

    def lack(self, note: str) -> None:
        """Says that something is drawn that is not in the data."""
        self.complete = False
        if note not in self.notes:
            self.notes.append(note)


def label_of(artist: Artist) -> str | None:
    """Returns the label that the user gave: matplotlib's own begin with "_", pandas writes "None" for no name."""
    label = artist.get_label() if hasattr(artist, "get_label") else None
    label = None if label is None else str(label).strip()
    return label if label and not label.startswith("_") and label != "None" else None


def in_data(artist: Artist, ax: Axes) -> bool:
    """Says whether the artist's positions are data on both axes."""
    both = artist.get_transform().contains_branch_seperately(ax.transData)
    return bool(both[0] and both[1])


def hex_color(color: Color) -> str | None:
    """Returns a colour as "#rrggbb" without its alpha; None for "none" and for what is no colour."""
    from matplotlib import colors

    try:
        rgba = colors.to_rgba(color)
    except (ValueError, TypeError):
        return None
    return None if rgba[3] == 0 and str(color) == "none" else str(colors.to_hex(rgba))


def directions(*, horizontal: bool) -> tuple[str, str]:
    """Returns the axis on which marks have their places, and the one on which they have their values."""
    return ("y", "x") if horizontal else ("x", "y")


def alike(one: Array, two: Array, *, gaps: bool = False, **within: float) -> bool:
    """Says whether two columns are equal but for the last digits; with `gaps` a gap is equal to a gap.

    `within` is numpy's `rtol` and `atol`.
    """
    return len(one) == len(two) and bool(np.allclose(one, two, equal_nan=gaps, **within))


def filled(array: UserData) -> Array:
    """Returns floats in which masked values are NaN."""
    if type(array) is np.ndarray:  # a mask, where there is none, costs more than all the rest
        return np.asarray(array, float)
    return np.ma.filled(np.ma.asarray(array, float), np.nan)


def face_of(artist: Artist) -> Color:
    """Returns the colour with which an artist is filled, the first one of many; a line's own colour."""
    color = artist.get_facecolor() if hasattr(artist, "get_facecolor") else artist.get_color()
    return first_color(color)


def first_color(color: Color) -> Color:
    """Returns the first row of an array of colours, or None when it is empty; one colour as it is."""
    return next(iter(color), None) if getattr(color, "ndim", 1) == 2 else color
