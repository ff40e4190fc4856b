"""Request bodies, checked with the words that FastAPI has for what is wrong: clients show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class BodyError(Exception):
    """A body is wrong; `detail` says where, for status 422."""

    def __init__(self, kind: str, where: list[str | int], message: str, given: object, **more: object) -> None:
        super().__init__(message)
        self.detail = {"type": kind, "loc": ["body", *where], "msg": message, "input": given, **more}


@dataclass(frozen=True)
class Cell:
    """What `/execute` takes. An empty string counts as left out."""

    code: str
    context_id: str | None
    language: str | None
    env_vars: Mapping[str, str]


def read_cell(raw: bytes) -> Cell:
    """Returns the cell of a body. Raises BodyError."""
    body = read(raw)
    if "code" not in body:
        raise BodyError("missing", ["code"], "Field required", body)
    if not isinstance(body["code"], str):
        raise _no_text(["code"], body["code"])
    envs = body.get("env_vars") or {}
    if not isinstance(envs, dict):
        raise BodyError("dict_type", ["env_vars"], "Input should be a valid dictionary", envs)
    for name, value in envs.items():
        if not isinstance(value, str):
            raise _no_text(["env_vars", name], value)
    return Cell(body["code"], text(body, "context_id"), text(body, "language"), envs)


def read(raw: bytes) -> dict[str, Any]:
    """Returns a body that is an object. Raises BodyError."""
    if not raw:
        raise BodyError("missing", [], "Field required", None)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = getattr(error, "pos", 0)
        raise BodyError("json_invalid", [where], "JSON decode error", {}, ctx={"error": str(error)}) from None
    if not isinstance(body, dict):
        raise BodyError(
            "model_attributes_type", [], "Input should be a valid dictionary or object to extract fields from", body
        )
    return body


def text(body: Mapping[str, Any], name: str) -> str | None:
    """Returns a text that may be left out or null. Raises BodyError."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise _no_text([name], value)
    return value


def _no_text(where: list[str | int], value: object) -> BodyError:
    return BodyError("string_type", where, "Input should be a valid string", value)
