"""Reads a bokeh document: models by id, data columns, and a glyph's properties resolved against them."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator
from itertools import accumulate, compress

from ci_integrations.charts import columns
from ci_integrations.charts.columns import is_number
from ci_integrations.charts.read.entry import category
from ci_integrations.charts.read.plain import Json, as_list, as_map, plus

MAX_MODELS = 200_000
"""Models of one document that are looked at."""
_MAX_DEPTH = 60
_GZIP = 31
"""zlib's window size for a stream with a gzip header."""
_FIGURES = ("Figure", "figure", "Plot", "GMap")


class Document:
    """All models of a document by id; a model is `{"name", "id", "attributes"}`."""

    def __init__(self, doc: Json) -> None:
        """Indexes the models of `doc`, at most `MAX_MODELS` of them."""
        self.models: dict[str, Json] = {}
        self._roots = doc.get("roots")
        stack: list[object] = [self._roots]
        while stack and len(self.models) < MAX_MODELS:
            item = stack.pop()
            if isinstance(item, dict):
                if item.get("type") == "object" and "id" in item:
                    self.models[str(item["id"])] = item
                # A model may stand inline where it is first used, so any value can hold one.
                stack.extend(item.values())
            elif isinstance(item, list) and not _numbers_only(item):
                stack.extend(item)

    def model(self, value: object) -> Json:
        """Returns the model that a value is or refers to; an empty one for anything else."""
        if not isinstance(value, dict):
            return {}
        return value if "attributes" in value else self.models.get(str(value.get("id")), value)

    def get(self, value: object, name: str) -> object:
        """Returns an attribute of a model; None when it is not set."""
        return as_map(self.model(value).get("attributes")).get(name)

    def models_of(self, value: object, *names: str) -> list[Json]:
        """Returns the models in these attributes, which are lists, of a model."""
        return [self.model(item) for name in names for item in as_list(self.get(value, name))]

    def words(self, value: object) -> str | None:
        """Returns a title or label as text; some are models with a `text`."""
        found = self.get(value, "text") if isinstance(value, dict) else value
        return None if found in (None, "") else str(found)

    def figures(self) -> list[Json]:
        """Returns the figures in the order in which they stand in the layout."""
        places = {name: n for n, name in reversed(list(enumerate(_figure_ids(self._roots, 0))))}
        # The index was filled from the end of the document to its start.
        found = [model for model in reversed(self.models.values()) if model.get("name") in _FIGURES]
        return sorted(found, key=lambda figure: places.get(str(figure.get("id")), len(places)))


def _figure_ids(item: object, depth: int) -> Iterator[str]:
    """The ids of figures as the document names them, those of figures inside figures left out."""
    if isinstance(item, dict) and item.get("name") in _FIGURES:
        yield str(item.get("id"))
    elif depth <= _MAX_DEPTH and isinstance(item, (dict, list)) and not _numbers_only(item):
        for child in item.values() if isinstance(item, dict) else item:
            yield from _figure_ids(child, depth + 1)


def _numbers_only(items: object) -> bool:
    """True for a list of data, in which no model can be."""
    return isinstance(items, list) and bool(items) and all(isinstance(item, (int, float)) for item in items[:50])


def values_of(raw: object) -> list[object]:
    """Returns a column: a list, or an ndarray with base64 bytes inside. Raises `ValueError` for a broken array."""
    if isinstance(raw, dict) and raw.get("type") == "ndarray":
        return _ndarray(raw)
    return list(map(_scalar, as_list(raw)))


def _scalar(value: object) -> object:
    """One value of a column."""
    # bokeh writes NaN and infinities as {"type": "number", "value": "nan"}.
    return None if isinstance(value, dict) and value.get("type") == "number" else value


_TYPES = {"float64": "f8", "float32": "f4", "int32": "i4", "uint32": "u4", "int16": "i2", "uint16": "u2", "int8": "i1",
          "uint8": "u1", "bool": "u1"}  # fmt: skip


def _ndarray(raw: Json) -> list[object]:
    """An array as a list of values, or a list of rows when it has two dimensions."""
    inner = raw.get("array")
    if isinstance(inner, list):
        return list(map(_scalar, inner))
    shape, code = [n for n in as_list(raw.get("shape")) if isinstance(n, int)], _TYPES.get(str(raw.get("dtype")))
    text = as_map(inner).get("data")
    if code is None or not isinstance(text, str):
        raise ValueError("an array of unknown type")
    packed: Json = {"b64": _unzipped(text, math.prod(shape) * int(code[1])), "dtype": code, "n": math.prod(shape)}
    if len(shape) == 2:
        packed["shape"] = shape
    return columns.unpacked(packed, whole=code[0] != "f")


def _unzipped(text: str, size: int) -> str:
    """The buffer without bokeh's gzip. Never more than `size` bytes come out, whatever the input claims."""
    raw = base64.b64decode(text, validate=True)
    # Older versions send the plain buffer; a gzip stream begins with these two bytes.
    if raw[:2] != b"\x1f\x8b":
        return text
    # One byte more than claimed is enough to notice a longer buffer.
    data = zlib.decompressobj(_GZIP).decompress(raw, size + 1)
    if len(data) != size:
        raise ValueError("length and data differ")
    return base64.b64encode(data).decode("ascii")


