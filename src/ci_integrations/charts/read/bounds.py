"""Bounds the size, depth and count of JSON that a kernel sent."""

from __future__ import annotations

import zlib
from typing import Any

from pydantic import ValidationError

MAX_NODES = 3_000_000
"""Values in one payload, containers counted."""


MAX_DEPTH = 40


MAX_CHARACTERS = 64_000_000


_TROUBLE = (ValidationError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError,
            ArithmeticError, zlib.error)  # fmt: skip


def bounded(value: Any) -> bool:
    """True when a JSON value is small enough to be looked at: nodes, depth and characters."""
    nodes = characters = 0
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        nodes += 1
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, (list, tuple, dict)):
            nodes += len(item)
            if depth >= MAX_DEPTH:
                return False
            inner = item.values() if isinstance(item, dict) else item
            if isinstance(item, dict):
                characters += sum(len(str(key)) for key in item)
            stack.extend((child, depth + 1) for child in inner if isinstance(child, (list, tuple, dict, str)))
        if nodes > MAX_NODES or characters > MAX_CHARACTERS:
            return False
    return True
