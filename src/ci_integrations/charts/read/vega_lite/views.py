"""A Vega-Lite specification (altair) as a `Chart`: views, layers, facets and repeats become panels with evaluated
data.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read.vega_lite import marks
from ci_integrations.charts.read.vega_lite.expressions import Unknown
from ci_integrations.charts.read.vega_lite.transforms import Row, groups, run

MIME = "application/vnd.vegalite.v6+json"
MAX_PANELS = 300


@dataclass(frozen=True)
class View:
    """What a view inherits: rows, encodings, the top-level data sets, and notes on what could not be evaluated."""

    datasets: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    encoding: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    notes: tuple[str, ...] = ()
    repeat: dict[str, str] = field(default_factory=dict)


def chart(payload: dict[str, Any]) -> Chart | None:
    """The figure, or None when nothing is drawn. Raises on nonsense: the caller catches."""
    datasets = payload.get("datasets")
    panels = _panels(payload, View(datasets if isinstance(datasets, dict) else {}), 0)
    if not panels:
        return None
    title = marks.title_of(payload.get("title"))
    if len(panels) == 1 and panels[0].get("title") is None:
        panels[0]["title"], title = title, None
    elif len(panels) == 1 and panels[0].get("title") == title:
        title = None
    return Chart.model_validate({
        "title": title, "source": {"library": "altair"}, "panels": panels[:MAX_PANELS],
        "native": {"mime": MIME, "spec": payload},
    })  # fmt: skip


def _panels(spec: dict[str, Any], view: View, depth: int) -> list[dict[str, Any]]:
    if depth > 12 or not isinstance(spec, dict):
        return []
    view = _inherit(spec, view)
    for word in ("hconcat", "vconcat", "concat"):
        if word in spec:
            return [panel for part in spec[word] for panel in _panels(part, replace(view, title=None), depth + 1)]
    if "repeat" in spec and "spec" in spec:
        return _repeated(spec, view, depth)
    if "facet" in spec and "spec" in spec:
        outer = spec["facet"]
        channels = outer if "row" in outer or "column" in outer else {"facet": outer}
        return _faceted(spec["spec"], channels, view, depth)
    facets: dict[str, Any] = {name: view.encoding[name] for name in ("row", "column", "facet") if name in view.encoding}
    if facets and ("mark" in spec or "layer" in spec):
        rest = {name: value for name, value in view.encoding.items() if name not in facets}
        inner = {key: value for key, value in spec.items() if key not in ("encoding", "data", "transform", "title")}
        return _faceted(inner, facets, replace(view, encoding=rest), depth)
    units = _units(spec, view, depth)
    return [marks.panel(units, view.title)] if units else []


def _inherit(spec: dict[str, Any], view: View) -> View:
    """The view with this specification's data, transforms, encoding and title."""
    rows, notes = view.rows, view.notes
    if isinstance(spec.get("data"), dict):
        rows, notes = _rows(spec["data"], view)
    try:
        rows = run(rows, [_with_its_data(step, view) for step in spec.get("transform") or ()])
    except Unknown as unknown:
        notes = (*notes, f"not evaluated: {unknown}")
    encoding = {**view.encoding, **_filled(spec.get("encoding") or {}, view.repeat)}
    title = marks.title_of(spec.get("title")) or view.title
    return replace(view, rows=rows, encoding=encoding, title=title, notes=notes)


def _rows(data: dict[str, Any], view: View) -> tuple[list[Row], tuple[str, ...]]:
    values = data.get("values")
    if values is None and "name" in data:
        values = view.datasets.get(data["name"])
    if isinstance(data.get("sequence"), dict):
        start, stop, step = (data["sequence"].get(k, d) for k, d in (("start", 0), ("stop", 0), ("step", 1)))
        name = data["sequence"].get("as", "data")
        return [{name: start + n * step} for n in range(min(10**5, int((stop - start) / step)))], view.notes
    if not isinstance(values, list):
        return [], (*view.notes, "the data are not in the specification")
    return [row if isinstance(row, dict) else {"data": row} for row in values], view.notes


def _with_its_data(step: dict[str, Any], view: View) -> dict[str, Any]:
    """A lookup brings the rows of its second table."""
    source = step.get("from") if "lookup" in step else None
    if not isinstance(source, dict) or not isinstance(source.get("data"), dict):
        return step
    rows, notes = _rows(source["data"], replace(view, notes=()))
    return step if notes else {**step, "from": {**source, "rows": rows}}


def _filled(encoding: dict[str, Any], repeat: dict[str, str]) -> dict[str, Any]:
    """`{"repeat": "column"}` stands for a field name."""
    found = copy.deepcopy(encoding)
    for channel in found.values():
        for word in ("field", "datum"):
            if isinstance(channel, dict) and isinstance(channel.get(word), dict) and "repeat" in channel[word]:
                channel[word] = repeat.get(str(channel[word]["repeat"]))
    return found


def _repeated(spec: dict[str, Any], view: View, depth: int) -> list[dict[str, Any]]:
    names = spec["repeat"]
    if isinstance(names, list):
        return [p for name in names for p in _panels(spec["spec"], replace(view, repeat={"repeat": name}), depth + 1)]
    if "layer" in names:
        inner = {"layer": [_substituted(spec["spec"], {"layer": name}) for name in names["layer"]]}
        return _panels(inner, view, depth + 1)
    rows, columns = names.get("row") or [None], names.get("column") or [None]
    pairs = [{"row": row, "column": column} for row in rows for column in columns]
    return [p for pair in pairs for p in _panels(spec["spec"], replace(view, repeat=pair), depth + 1)]


def _substituted(spec: dict[str, Any], repeat: dict[str, str]) -> dict[str, Any]:
    return {**spec, "encoding": _filled(spec.get("encoding") or {}, repeat)}


def _faceted(spec: dict[str, Any], channels: dict[str, Any], view: View, depth: int) -> list[dict[str, Any]]:
    if view.rows == [] and isinstance(spec.get("data"), dict):
        view = replace(view, rows=_rows(spec["data"], view)[0])
        spec = {key: value for key, value in spec.items() if key != "data"}
    fields = [str(channel.get("field")) for channel in channels.values()]
    parts = groups(view.rows, fields)
    found = []
    for key in marks.ordered(parts, list(channels.values())):
        title = " / ".join(str(value) for value in key)
        inside = replace(view, rows=parts[key], title=title)
        found += _panels({k: v for k, v in spec.items() if k != "title"}, inside, depth + 1)
    return found


def _units(spec: dict[str, Any], view: View, depth: int) -> list[marks.Unit]:
    """All layers of one panel as marks with rows and encodings."""
    if "layer" in spec:
        if depth > 12:
            return []
        parts = [_units(part, _inherit(part, view), depth + 1) for part in spec["layer"]]
        scales = (spec.get("resolve") or {}).get("scale") or {}
        for which in [which for which in "xy" if scales.get(which) == "independent"]:
            _separate(parts, which)
        return [unit for part in parts for unit in part]
    mark = spec.get("mark")
    if mark is None:
        return []
    mark = {"type": mark} if isinstance(mark, str) else mark
    return [marks.Unit(mark, view.rows, view.encoding, view.notes)]


def _separate(parts: list[list[marks.Unit]], which: str) -> None:
    """Layers with scales of their own: the first one's is the panel's axis, the others' the second."""
    drawn = [part for part in parts if any(which in unit.encoding for unit in part)]
    for unit in [unit for part in drawn[1:] for unit in part]:
        unit.second = f"{which}2"
