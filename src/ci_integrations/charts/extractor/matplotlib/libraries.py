"""Hooks on seaborn, pandas and squarify, for what these libraries know and their drawings do not tell."""

# ruff: noqa: SLF001 - private names of the libraries it reads
# ruff: noqa: SIM105 - each `except` says why it drops the failure
from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from ..importing import np
from .hooks import hook, tag, tag_of, violin_stats

if TYPE_CHECKING:
    from ..foreign import Array, Artist, Axes, Call, Drawn, Index, Patch, Plotter, UserData


def patch_seaborn_categorical(module: ModuleType) -> None:
    """`module` is seaborn.categorical."""
    plotter = module._CategoricalPlotter
    hook(plotter, "plot_errorbars", _errorbars)
    hook(plotter, "plot_violins", _violins)
    hook(plotter, "plot_boxens", _boxens)


def patch_seaborn_distributions(module: ModuleType) -> None:
    """`module` is seaborn.distributions."""
    hook(module._DistributionPlotter, "plot_univariate_histogram", _histogram)


def patch_seaborn_matrix(module: ModuleType) -> None:
    """`module` is seaborn.matrix."""
    hook(module._HeatMapper, "plot", _heatmap)
    hook(module._DendrogramPlotter, "plot", lambda self, a, result: tag("tree", list(a["ax"].collections)))


def patch_pandas(module: ModuleType) -> None:
    """`module` is pandas.plotting._matplotlib.core."""
    hook(module.MPLPlot, "generate", _pandas)


def patch_squarify(module: ModuleType) -> None:
    """`module` is squarify, whose `plot` is a function and no method."""
    original = module.plot

    def plot(sizes: UserData, *args: UserData, **kwargs: UserData) -> Axes:
        __tracebackhide__ = True
        ax = original(sizes, *args, **kwargs)
        try:
            _treemap(ax, sizes, kwargs.get("label"))
        except Exception:  # noqa: BLE001, S110 - read as bars then
            pass
        return ax

    module.plot = plot  # type: ignore[attr-defined]


def _errorbars(self: Plotter, a: Call, result: Drawn) -> None:
    """Keeps the ends of error bars, which seaborn draws as plain lines, for `names.attach_errors`."""
    ax, data = a["ax"], a["data"]
    value = "y" if self.orient == "x" else "x"
    keep = data.dropna(subset=[self.orient])
    notes = ax.__dict__.setdefault("_ci_errors", [])
    notes.append({"at": keep[self.orient].to_numpy(), "low": keep[f"{value}min"].to_numpy(),
                  "high": keep[f"{value}max"].to_numpy(), "orient": self.orient})  # fmt: skip
    tag("error", list(ax.lines)[len(ax.lines) - len(data) :])


def _violins(self: Plotter, a: Call, result: Drawn) -> None:
    """Keeps the statistics of the values behind the violins, Axes by Axes and hue by hue."""
    value = "y" if self.orient == "x" else "x"
    axes: dict[Axes, dict[str | None, list[tuple[float, Array]]]] = {}
    for key, data in self.iter_data([self.orient, "hue"], from_comp_data=True, allow_empty=False):
        hue = str(key["hue"]) if "hue" in key else None
        part = (float(key[self.orient]), data[value].to_numpy(float))
        axes.setdefault(self._get_axes(key), {}).setdefault(hue, []).append(part)
    for ax, hues in axes.items():
        _tag_violins(self, ax, hues)


def _tag_violins(self: Plotter, ax: Axes, hues: dict[str | None, list[tuple[float, Array]]]) -> None:
    """Tags the violins of one Axes, each hue by itself."""
    artists = [item for item in [*ax.collections, *ax.lines] if tag_of(item).kind in ("", "fill")]
    bodies = [item for item in artists if type(item).__name__.endswith("PolyCollection")]
    distinct = _distinct(self)
    marks = artists
    for hue, violins in hues.items():
        places, values = zip(*violins, strict=True)
        tag(
            "violin", marks, stats=list(map(violin_stats, values)), positions=list(places),
            horizontal=self.orient == "y", boxes=[], hue=hue if distinct else None,
        )  # fmt: skip
        # The first hue takes all artists, so that none is left over; the others have one body to stand for them.
        marks = bodies[-1:]


def _distinct(self: Plotter) -> bool:
    """Says whether hue is more than the categories once again."""
    hue = self.plot_data.get("hue")
    return hue is not None and not (hue.astype(str) == self.plot_data[self.orient].astype(str)).all()


def _boxens(self: Plotter, a: Call, result: Drawn) -> None:
    """Keeps nothing: letter values are not read, and `grids.leftovers` says so."""


def _histogram(self: Plotter, a: Call, result: Drawn) -> None:
    """Keeps counts and edges of `histplot`, whose bars may be shrunk, dodged or outlines."""
    for ax in dict.fromkeys(_axes_of(self)):
        if a.get("element") == "step":
            _outlines(ax)
        _bins(self, a, ax)


def _bins(self: Plotter, a: Call, ax: Axes) -> None:
    """Tags the bars of one Axes that have no tag yet."""
    horizontal = "y" in self.variables and "x" not in self.variables
    boxes = {}
    for container in ax.containers:
        patches = list(getattr(container, "patches", ()))
        if patches and not tag_of(patches[0]).kind:
            boxes[container] = np.array([_along(patch, horizontal=horizontal) for patch in patches], float)
    first = min((box[0, 0] for box in boxes.values()), default=0.0)
    for container, box in boxes.items():
        edges = _edges(self, a, box, first)
        if edges is not None:
            tag("histogram", list(container.patches), counts=box[:, 2], edges=edges, container=container,
                horizontal=horizontal, stacked=a.get("multiple") in ("stack", "fill"))  # fmt: skip


