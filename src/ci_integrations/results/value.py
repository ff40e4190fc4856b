"""Defines what all parts of a result have in common: they are frozen, and every field is plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

from ci_integrations._json import MAX_DEPTH, plain

_ALREADY_PLAIN = object()
"""The validation context that says: no field needs `plain` any more."""


class Value(BaseModel):
    """Is the base of all result types: frozen, keyword-only, every field made plain JSON before it is validated."""

    # JSON has no NaN; what pydantic writes otherwise is refused by other parsers.
    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True, ser_json_inf_nan="null"
    )

    _depth: ClassVar[int] = MAX_DEPTH
    """Levels. Containers get a larger limit than their values, so that an accepted value is never truncated later."""

    @classmethod
    def from_plain(cls, fields: Mapping[str, object]) -> Self:
        """Validates fields that are plain JSON (or result types) already, so that nothing is copied once more.

        Raises pydantic's `ValidationError`.
        """
        return cls.model_validate(fields, context=_ALREADY_PLAIN)

    @model_validator(mode="before")
    @classmethod
    def _json_safe(cls, data: object, info: ValidationInfo) -> object:
        if info.context is _ALREADY_PLAIN or not isinstance(data, dict):
            return data
        return {key: plain_or_typed(value, cls._depth) for key, value in data.items()}


def plain_or_typed(value: object, depth: int = MAX_DEPTH) -> object:
    """Returns `value` as plain JSON; typed models and sequences of them pass as they are."""
    if isinstance(value, (list, tuple)) and any(isinstance(item, BaseModel) for item in value):
        return tuple(value)
    # The validation of a typed model has made it plain. Text and None are asked first, because pydantic is slow to say.
    is_typed = value is not None and not isinstance(value, str) and isinstance(value, BaseModel)
    return value if is_typed else plain(value, depth)
