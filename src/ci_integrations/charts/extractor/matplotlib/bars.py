"""Bars, histograms, waterfalls, Gantt charts and candlesticks: rectangles and what belongs to them."""

from __future__ import annotations

from typing import Any

from . import candles
from .hooks import tag_of
from .lines import error_ends
from .series import Found, Raw, hex_color, in_data, label_of


def read(found: Found) -> None:
    for container in list(found.ax.containers):
        if type(container).__name__ == "BarContainer" and any(patch.axes is found.ax for patch in container.patches):
            _container(found, container)
    for artist in [*found.ax.patches, *found.ax.lines, *found.ax.collections]:
        note = tag_of(artist)
        if id(artist) not in found.done and note is not None and note.kind == "histogram":
            _histogram(found, note, [artist])
    _loose(found)
    _merge_single(found)


def finish(found: Found) -> None:
    """When every series is known: candles are bars together with their wicks; far error bars join their bars."""
    _errors_on_bars(found)
    _candles(found)
    candles.thin_bars(found)


def _container(found: Found, container: Any) -> None:
    patches = [patch for patch in container.patches if patch.axes is found.ax]
    note = tag_of(patches[0])
    found.take(patches)
    if note is not None and note.kind == "histogram":
        _histogram(found, note, patches, label_of(container))
        return
    if note is not None and note.kind == "treemap":
        values = note.data["values"]
        extra = {"value": ("n", values)}
        found.add(Raw("treemap", None, note.data["labels"], values.tolist(), extra, artists=patches, ready=True))
        return
    raw = _bars(patches, label_of(container), horizontal=container.orientation == "horizontal")
    errors = getattr(container, "errorbar", None)
    if errors is not None:
        line, caps, collections = errors.lines
        raw.extra.update(_bar_errors(raw, list(collections)))
        found.take([artist for artist in (line, *caps, *collections) if artist is not None])
    found.add(raw)


def _bar_errors(raw: Raw, collections: list[Any]) -> dict[str, Any]:
    ends = error_ends(collections, raw.flags["at"], raw.flags["at"])
    axis = "x" if raw.orientation == "h" else "y"
    names = ("xerr_low", "xerr_high") if raw.orientation == "h" else ("err_low", "err_high")
    return {new: (axis, ends[old][1]) for new, old in zip(("err_low", "err_high"), names, strict=True) if old in ends}


def _bars(patches: list[Any], name: str | None, *, horizontal: bool) -> Raw:
    import numpy as np

    box = np.array([[p.get_x(), p.get_y(), p.get_width(), p.get_height()] for p in patches], float)
    at = _clean(box[:, 1] + box[:, 3] / 2 if horizontal else box[:, 0] + box[:, 2] / 2)
    base, length = (box[:, 0], box[:, 2]) if horizontal else (box[:, 1], box[:, 3])
    value, across = ("x", "y") if horizontal else ("y", "x")
    extra: dict[str, Any] = {}
    if np.any(np.nan_to_num(base) != 0):
        extra = {"base": (value, base), "start": (value, base), "end": (value, base + length)}
    raw = Raw(
        "bar", name, at, length, extra, "h" if horizontal else "v", across, artists=list(patches),
        color=hex_color(patches[0].get_facecolor()),
    )  # fmt: skip
    raw.flags = {"at": at, "base": base, "length": length, "thick": box[:, 3] if horizontal else box[:, 2]}
    if horizontal:
        raw.x, raw.y = length, at
    return raw


def _clean(values: Any) -> Any:
    """A bar's middle is its edge plus half its width: the last digit of that sum is noise."""
    import numpy as np

    rounded = np.round(values, 9)
    return np.where(np.abs(rounded - values) <= 1e-12 * np.maximum(1.0, np.abs(values)), rounded, values)


