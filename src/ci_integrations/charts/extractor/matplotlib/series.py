"""The series of one Axes while they are read: positions as drawn, not yet turned into values.

`Raw` keeps x and y as float arrays on the panel's axes; `Found` collects them together with what could not be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Raw:
    """One series. `x`, `y`: float arrays, or None. `extra` values: plain JSON, or `("x"|"y"|"n", array)` to convert."""

    kind: str
    name: str | None = None
    x: Any = None
    y: Any = None
    extra: dict[str, Any] = field(default_factory=dict)
    orientation: str | None = None
    discrete: str = ""
    """The axes, of "xy", whose positions may be categories."""
    order: int = 0
    artists: list[Any] = field(default_factory=list)
    axis: str | None = None
    ready: bool = False
    """x and y are finished labels or numbers already."""
    color: Any = None
    flags: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Found:
    """What one Axes holds: series, notes on what could not be read, and the artists already dealt with."""

    ax: Any
    series: list[Raw] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True
    done: set[int] = field(default_factory=set)
    order: dict[int, int] = field(default_factory=dict)
    mappables: list[Any] = field(default_factory=list)

    def add(self, raw: Raw) -> Raw:
        places = [self.order[id(artist)] for artist in raw.artists if id(artist) in self.order]
        raw.order = min(places) if places else len(self.order) + len(self.series)
        self.take(raw.artists)
        self.series.append(raw)
        return raw

    def take(self, artists: list[Any]) -> None:
        self.done.update(id(artist) for artist in artists)

    def lack(self, note: str) -> None:
        """Something is drawn that is not in the data."""
        self.complete = False
        if note not in self.notes:
            self.notes.append(note)


def label_of(artist: Any) -> str | None:
    """The label somebody gave; matplotlib's own begin with an underscore, pandas writes "None" for no name."""
    label = artist.get_label() if hasattr(artist, "get_label") else None
    label = None if label is None else str(label).strip()
    return label if label and not label.startswith("_") and label != "None" else None


def in_data(artist: Any, ax: Any) -> bool:
    """True when the artist's positions are data on both axes."""
    both = artist.get_transform().contains_branch_seperately(ax.transData)
    return bool(both[0] and both[1])


def hex_color(color: Any) -> str | None:
    """Any matplotlib colour as "#rrggbb", alpha left aside; None for none."""
    from matplotlib import colors

    try:
        rgba = colors.to_rgba(color)
    except (ValueError, TypeError):
        return None
    return None if rgba[3] == 0 and str(color) == "none" else str(colors.to_hex(rgba))