def data_of(doc: Document, source: object) -> Json:
    """Returns a data source's columns by name."""
    data = as_map(doc.get(source, "data"))
    entries = data.get("entries")
    pairs = entries if isinstance(entries, list) else data.items()
    return {str(key): value for key, value in pairs}


_ROWS = {"AllIndices": "", "None": "", "BooleanFilter": "booleans", "IndexFilter": "indices"}
"""Filters to the attribute in which they name rows; the default one of a view has none and lets everything through."""


def kept(doc: Document, raw: object, data: Json, n: int) -> set[int]:
    """Returns the rows that a view's filter lets through.

    Raises `KeyError` with the name of a filter that only a browser can run.
    """
    model, whole = doc.model(raw), set(range(n))
    name = str(model.get("name"))
    if name == "InversionFilter":
        return whole - kept(doc, doc.get(model, "operand"), data, n)
    if name in ("IntersectionFilter", "UnionFilter"):
        parts = [kept(doc, part, data, n) for part in as_list(doc.get(model, "operands"))]
        return whole.intersection(*parts) if name == "IntersectionFilter" else set[int]().union(*parts)
    if name == "GroupFilter":
        group, values = doc.get(model, "group"), values_of(data.get(str(doc.get(model, "column_name"))))
        return {i for i, value in enumerate(values) if value == group}
    # The name that is not found is what the `KeyError` has to say.
    return _named_rows(name, doc.get(model, _ROWS[name]), whole)


def _named_rows(name: str, told: object, whole: set[int]) -> set[int]:
    """The rows that a filter names by their numbers, or by one boolean for each row; all when it names none."""
    if told is None:
        return whole
    rows = values_of(told)
    if name == "BooleanFilter":
        return set(compress(sorted(whole), rows))
    return whole & {i for i in rows if isinstance(i, int)}


class Columns:
    """A glyph's properties resolved against its data source. Raises `KeyError` as `kept` does."""

    def __init__(self, doc: Document, renderer: Json) -> None:
        """Resolves the data of one renderer and leaves out the rows that its view hides."""
        self._doc, self.glyph = doc, doc.model(doc.get(renderer, "glyph"))
        self.data = data_of(doc, doc.get(renderer, "data_source"))
        self.n = max(map(len, map(values_of, self.data.values())), default=1)
        view = kept(doc, doc.get(doc.get(renderer, "view"), "filter"), self.data, self.n)
        if len(view) < self.n:
            held = {key: values_of(value) for key, value in self.data.items()}
            self.data = {key: [v for i, v in enumerate(values) if i in view] for key, values in held.items()}
            self.n = len(view)

    def raw(self, name: str) -> object:
        """Returns a property as it stands in the glyph."""
        return self._doc.get(self.glyph, name)

    def held(self, name: str) -> object:
        """Returns the column of the data source that a property refers to; None when it refers to none."""
        spec = self.raw(name)
        return self.data.get(str(spec["field"])) if isinstance(spec, dict) and "field" in spec else None

    def column(self, name: str) -> list[object] | None:
        """Returns a property's value for each row; None when it is not set or not known."""
        spec = self.raw(name)
        told = spec if isinstance(spec, dict) else {"field" if isinstance(spec, str) else "value": spec}
        if "field" in told:
            return list(map(category, self._values(told["field"])))
        if self.is_expression(name):
            return self._expression(self._doc.model(told.get("expr")))
        value = told.get("value")
        return None if value is None else [value] * self.n

    def _values(self, name: object) -> list[object]:
        """The values of a column of the data source."""
        return values_of(self.data.get(str(name)))

    def columns(self, *names: str) -> list[list[object]]:
        """Returns several properties, empty where they are not set."""
        return [self.column(name) or [] for name in names]

    def is_expression(self, name: str) -> bool:
        """True for a property that bokeh computes from several columns, as stacks are."""
        return as_map(self.raw(name)).get("type") == "expr"

    def is_dodged(self, name: str) -> bool:
        """True when the marks are moved beside those of other glyphs at the same places."""
        return self._doc.model(as_map(self.raw(name)).get("transform")).get("name") == "Dodge"

    def _expression(self, model: Json) -> list[object] | None:
        """The expressions of stacks and of wedges: sums of columns, and running sums."""
        if model.get("name") == "Stack":
            fields = map(self._values, as_list(self._doc.get(model, "fields")))
            return [sum(filter(is_number, row)) for row in zip(*fields, strict=False)] or [0] * self.n
        if model.get("name") != "CumSum":
            return None
        values = self._values(self._doc.get(model, "field"))
        sums: list[object] = list(accumulate(values, lambda total, value: plus(total, value) or total, initial=0.0))
        # `include_zero` shifts the sums by one row: they are then where wedges start.
        return sums[:-1] if self._doc.get(model, "include_zero") else sums[1:]
