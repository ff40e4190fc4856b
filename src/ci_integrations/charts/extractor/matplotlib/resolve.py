"""From drawn positions to values: which axes are categorical, what each series and each panel is called."""

from __future__ import annotations

from typing import Any

from .. import pack
from .axes import Axis, fixed_labels, reach_of
from .series import Found, Raw

_FIXED = ("bar", "box", "violin", "heatmap", "gantt", "candlestick")
_LOOSE = ("line", "step", "scatter", "stem", "errorbar", "area", "band")


def categories(plane: dict[str, Axis], found: Found) -> None:
    """Tick labels written by hand are categories when the marks stand at those ticks."""
    for which, axis in plane.items():
        labels = _cell_labels(which, found) or axis.candidates() or _box_labels(axis, which, found)
        if labels and _fit(labels, which, found):
            axis.adopt(labels)


def _cell_labels(which: str, found: Found) -> dict[float, str]:
    """A heat map that knows the names of all its rows or columns, of which the ticks may show a few."""
    for raw in found.series:
        names = raw.flags.get(f"{which}_labels") if raw.kind == "heatmap" else None
        if names:
            return dict(zip(getattr(raw, which).tolist(), names, strict=False))
    return {}


def _box_labels(axis: Axis, which: str, found: Found) -> dict[float, str]:
    """Box plots label their groups themselves, with numbers when they have no names."""
    for raw in found.series:
        if raw.kind == "box" and raw.flags["axis"] == which and axis.mode == "number":
            labels = raw.flags["tick_labels"]
            own = dict(zip(map(float, raw.flags["groups"]), labels, strict=True)) if labels else {}
            return own or fixed_labels(axis.axis)
    return {}


def _fit(labels: dict[float, str], which: str, found: Found) -> bool:
    import numpy as np

    ticks = np.array(sorted(labels))
    fixed = [p for raw in found.series if raw.kind in _FIXED and (p := _places(raw, which)) is not None]
    if fixed:
        reach = reach_of(ticks)
        return all(_near(places, ticks, reach) for places in fixed)
    loose = [p for raw in found.series if raw.kind in _LOOSE and (p := _places(raw, which)) is not None]
    loose = [places[np.isfinite(places)] for places in loose]
    span = float(np.min(np.diff(ticks))) if len(ticks) > 1 else 1.0
    return bool(loose) and all(_near(places, ticks, 1e-6 * span) for places in loose if len(places))


def _near(places: Any, ticks: Any, reach: float) -> bool:
    import numpy as np

    if len(places) == 0:
        return True
    return bool(np.all(np.min(np.abs(places[:, None] - ticks[None, :]), axis=1) <= reach))


def _places(raw: Raw, which: str) -> Any:
    """The series' positions on this axis, when they may be categories."""
    import numpy as np

    if which not in raw.discrete or raw.ready:
        return None
    for key in ("at", "groups"):
        if key in raw.flags:
            return np.asarray(raw.flags[key], float)
    values = raw.x if which == "x" else raw.y
    if values is None or np.size(values) > 5000:
        return None
    return np.asarray(values, float)


def finish(raw: Raw, plane: dict[str, Axis]) -> dict[str, Any]:
    """The series as the schema has it."""
    x, y = raw.x, raw.y
    if not raw.ready:
        x, y = _columns(raw, plane)
    if raw.kind == "gantt":
        x = None
    if plane["x"].ax.name == "polar" and isinstance(x, list) and _closed(x, y):
        x, y = x[:-1], y[:-1]
    extra = {key: _extra(value, plane, between=raw.kind == "rule") for key, value in raw.extra.items()}
    entry: dict[str, Any] = {"name": raw.name, "kind": raw.kind, "x": x, "y": y}
    if extra:
        entry["extra"] = extra
    if raw.orientation and raw.kind in ("bar", "box", "violin", "histogram", "gantt", "stem", "band", "area"):
        entry["orientation"] = raw.orientation
    return entry


def _closed(x: list[Any], y: Any) -> bool:
    """A radar's polygon over categories repeats its first corner."""
    return len(x) > 2 and isinstance(x[0], str) and x[0] == x[-1] and isinstance(y, list) and y[0] == y[-1]


def _columns(raw: Raw, plane: dict[str, Axis]) -> tuple[Any, Any]:
    if raw.kind in ("box", "violin"):
        return plane[raw.flags["axis"]].values(raw.flags["groups"]), None
    if raw.kind == "histogram":
        if plane[raw.flags["axis"]].mode == "category":
            return _counted(raw, plane[raw.flags["axis"]])
        return plane[raw.flags["axis"]].values(raw.x), pack.column(raw.y)
    if raw.kind == "heatmap":
        return raw.flags.get("x_labels") or plane["x"].values(raw.x), raw.flags.get("y_labels") or plane["y"].values(
            raw.y
        )
    exact = raw.kind in ("line", "step", "area", "band")
    x = None if raw.x is None else plane["x"].values(_flat(raw.x), exact=exact)
    y = None if raw.y is None else plane["y"].values(_flat(raw.y), exact=exact)
    return x, y


