"""Runs a function when a module is imported, and imports numpy when it is first used.

Nothing here imports a library before the user's code does. A finder at the head of `sys.meta_path` lets the other
finders find a module that shall be patched and only wraps its loader.
"""

# ruff: noqa: SIM105 - each `except` says why it drops the failure
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["Patch", "np", "when_imported"]

Patch = Callable[[ModuleType], None]


class _Later:
    """A module that is imported at its first use; what was read of it once is an attribute from then on."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, attribute: str) -> object:
        found = getattr(import_module(self.__name__), attribute)
        setattr(self, attribute, found)
        return found


if TYPE_CHECKING:
    import numpy as np
else:
    np = _Later("numpy")


class _PatchingLoader(Loader):
    """The module's own loader, followed by the patch. A patch that fails leaves the module as it is."""

    def __init__(self, loader: Loader, patch: Patch) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leaves the creation to the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, gives it its own loader back and patches it."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _apply(self._patch, module)


class Finder(MetaPathFinder):
    """Finds the modules for which a patch is waiting, by way of the finders behind it."""

    def __init__(self) -> None:
        self.patches: dict[str, Patch] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patch = self.patches.pop(fullname, None)
        if patch is None:
            return None
        for finder in list(sys.meta_path):
            if isinstance(finder, Finder) or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _PatchingLoader(spec.loader, patch)
                return spec
        self.patches[fullname] = patch
        return None


def when_imported(patches: dict[str, Patch]) -> None:
    """Calls `patches[name](module)` as soon as each named module is imported; at once for those that are."""
    finder = next((item for item in sys.meta_path if isinstance(item, Finder)), None)
    if finder is None:
        finder = Finder()
        sys.meta_path.insert(0, finder)
    for name, patch in patches.items():
        module = sys.modules.get(name)
        if module is not None and not _loading(module):
            _apply(patch, module)
        elif module is None:
            finder.patches[name] = patch


def _loading(module: ModuleType) -> bool:
    """Says whether a module is being imported right now: its names are not all there yet."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _apply(patch: Patch, module: ModuleType) -> None:
    """Calls a patch and drops its failure."""
    try:
        patch(module)
    except Exception:  # noqa: BLE001, S110 - a library that looks different is read without this hook; the cell goes on
        pass
