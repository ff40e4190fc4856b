"""Reads a matplotlib figure as the neutral payload (schema ci.chart/1). The only way in is `extract(figure)`."""

# ruff: noqa: SLF001 - private names of the libraries it reads
from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import pack
from ..state import STATE, version_of
from . import areas, bars, boxes, grids, lines, names, resolve
from .axes import Axis, text_of
from .series import Found

if TYPE_CHECKING:
    from ..foreign import Axes, Figure, Panel, Payload


MAX_PANELS = 200
"""More are counted in a note and not read."""
MAX_ANNOTATIONS = 200
"""Texts of one panel."""


def extract(figure: Figure, how: str = "shown") -> Payload | None:
    """Returns the figure as data, or None when nothing is drawn in it. `how` is shown, returned, saved or closed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _payload(figure, how)


def _payload(figure: Figure, how: str) -> Payload | None:
    """Returns the figure's panels with their columns packed."""
    panels = _panels(figure)
    if not panels:
        return None
    payload: Payload = {
        "schema": "ci.chart/1",
        "figure_id": STATE.figure_id(figure),
        "title": text_of(getattr(figure, "_suptitle", None)),
        "source": {
            "library": "matplotlib", "version": version_of("matplotlib"), "cell": STATE.cell, "how": how,
        },
        "panels": panels,
    }  # fmt: skip
    pack.fit(payload)
    return payload


def _panels(figure: Figure) -> list[Panel]:
    """Returns the panels of which something could be read, or those that say why nothing could be."""
    groups = _groups(_all_axes(figure))
    seen = [_read(group) for group in groups[:MAX_PANELS]]
    pairs = list(zip(groups, seen))  # noqa: B905 - those beyond `MAX_PANELS` were not read
    labels = {id(ax._colorbar.mappable): _bar_label(ax) for ax in figure.axes if hasattr(ax, "_colorbar")}
    panels = list(filter(None, (_panel(group, founds, labels) for group, founds in pairs)))
    if not panels:
        return [_unread(group, notes) for group, founds in pairs if (notes := _notes(founds))]
    _say_dropped(panels, seen, len(groups))
    return panels


def _read(group: list[Axes]) -> list[Found]:
    """Returns what the visible Axes of a panel hold; Axes that are alone in theirs may be invisible."""
    return [read(ax) for ax in group if ax.get_visible() or len(group) == 1]


def _unread(group: list[Axes], notes: list[str]) -> Panel:
    """Returns a panel without series that says why nothing of it could be read, rather than no chart."""
    panel: Panel = {"kind": "mixed", "series": [], "complete": False, "notes": list(dict.fromkeys(notes))}
    panel["position"] = _position(group[0])
    title = _title(group)
    return panel | ({"title": title} if title else {})


def _say_dropped(panels: list[Panel], seen: list[list[Found]], groups: int) -> None:
    """Says in the first panel which other Axes are there: those of which nothing could be read are no panel."""
    empty = [note for founds in seen if not any(found.series for found in founds) for note in _notes(founds)]
    if groups > MAX_PANELS:
        empty.append(f"{groups - MAX_PANELS} more panels are not read")
    if empty:
        panels[0]["complete"] = False
        panels[0]["notes"] += [f"elsewhere in the figure: {note}" for note in dict.fromkeys(empty)]


def _bar_label(ax: Axes) -> str | None:
    """Returns the label of a colour bar, wherever it was written."""
    return text_of(ax.yaxis.label) or text_of(ax.xaxis.label) or text_of(ax.title)


def _all_axes(figure: Figure) -> list[Axes]:
    """Returns all Axes with insets, each once; colour bars and second scales are no panels."""
    queue, found = list(figure.axes), []
    while queue:
        ax = queue.pop(0)
        if ax in found or hasattr(ax, "_colorbar") or type(ax).__name__ == "SecondaryAxis":
            continue
        found.append(ax)
        queue.extend(getattr(ax, "child_axes", ()))
    return found


def _groups(axes: list[Axes]) -> list[list[Axes]]:
    """Returns the Axes of each panel: twins, which share x or y in one and the same place, are one panel."""
    groups: list[list[Axes]] = []
    for ax in axes:
        home = next((group for group in groups if _twins(group[0], ax)), None)
        if home is None:
            groups.append([ax])
        else:
            home.append(ax)
    return groups


def _twins(one: Axes, two: Axes) -> bool:
    """Says whether two Axes share an axis and the place in the figure."""
    if one.name != two.name or one.name != "rectilinear":
        return False
    shared = one.get_shared_x_axes().joined(one, two) or one.get_shared_y_axes().joined(one, two)
    places = (ax.get_position(original=True).bounds for ax in (one, two))
    return bool(shared) and all(abs(a - b) < 1e-9 for a, b in zip(*places, strict=True))


def read(ax: Axes) -> Found:
    """Returns all series of one Axes, positions still as drawn. A reader that fails is noted; the others go on."""
    found = Found(ax)
    found.order = {id(artist): n for n, artist in enumerate(getattr(ax, "_children", ax.get_children()))}
    flat = (boxes.read, bars.read, lines.read, areas.read)
    rest = (lines.lollipops, areas.unstack, names.attach_errors, bars.finish, grids.leftovers)
    for step in (grids.read,) if ax.name == "3d" else (*flat, grids.read, *rest):
        try:
            step(found)
        except Exception as error:  # noqa: BLE001 - said in the notes; the cell must not fail for its data
            found.lack(f"{step.__module__.rpartition('.')[2]}: {type(error).__name__}")
    found.series.sort(key=lambda raw: raw.order)
    return found


