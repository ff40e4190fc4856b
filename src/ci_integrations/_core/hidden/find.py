"""Runs inside the user's Python kernel and finds a package of ours there. `shipping.py` sends this file as text.

The host uses `digest` as well: both sides must have the same source. The kernel may run in a Python with another
version of this library, or with none.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from functools import partial
from pathlib import Path
from types import ModuleType


def digest(folder: Path) -> str:
    """Returns a hash of the Python files in `folder`, names and content."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def find(name: str, wanted: str, folder: str, local: str) -> ModuleType | None:
    """Returns the package whose hash is `wanted`, from then on known as `name`; None when the kernel has none.

    Looked at in turn: what is known as `name`, the module `local` of this library, and the files in `folder`.
    """
    ways = (partial(sys.modules.get, name), partial(importlib.import_module, local), partial(_loaded, name, folder))
    for way in ways:
        try:
            package = way()
            if package is not None and _hash_of(package) == wanted:
                sys.modules[name] = package
                return package
        except (ImportError, AttributeError, OSError, TypeError):
            continue
    return None


def _hash_of(package: ModuleType) -> str:
    kept = vars(package)
    if "_ci_hash" not in kept:  # the files are read once for each process of the kernel
        kept["_ci_hash"] = digest(Path(str(package.__file__)).parent)
    return str(kept["_ci_hash"])


def _loaded(name: str, folder: str) -> ModuleType:
    for old in [old for old in sys.modules if old == name or old.startswith(f"{name}.")]:
        del sys.modules[old]
    sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()  # the folder was not there when it was asked for before
        return importlib.import_module(name)
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
