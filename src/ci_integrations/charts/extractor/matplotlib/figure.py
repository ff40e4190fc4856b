"""A matplotlib figure as the neutral payload (schema ci.chart/1). The only way in: `extract(figure)`."""

# ruff: noqa: SLF001 - private names of the libraries it reads
from __future__ import annotations

import warnings
from typing import Any

from .. import pack
from ..state import STATE, version_of
from . import areas, bars, boxes, grids, lines, names, resolve
from .axes import Axis, text_of
from .series import Found

MAX_PANELS = 200


def extract(figure: Any, how: str = "shown") -> dict[str, Any] | None:
    """The figure as data, or None when nothing is drawn in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _payload(figure, how)


def _payload(figure: Any, how: str) -> dict[str, Any] | None:
    panels = _panels(figure)
    if not panels:
        return None
    payload = {
        "schema": "ci.chart/1",
        "figure_id": STATE.figure_id(figure),
        "title": text_of(getattr(figure, "_suptitle", None)),
        "source": {
            "library": "seaborn" if any(getattr(ax, "_ci_seaborn", False) for ax in figure.axes) else "matplotlib",
            "version": version_of("matplotlib"), "cell": STATE.cell, "how": how,
        },
        "panels": panels,
    }  # fmt: skip
    pack.fit(payload)
    return payload


def _panels(figure: Any) -> list[dict[str, Any]]:
    groups = _groups(_all_axes(figure))
    seen = [[read(ax) for ax in group if ax.get_visible() or len(group) == 1] for group in groups[:MAX_PANELS]]
    found = [panel for group, founds in zip(groups, seen) if (panel := _panel(group, founds)) is not None]  # noqa: B905
    labels = {id(ax._colorbar.mappable): _bar_label(ax) for ax in figure.axes if hasattr(ax, "_colorbar")}
    for entry, mappables in found:
        for mappable in mappables:
            if labels.get(id(mappable)):
                entry.setdefault("color_label", labels[id(mappable)])
    entries = [entry for entry, _ in found]
    if not entries:
        return [_unread(group, founds) for group, founds in zip(groups, seen) if any(f.notes for f in founds)]  # noqa: B905
    _say_dropped(entries, seen, len(groups))
    return entries


def _unread(group: list[Any], founds: list[Found]) -> dict[str, Any]:
    """Something is drawn and none of it can be read: a panel without series that says so, rather than no chart."""
    notes = list(dict.fromkeys(note for found in founds for note in found.notes))
    panel = {"kind": "mixed", "series": [], "complete": False, "notes": notes, "position": _position(group[0])}
    title = _title(group)
    return panel | ({"title": title} if title else {})


def _say_dropped(panels: list[dict[str, Any]], seen: list[list[Found]], groups: int) -> None:
    """Axes of which nothing could be read are no panel: the first panel says that they are there."""
    empty = [note for founds in seen if not any(f.series for f in founds) for found in founds for note in found.notes]
    if groups > MAX_PANELS:
        empty.append(f"{groups - MAX_PANELS} more panels are not read")
    if panels and empty:
        panels[0]["complete"] = False
        panels[0]["notes"] += [f"elsewhere in the figure: {note}" for note in dict.fromkeys(empty)]


def _bar_label(ax: Any) -> str | None:
    return text_of(ax.yaxis.label) or text_of(ax.xaxis.label) or text_of(ax.title)


def _all_axes(figure: Any) -> list[Any]:
    """All axes with insets, each once; colour bars and second scales are no panels."""
    queue, found = list(figure.axes), []
    while queue:
        ax = queue.pop(0)
        if ax in found or hasattr(ax, "_colorbar") or type(ax).__name__ == "SecondaryAxis":
            continue
        found.append(ax)
        queue.extend(getattr(ax, "child_axes", ()))
    return found


def _groups(axes: list[Any]) -> list[list[Any]]:
    """Twins are one panel: axes that share x or y in one and the same place."""
    groups: list[list[Any]] = []
    for ax in axes:
        home = next((group for group in groups if _twins(group[0], ax)), None)
        if home is None:
            groups.append([ax])
        else:
            home.append(ax)
    return groups


def _twins(one: Any, two: Any) -> bool:
    if one.name != two.name or one.name != "rectilinear":
        return False
    shared = one.get_shared_x_axes().joined(one, two) or one.get_shared_y_axes().joined(one, two)
    return bool(shared and _same_place(one, two))


def _same_place(one: Any, two: Any) -> bool:
    places = one.get_position(original=True).bounds, two.get_position(original=True).bounds
    return all(abs(a - b) < 1e-9 for a, b in zip(*places, strict=True))


def read(ax: Any) -> Found:
    """All series of one Axes, positions still as drawn. A family that cannot be read is noted; the others stand."""
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


def _panel(group: list[Any], founds: list[Found]) -> tuple[dict[str, Any], list[Any]] | None:
    everyone = founds
    whole = all(found.complete for found in founds)
    founds = [found for found in founds if found.series]
    if not founds:
        return None
    first, entries = founds[0], names.entries(group)
    for found in founds:
        names.give(found, entries)
        resolve.spans(found)
    panel: dict[str, Any] = {"kind": "", "title": _title(group), "series": []}
    rest = founds[1:] if len(founds) > 1 else []
    _add(panel, first, "")
    for found in rest:
        second = "y2" if found.ax.get_shared_x_axes().joined(first.ax, found.ax) else "x2"
        _add(panel, found, second)
    _other_label(panel, group, founds)
    panel["kind"] = resolve.panel_kind(first.ax, founds)
    panel["complete"] = whole
    panel["notes"] = [note for found in everyone for note in found.notes]
    panel["position"] = _position(group[0])
    panel["barmode"] = resolve.barmode(founds)
    panel["annotations"] = [text.get_text() for ax in group for text in ax.texts if text.get_text().strip()][:200]
    return {k: v for k, v in panel.items() if v not in (None, [], {})} | _kept(panel), [
        mappable for found in founds for mappable in found.mappables
    ]


def _kept(panel: dict[str, Any]) -> dict[str, Any]:
    return {key: panel[key] for key in ("series", "complete", "notes")}


def _add(panel: dict[str, Any], found: Found, second: str) -> None:
    """Put one Axes' series and axes into the panel; `second` names the axis that it has for itself."""
    plane = {which: Axis(found.ax, which) for which in ("xyz" if found.ax.name == "3d" else "xy")}
    resolve.categories(plane, found)
    for raw in found.series:
        entry = resolve.finish(raw, plane)
        if second:
            entry["axis"] = second
        panel["series"].append(entry)
    if found.ax.name == "polar" or all(raw.kind in ("pie", "treemap") for raw in found.series):
        labels = {which: text_of(axis.axis.label) for which, axis in plane.items()}
        panel.update({which: {"label": label} for which, label in labels.items() if label and found.ax.axison})
        return
    if second:
        own = plane[second[0]].describe()
        if second in panel:
            found.notes.append(f"{second} is two axes; the other one is {own['label'] or 'without a label'}")
        panel.setdefault(second, own)
        return
    panel.update({which: axis.describe() for which, axis in plane.items()})


