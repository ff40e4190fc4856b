"""Finds names that only the legend has, and gives error bars to the marks on which they are drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from ..importing import np
from .series import Found, Raw, alike, first_color, hex_color

if TYPE_CHECKING:
    from ..foreign import Array, Artist, Axes, Color


_NAMED = ("line", "step", "bar", "histogram", "box", "violin", "scatter", "area", "errorbar", "rule")
"""Kinds of series that a legend names."""
_NO_LINE = ("None", "none", "")

_Legend: TypeAlias = dict[str, str | None]
"""Texts by colour, those of lines also by "rule" and colour; None where two texts share a colour."""


def entries(group: list[Axes]) -> _Legend:
    """Returns what the legends of a panel and of its figure say."""
    legends = [ax.get_legend() for ax in group] + list(getattr(group[0].get_figure(), "legends", ()))
    found: _Legend = {}
    for key, words in itertools.chain.from_iterable(_entries(legend) for legend in legends if legend is not None):
        found[key] = None if found.get(key, words) != words else words
    return found


def handles_of(legend: Artist) -> list[Artist]:
    """Returns the marks of a legend's entries. Before matplotlib 3.7 their attribute has another name."""
    return getattr(legend, "legend_handles", None) or getattr(legend, "legendHandles", None) or []


def _entries(legend: Artist) -> Iterator[tuple[str, str]]:
    """Yields a legend's colours with their texts."""
    for handle, text in zip(handles_of(legend), legend.get_texts(), strict=False):
        color, words = hex_color(_handle_color(handle)), text.get_text().strip()
        if color is None or not words:
            continue
        yield color, words
        if hasattr(handle, "get_drawstyle"):
            yield f"rule {color}", words


def _handle_color(handle: Artist) -> Color:
    """Returns the colour that a legend's mark shows: its face, its marker when it has no line, or its line."""
    if hasattr(handle, "get_facecolor"):
        return first_color(handle.get_facecolor())
    if hasattr(handle, "get_markerfacecolor") and str(handle.get_linestyle()) in _NO_LINE:
        return first_color(handle.get_markerfacecolor())
    return first_color(handle.get_color()) if hasattr(handle, "get_color") else None


def give(found: Found, legend: _Legend) -> None:
    """Names the series without a name by their colour, where that is certain."""
    if not legend:
        return
    owned = {raw.name for raw in found.series if raw.name}
    found.series = [part for raw in found.series for part in _split(raw, legend)]
    _give_alone(found, legend, owned)
    _join(found)


def _give_alone(found: Found, legend: _Legend, owned: set[str]) -> None:
    """Names the series whose colour means them alone. An artist with that label is what the entry means: `owned`."""
    nameless = [raw for raw in found.of(*_NAMED) if not raw.name]
    for raw in nameless:
        name = legend.get(_key(raw))
        if name and name not in owned and _certain(raw, nameless):
            raw.name = name
            raw.flags["legend"] = True


def _key(raw: Raw) -> str:
    """Returns under what a legend would have a series."""
    return f"rule {raw.color}" if raw.kind == "rule" else str(raw.color)


def _certain(raw: Raw, nameless: list[Raw]) -> bool:
    """Says whether a colour means this series: no other one has it, and all its marks do."""
    rivals = [other for other in nameless if raw.kind in ("rule", other.kind) and other.color == raw.color]
    return (len(rivals) == 1 or raw.kind == "scatter") and _one_color(raw)


def _join(found: Found) -> None:
    """Points of one legend entry, drawn category by category as seaborn's strips and swarms are, become one series."""
    first: dict[str, Raw] = {}
    for raw in [raw for raw in found.of("scatter") if raw.name and "legend" in raw.flags]:
        whole = first.setdefault(str(raw.name), raw)
        if whole is raw or whole.extra.keys() != raw.extra.keys():
            continue
        whole.x, whole.y = np.concatenate([whole.x, raw.x]), np.concatenate([whole.y, raw.y])
        whole.extra = {key: (which, np.concatenate([values, raw.extra[key][1]]))
                       for key, (which, values) in whole.extra.items()}  # fmt: skip
        whole.artists = [*whole.artists, *raw.artists]
        found.series.remove(raw)


def _one_color(raw: Raw) -> bool:
    """Says whether all marks of a series have one colour."""
    if raw.kind == "scatter":
        return "color" not in raw.extra and len(set(map(hex_color, raw.flags.get("point_colors", ())))) <= 1
    if raw.kind != "bar":
        return True
    return len({hex_color(patch.get_facecolor()) for patch in raw.artists if hasattr(patch, "get_facecolor")}) == 1


def _split(raw: Raw, legend: _Legend) -> list[Raw]:
    """A scatter whose points have the legend's colours is one series per colour, as seaborn's hue means it."""
    colors = raw.flags.get("point_colors")
    if colors is None or raw.name:
        return [raw]
    keys = list(map(hex_color, colors))
    groups = [color for color in legend if color in keys]
    if len(groups) < 2 or set(keys) - set(groups) or not all(legend[color] for color in groups):
        return [raw]
    return [_part(raw, color, legend[color], np.array([key == color for key in keys])) for color in groups]


def _part(raw: Raw, color: str, name: str | None, chosen: Array) -> Raw:
    """Returns the chosen points of a scatter as a series."""
    extra = {key: (which, values[chosen]) for key, (which, values) in raw.extra.items()}
    part = Raw("scatter", name, raw.x[chosen], raw.y[chosen], extra, discrete="xy", order=raw.order)
    part.artists, part.color, part.flags = raw.artists, color, {"legend": True}
    return part


def attach_errors(found: Found) -> None:
    """Error bars that seaborn drew as plain lines, known from its hook, go to the bars or points below them."""
    for note in getattr(found.ax, "_ci_errors", ()):
        at, low, high = (np.asarray(note[key], float) for key in ("at", "low", "high"))
        value = "y" if note["orient"] == "x" else "x"
        for raw in found.of("bar", "line", "scatter"):
            own = raw.flags.get("at", getattr(raw, note["orient"]))
            if "err_low" not in raw.extra and alike(np.asarray(own, float), at, gaps=True):
                raw.extra["err_low"], raw.extra["err_high"] = (value, low), (value, high)
                break