def _along(patch: Patch, *, horizontal: bool) -> tuple[float, float, float]:
    """Returns where a bin begins, how wide it is and how high its bar is."""
    if horizontal:
        return patch.get_y(), patch.get_height(), patch.get_width()
    return patch.get_x(), patch.get_width(), patch.get_height()


def _edges(self: Plotter, a: Call, box: Array, first: float) -> Array | None:
    """Returns the bins' edges: those of the bars when they touch; shrunk and dodged ones are inside of theirs.

    Returns None when the bins are not even or not on a linear scale, and cannot be concluded from such bars.
    """
    start, width = box[:, 0], box[:, 1]
    edges = np.append(start, start[-1] + width[-1])
    if np.allclose(start + width, edges[1:]):
        return edges
    step, shrink, aside = float(np.diff(start).mean()), float(a.get("shrink") or 1), start[0] - first
    even = np.allclose(np.diff(start), step) and self.var_types[self.data_variable] == "numeric"
    if not even or (a.get("multiple") != "dodge" and aside) or aside >= shrink * step or _scaled(self):
        return None
    low = start - aside - (1 - shrink) / 2 * step
    return np.append(low, low[-1] + step)


def _scaled(self: Plotter) -> bool:
    """Says whether an axis of bins is not linear."""
    return any(getattr(ax, f"get_{self.data_variable}scale")() != "linear" for ax in _axes_of(self))


def _outlines(ax: Axes) -> None:
    """Tags histograms that are outlines, filled or not: steps over the edges, whose last height is there twice."""
    for artist in ax.collections:
        data = tag_of(artist).data
        if tag_of(artist).kind == "fill" and data["step"] == "post":
            edges, base, top = (np.asarray(data[key], float) for key in ("at", "one", "two"))
            _tag_outline(artist, edges, top - base, horizontal=bool(data["horizontal"]))
    for line in ax.lines:
        style = "" if tag_of(line).kind else str(line.get_drawstyle())
        if style in ("steps-post", "steps-pre"):
            edges, counts = (np.asarray(values, float) for values in line.get_data())
            horizontal = style == "steps-pre"
            _tag_outline(line, *((counts, edges) if horizontal else (edges, counts)), horizontal=horizontal)


def _tag_outline(artist: Artist, edges: Array, counts: Array, *, horizontal: bool) -> None:
    """Tags one outline."""
    tag("histogram", [artist], counts=counts[:-1], edges=edges, container=None, stacked=False, horizontal=horizontal)


def _axes_of(self: Plotter) -> list[Axes]:
    """Returns the Axes that a seaborn plotter draws on: one, or those of a grid."""
    return [self.ax] if self.ax is not None else list(self.facets.axes.flat)


def _heatmap(self: Plotter, a: Call, result: Drawn) -> None:
    """Keeps the names of all rows and columns, of which the ticks may show a few."""
    mesh = a["ax"].collections[-1]  # the one that was drawn just now
    columns, rows = (_names(index) for index in (self.data.columns, self.data.index))
    shown = [len(self.xticks) > 0 and self.xlabel is not None, len(self.yticks) > 0 and self.ylabel is not None]
    own = [getattr(self, "xticklabels", None), getattr(self, "yticklabels", None)]
    labels = [_full(names, given, ok=ok) for names, given, ok in zip((columns, rows), own, shown, strict=True)]
    tag("heatmap", [mesh], x_labels=labels[0], y_labels=labels[1])


def _full(names: list[str], given: UserData, *, ok: bool) -> list[str] | None:
    """Returns the whole list of labels, when the ticks show a part of it; None when they show other words."""
    words = [str(label) for label in given] if given is not None else []
    if not ok or not words:
        return None
    return names if set(words) <= set(names) else None


def _names(index: Index) -> list[str]:
    """Returns the entries of an index as seaborn writes them."""
    if getattr(index, "nlevels", 1) > 1:
        return ["-".join(map(str, entry)) for entry in index]
    return [str(entry) for entry in index]


def _pandas(self: Plotter, a: Call, result: Drawn) -> None:
    """Keeps the index of a plot: pandas draws text at 0..n-1 and labels some of it, and times as periods."""
    if hasattr(self.data.index, "tz_localize"):
        _keep_times(self)
    if type(self).__name__ == "AreaPlot":
        for ax in list(self.axes):
            ax._ci_area = True
    if not getattr(self, "_need_to_set_index", False):
        return
    labels = {float(n): str(entry) for n, entry in enumerate(self.data.index)}
    for ax in {id(ax): ax for ax in list(self.axes)}.values():
        ax._ci_index = labels


def _keep_times(plotter: Plotter) -> None:
    for ax in list(plotter.axes):
        for one in (ax, getattr(ax, "right_ax", None) or ax):
            one._ci_times = [*getattr(one, "_ci_times", ()), plotter.data.index]


def _treemap(ax: Axes, sizes: UserData, labels: UserData) -> None:
    """Keeps the values, which the rectangles hold as areas only."""
    container = ax.containers[-1]
    words = [str(label) for label in labels] if labels is not None else [str(n + 1) for n in range(len(sizes))]
    tag("treemap", container.patches, labels=words, values=np.array(sizes, float))
