"""Checks what a developer says of files: how to read them, what they mean; and what their kinds need to be read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ci_integrations._errors import ConfigurationError, MissingDependencyError
from ci_integrations.tables.reader.model import ReadOptions

_log = logging.getLogger(__name__)

_IN_TEMPLATE = frozenset({"openpyxl"})
"""Readers that E2B's own template has."""
PACKED = frozenset({".gz", ".bz2", ".xz", ".zst", ".zip"})
"""Suffixes of a packed file, before which its own one stands."""
NEEDS: Mapping[str, tuple[str, ...]] = {
    ".xlsx": ("python_calamine", "openpyxl"),
    ".xlsm": ("python_calamine", "openpyxl"),
    ".xls": ("python_calamine",),
    ".xlsb": ("python_calamine",),
    ".ods": ("python_calamine",),
    ".parquet": ("pyarrow",),
    ".feather": ("pyarrow",),
    ".arrow": ("pyarrow",),
    ".orc": ("pyarrow",),
    ".zst": ("pyarrow",),
    ".sav": ("pyreadstat",),
    ".por": ("pyreadstat",),
    ".duckdb": ("duckdb",),
}
"""Suffix to modules, any of which reads such files. All come with the extra `files`."""


def checked_options(files: Iterable[str | Path], given: Mapping[str, ReadOptions] | None) -> dict[str, ReadOptions]:
    """Returns `read_options=` as it was given, by file name.

    Raises `ConfigurationError` for a file that is not there, and for an option that does not exist.
    """
    names = {Path(file).name for file in files}
    for file, options in (given or {}).items():
        if Path(file).name not in names:
            raise ConfigurationError(f"read_options names {file!r}, which is not among the files: {sorted(names)}")
        unknown = sorted(set(options) - set(ReadOptions.__annotations__))
        if unknown:
            known = ", ".join(ReadOptions.__annotations__)
            raise ConfigurationError(f"read_options of {file!r} has no {', '.join(unknown)}; there are: {known}")
    return {Path(file).name: options for file, options in (given or {}).items()}


def checked_descriptions(names: Iterable[str], given: Mapping[str, str] | None) -> dict[str, str]:
    """Returns `descriptions=`: `{"file.csv": ..., "file.csv.column": ...}`, and DataFrames by their names.

    Raises `ConfigurationError` for a file or DataFrame that is not there.
    """
    known = [*names]
    for key in given or {}:
        if not any(key == name or key.startswith(f"{name}.") for name in known):
            raise ConfigurationError(f"descriptions names {key!r}; there are: {known}")
    return dict(given or {})


def needed(files: Iterable[str | Path]) -> dict[str, tuple[str, ...]]:
    """Returns the files whose kinds need more than pandas, and the modules that any of them is read by."""
    found = {}
    for file in files:
        for suffix in Path(file).suffixes:
            if suffix.lower() in NEEDS:
                found[Path(file).name] = NEEDS[suffix.lower()]
    return found


def check_files(files: Iterable[str | Path], backend: Literal["e2b", "local"] | None, packages: Iterable[str]) -> None:
    """Makes sure that every file can be read where it will be, as far as that can be known.

    The local sandbox has what this Python has: raises `MissingDependencyError` for a file that nothing installed can
    read. At E2B a warning names what the template may lack, unless `packages` brings it.
    """
    brought = {re.split(r"[^\w.-]", package)[0].replace("-", "_").lower() for package in packages}
    for name, modules in needed(files).items():
        if brought & {*modules}:
            continue
        if backend == "local" and not any(find_spec(module) for module in modules):
            raise MissingDependencyError(f"reading {name} (by {' or '.join(modules)})", "files")
        if backend == "e2b" and not _IN_TEMPLATE & {*modules}:
            wanted = modules[0].replace("_", "-")
            _log.warning("%s is read by %s, which E2B's template may lack: pass packages=[%r]", name, wanted, wanted)
