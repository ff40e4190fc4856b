"""What stands in a bokeh document: models by id, data columns, and a glyph's properties resolved against them."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable
from typing import Any

from ci_integrations.charts import columns

MAX_MODELS = 200_000


class Document:
    """All models of a document by id; a model is `{"name", "id", "attributes"}`."""

    def __init__(self, doc: dict[str, Any]) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        stack: list[Any] = [doc.get("roots")]
        while stack and len(self.models) < MAX_MODELS:
            item = stack.pop()
            if isinstance(item, dict):
                if item.get("type") == "object" and "id" in item:
                    self.models[str(item["id"])] = item
                stack.extend(item.values())
            elif isinstance(item, list) and not numbers_only(item):
                stack.extend(item)

    def model(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {}
        return value if "attributes" in value else self.models.get(str(value.get("id")), value)

    def get(self, value: Any, name: str) -> Any:
        found = self.model(value).get("attributes") or {}
        return found.get(name)


def numbers_only(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, (int, float)) for item in items[:50])


def values_of(raw: Any) -> list[Any]:
    """A column: a list, or an ndarray with base64 bytes inside."""
    if isinstance(raw, dict) and raw.get("type") == "ndarray":
        return _ndarray(raw)
    if isinstance(raw, dict) and raw.get("type") == "map":
        return []
    return [_scalar(v) for v in raw] if isinstance(raw, list) else []


def _scalar(value: Any) -> Any:
    return None if isinstance(value, dict) and value.get("type") == "number" else value


_TYPES = {"float64": "f8", "float32": "f4", "int32": "i4", "uint32": "u4", "int16": "i2", "uint16": "u2", "int8": "i1",
          "uint8": "u1", "bool": "u1"}  # fmt: skip


def _ndarray(raw: dict[str, Any]) -> list[Any]:
    inner = raw.get("array")
    if isinstance(inner, list):
        return [_scalar(v) for v in inner]
    shape, code = raw.get("shape") or [], _TYPES.get(str(raw.get("dtype")))
    text = inner.get("data") if isinstance(inner, dict) else None
    if code is None or not isinstance(text, str):
        raise ValueError("an array of unknown type")
    packed = {"b64": _unzipped(text, math.prod(shape) * int(code[1])), "dtype": code, "n": math.prod(shape)} | (
        {"shape": shape} if len(shape) == 2 else {}
    )
    wrong = columns.problem(packed)
    if wrong is not None:
        raise ValueError(wrong)
    found: list[Any] = columns.decode(packed)
    return [int(v) if isinstance(v, float) and code[0] != "f" else v for v in found] if len(shape) != 2 else found


def _unzipped(text: str, size: int) -> str:
    """Bokeh gzips its buffers. Never more than `size` bytes come out, whatever the input claims."""
    raw = base64.b64decode(text, validate=True)
    if raw[:2] != b"\x1f\x8b":
        return text
    data = zlib.decompressobj(31).decompress(raw, size + 1)
    if len(data) != size:
        raise ValueError("length and data differ")
    return base64.b64encode(data).decode("ascii")


def factor(value: Any) -> Any:
    return "/".join(str(part) for part in value) if isinstance(value, list) else value


def data_of(doc: Document, source: Any) -> dict[str, Any]:
    """A data source's columns by name."""
    data = doc.get(doc.model(source), "data")
    entries = data.get("entries") if isinstance(data, dict) else None
    pairs = entries if isinstance(entries, list) else (data.items() if isinstance(data, dict) else ())
    return {str(key): value for key, value in pairs}


def kept(doc: Document, raw: Any, data: dict[str, Any], n: int) -> set[int]:
    """The rows that a view's filter lets through. Raises `KeyError` for a filter that only a browser can run."""
    model = doc.model(raw)
    whole, name = set(range(n)), str(model.get("name"))
    if name in ("AllIndices", "None"):
        return whole
    if name == "GroupFilter":
        column, group = values_of(data.get(str(doc.get(model, "column_name")))), doc.get(model, "group")
        return {i for i, value in enumerate(column) if value == group}
    if name == "BooleanFilter":
        flags = doc.get(model, "booleans")
        return whole if flags is None else {i for i, flag in enumerate(values_of(flags)) if flag}
    if name == "IndexFilter":
        indices = doc.get(model, "indices")
        return whole if indices is None else {int(i) for i in values_of(indices)} & whole
    if name == "InversionFilter":
        return whole - kept(doc, doc.get(model, "operand"), data, n)
    parts = [kept(doc, part, data, n) for part in doc.get(model, "operands") or []]
    joins: dict[str, Callable[..., set[int]]] = {
        "IntersectionFilter": whole.intersection,
        "UnionFilter": set[int]().union,
    }
    return joins[name](*parts)


class Columns:
    """A glyph's properties resolved against its data source."""

    def __init__(self, doc: Document, renderer: dict[str, Any]) -> None:
        self._doc, self.glyph = doc, doc.model(doc.get(renderer, "glyph"))
        self.data = data_of(doc, doc.get(renderer, "data_source"))
        self.n = max((len(values_of(value)) for value in self.data.values()), default=1)
        view = kept(doc, doc.get(doc.get(renderer, "view"), "filter"), self.data, self.n)
        if len(view) < self.n:
            columns = {key: values_of(value) for key, value in self.data.items()}
            self.data = {key: [v for i, v in enumerate(values) if i in view] for key, values in columns.items()}
            self.n = len(view)

    def raw(self, name: str) -> Any:
        return self._doc.get(self.glyph, name)

    def column(self, name: str) -> list[Any] | None:
        spec = self.raw(name)
        if isinstance(spec, str):
            spec = {"field": spec}
        if isinstance(spec, dict) and "field" in spec:
            return [factor(v) for v in values_of(self.data.get(str(spec["field"])))]
        if isinstance(spec, dict) and spec.get("type") == "expr":
            return self.expression(self._doc.model(spec.get("expr")))
        value = spec.get("value") if isinstance(spec, dict) else spec
        return None if value is None else [value] * self.n

    def expression(self, model: dict[str, Any]) -> list[Any] | None:
        """The expressions of stacks and of wedges: sums of columns, and running sums."""
        if model.get("name") == "Stack":
            fields = [[v or 0 for v in values_of(self.data.get(str(f)))] for f in self._doc.get(model, "fields") or []]
            return [sum(parts) for parts in zip(*fields, strict=False)] if fields else [0] * self.n
        if model.get("name") == "CumSum":
            values = values_of(self.data.get(str(self._doc.get(model, "field"))))
            total, found = 0.0, []
            for value in values:
                before, total = total, total + value
                found.append(before if self._doc.get(model, "include_zero") else total)
            return found
        return None

    def dodge(self, name: str) -> bool:
        spec = self.raw(name)
        return isinstance(spec, dict) and self._doc.model(spec.get("transform")).get("name") in ("Dodge", "Jitter")
