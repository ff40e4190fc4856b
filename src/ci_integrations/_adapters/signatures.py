"""Keeps a function's signature beside it. Both frameworks ask for the signature of a tool's entry on every call."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def inspected(entry: F) -> F:
    """Keeps the signature of `entry` beside it: `inspect.signature` then has nothing to build."""
    vars(entry)["__signature__"] = signature(entry, eval_str=True)
    return entry