def _other_label(panel: dict[str, Any], group: list[Any], founds: list[Found]) -> None:
    """Twins share one x axis whose label may stand on either of them; an axis that is off shows no label."""
    if not founds[0].ax.axison and founds[0].ax.name == "rectilinear":
        for which in ("x", "y"):
            seen = group[0] if group[0].axison else None
            if which in panel:
                panel[which]["label"] = text_of(getattr(seen, f"{which}axis").label) if seen is not None else None
        return
    if "x" in panel and not panel["x"].get("label"):
        labels = [text_of(ax.xaxis.label) for ax in group if ax.get_shared_x_axes().joined(group[0], ax)]
        panel["x"]["label"] = next((label for label in labels if label), None)


def _title(group: list[Any]) -> str | None:
    for ax in group:
        for artist in (ax.title, getattr(ax, "_left_title", None), getattr(ax, "_right_title", None)):
            if text_of(artist):
                return text_of(artist)
    return None


def _position(ax: Any) -> dict[str, Any]:
    spec = ax.get_subplotspec() if hasattr(ax, "get_subplotspec") else None
    if spec is None:
        box = ax.get_position().bounds
        return {"box": [round(float(v), 4) for v in box]}
    rows, columns, _, _ = spec.get_geometry()
    return {"row": spec.rowspan.start, "column": spec.colspan.start, "rows": rows, "columns": columns}