def _panel(group: list[Axes], everyone: list[Found], colors: dict[int, str | None]) -> Panel | None:
    """Returns twin Axes as one panel, or None when no series was read. `colors` has the labels of colour bars."""
    founds = [found for found in everyone if found.series]
    if not founds:
        return None
    legend = names.entries(group)
    for found in founds:
        names.give(found, legend)
        resolve.spans(found)
    first = founds[0].ax
    panel: Panel = {"kind": "", "title": _title(group), "series": []}
    for found in founds:
        _add(panel, found, _second(first, found.ax))
    _other_label(panel, group, first)
    raws = [raw for found in founds for raw in found.series]
    panel |= {
        "kind": resolve.panel_kind(first, raws),
        "complete": all(found.complete for found in everyone),
        "notes": _notes(everyone),
        "position": _position(group[0]),
        "barmode": resolve.barmode(raws),
        "annotations": _annotations(group),
        "color_label": _color_label(founds, colors),
    }
    return {key: value for key, value in panel.items() if value or key in ("series", "complete", "notes")}


def _notes(founds: Iterable[Found]) -> list[str]:
    """Returns what the readers of some Axes said, in their order."""
    return [note for found in founds for note in found.notes]


def _color_label(founds: list[Found], colors: dict[int, str | None]) -> str | None:
    """Returns the label of the first colour bar that belongs to a mark of these Axes."""
    labels = (colors.get(id(mappable)) for found in founds for mappable in found.mappables)
    return next(filter(None, labels), None)


def _annotations(group: list[Axes]) -> list[str]:
    """Returns what is written in the panel beside titles, labels and legends."""
    texts = (text.get_text() for ax in group for text in ax.texts)
    return [text for text in texts if text.strip()][:MAX_ANNOTATIONS]


def _second(first: Axes, ax: Axes) -> str:
    """Returns the axis that a twin has for itself; empty for the first Axes of a panel."""
    if ax is first:
        return ""
    return "y2" if ax.get_shared_x_axes().joined(first, ax) else "x2"


def _add(panel: Panel, found: Found, second: str) -> None:
    """Puts one Axes' series and axes into the panel; `second` names the axis that it has for itself."""
    plane = {which: Axis(found.ax, which) for which in ("xyz" if found.ax.name == "3d" else "xy")}
    resolve.categories(plane, found)
    for raw in found.series:
        panel["series"].append(resolve.finish(raw, plane) | ({"axis": second} if second else {}))
    _add_axes(panel, found, plane, second)


def _add_axes(panel: Panel, found: Found, plane: dict[str, Axis], second: str) -> None:
    """Puts in the axes of one Axes, or the one that a twin has for itself."""
    if found.ax.name == "polar" or all(raw.kind in ("pie", "treemap") for raw in found.series):
        _add_labels(panel, found.ax, plane)
    elif second:
        own = plane[second[0]].describe()
        if second in panel:
            found.notes.append(f"{second} is two axes; the other one is {own['label'] or 'without a label'}")
        panel.setdefault(second, own)
    else:
        panel.update({which: axis.describe() for which, axis in plane.items()})


def _add_labels(panel: Panel, ax: Axes, plane: dict[str, Axis]) -> None:
    """Puts in what was written beside a pie or around a polar panel, which have no scales to tell."""
    labels = {which: text_of(axis.axis.label) for which, axis in plane.items()}
    panel.update({which: {"label": label} for which, label in labels.items() if label and ax.axison})


def _other_label(panel: Panel, group: list[Axes], first: Axes) -> None:
    """Finds the label of the x axis that twins share, which may be on either; an axis that is off shows none."""
    if not first.axison and first.name == "rectilinear":
        for which in panel.keys() & {"x", "y"}:
            panel[which]["label"] = text_of(getattr(group[0], f"{which}axis").label) if group[0].axison else None
    elif "x" in panel and not panel["x"].get("label"):
        labels = (text_of(ax.xaxis.label) for ax in group if ax.get_shared_x_axes().joined(group[0], ax))
        panel["x"]["label"] = next(filter(None, labels), None)


def _title(group: list[Axes]) -> str | None:
    """Returns the first title of a panel: in the middle, on the left or on the right."""
    places = ("title", "_left_title", "_right_title")
    titles = (text_of(getattr(ax, place, None)) for ax in group for place in places)
    return next(filter(None, titles), None)


def _position(ax: Axes) -> dict[str, int | list[float]]:
    """Returns the place of a panel in the grid of subplots, or in parts of the figure when it is in none."""
    spec = ax.get_subplotspec() if hasattr(ax, "get_subplotspec") else None
    if spec is None:
        box = ax.get_position().bounds
        return {"box": [round(float(v), 4) for v in box]}
    rows, columns, _, _ = spec.get_geometry()
    return {"row": spec.rowspan.start, "column": spec.colspan.start, "rows": rows, "columns": columns}
