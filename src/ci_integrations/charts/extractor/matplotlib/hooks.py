"""Hooks on plotting methods whose inputs cannot be read back from what they draw.

A hook calls the method unchanged and then attaches a `Tag` with the inputs to the artists that came out. The artists
are read later, when the figure is reported; a tag disappears together with its artists.
"""

# ruff: noqa: SLF001 - private names of the libraries it reads
# ruff: noqa: SIM105 - each `except` says why it drops the failure
from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING

from ..importing import np

if TYPE_CHECKING:
    from ..foreign import Array, Artist, Axes, Call, Drawn, Reader, Stats, UserData


class Tag:
    """What was drawn: its kind, the arguments of the call that drew it, and all the artists that it drew."""

    def __init__(self, kind: str, data: Call, artists: list[Artist]) -> None:
        self.kind = kind
        self.data = data
        self.artists = artists

    def __reduce__(self) -> tuple[object, ...]:
        # A pickled figure must load where this package is not; it is then read without tags.
        return (dict, ())


_NO_TAG = Tag("", {}, [])


def tag(kind: str, artists: Iterable[Artist], **data: UserData) -> None:
    """Attaches one tag to all `artists`; a later tag replaces an earlier one."""
    found = [artist for artist in artists if hasattr(artist, "get_label")]
    note = Tag(kind, data, found)
    for artist in found:
        artist._ci_tag = note


def tag_of(artist: Artist) -> Tag:
    """Returns the artist's tag; an artist without one has a tag whose kind is empty."""
    note = getattr(artist, "_ci_tag", None)
    return note if isinstance(note, Tag) else _NO_TAG


def hook(owner: type, name: str, after: Reader) -> None:
    """Makes every call of `owner.name` also call `after(self, arguments, result)`, whose failures are dropped."""
    original = getattr(owner, name, None)
    if original is None or hasattr(original, "_ci_hook"):
        return
    signature = inspect.signature(original)

    @functools.wraps(original)
    def hooked(self: Drawn, *args: UserData, **kwargs: UserData) -> Drawn:
        __tracebackhide__ = True  # IPython leaves this frame out of the user's tracebacks
        result = original(self, *args, **kwargs)
        try:
            after(self, _arguments(signature, self, args, kwargs), result)
        except Exception:  # noqa: BLE001, S110 - the plot is the user's; without a tag it is read from its artists
            pass
        return result

    hooked._ci_hook = True  # type: ignore[attr-defined]
    setattr(owner, name, hooked)


def _arguments(signature: inspect.Signature, self: Drawn, args: tuple[UserData, ...], kwargs: Call) -> Call:
    """Returns the call's arguments by name, defaults included; names of columns in `data=` become the columns."""
    bound = signature.bind(self, *args, **kwargs)
    bound.apply_defaults()
    found = dict(bound.arguments)
    for values in (found.pop("kwargs", None), found.get("data")):
        if values is kwargs.get("data") and values is not None:
            found = {key: _column(values, value) for key, value in found.items()}
        elif isinstance(values, dict):
            found.update(values)
    return found


def _column(data: UserData, value: UserData) -> UserData:
    """Returns the column of matplotlib's `data=` that a string names, any other value as it is."""
    try:
        return data[value] if isinstance(value, str) else value
    except Exception:  # noqa: BLE001 - any container may stand there; then the string is itself
        return value


def patch_axes(module: ModuleType) -> None:
    """Hooks `matplotlib.axes.Axes`. `module` is `matplotlib.axes._axes`."""
    axes = module.Axes
    for name, after in {
        "hist": _hist, "bxp": _bxp, "violinplot": _violinplot, "violin": _violin, "pie": _pie,
        "stackplot": _stackplot, "fill_between": _fill("x", "y"), "fill_betweenx": _fill("y", "x"), "contour": _contour,
        "contourf": _contour, "tricontour": _contour, "tricontourf": _contour, "pcolormesh": _mesh, "pcolor": _mesh,
        "hexbin": _hexbin,
        "axhline": _rule("y"), "axvline": _rule("x"), "axhspan": _span("y"), "axvspan": _span("x"), "axline": _axline,
        "broken_barh": _broken, "streamplot": _stream,
        "eventplot": _events, "errorbar": _errorbar, "bar_label": _nothing, "ecdf": _nothing, "fill": _polygons,
    }.items():  # fmt: skip
        hook(axes, name, after)