def _histogram(found: Found, note: Any, patches: list[Any], name: str | None = None) -> None:
    """The bins of one `hist` call or of seaborn's, whatever artists drew them."""
    import numpy as np

    edges, counts = note.data["edges"], note.data["counts"]
    centres = (edges[:-1] + edges[1:]) / 2
    horizontal = note.data.get("orientation") == "horizontal"
    axis = "y" if horizontal else "x"
    extra: dict[str, Any] = {"edges": (axis, edges)}
    raw = Raw("histogram", name or label_of(patches[0]), None, None, extra, artists=[*patches, *note.artists])
    raw.color = hex_color(_fill_color(patches[0]))
    raw.flags = {"centres": centres, "axis": axis} | {key: note.data.get(key) for key in ("stacked", "beside")}
    if horizontal:
        raw.orientation = "h"
    raw.x, raw.y = centres, np.asarray(counts, float)
    found.add(raw)


def _fill_color(patch: Any) -> Any:
    if not hasattr(patch, "get_facecolor"):
        return patch.get_color()
    face = patch.get_facecolor()
    if getattr(face, "ndim", 1) == 2:
        return face[0] if len(face) else None
    return face if face[3] > 0 else patch.get_edgecolor()


def _loose(found: Found) -> None:
    """Patches that no container holds: stairs, spans, and rectangles drawn one by one."""
    rectangles = []
    for patch in list(found.ax.patches):
        if id(patch) in found.done or not patch.get_visible():
            continue
        kind, note = type(patch).__name__, tag_of(patch)
        if note is not None and note.kind == "span":
            _span(found, patch, note.data)
        elif kind == "StepPatch":
            _stairs(found, patch)
        elif kind == "Rectangle" and patch.get_width() == 0 == patch.get_height():
            found.take([patch])  # a proxy for the legend
        elif kind == "Rectangle" and in_data(patch, found.ax):
            rectangles.append(patch)
    for group in _by_color(rectangles):
        raw = _bars(group, None, horizontal=_lying(group))
        found.add(raw)
        found.lack("rectangles drawn one by one are read as bars")


