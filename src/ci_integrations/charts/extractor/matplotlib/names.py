"""Names that only the legend tells, and error bars that belong to the marks they stand on."""

from __future__ import annotations

from typing import Any

from .series import Found, Raw, hex_color

_NAMED = ("line", "step", "bar", "histogram", "box", "violin", "scatter", "area", "errorbar", "rule")


def entries(group: list[Any]) -> dict[str, str | None]:
    """Legend texts by colour, those of lines also by "rule" and colour; None where two texts share a colour."""
    legends = [ax.get_legend() for ax in group] + list(getattr(group[0].get_figure(), "legends", ()))
    found: dict[str, str | None] = {}
    for legend in [legend for legend in legends if legend is not None]:
        handles = getattr(legend, "legend_handles", None) or getattr(legend, "legendHandles", [])
        for handle, text in zip(handles, legend.get_texts(), strict=False):
            color = _handle_color(handle)
            words = text.get_text().strip()
            for key in _keys(handle, color) if color is not None and words else ():
                found[key] = None if key in found and found[key] != words else words
    return found


def _keys(handle: Any, color: str) -> tuple[str, ...]:
    return (color, f"rule {color}") if hasattr(handle, "get_drawstyle") else (color,)


def _handle_color(handle: Any) -> str | None:
    for getter in ("get_facecolor", "get_markerfacecolor", "get_color"):
        if not hasattr(handle, getter):
            continue
        if getter == "get_markerfacecolor" and str(handle.get_linestyle()) not in ("None", "none", ""):
            continue
        color = getattr(handle, getter)()
        if hasattr(color, "ndim") and getattr(color, "ndim", 1) == 2:
            color = color[0] if len(color) else None
        return hex_color(color) if color is not None else None
    return None


def give(found: Found, legend: dict[str, str | None]) -> None:
    """Name the unnamed by colour, where that is certain."""
    if not legend:
        return
    owned = {raw.name for raw in found.series if raw.name}
    found.series = [part for raw in found.series for part in _split(raw, legend)]
    nameless = [raw for raw in found.series if not raw.name and raw.kind in _NAMED]
    for raw in nameless:
        name = legend.get(f"rule {raw.color}" if raw.kind == "rule" else raw.color or "")
        if not name or name in owned:
            continue  # an artist with that label stands behind the entry
        rivals = [other for other in nameless if raw.kind in ("rule", other.kind) and other.color == raw.color]
        if (len(rivals) == 1 or raw.kind == "scatter") and _one_color(raw):
            raw.name = name
            raw.flags["legend"] = True
    _join(found)


def _join(found: Found) -> None:
    """Points of one legend entry, drawn category by category as seaborn's strips and swarms are, are one series."""
    import numpy as np

    first: dict[str, Raw] = {}
    for raw in [raw for raw in found.series if raw.kind == "scatter" and raw.name and "legend" in raw.flags]:
        whole = first.setdefault(str(raw.name), raw)
        if whole is raw or whole.extra.keys() != raw.extra.keys():
            continue
        whole.x, whole.y = np.concatenate([whole.x, raw.x]), np.concatenate([whole.y, raw.y])
        whole.extra = {key: (which, np.concatenate([values, raw.extra[key][1]]))
                       for key, (which, values) in whole.extra.items()}  # fmt: skip
        whole.artists = [*whole.artists, *raw.artists]
        found.series.remove(raw)


def _one_color(raw: Raw) -> bool:
    if raw.kind == "scatter":
        colors = raw.flags.get("point_colors", ())
        return "color" not in raw.extra and len({hex_color(color) for color in colors}) <= 1
    if raw.kind != "bar":
        return True
    return len({hex_color(patch.get_facecolor()) for patch in raw.artists if hasattr(patch, "get_facecolor")}) == 1


def _split(raw: Raw, legend: dict[str, str | None]) -> list[Raw]:
    """A scatter whose points carry the legend's colours is one series per colour, as seaborn's hue means it."""
    import numpy as np

    colors = raw.flags.get("point_colors")
    if colors is None or raw.name:
        return [raw]
    keys = [hex_color(color) for color in colors]
    groups = [color for color in legend if color in keys]
    if len(groups) < 2 or set(keys) - set(groups) or not all(legend[color] for color in groups):
        return [raw]
    parts = []
    for color in groups:
        chosen = np.array([key == color for key in keys])
        extra = {key: (which, values[chosen]) for key, (which, values) in raw.extra.items()}
        part = Raw("scatter", legend[color], raw.x[chosen], raw.y[chosen], extra, discrete="xy", order=raw.order)
        part.artists, part.color, part.flags = raw.artists, color, {"legend": True}
        parts.append(part)
    return parts


def attach_errors(found: Found) -> None:
    """Error bars that seaborn drew as plain lines, told by its hook, go to the bars or points beneath."""
    import numpy as np

    for note in getattr(found.ax, "_ci_errors", ()):
        at, low, high = (np.asarray(note[key], float) for key in ("at", "low", "high"))
        value = "y" if note["orient"] == "x" else "x"
        for raw in found.series:
            own = raw.flags.get("at", raw.x if value == "y" else raw.y)
            if raw.kind not in ("bar", "line", "scatter") or own is None or "err_low" in raw.extra:
                continue
            own = np.asarray(own, float)
            if own.shape == at.shape and np.allclose(own, at, equal_nan=True):
                raw.extra["err_low"], raw.extra["err_high"] = (value, low), (value, high)
                break
