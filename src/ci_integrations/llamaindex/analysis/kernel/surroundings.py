"""Makes a kernel's modules and settings again what they were before a program changed them."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from operator import is_
from types import ModuleType
from typing import Any

_LEFT_ALONE = frozenset({
    # The figures' extractor, the kernel and its streams change these at any time.
    "IPython", "ipykernel", "jupyter_client", "matplotlib", "matplotlib_inline", "plotly", "altair", "bokeh", "PIL",
    "ci_integrations", "sys", "threading", "zmq", "tornado", "asyncio", "__main__", "__mp_main__",
})  # fmt: skip
_GONE = object()


class _Names:
    """The functions, classes and modules in a module or class, as they were."""

    def __init__(self, owner: ModuleType | type) -> None:
        self.owner = owner
        # Counters, caches and settings change by themselves: only what can be called or looked into is a definition.
        self.kept = {name: value for name, value in vars(owner).items() if _is_definition(value)}
        self.count = len(vars(owner))

    def restore(self) -> None:
        now = vars(self.owner)
        if not all(map(is_, map(now.get, self.kept), self.kept.values())):
            for name, value in self.kept.items():
                if now.get(name, _GONE) is not value:
                    self._set(name, value)
        if len(now) == self.count:
            return
        for name in [name for name, value in now.items() if name not in self.kept and _is_of_a_program(value)]:
            with contextlib.suppress(AttributeError, TypeError):
                delattr(self.owner, name)
        self.count = len(now)

    def _set(self, name: str, value: object) -> None:
        with contextlib.suppress(AttributeError, TypeError):
            setattr(self.owner, name, value)


def _is_definition(value: object) -> bool:
    return callable(value) or isinstance(value, (ModuleType, property, classmethod, staticmethod))


def _is_of_a_program(value: object) -> bool:
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return callable(value) and getattr(value, "__module__", None) == "__main__"


class Surroundings:
    """Remembers modules and settings at the first sight of them, and restores them."""

    def __init__(self) -> None:
        self._modules: set[str] = set()
        self._names: dict[int, _Names] = {}
        """What a module or class defines, by its identity: many modules show the same class."""
        self._settings = [*_settings()]
        self.note()

    def note(self) -> None:
        """Remembers the modules that are not known yet."""
        new = sys.modules.keys() - self._modules
        self._modules |= new
        for module in [sys.modules[name] for name in new if _is_public(name)]:
            if isinstance(module, ModuleType):
                owners: list[ModuleType | type] = [module, *_classes(module)]
                for owner in owners:
                    self._names.setdefault(id(owner), _Names(owner))

    def restore(self) -> None:
        """Undoes what a program has changed."""
        for names in self._names.values():
            names.restore()
        for restore in self._settings:
            restore()
        self.note()


def _classes(module: ModuleType) -> list[type]:
    """Returns the classes that a module shows of its own package: `pandas.DataFrame`, wherever it is defined."""
    found = {id(value): value for value in vars(module).values() if isinstance(value, type)}
    package = module.__name__.partition(".")[0]
    return [kind for kind in found.values() if str(kind.__module__).partition(".")[0] == package]


def _is_public(name: str) -> bool:
    parts = name.split(".")
    hidden = any(part.startswith("_") for part in parts)
    return len(parts) <= 2 and not hidden and parts[0] not in _LEFT_ALONE


def _settings() -> Iterator[Callable[[], None]]:
    """Yields functions that restore one setting each, as it is now."""
    folder = os.getcwd()  # noqa: PTH109 - as text
    environ, path, filters = dict(os.environ), list(sys.path), list(warnings.filters)

    def folder_and_environment() -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        if dict(os.environ) != environ:
            os.environ.clear()
            os.environ.update(environ)

    def imports_and_warnings() -> None:
        sys.path[:] = path
        warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever the stub says

    yield folder_and_environment
    yield imports_and_warnings
    yield _options_of_pandas()


def _options_of_pandas() -> Callable[[], None]:
    try:
        from pandas._config import config  # pandas has no public way to keep all options
    except ImportError:
        return lambda: None
    options: dict[str, Any] = config._global_config  # noqa: SLF001 - likewise
    kept = copy.deepcopy(options)

    def restore() -> None:
        if options != kept:
            options.clear()
            options.update(copy.deepcopy(kept))

    return restore