def patch_axes3d(module: ModuleType) -> None:
    """Hooks `Axes3D`. `module` is `mpl_toolkits.mplot3d.axes3d`."""
    axes = module.Axes3D
    for name in ("plot_surface", "plot_wireframe"):
        hook(axes, name, lambda self, a, result: tag("surface3d", [result], x=a["X"], y=a["Y"], z=a["Z"]))
    hook(axes, "plot_trisurf", _trisurf)
    hook(axes, "bar3d", lambda self, a, result: tag("bar3d", [result], **{k: a[k] for k in ("x", "y", "z", "dz")}))
    for name in ("contour", "contourf"):
        hook(axes, name, _contour)


def _nothing(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps nothing: what these methods draw is read from the artists. The hook only marks them as known."""


def _polygons(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps that `fill` drew the polygons; others are shapes made by hand."""
    tag("polygon", result)


def _hist(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the counts and edges of each histogram of the call, the stacked ones as they are without those below."""
    counts, edges, patches = result
    many = isinstance(counts, list) or np.ndim(counts) == 2
    rows = [np.asarray(row, float) for row in (counts if many else [counts])]
    groups = list(patches) if many else [patches]
    if a.get("stacked") or a.get("histtype") == "barstacked":
        rows = [row - before for row, before in zip(rows, [np.zeros_like(rows[0]), *rows[:-1]], strict=False)]
    for row, group in zip(rows, groups, strict=False):
        tag(
            "histogram", list(group), counts=row, edges=np.array(edges, float), container=group,
            horizontal=a.get("orientation") == "horizontal", stacked=bool(a.get("stacked")),
            beside=many and a.get("histtype") in (None, "bar"),
        )  # fmt: skip


def _bxp(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the statistics from which the boxes were drawn."""
    _tag_boxes("box", a, result, list(a["bxpstats"]), result.get("boxes"))


def _violin(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the statistics of violins that were drawn from densities, which have no quartiles."""
    keys = ("min", "max", "mean", "median")
    stats = [{key: float(entry[key]) for key in keys if key in entry} for entry in a["vpstats"]]
    _tag_boxes("violin", a, result, stats, result.get("bodies"))


def _violinplot(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the statistics of violins that were drawn from values."""
    data: UserData = a["dataset"]
    columns: UserData = np.asarray(data).T if getattr(data, "ndim", 1) == 2 else getattr(data, "values", data)
    columns = list(columns)
    if columns and np.ndim(columns[0]) == 0:
        columns = [columns]
    _tag_boxes("violin", a, result, list(map(violin_stats, columns)), result.get("bodies"))


def _tag_boxes(kind: str, a: Call, result: Drawn, stats: list[Stats], boxes: list[Artist] | None) -> None:
    """Tags every artist of one call of `bxp` or `violin`. Before matplotlib 3.10 the direction is `vert`."""
    positions = a.get("positions")
    groups = (group if isinstance(group, list) else [group] for group in result.values())
    tag(
        kind, itertools.chain.from_iterable(groups), stats=stats, boxes=list(boxes or ()), label=a.get("label"),
        horizontal=a.get("orientation") == "horizontal" or a.get("vert") is False,
        positions=list(range(1, len(stats) + 1) if positions is None else positions),
    )  # fmt: skip


def violin_stats(values: UserData) -> Stats:
    """Returns the statistics of one violin's finite values."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    return {
        "q1": q1, "median": median, "q3": q3, "min": values.min(), "max": values.max(), "mean": values.mean(),
        "n": len(values),
    }  # fmt: skip


def _pie(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the values, which the wedges hold as angles only, and the labels."""
    # Since matplotlib 3.11 `pie` returns an object with the wedges, before that a tuple.
    wedges = list(getattr(result, "wedges", None) or result[0])
    labels = a.get("labels")
    tag(
        "pie", wedges, values=np.array(a["x"], float).ravel(), radius=a.get("radius") or 1,
        labels=None if labels is None else [str(label) for label in labels],
        width=(a.get("wedgeprops") or {}).get("width"),
    )  # fmt: skip


def _stackplot(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps each row of a stack as it is without the rows below."""
    rows = np.vstack([np.asarray(row, float) for row in _stack_rows(a["args"])])
    for row, artist in zip(rows, result, strict=False):
        tag("area", [artist], x=_copy(a["x"]), y=np.array(row), stacked=True, horizontal=False)


def _stack_rows(args: tuple[UserData, ...]) -> Iterable[UserData]:
    """Returns the rows of all arguments, which are rows, matrices of rows or one dict of rows."""
    first = args[0]
    if len(args) == 1 and hasattr(first, "values") and not hasattr(first, "to_numpy"):
        return list(first.values())  # a dict of rows
    return [row for item in args for row in _as_rows(item)]


def _as_rows(item: UserData) -> list[Array]:
    """Returns the rows of a matrix, or one row."""
    values = np.asarray(item if hasattr(item, "__array__") else list(item), float)
    return list(values) if values.ndim == 2 else [values]


def _fill(at: str, value: str) -> Reader:
    """Returns the reader of a fill along the axis `at` between two curves in `value`."""

    def after(self: Axes, a: Call, result: Drawn) -> None:
        edges = {"at": a[at], "one": a[f"{value}1"], "two": a[f"{value}2"], "where": a["where"]}
        copies = {key: _copy(values) for key, values in edges.items()}
        tag("fill", [result], **copies, step=a.get("step"), horizontal=at == "y")

    return after


def _copy(value: UserData) -> UserData:
    """Returns a copy of an array: the caller may go on changing its own, as pandas does while it stacks."""
    return value.copy() if hasattr(value, "copy") else value


def _contour(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the field, of which the drawing shows some levels only."""
    # Before matplotlib 3.8 a contour set is no artist but holds one for each level.
    artists = [result] if hasattr(result, "get_paths") and hasattr(result, "axes") else list(result.collections)
    arrays = [item for item in a.get("args", (a.get("X"), a.get("Y"), a.get("Z"))) if _matrix_like(item)]
    tag("contour", artists, arrays=arrays, levels=[float(level) for level in result.levels], filled=result.filled)


def _matrix_like(value: UserData) -> bool:
    """Says whether an argument is an array or a list, rather than a level, a format or nothing."""
    return value is not None and not isinstance(value, (int, float, str)) and np.ndim(value) >= 1


def _mesh(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps x and y of a mesh that is given by the middles of its cells."""
    arrays = [item for item in a["args"] if _matrix_like(item)]
    if len(arrays) == 3 and np.shape(arrays[0])[-1] == np.shape(arrays[2])[1]:
        tag("mesh", [result], x=np.array(arrays[0]), y=np.array(arrays[1]))


def _hexbin(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps that the collection is one of hexagons: its class is that of any polygons."""
    tag("hexbin", [result])


def _rule(axis: str) -> Reader:
    """Returns the reader of a line across the panel at a value of `axis`."""

    def after(self: Axes, a: Call, result: Drawn) -> None:
        tag("rule", [result], axis=axis)

    return after


def _span(axis: str) -> Reader:
    """Returns the reader of a band across the panel from one value of `axis` to another."""

    def after(self: Axes, a: Call, result: Drawn) -> None:
        tag("span", [result], axis=axis, low=a[f"{axis}min"], high=a[f"{axis}max"])

    return after


def _axline(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the two points, or the point and the slope, of a line without ends."""
    tag("axline", [result], xy1=a["xy1"], xy2=a.get("xy2"), slope=a.get("slope"))


def _broken(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the spans of a row of a Gantt chart."""
    tag("broken", [result], xranges=[tuple(pair) for pair in a["xranges"]], yrange=tuple(a["yrange"]))


def _stream(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the field, which cannot be read from the stream lines."""
    tag("stream", [result.lines, result.arrows], **{key: a[key] for key in ("x", "y", "u", "v")})


def _events(self: Axes, a: Call, result: Drawn) -> None:
    """Tags each row of events by itself."""
    for artist in result:
        tag("events", [artist])


def _errorbar(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps where the marks are: a bar's middle is elsewhere when its two sides differ."""
    tag("errorbar", result.lines[2], x=_copy(a["x"]), y=_copy(a["y"]))


def _trisurf(self: Axes, a: Call, result: Drawn) -> None:
    """Keeps the points of a surface that is made of triangles."""
    arrays = [item for item in a.get("args", ()) if _matrix_like(item)]
    if len(arrays) >= 3:
        tag("surface3d", [result], x=arrays[0], y=arrays[1], z=arrays[2])
