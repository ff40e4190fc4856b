"""Keeps what LangChain would find out anew on every call: what is special in an `args_schema`.

LangChain 1.x walks the annotations of a tool's schema twice for each call, which takes longer than to validate it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from langchain_core.tools import InjectedToolCallId
from pydantic import BaseModel
from pydantic.fields import FieldInfo

NOT_FROM_THE_MODEL = ("runtime", "config", "run_manager", "callbacks")
"""Arguments that LangChain or a graph may give, and no model."""


@dataclass(frozen=True)
class KnownSchema:
    """What was found out of the `args_schema` of one tool."""

    schema: object
    hidden: Collection[str] = ()
    """Arguments that are injected: callbacks and traces are not shown them."""
    plain: type[BaseModel] | None = None
    """The schema, where its arguments are validated and handed on without more ado; None where LangChain has to."""


def known(schema: object, shown: Callable[[dict[str, object]], dict[str, object]]) -> KnownSchema:
    """Looks at `schema` once. `shown` is LangChain's own rule for what callbacks may see."""
    model = schema if isinstance(schema, type) and issubclass(schema, BaseModel) else None
    fields = model.model_fields if model is not None else {}
    names = {*NOT_FROM_THE_MODEL, *fields}
    hidden = names - shown(dict.fromkeys(names)).keys()
    if model is None or any(map(_is_special, fields.values())) or model.model_config.get("extra") == "allow":
        return KnownSchema(schema, hidden)
    return KnownSchema(schema, hidden, model)


def _is_special(field: FieldInfo) -> bool:
    """True for a field that LangChain fills in itself, or looks up under another name."""
    kinds = (kind if isinstance(kind, type) else type(kind) for kind in field.metadata)
    return field.alias is not None or any(issubclass(kind, InjectedToolCallId) for kind in kinds)