def _by_color(patches: list[Any]) -> list[list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for patch in patches:
        groups.setdefault(hex_color(patch.get_facecolor()), []).append(patch)
    return list(groups.values())


def _lying(patches: list[Any]) -> bool:
    """Bars of one group share their base and their thickness."""
    heights, widths = ({round(p.get_height(), 9) for p in patches}, {round(p.get_width(), 9) for p in patches})
    return len(heights) == 1 and len(widths) > 1


def _span(found: Found, patch: Any, data: dict[str, Any]) -> None:
    axis = data["axis"]
    convert = found.ax.convert_xunits if axis == "x" else found.ax.convert_yunits
    ends = [float(convert(data["low"])), float(convert(data["high"]))]
    extra = {"axis": axis, "start": (axis + "1", ends[:1]), "end": (axis + "1", ends[1:]), "value": (axis, ends)}
    found.add(Raw("rule", label_of(patch), None, None, extra, artists=[patch]))


def _stairs(found: Found, patch: Any) -> None:
    import numpy as np

    values, edges, _baseline = patch.get_data()
    horizontal = getattr(patch, "orientation", "vertical") == "horizontal"
    edges = np.asarray(edges, float)
    axis, value = ("y", "x") if horizontal else ("x", "y")
    centres, heights = (edges[:-1] + edges[1:]) / 2, np.asarray(values, float)
    extra = {"edges": (axis, edges), "values": (value, heights)}
    raw = Raw("step", label_of(patch), centres, heights, extra, artists=[patch], color=hex_color(_fill_color(patch)))
    found.add(raw)


def _merge_single(found: Found) -> None:
    """One `bar` call per category, as in a loop, is one series when nobody named them."""
    last: Raw | None = None
    for raw in [raw for raw in found.series if raw.kind == "bar"]:
        same = last is not None and last.orientation == raw.orientation and raw.name is None and last.name is None
        if last is None or not same or not (_single(last) and _single(raw)) or _overlap(last, raw):
            last = raw
            continue
        _append(last, raw)
        found.series.remove(raw)


def _single(raw: Raw) -> bool:
    return len(raw.flags["at"]) == 1 or "merged" in raw.flags


def _overlap(one: Raw, two: Raw) -> bool:
    import numpy as np

    gap = np.abs(one.flags["at"][:, None] - two.flags["at"][None, :])
    return bool(np.any(gap < 0.5 * max(one.flags["thick"][0], two.flags["thick"][0])))


def _append(one: Raw, two: Raw) -> None:
    import numpy as np

    for key in ("at", "base", "length", "thick"):
        one.flags[key] = np.concatenate([one.flags[key], two.flags[key]])
    one.flags["merged"] = True
    one.x, one.y = np.concatenate([one.x, two.x]), np.concatenate([one.y, two.y])
    value = "x" if one.orientation == "h" else "y"
    base, end = one.flags["base"], one.flags["base"] + one.flags["length"]
    if np.any(base != 0):
        one.extra.update(base=(value, base), start=(value, base), end=(value, end))
    for key in ("err_low", "err_high"):
        if key in one.extra and key in two.extra:
            one.extra[key] = (value, np.concatenate([one.extra[key][1], two.extra[key][1]]))
    one.artists += two.artists


def _errors_on_bars(found: Found) -> None:
    """Error bars that were drawn on their own over bars, as seaborn and many people do."""
    import numpy as np

    bars = [raw for raw in found.series if raw.kind == "bar"]
    for error in [raw for raw in found.series if raw.kind in ("errorbar", "error_lines")]:
        for bar in bars:
            axis = "x" if bar.orientation == "h" else "y"
            low, high = ("xerr_low", "xerr_high") if axis == "x" else ("err_low", "err_high")
            at = error.y if axis == "x" else error.x
            tip = bar.flags["base"] + bar.flags["length"]
            on = error.x if axis == "x" else error.y
            if low in error.extra and len(at) == len(tip) and np.allclose(at, bar.flags["at"]) and np.allclose(on, tip):
                bar.extra["err_low"], bar.extra["err_high"] = (axis, error.extra[low][1]), (axis, error.extra[high][1])
                found.series.remove(error)
                break


def _candles(found: Found) -> None:
    """Bars floating within the vertical lines at their places, body within wick for each."""
    import numpy as np

    bars = [raw for raw in found.series if raw.kind == "bar" and raw.orientation == "v" and "base" in raw.extra]
    wicks = candles.wicks(found)
    if not bars or not wicks:
        return
    at, low, high = (np.concatenate([raw.flags["positions"] for raw in wicks]), *_joined(wicks))
    spots = np.concatenate([raw.flags["at"] for raw in bars])
    order, places = np.argsort(at, kind="stable"), np.argsort(spots, kind="stable")
    if len(at) != len(spots) or not np.allclose(at[order], spots[places], atol=1e-6):
        return
    base = np.concatenate([raw.flags["base"] for raw in bars])[places]
    end = base + np.concatenate([raw.flags["length"] for raw in bars])[places]
    body_low, body_high = np.minimum(base, end), np.maximum(base, end)
    slack = 1e-9 * np.maximum(1.0, np.abs(high[order]))
    if np.any(body_low < low[order] - slack) or np.any(body_high > high[order] + slack):
        return
    extra = {
        "low": ("y", low[order]), "high": ("y", high[order]),
        "body_low": ("y", body_low), "body_high": ("y", body_high),
    }  # fmt: skip
    if len(bars) == 1:
        extra |= {"open": ("y", base), "close": ("y", end)}
    merged = Raw("candlestick", bars[0].name if len(bars) == 1 else None, at[order], None, extra, discrete="x")
    merged.order = min(raw.order for raw in bars + wicks)
    drawn = [*bars, *wicks, *(raw.flags.get("line") for raw in wicks)]
    found.series = [raw for raw in found.series if raw not in drawn] + [merged]


def _joined(wicks: list[Raw]) -> tuple[Any, Any]:
    import numpy as np

    return tuple(np.concatenate([raw.extra[key][1] for raw in wicks]) for key in ("low", "high"))  # type: ignore[return-value]
