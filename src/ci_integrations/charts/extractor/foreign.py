"""Names for the objects of other libraries that the extractor reads, and for the dicts that it makes of them.

Every name of a foreign object is `Any` to a type checker: the extractor reads whatever version the kernel has, and
attributes that no library declares, such as the tags of its own hooks. The names tell a reader what a parameter is.

Modules import this one under `TYPE_CHECKING` only, so that a kernel never loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Literal, TypeAlias, TypedDict

# matplotlib

Artist: TypeAlias = Any
"""Anything that is drawn: a line, a patch, a collection, a text."""
Axes: TypeAlias = Any
"""A coordinate system of a figure."""
AxisArtist: TypeAlias = Any
"""The x, y or z axis of an `Axes`, with its ticks, its locator, its formatter and its converter."""
Collection: TypeAlias = Any
"""Many marks in one artist: points, line segments, filled areas, meshes."""
Color: TypeAlias = Any
"""A colour in any of matplotlib's forms."""
Container: TypeAlias = Any
"""The artists of one call of `bar`, `errorbar` or `stem`."""
Figure: TypeAlias = Any
"""A matplotlib figure."""
Line: TypeAlias = Any
"""A `Line2D`, or a `Line3D` in space."""
Patch: TypeAlias = Any
"""A rectangle, wedge, polygon or other filled shape."""
Gcf: TypeAlias = Any
"""The class with which pyplot keeps the open figures."""
Manager: TypeAlias = Any
"""What holds one of pyplot's figures: its canvas and its window."""
Converter: TypeAlias = Any
"""What turns times or words into positions on an axis; None when there is none."""
Drawn: TypeAlias = Any
"""What a plotting method returned: an artist, or several in a list, tuple or dict."""

# numpy, pandas, seaborn, IPython

Array: TypeAlias = Any
"""A numpy array of numbers."""
UserData: TypeAlias = Any
"""What the user's code gave to a plotting method: an array, list, Series, number, text or time."""
Frame: TypeAlias = Any
"""A pandas DataFrame or Series."""
Index: TypeAlias = Any
"""A pandas index."""
Frequency: TypeAlias = Any
"""A pandas offset, such as that of a month."""
Plotter: TypeAlias = Any
"""The object in which seaborn or pandas holds one plot while it draws it."""
Shell: TypeAlias = Any
"""An IPython `InteractiveShell`."""
Function: TypeAlias = Callable[..., Any]
"""A function of another library, which a hook replaces."""
Call: TypeAlias = dict[str, Any]
"""The arguments of a hooked call by their names."""
Reader: TypeAlias = Callable[[Any, Call, Drawn], None]
"""What a hook calls after the plotting method, with the object, the arguments and what was drawn."""
Stats: TypeAlias = dict[str, Any]
"""The statistics of one box or violin: quartiles, whiskers, outliers and more."""
Extra: TypeAlias = dict[str, Any]
"""A series' extra columns while it is read: JSON, or a pair of an axis and an array of positions on it."""
Zone: TypeAlias = tzinfo | None
"""The time zone of a date axis."""

# What the extractor makes: JSON

Json: TypeAlias = Any
"""A JSON value."""
Column: TypeAlias = Any
"""A list of JSON values, or a `Packed` column."""


class Packed(TypedDict, total=False):
    """A column of more than 1 000 numbers (`pack.py`). While it waits for `pack.fit` it holds `raw` instead of text."""

    raw: Array
    b64: str
    file: str
    sha256: str
    dtype: str
    n: int
    div: int
    shape: list[int]
    range: list[float]
    time: bool
    start: float
    step: float
    last: float


class Series(TypedDict, total=False):
    """One series in the schema `ci.chart/1`."""

    name: str | None
    kind: str
    x: Column
    y: Column
    extra: dict[str, Json]
    orientation: str
    axis: str
    """The second axis on which it is drawn, "x2" or "y2"."""


E2BChart: TypeAlias = dict[str, Any]
"""A chart, or a part of one, in the shape that the E2B SDK reads."""
Panel: TypeAlias = dict[str, Any]
"""One panel in the schema: kind, title, axes, series, notes and whether it is complete."""
Bundle: TypeAlias = dict[str, Any]
"""A display message: MIME type to content."""


class Payload(TypedDict):
    """One figure in the schema."""

    schema: Literal["ci.chart/1"]
    figure_id: str
    title: str | None
    source: dict[str, str | int]
    panels: list[Panel]
