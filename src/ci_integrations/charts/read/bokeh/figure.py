"""Reads a bokeh document (as the extractor sends it) as a `Chart`: figures become panels, glyphs become series."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from ci_integrations._names import BOKEH_MIME as MIME
from ci_integrations.charts.chart import Chart
from ci_integrations.charts.read import combine
from ci_integrations.charts.read.bokeh import glyphs
from ci_integrations.charts.read.bokeh.annotations import beside, times
from ci_integrations.charts.read.bokeh.document import Columns, Document, data_of, values_of
from ci_integrations.charts.read.entry import OTHER, Entry, PanelDraft, category
from ci_integrations.charts.read.plain import Json, as_list, as_map, grouped, numbers

_BESIDE = {"x": ("below", "above"), "y": ("left", "right")}
"""The sides of the plot on which each axis is drawn, the usual one first."""


def chart(payload: Json) -> Chart | None:
    """Returns the figures of the document, or None when there is none. Raises on nonsense: the caller catches."""
    doc = Document(as_map(payload["doc"]))
    panels = [panel.plain() for figure in doc.figures() if (panel := _panel(doc, figure)) is not None]
    if not panels:
        return None
    native = {"mime": MIME, "spec": payload}
    return Chart.model_validate({"source": {"library": "bokeh"}, "panels": panels, "native": native})


def _panel(doc: Document, figure: Json) -> PanelDraft | None:
    """One figure as a panel; None when nothing is drawn in it."""
    panel = PanelDraft(doc.words(doc.get(figure, "title")))
    legend = _legend(doc, figure)
    for renderer in doc.models_of(figure, "renderers"):
        _renderer(doc, renderer, legend.get(str(renderer.get("id"))), panel)
    beside(doc, figure, panel)
    if not panel.series and panel.complete:
        return None
    # Before times become dates, because ends are compared as numbers.
    panel.series = combine.joined(panel.series)
    axes = {which: _axis(doc, figure, which) for which in "xy"}
    dated = [which for which, axis in axes.items() if axis["scale"] == "datetime"]
    for which, entry in product(dated, panel.series):
        times(entry, which)
    combine.settle(panel)
    if panel.kind not in ("pie", "donut"):
        panel.axes = axes | _second_axis(doc, figure, panel)
    panel.color_label = _color_label(doc, figure)
    return panel


def _color_label(doc: Document, figure: Json) -> str | None:
    """The title of the first colour bar beside the plot."""
    bar = next((model for model in doc.models_of(figure, "right", "left") if model.get("name") == "ColorBar"), None)
    return doc.words(doc.get(bar, "title"))


def _renderer(doc: Document, renderer: Json, legend: object, panel: PanelDraft) -> None:
    """Adds the series of one renderer to the panel, or notes that it is not read."""
    kind = renderer.get("name")
    if kind == "ContourRenderer":
        panel.series.append(Entry("contour", extra={"levels": numbers(values_of(doc.get(renderer, "levels")))}))
        panel.lack("a contour has its levels, but not the grid behind them")
    if kind != "GlyphRenderer" or doc.get(renderer, "visible") is False:
        return
    try:
        cols = Columns(doc, renderer)
    # The view has a filter that is a program for the browser.
    except KeyError as unknown:
        panel.lack(f"a {unknown.args[0]} is not evaluated")
        return
    name = cols.glyph.get("name")
    entries = [] if name in glyphs.WORDS else glyphs.read(cols, legend)
    if entries is None:
        panel.lack(f"a {name} glyph is not read")
        return
    second = doc.get(renderer, "y_range_name") not in (None, "default")
    for entry in entries:
        entry.axis = "y2" if second else None
        panel.series += _named(entry, cols, legend)


def _named(entry: Entry, cols: Columns, legend: object) -> list[Entry]:
    """A series with its name in the legend, or one for each name where a column has them."""
    if not isinstance(legend, dict):
        entry.name = None if legend is None else str(legend)
        return [entry]
    entry.name = None
    if cols.glyph.get("name") in glyphs.WEDGES:
        return [entry]
    return _by_name(entry, values_of(cols.data.get(str(legend["field"]))))


def _by_name(entry: Entry, values: list[object]) -> list[Entry]:
    """`legend_field`: one series for each value, unless every mark has its own."""
    groups = grouped((str(value), n) for n, value in enumerate(values))
    if not 1 < len(groups) < len(values) or len(entry.places) != len(values):
        return [entry]
    return [_part(entry, name, rows, len(values)) for name, rows in groups.items()]


def _part(entry: Entry, name: str, rows: list[int], n: int) -> Entry:
    """These rows of a series; what is no column with one value for each of the `n` marks stays as it is."""
    chosen = {key: [values[row] for row in rows] for key, values in entry.columns().items() if len(values) == n}
    extra = entry.extra | {key: values for key, values in chosen.items() if key not in OTHER}
    return replace(entry, name=name, x=chosen.get("x"), y=chosen.get("y"), extra=extra)


def _axis(doc: Document, figure: Json, which: str) -> Json:
    """The axis in the schema: its label, and its scale by the range, the scale model or the kind of axis."""
    label, kind = _drawn(doc, figure, *_BESIDE[which])
    places, scale = doc.model(doc.get(figure, f"{which}_range")), doc.model(doc.get(figure, f"{which}_scale"))
    # The range says what is categorical, whatever axis is drawn beside it.
    if places.get("name") == "FactorRange":
        factors = list(map(category, values_of(doc.get(places, "factors"))))
        return {"label": label, "scale": "categorical", "categories": factors}
    if scale.get("name") == "LogScale":
        return {"label": label, "scale": "log"}
    return {"label": label, "scale": "datetime" if kind == "DatetimeAxis" else "linear"}


def _second_axis(doc: Document, figure: Json, panel: PanelDraft) -> dict[str, Json]:
    """An extra y range with its own axis on the right is y2."""
    if not any(entry.axis == "y2" for entry in panel.series):
        return {}
    label, kind = _drawn(doc, figure, "right")
    return {"y2": {"label": label, "scale": {"LogAxis": "log", "DatetimeAxis": "datetime"}.get(kind, "linear")}}


def _drawn(doc: Document, figure: Json, *sides: str) -> tuple[str | None, str]:
    """The label and the kind of the first axis on these sides."""
    names = ((model, str(model.get("name"))) for model in doc.models_of(figure, *sides))
    model, name = next((pair for pair in names if pair[1].endswith("Axis")), ({}, ""))
    return doc.words(doc.get(model, "axis_label")), name


def _legend(doc: Document, figure: Json) -> dict[str, object]:
    """Renderer id to its legend label: a text, or `{"field": name}` for one entry for each value.

    `legend_group` writes the values itself, each with the index of its first row: the field is the column with these.
    """
    found: dict[str, object] = {}
    grouped: dict[str, dict[int, str]] = {}
    for item in _legend_items(doc, figure):
        label, index = doc.get(item, "label"), doc.get(item, "index")
        told = label if isinstance(label, dict) else {"value": label}
        for renderer in as_list(doc.get(item, "renderers")):
            key = str(as_map(renderer).get("id"))
            found[key] = {"field": told["field"]} if "field" in told else told.get("value")
            if isinstance(index, int):
                grouped.setdefault(key, {})[index] = str(told.get("value"))
    return found | {key: field for key, rows in grouped.items() if (field := _group_field(doc, key, rows))}


def _legend_items(doc: Document, figure: Json) -> list[Json]:
    """The entries of the legends, each of which may stand inside the plot or on any side of it."""
    models = doc.models_of(figure, "center", "left", "right", "above", "below")
    return [item for model in models if model.get("name") == "Legend" for item in doc.models_of(model, "items")]


def _group_field(doc: Document, renderer: str, rows: dict[int, str]) -> Json | None:
    """The name of the column in which the rows of a grouped legend have the values that it shows."""
    data = data_of(doc, doc.get(doc.models.get(renderer), "data_source"))
    for name, raw in data.items():
        values = list(map(str, values_of(raw)))
        if set(values) == set(rows.values()) and all(values[n] == word for n, word in rows.items() if n < len(values)):
            return {"field": name}
    return None
