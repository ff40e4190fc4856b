"""Any Python value as plain JSON: what may stand in an artifact, a checkpoint or a message.

NaN and infinities become null, integers beyond 64 bits become strings, lone surrogates become U+FFFD, numpy scalars
become plain numbers. Depth and size are bounded, because the value may come out of a sandbox that runs hostile code.
Standard library only: `results`, `charts` and the adapters all use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 64
"""Deeper containers become the string `"…"`."""

_INT64 = 1 << 63


def text(value: str) -> str:
    """Returns `value` with every lone surrogate replaced by U+FFFD, so that it can be encoded as UTF-8."""
    if value.isascii():
        return str(value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str(value)


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """`value` made of `dict`, `list`, `str`, `int`, `float`, `bool` and `None` only. Never raises; never NaN."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return int(value) if -_INT64 <= value < _INT64 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth <= 0:
        return "…"
    if isinstance(value, Mapping):
        return {_key(key): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth - 1) for item in value]
    return _foreign(value, depth)


def _key(key: Any) -> str:
    return text(key) if isinstance(key, str) else _words(key)


def _words(value: Any) -> str:
    try:
        return text(str(value))
    except Exception:  # noqa: BLE001 - it does not know its own string form
        return f"<{type(value).__name__}>"


def _foreign(value: Any, depth: int) -> Any:
    """Scalars and arrays of numpy, pydantic models, enums; anything else by its string form."""
    for name in ("model_dump", "tolist", "item"):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            try:
                return plain(method(), depth - 1)
            except Exception:  # noqa: BLE001 - a foreign object's own fault; its string form is still true
                break
    return _words(value)
