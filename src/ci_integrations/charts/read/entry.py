"""Holds one series and one panel while a reader puts them together.

Readers fill in what they see, `combine` joins series by the hints on them, and `plain()` gives the form that `Chart`
validates. Nothing here is bounded: the payload was, before it was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ci_integrations.charts.read.plain import Json, low_high

Column = Sequence[object] | None
MAX_CELLS = 1_000_000
"""Places of one heat map that is put together from single cells."""
OTHER = {"x": "y", "y": "x"}
"""Each axis to the other one."""
ERRORS = {"x": ("xerr_low", "xerr_high"), "y": ("err_low", "err_high")}
"""The columns with the ends of error bars, by the axis along which these reach."""


@dataclass(eq=False)
class Entry:
    """One series. The fields from `stack` on are hints for `combine` and do not reach the chart."""

    kind: str
    x: Column = None
    y: Column = None
    name: str | None = None
    extra: Json = field(default_factory=dict)
    axis: str | None = None
    """`"x2"` or `"y2"` when the series has a second axis of its own."""
    orientation: str | None = None
    stack: str | None = None
    """The name of the stack that the library put the series into."""
    share_of: float | None = None
    """What each stack adds up to when the library draws shares instead of amounts: 1 or 100."""
    dodged: bool = False
    """True when the library moved the marks beside those of other series at the same places."""
    flat: bool = False
    """True for rectangles of one height, which may be the caps of whiskers."""
    unseen: bool = False
    """True for a line without width or colour."""
    fills_to_previous: bool = False
    """True for an area that reaches to the series before it."""
    ends: tuple[str, str] | None = None
    """The names of the fields that a floating bar's two ends come from, in lower case."""

    @property
    def horizontal(self) -> bool:
        """True when the values are in x and the places in y."""
        return self.orientation == "h"

    @property
    def value_axis(self) -> str:
        """The axis along which the marks reach: x for horizontal ones."""
        return "x" if self.horizontal else "y"

    @property
    def places(self) -> Sequence[object]:
        """The column that says where each mark stands."""
        return self.column(OTHER[self.value_axis])

    @property
    def values(self) -> Sequence[object]:
        """The column that says how long or high each mark is."""
        return self.column(self.value_axis)

    def column(self, which: str) -> Sequence[object]:
        """Returns x or y, empty when there is none."""
        return (self.x if which == "x" else self.y) or ()

    def columns(self) -> dict[str, Sequence[object]]:
        """Returns x, y and the columns of `extra` by name."""
        held = {"x": self.x, "y": self.y, **self.extra}
        return {name: values for name, values in held.items() if isinstance(values, (list, tuple))}

    def put(self, which: str, column: Column) -> None:
        """Sets x or y."""
        if which == "x":
            self.x = column
        else:
            self.y = column

    def plain(self) -> Json:
        """Returns the series as the chart's schema has it."""
        names = ("name", "kind", "x", "y", "extra", "axis", "orientation")
        return {name: getattr(self, name) for name in names}


def of_kind(entries: Iterable[Entry], *kinds: str) -> list[Entry]:
    """Returns the entries of these kinds, in their order."""
    return [entry for entry in entries if entry.kind in kinds]


def across(which: str, places: Column, values: Column, kind: str, extra: Json | None = None) -> Entry:
    """Returns an entry with its places on axis `which` and its values on the other one."""
    x, y = (places, values) if which == "x" else (values, places)
    return Entry(kind, x, y, extra={} if extra is None else extra)


def category(value: object) -> object:
    """Returns a category; one of several levels as one text."""
    return "/".join(map(str, value)) if isinstance(value, list) else value


def band(axis: str, places: Column, one: Iterable[object], two: Iterable[object]) -> Entry:
    """Returns a band between two edges over places on `axis`. Either edge may be the upper one."""
    low, high = low_high(one, two)
    return across(axis, places, high, "band", {f"{OTHER[axis]}0": low})


def heat_map(x: Sequence[object], y: Sequence[object], cells: Iterable[tuple[object, object, object]]) -> Entry:
    """Returns a heat map over these places, from single cells (x, y, value); places without a cell are None.

    Raises `ValueError` for more than `MAX_CELLS` places.
    """
    if len(x) * len(y) > MAX_CELLS:
        raise ValueError("too many cells")
    held = {(column, row): value for column, row, value in cells}
    return Entry("heatmap", x, y, extra={"z": [[held.get((column, row)) for column in x] for row in y]})


def rule(axis: str, value: object, name: str | None = None) -> Entry:
    """Returns a rule across the whole panel at one or several places of an axis."""
    return Entry("rule", name=name, extra={"axis": axis, "value": value})


def stripe(axis: str, start: object, end: object, name: str | None = None) -> Entry:
    """Returns a band across the whole panel, from one place of an axis to another, as a rule with two ends."""
    return Entry("rule", name=name, extra={"axis": axis, "start": [start], "end": [end], "value": [start, end]})


@dataclass(eq=False)
class PanelDraft:
    """One coordinate system with its series so far.

    `combine.settle` sets `kind` and `barmode` once all series are there.
    """

    title: str | None = None
    series: list[Entry] = field(default_factory=list)
    axes: dict[str, Json] = field(default_factory=dict)
    """Axes by name (`x`, `y`, `x2`, `y2`, `z`) in the chart's schema."""
    kind: str = ""
    barmode: str | None = None
    color_label: str | None = None
    notes: list[str] = field(default_factory=list)
    complete: bool = True

    def lack(self, note: str) -> None:
        """Notes what is drawn and not in the data: the panel is then not complete."""
        self.complete = False
        self.notes.append(note)

    def plain(self) -> Json:
        """Returns the panel as the chart's schema has it."""
        names = ("title", "kind", "barmode", "color_label", "notes", "complete")
        return {name: getattr(self, name) for name in names} | self.axes | {"series": [e.plain() for e in self.series]}
