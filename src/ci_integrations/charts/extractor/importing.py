"""Run a function when a module is imported, now if it already is. For hooks that must not import what they hook.

A finder at the head of `sys.meta_path` lets the other finders find the module and only wraps its loader.
"""

# ruff: noqa: SIM105 - each `except` says why it drops the failure
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Patch = Callable[[ModuleType], None]


class _PatchingLoader(Loader):
    """The real loader, followed by the patches. A patch that fails leaves the module as it is."""

    def __init__(self, loader: Loader, patch: Patch) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _apply(self._patch, module)


class Finder(MetaPathFinder):
    """Knows which modules have a patch waiting."""

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
    """Call `patches[name](module)` once each named module is there."""
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
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _apply(patch: Patch, module: ModuleType) -> None:
    try:
        patch(module)
    except Exception:  # noqa: BLE001, S110 - a library that looks different is read without this hook; the cell goes on
        pass
