"""Thin hooks on plotting methods whose inputs cannot be read back from what they draw.

A hook calls the method unchanged and then hangs a `Tag` with the inputs on the artists that came out. The artists are
read later, when the figure is reported; a tag whose artists were removed is forgotten with them.
"""

# ruff: noqa: SLF001 - private names of the libraries it reads
# ruff: noqa: SIM105 - each `except` says why it drops the failure
from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

Reader = Callable[[Any, dict[str, Any], Any], None]


class Tag:
    """What was drawn, in the words of the call that drew it."""

    def __init__(self, kind: str, data: dict[str, Any], artists: list[Any]) -> None:
        self.kind = kind
        self.data = data
        self.artists = artists

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickled figure must load where this package is not; it is then read without tags.
        return (dict, ())


def tag(kind: str, artists: Iterable[Any], **data: Any) -> None:
    """Hang one tag on all `artists`; a later tag wins over an earlier one."""
    found = [artist for artist in artists if hasattr(artist, "get_label")]
    note = Tag(kind, data, found)
    for artist in found:
        artist._ci_tag = note


def tag_of(artist: Any) -> Tag | None:
    note = getattr(artist, "_ci_tag", None)
    return note if isinstance(note, Tag) else None


def hook(owner: Any, name: str, after: Reader) -> None:
    """Let `after(self, arguments, result)` see each call of `owner.name`. Its own failures are dropped."""
    original = getattr(owner, name, None)
    if original is None or hasattr(original, "_ci_hook"):
        return
    signature = inspect.signature(original)

    @functools.wraps(original)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = original(self, *args, **kwargs)
        try:
            after(self, _arguments(signature, self, args, kwargs), result)
        except Exception:  # noqa: BLE001, S110 - the plot is the user's; without a tag it is read from its artists
            pass
        return result

    hooked._ci_hook = True  # type: ignore[attr-defined]
    setattr(owner, name, hooked)


