"""Bounds the size, depth and count of JSON that a kernel sent, and names what a reader may raise on the rest of it."""

from __future__ import annotations

import zlib

from pydantic import ValidationError

MAX_NODES = 3_000_000
"""Values in one payload, containers counted."""
MAX_DEPTH = 40
"""Containers inside one another."""
MAX_CHARACTERS = 64_000_000
"""Characters in all keys and texts of one payload."""

TROUBLE = (
    ValidationError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError,
    ArithmeticError, zlib.error,
)  # fmt: skip
"""What readers raise on JSON that is not what its MIME type says."""


def bounded(value: object) -> bool:
    """Returns whether a JSON value is small enough to be looked at: nodes, depth and characters."""
    nodes = characters = 0
    # A stack instead of recursion: the depth is what the sandbox chose.
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
            if isinstance(item, dict):
                characters += sum(map(len, map(str, item)))
                item = list(item.values())
            # Numbers are most of a chart. They were counted above and hold nothing.
            stack.extend((child, depth + 1) for child in item if isinstance(child, (list, tuple, dict, str)))
        if nodes > MAX_NODES or characters > MAX_CHARACTERS:
            return False
    return True