def _counted(raw: Raw, axis: Axis) -> tuple[list[Any], Any]:
    """A histogram of words: numpy's bins lie between the categories, each of which is in one bin."""
    import numpy as np

    edges, ticks = np.asarray(raw.extra.pop("edges")[1], float), np.array(sorted(axis.labels))
    places = np.clip(np.searchsorted(edges, ticks, side="right") - 1, 0, len(raw.y) - 1)
    return [axis.labels[float(tick)] for tick in ticks], pack.column(np.asarray(raw.y, float)[places])


def _flat(values: Any) -> Any:
    import numpy as np

    return np.asarray(values, float).ravel()


def _extra(value: Any, plane: dict[str, Axis], *, between: bool) -> Any:
    if not isinstance(value, tuple):
        return value
    which, array = value
    if which.endswith("1"):
        return plane[which[0]].values(array, between=between)[0]
    if which == "n" or which not in plane or getattr(array, "ndim", 1) == 2:
        return pack.column(array)
    return plane[which].values(array, between=between)


def barmode(founds: list[Found]) -> str | None:
    """Several series of bars, bins or areas stand beside, upon or before one another."""
    import numpy as np

    raws = [raw for found in founds for raw in found.series]
    if sum(bool(raw.flags.get("stacked")) for raw in raws) > 1:
        return "stack"
    series = [raw for raw in raws if raw.kind == "bar" and "at" in raw.flags]
    if len(series) < 2:
        for kind in ("histogram", "area"):
            alike = [raw for raw in raws if raw.kind == kind]
            if len(alike) > 1:
                return "group" if all(raw.flags.get("beside") for raw in alike) else "overlay"
        return None
    first, second = series[0].flags, series[1].flags
    if len(first["at"]) == len(second["at"]) and np.allclose(first["at"], second["at"]):
        return "stack" if np.any(np.nan_to_num(second["base"]) != 0) else "overlay"
    return "group"


def panel_kind(ax: Any, founds: list[Found]) -> str:
    """One word for the panel; "mixed" only when no series leads."""
    raws = [raw for found in founds for raw in found.series]
    kinds = [raw.kind for raw in raws if raw.kind != "rule"] or ["rule"]
    if ax.name == "polar":
        return "radar" if any(isinstance(_first(raw), str) for raw in raws) or _labelled(ax) else "polar"
    if ax.name == "3d":
        return "scatter3d" if set(kinds) <= {"scatter3d", "line"} else kinds[0]
    if set(kinds) == {"pie"}:
        return "donut" if any(raw.flags.get("hollow") for raw in raws) else "pie"
    if _is_gantt(ax, raws):
        return "gantt"
    for leader in ("candlestick", "histogram", "box", "violin", "heatmap", "contour", "hexbin"):
        if leader in kinds:
            return leader
    if "bar" in kinds:
        return "bar" if set(kinds) <= {"bar", "errorbar"} else "mixed"
    return _leading_mark(raws) or next((kind for kind in ("area", "band") if kind in kinds), kinds[0])


def _leading_mark(raws: list[Raw]) -> str | None:
    """The kind that is drawn first; points lead over a line that has fewer, such as a diagonal, in any order.

    `charts/read/combine.py` has the same rule for other libraries.
    """
    import numpy as np

    marks = [raw for raw in raws if raw.kind in ("scatter", "errorbar", "stem", "line", "step")]
    longest = max((np.size(raw.x) for raw in marks if raw.kind in ("line", "step")), default=0)
    if any(raw.kind == "scatter" and np.size(raw.x) > longest for raw in marks):
        return "scatter"
    return marks[0].kind if marks else None


def _first(raw: Raw) -> Any:
    return raw.x[0] if isinstance(raw.x, list) and raw.x else None


def _labelled(ax: Any) -> bool:
    axis = Axis(ax, "x")
    return any(not label.endswith("\N{DEGREE SIGN}") for label in axis.candidates().values())


def _is_gantt(ax: Any, raws: list[Raw]) -> bool:
    """Lying bars that begin somewhere on a time axis."""
    if any(raw.kind == "gantt" for raw in raws):
        return True
    lying = [raw for raw in raws if raw.kind == "bar" and raw.orientation == "h" and "start" in raw.extra]
    return bool(lying) and len(lying) == sum(raw.kind == "bar" for raw in raws) and Axis(ax, "x").scale == "datetime"


def spans(found: Found) -> None:
    """Bars of a Gantt chart are spans from start to end: their length on a time axis would be a date of 1970."""
    if _is_timeline(found):
        _timeline(found)
    if not _is_gantt(found.ax, found.series):
        return
    for raw in found.series:
        if raw.kind == "bar":
            raw.kind = "gantt"
            raw.extra.pop("base", None)


def _is_timeline(found: Found) -> bool:
    """Nothing but lying lines, each on a named place of its own, between two times."""
    if not found.series or any("segments" not in raw.flags or raw.flags["upright"] for raw in found.series):
        return False
    y = Axis(found.ax, "y")
    return Axis(found.ax, "x").scale == "datetime" and bool(y.labels or y.candidates())


def _timeline(found: Found) -> None:
    for raw in found.series:
        segments = raw.flags["segments"]
        raw.kind, raw.orientation, raw.y = "gantt", "h", raw.flags["positions"]
        raw.extra = {"start": ("x", segments[:, 0, 0]), "end": ("x", segments[:, 1, 0])}
        raw.flags = {"at": raw.y}
