"""Loads the names of a table of contents on first use. Every package of ours that must be cheap to import uses it."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` alone would cost more than everything else that the root imports
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__` that imports `package.homes[name]` when `name` is asked for and returns that name.

    Raises AttributeError, as Python does, for a name that is not in `homes`.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load
