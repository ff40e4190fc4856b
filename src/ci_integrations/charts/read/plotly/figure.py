"""plotly's JSON figure as a `Chart`. The traces say what they are; axes, subplots and facets come from the layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ci_integrations.charts import columns
from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read.plotly import layout as layout_plotly
from ci_integrations.charts.read.plotly import shapes
from ci_integrations.charts.read.plotly import traces as tags_plotly
from ci_integrations.charts.shares import shares

MIME = "application/vnd.plotly.v1+json"


def chart(payload: dict[str, Any]) -> Chart | None:
    """The figure, or None when it has no trace. Raises on nonsense: the caller catches."""
    figure = unpack(payload)
    layout = figure.get("layout") or {}
    traces = [trace for trace in figure.get("data") or [] if isinstance(trace, dict)]
    if not traces:
        return None
    panels: dict[Any, dict[str, Any]] = {}
    for n, trace in enumerate(traces[:2000]):
        if trace.get("visible") is False:
            continue
        key = _place(trace, layout, n)
        panel = panels.setdefault(key, {"kind": "", "series": [], "notes": [], "complete": True, "_key": key})
        _add(panel, trace, layout)
    titled = _titles(list(panels.values()), layout)
    for panel in panels.values():
        panel["series"] = tags_plotly.bands(panel["series"])
        _shares(panel, layout)
    shapes.add(list(panels.values()), layout)
    for panel in panels.values():
        _finish(panel, layout, traces)
        if payload.get("frames"):
            panel["complete"] = False
            panel["notes"].append("of an animation, what is shown first")
    title = layout_plotly.words(layout.get("title"))
    single = len(panels) == 1 and not titled
    if single:
        next(iter(panels.values()))["title"] = title
    for panel in panels.values():
        if panel["kind"] == "indicator" and len(panel["series"]) == 1:
            panel["title"] = panel.get("title") or panel["series"][0]["name"]
    return Chart.model_validate({
        "title": None if single else title,
        "source": {"library": "plotly"},
        "panels": list(panels.values()),
        "native": {"mime": MIME, "spec": {key: payload[key] for key in ("data", "layout") if key in payload}},
    })  # fmt: skip


def unpack(value: Any) -> Any:
    """Plotly sends arrays as `{"dtype", "bdata", "shape"}`; here they become lists."""
    if isinstance(value, dict):
        if "bdata" in value and "dtype" in value:
            return _array(value)
        return {key: unpack(item) for key, item in value.items() if key != "template"}
    return [unpack(item) for item in value] if isinstance(value, list) else value


def _array(value: dict[str, Any]) -> Any:
    text, code = str(value["bdata"]), str(value["dtype"])
    width = int(code[1:])
    n = (len(text) * 3 // 4 - text[-2:].count("=")) // width
    shape = [int(v) for v in str(value.get("shape") or "").split(",") if v.strip()]
    packed: dict[str, Any] = {"b64": text, "dtype": code, "n": n}
    if len(shape) == 2:
        packed["shape"] = shape
    wrong = columns.problem(packed)
    if wrong is not None:
        raise ValueError(wrong)
    found = columns.decode(packed)
    return [int(v) for v in found] if code[0] in "iu" and len(shape) != 2 else found


def _place(trace: dict[str, Any], layout: dict[str, Any], n: int) -> Any:
    """Traces on the same x and y axes, or on axes that overlay them, are one panel."""
    if trace.get("type") in tags_plotly.WITHOUT_AXES:
        return _domain(trace, n)
    for name in ("scene", "geo", "polar", "subplot"):
        if name in trace or trace.get("type", "").startswith(("scatterpolar", "barpolar")):
            return ("scene", trace.get(name) or trace.get("subplot") or "polar")
    if tags_plotly.is_space(trace):
        return ("scene", "scene")
    if trace.get("type") in tags_plotly.GEO:
        return ("geo", "geo")
    x, y = axis_name(trace, "x"), axis_name(trace, "y")
    base = layout_plotly.axis(layout, y).get("overlaying")
    base_x = layout_plotly.axis(layout, x).get("overlaying")
    return ("xy", base_x if isinstance(base_x, str) and base_x != "free" else x,
            base if isinstance(base, str) and base != "free" else y)  # fmt: skip


def _domain(trace: dict[str, Any], n: int) -> Any:
    domain = trace.get("domain") or {}
    return ("domain", str(domain.get("x")), str(domain.get("y")), str(domain.get("row")), str(domain.get("column")))


def axis_name(trace: dict[str, Any], which: str) -> str:
    return str(trace.get(f"{which}axis") or which)


def _add(panel: dict[str, Any], trace: dict[str, Any], layout: dict[str, Any]) -> None:
    reader: Callable[..., dict[str, Any]] | None = tags_plotly.READERS.get(str(trace.get("type") or "scatter"))
    if reader is None:
        panel["complete"] = False
        panel["notes"].append(f"a {trace.get('type')} trace is not read")
        return
    series = reader(trace, layout)
    series.setdefault("name", _name(trace))
    if trace.get("stackgroup"):
        series["_stack"], series["_norm"] = str(trace["stackgroup"]), trace.get("groupnorm")
    if panel["_key"][0] == "xy":
        if axis_name(trace, "y") != panel["_key"][2]:
            series["axis"] = "y2"
            panel["_y2"] = axis_name(trace, "y")
        if axis_name(trace, "x") != panel["_key"][1]:
            series["axis"] = "x2"
            panel["_x2"] = axis_name(trace, "x")
    bar = layout_plotly.color_title(trace, layout)
    if bar:
        panel.setdefault("color_label", bar)
    panel["series"].append(series)


_WHOLE = {"percent": 100.0, "fraction": 1.0}


def _shares(panel: dict[str, Any], layout: dict[str, Any]) -> None:
    """Bars and stacked areas that plotly draws as shares of all at their place."""
    stacks: dict[Any, list[dict[str, Any]]] = {}
    norms: dict[Any, Any] = {"bar": layout.get("barnorm")}
    for entry in panel["series"]:
        stack, norm = entry.pop("_stack", None), entry.pop("_norm", None)
        group = ("area", stack) if stack else "bar" if entry["kind"] in ("bar", "histogram") else None
        stacks.setdefault(group, []).append(entry)
        norms[group] = norms.get(group) or norm
    for group, entries in stacks.items():
        if group and group != "bar" and len(entries) > 1:
            panel["barmode"] = "stack"
        whole = _WHOLE.get(str(norms.get(group)))
        if whole is None:
            continue
        if any(entry["kind"] == "histogram" for entry in entries) or (
            group != "bar" and any(entry["x"] != entries[0]["x"] for entry in entries)
        ):
            panel["complete"] = False
            panel["notes"].append("amounts: the shares that are drawn are not computed")
        else:
            shares(entries, whole)


def _name(trace: dict[str, Any]) -> str | None:
    """Plotly express gives empty names to traces that stand alone, numbers to images, and shows no legend for them."""
    name = layout_plotly.words(trace.get("name"))
    return None if trace.get("type") in ("heatmap", "contour") and (name or "").isdigit() else name


def _titles(panels: list[dict[str, Any]], layout: dict[str, Any]) -> bool:
    """Subplot and column titles are annotations above each domain, row titles stand upright beside it.

    A panel of a grid has both. True when there may be titles.
    """
    if len(panels) < 2:
        return False
    notes = [found for note in layout.get("annotations") or [] if (found := _free_note(note)) is not None]
    rows = [note for note in notes if note["upright"]]
    for panel in panels:
        x, y = layout_plotly.domain_of(panel["_key"], layout)
        above = [n for n in notes if not n["upright"] and abs(n["x"] - sum(x) / 2) < 0.02 and n["y"] > y[1] - 0.02]
        near = [n for n in above if rows or n["y"] < y[1] + 0.02]
        beside = [n for n in rows if abs(n["y"] - sum(y) / 2) < 0.02]
        panel["title"] = " / ".join(note["text"] for note in [*near[:1], *beside[:1]]) or None
    return True


def _free_note(note: Any) -> dict[str, Any] | None:
    """An annotation on the paper without an arrow: its words, its place, and whether it stands upright."""
    if not isinstance(note, dict) or note.get("xref") != "paper" or note.get("showarrow"):
        return None
    x, y, text = (layout_plotly.number(note.get("x")), layout_plotly.number(note.get("y")),
                  layout_plotly.words(note.get("text")))  # fmt: skip
    if x is None or y is None or text is None:
        return None
    return {"x": x, "y": y, "text": text, "upright": layout_plotly.number(note.get("textangle")) in (90, -90)}


def _finish(panel: dict[str, Any], layout: dict[str, Any], traces: list[Any]) -> None:
    key = panel.pop("_key")
    second = {"y2": panel.pop("_y2", None), "x2": panel.pop("_x2", None)}
    kinds = [series["kind"] for series in panel["series"]]
    kinds = [kind for kind in kinds if kind != "rule"] or kinds
    panel["kind"] = tags_plotly.panel_kind(kinds, panel["series"])
    bars = [series for series in panel["series"] if series["kind"] in ("bar", "histogram")]
    if len(bars) > 1:
        mode = str(layout.get("barmode") or "group")
        panel["barmode"] = "stack" if mode == "relative" else mode
    if key[0] == "xy":
        panel["x"] = layout_plotly.axis_of(key[1], layout, panel["series"], "x")
        panel["y"] = layout_plotly.axis_of(key[2], layout, panel["series"], "y")
        for name, where in second.items():
            if where:
                panel[name] = layout_plotly.axis_of(where, layout, panel["series"], name[0], own=name)
    elif key[0] == "scene":
        scene = layout.get(str(key[1])) or {}
        for which in "xyz":
            label = layout_plotly.words((scene.get(f"{which}axis") or {}).get("title"))
            if label:
                panel[which] = {"label": label}
    tags_plotly.clear_lonely_names(panel, layout, traces)