def _arguments(signature: inspect.Signature, self: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = signature.bind(self, *args, **kwargs)
    bound.apply_defaults()
    found = dict(bound.arguments)
    for values in (found.pop("kwargs", None), found.get("data")):
        if values is kwargs.get("data") and values is not None:
            found = {key: _column(values, value) for key, value in found.items()}
        elif isinstance(values, dict):
            found.update(values)
    return found


def _column(data: Any, value: Any) -> Any:
    """Matplotlib's `data=`: a string names a column of it."""
    try:
        return data[value] if isinstance(value, str) else value
    except Exception:  # noqa: BLE001 - any container may stand there; then the string is itself
        return value


def patch_axes(module: ModuleType) -> None:
    """Hook `matplotlib.axes.Axes`. `module` is `matplotlib.axes._axes`."""
    axes = module.Axes
    for name, after in {
        "hist": _hist, "bxp": _bxp, "violinplot": _violinplot, "violin": _violin, "pie": _pie,
        "stackplot": _stackplot, "fill_between": _fill, "fill_betweenx": _fill_x, "contour": _contour,
        "contourf": _contour, "tricontour": _contour, "tricontourf": _contour, "pcolormesh": _mesh, "pcolor": _mesh,
        "hexbin": _hexbin,
        "axhline": _rule("y", "y"), "axvline": _rule("x", "x"), "axhspan": _span("y", "ymin", "ymax"),
        "axvspan": _span("x", "xmin", "xmax"), "axline": _axline, "broken_barh": _broken, "streamplot": _stream,
        "eventplot": _events, "errorbar": _errorbar, "bar_label": _nothing, "ecdf": _nothing, "fill": _polygons,
    }.items():  # fmt: skip
        hook(axes, name, after)


def patch_axes3d(module: ModuleType) -> None:
    """Hook `mpl_toolkits.mplot3d.axes3d.Axes3D`."""
    axes = module.Axes3D
    for name in ("plot_surface", "plot_wireframe"):
        hook(axes, name, lambda self, a, result: tag("surface3d", [result], x=a["X"], y=a["Y"], z=a["Z"]))
    hook(axes, "plot_trisurf", _trisurf)
    hook(axes, "bar3d", lambda self, a, result: tag("bar3d", [result], **{k: a[k] for k in ("x", "y", "z", "dz")}))
    for name in ("contour", "contourf"):
        hook(axes, name, _contour)


def _nothing(self: Any, a: dict[str, Any], result: Any) -> None:
    """These are read from their artists."""


def _polygons(self: Any, a: dict[str, Any], result: Any) -> None:
    tag("polygon", result)


def _hist(self: Any, a: dict[str, Any], result: Any) -> None:
    import numpy as np

    counts, edges, patches = result
    many = isinstance(counts, list) or np.ndim(counts) == 2
    rows = [np.asarray(row, float) for row in (counts if many else [counts])]
    groups = list(patches) if many else [patches]
    if a.get("stacked") or a.get("histtype") == "barstacked":
        rows = [row - before for row, before in zip(rows, [np.zeros_like(rows[0]), *rows[:-1]], strict=False)]
    for row, group in zip(rows, groups, strict=False):
        tag(
            "histogram", list(group), counts=row, edges=np.array(edges, float), container=group,
            orientation=a.get("orientation"), stacked=bool(a.get("stacked")),
            beside=many and a.get("histtype") in (None, "bar"),
        )  # fmt: skip


def _bxp(self: Any, a: dict[str, Any], result: dict[str, list[Any]]) -> None:
    stats = list(a["bxpstats"])
    horizontal = a.get("orientation") == "horizontal" or a.get("vert") is False
    positions = a.get("positions")
    artists = [artist for group in result.values() for artist in group]
    tag(
        "box", artists, stats=stats, positions=list(range(1, len(stats) + 1) if positions is None else positions),
        horizontal=horizontal, boxes=list(result.get("boxes") or ()), label=a.get("label"),
    )  # fmt: skip


def _violin_artists(result: dict[str, Any]) -> list[Any]:
    return [artist for group in result.values() for artist in (group if isinstance(group, list) else [group])]


def _violin(self: Any, a: dict[str, Any], result: dict[str, Any]) -> None:
    stats = [_violin_stats(None, entry) for entry in a["vpstats"]]
    _tag_violins(a, result, stats)


def _violinplot(self: Any, a: dict[str, Any], result: dict[str, Any]) -> None:
    import numpy as np

    data = a["dataset"]
    columns = list(np.asarray(data).T) if getattr(data, "ndim", 1) == 2 else list(getattr(data, "values", data))
    if columns and np.ndim(columns[0]) == 0:
        columns = [columns]
    _tag_violins(a, result, [_violin_stats(column, {}) for column in columns])


def _tag_violins(a: dict[str, Any], result: dict[str, Any], stats: list[dict[str, Any]]) -> None:
    positions = a.get("positions")
    horizontal = a.get("orientation") == "horizontal" or a.get("vert") is False
    tag(
        "violin", _violin_artists(result), stats=stats, horizontal=horizontal, boxes=list(result.get("bodies") or ()),
        positions=list(range(1, len(stats) + 1) if positions is None else positions),
    )  # fmt: skip


def _violin_stats(values: Any, entry: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    if values is None:
        return {key: float(entry[key]) for key in ("min", "max", "mean", "median") if key in entry}
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    return {
        "q1": q1, "median": median, "q3": q3, "min": values.min(), "max": values.max(), "mean": values.mean(),
        "n": len(values),
    }  # fmt: skip


def _pie(self: Any, a: dict[str, Any], result: Any) -> None:
    import numpy as np

    wedges = list(getattr(result, "wedges", None) or result[0])
    labels = a.get("labels")
    tag(
        "pie", wedges, values=np.array(a["x"], float).ravel(), radius=a.get("radius") or 1,
        labels=None if labels is None else [str(label) for label in labels],
        width=(a.get("wedgeprops") or {}).get("width"),
    )  # fmt: skip


def _stackplot(self: Any, a: dict[str, Any], result: list[Any]) -> None:
    import numpy as np

    rows = np.vstack([np.asarray(row, float) for row in _stack_rows(a["args"])])
    for row, artist in zip(rows, result, strict=False):
        tag("area", [artist], x=_copy(a["x"]), y=np.array(row), stacked=True, horizontal=False)


def _stack_rows(args: Any) -> Iterable[Any]:
    first = args[0]
    if len(args) == 1 and hasattr(first, "values") and not hasattr(first, "to_numpy"):
        return list(first.values())  # a dict of rows
    return [row for item in args for row in _as_rows(item)]


def _as_rows(item: Any) -> list[Any]:
    import numpy as np

    values = np.asarray(item if hasattr(item, "__array__") else list(item), float)
    return list(values) if values.ndim == 2 else [values]


def _fill(self: Any, a: dict[str, Any], result: Any) -> None:
    tag(
        "fill",
        [result],
        at=_copy(a["x"]),
        one=_copy(a["y1"]),
        two=_copy(a["y2"]),
        where=_copy(a["where"]),
        step=a.get("step"),
        horizontal=False,
    )


def _fill_x(self: Any, a: dict[str, Any], result: Any) -> None:
    tag(
        "fill",
        [result],
        at=_copy(a["y"]),
        one=_copy(a["x1"]),
        two=_copy(a["x2"]),
        where=_copy(a["where"]),
        step=a.get("step"),
        horizontal=True,
    )


def _copy(value: Any) -> Any:
    """The caller may go on changing its arrays, as pandas does while it stacks."""
    return value.copy() if hasattr(value, "copy") else value


def _contour(self: Any, a: dict[str, Any], result: Any) -> None:
    artists = [result] if hasattr(result, "get_paths") and hasattr(result, "axes") else list(result.collections)
    arrays = [item for item in a.get("args", (a.get("X"), a.get("Y"), a.get("Z"))) if _matrix_like(item)]
    tag("contour", artists, arrays=arrays, levels=[float(level) for level in result.levels], filled=result.filled)


def _matrix_like(value: Any) -> bool:
    import numpy as np

    return value is not None and not isinstance(value, (int, float, str)) and np.ndim(value) >= 1


def _mesh(self: Any, a: dict[str, Any], result: Any) -> None:
    import numpy as np

    arrays = [item for item in a["args"] if _matrix_like(item)]
    if len(arrays) == 3 and np.shape(arrays[0])[-1] == np.shape(arrays[2])[1]:
        tag("mesh", [result], x=np.array(arrays[0]), y=np.array(arrays[1]))


def _hexbin(self: Any, a: dict[str, Any], result: Any) -> None:
    tag("hexbin", [result])


def _rule(axis: str, argument: str) -> Reader:
    def after(self: Any, a: dict[str, Any], result: Any) -> None:
        tag("rule", [result], axis=axis)

    return after


def _span(axis: str, low: str, high: str) -> Reader:
    def after(self: Any, a: dict[str, Any], result: Any) -> None:
        tag("span", [result], axis=axis, low=a[low], high=a[high])

    return after


def _axline(self: Any, a: dict[str, Any], result: Any) -> None:
    tag("axline", [result], xy1=a["xy1"], xy2=a.get("xy2"), slope=a.get("slope"))


def _broken(self: Any, a: dict[str, Any], result: Any) -> None:
    tag("broken", [result], xranges=[tuple(pair) for pair in a["xranges"]], yrange=tuple(a["yrange"]))


def _stream(self: Any, a: dict[str, Any], result: Any) -> None:
    tag("stream", [result.lines, result.arrows], **{key: a[key] for key in ("x", "y", "u", "v")})


def _events(self: Any, a: dict[str, Any], result: Any) -> None:
    for artist in result:
        tag("events", [artist])


def _errorbar(self: Any, a: dict[str, Any], result: Any) -> None:
    tag("errorbar", result.lines[2], x=_copy(a["x"]), y=_copy(a["y"]))


def _trisurf(self: Any, a: dict[str, Any], result: Any) -> None:
    arrays = [item for item in a.get("args", ()) if _matrix_like(item)]
    if len(arrays) >= 3:
        tag("surface3d", [result], x=arrays[0], y=arrays[1], z=arrays[2])
