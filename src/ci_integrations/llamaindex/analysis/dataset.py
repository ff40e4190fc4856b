"""Brings the data of a query engine into the sandbox: which files and frames, and how the kernel loads them.

Frames travel by `interpreter.put`, dtype by dtype. Nothing about a sandbox is kept here: the kernel is
asked what it lacks, so a replaced sandbox is filled again without a special case.
"""

from __future__ import annotations

import json
import keyword
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from ci_integrations._core.hidden.shipping import FINDER, READER
from ci_integrations._errors import ConfigurationError
from ci_integrations._names import HOME
from ci_integrations.interpreter import PutTable
from ci_integrations.llamaindex.analysis.in_kernel import Prepared, Recipe
from ci_integrations.results.result import ExecutionResult
from ci_integrations.tables.options import PACKED, checked_descriptions, checked_options
from ci_integrations.tables.reader.model import ReadOptions

if TYPE_CHECKING:
    import pandas as pd

REMOTE = f"{HOME}/data"
"""The sandbox's folder for the data."""


@dataclass(frozen=True)
class Dataset:
    """Files of this machine and frames of this process, by the names that the model's code will use."""

    files: Sequence[str | Path] = ()
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    sample_rows: int = 5
    read_options: Mapping[str, ReadOptions] | None = None
    """How to read files, by file name, for what the developer knows of them."""
    descriptions: Mapping[str, str] | None = None
    """What tables and columns mean: `{"sales.csv": "...", "sales.csv.rev": "...", "df.n": "..."}`."""
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What of a frame did not arrive as it was given, by the frame's name: known once the frames are in a kernel."""
    _id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        for path in self.files:
            if not Path(path).is_file():
                raise ConfigurationError(f"no such file: {path}")
        for name, frame in self.frames.items():
            if not hasattr(frame, "shape") and not hasattr(frame, "columns"):
                raise ConfigurationError(f"{name!r} is not a DataFrame: {type(frame).__name__}")
            if not name.isidentifier() or keyword.iskeyword(name):
                raise ConfigurationError(f"{name!r} cannot be a variable's name: call the DataFrame something else")
        checked_options(self.files, self.read_options)
        checked_descriptions([*(Path(file).name for file in self.files), *self.frames], self.descriptions)

    @property
    def recipe(self) -> Recipe:
        """What the kernel needs to load everything, as plain JSON."""
        options = checked_options(self.files, self.read_options)
        return {
            "reader": READER.folder,
            "files": [
                {
                    "path": remote,
                    "name": _identifier(_stem(local)),
                    "size": Path(local).stat().st_size,
                    "file": Path(local).name,
                    "options": dict(options.get(Path(local).name, {})),
                }
                for remote, local in self._remote_files().items()
            ],
            "descriptions": dict(self.descriptions or {}),
            "frames": [
                {"name": name, "variable": self._variable(name), "notes": list(self.notes.get(name, ()))}
                for name in self.frames
            ],
            "sample_rows": self.sample_rows,
        }

    def prepare_cell(self) -> str:
        """Returns a cell that loads what is not loaded, or says which files are missing; see `read_prepared`."""
        source = package_files(__package__).joinpath("in_kernel.py").read_text("utf-8")
        recipe = json.dumps(self.recipe)
        # Everything lives in one namespace of its own: the user's names stay the user's.
        return (
            f"_ci_room = {{'__name__': 'ci_dataset'}}\nexec({source!r}, _ci_room)\nexec({FINDER!r}, _ci_room)\n"
            f"_ci_dataset, _ci_said = _ci_room['ci_prepare'](__import__('json').loads({recipe!r}), get_ipython(), "
            f"globals().get('_ci_dataset'), lambda: _ci_room['find'](*{READER.wanted('_ci_reader')!r}))\n"
            "print(__import__('json').dumps(_ci_said))\ndel _ci_room, _ci_said"
        )

    def content(self, remote: str) -> Path:
        """Returns what to upload to `remote`."""
        return Path(self._remote_files()[remote])

    def variables(self) -> dict[str, pd.DataFrame]:
        """Returns the frames by the names under which the kernel keeps them, of which the model does not hear."""
        return {self._variable(name): frame for name, frame in self.frames.items()}

    def arrived(self, put: Iterable[PutTable]) -> None:
        """Keeps what was said of the frames as they were put into the kernel, for the profile."""
        said = {table.name: table.notes for table in put}
        self.notes.update({name: said[self._variable(name)] for name in self.frames if self._variable(name) in said})

    def _variable(self, name: str) -> str:
        # Two engines may share a kernel and both have a `df`.
        return f"_ci_table_{self._id}_{name}"

    def _remote_files(self) -> dict[str, str | Path]:
        """Returns the local files by remote path; two files of one name do not overwrite each other."""
        placed: dict[str, str | Path] = {}
        for local in self.files:
            path, count = Path(local), 2
            remote = f"{REMOTE}/{path.name}"
            while remote in placed:  # two files from different folders may have one name
                remote, count = f"{REMOTE}/{path.stem}_{count}{path.suffix}", count + 1
            placed[remote] = local
        return placed


def listed(files: Iterable[str | Path]) -> tuple[str | Path, ...]:
    """Returns `files=` as it was given. Raises `ConfigurationError` for a single path."""
    if isinstance(files, str | Path):
        raise ConfigurationError(f"files takes a list: files=[{str(files)!r}]")
    return tuple(files)


def named(dataframes: Mapping[str, pd.DataFrame] | None) -> dict[str, pd.DataFrame]:
    """Returns `dataframes=` as it was given. Raises `ConfigurationError` for frames without names."""
    if dataframes is not None and not isinstance(dataframes, Mapping):
        raise ConfigurationError("dataframes takes names: dataframes={'orders': frame}")
    return dict(dataframes or {})


def read_prepared(result: ExecutionResult) -> Prepared | None:
    """Returns what the prepare cell printed; None when it failed, and when something else is in its place."""
    lines = result.stdout.strip().split("\n")
    try:
        said = json.loads(lines[-1]) if result.error is None else None
    except ValueError:
        return None
    return said if _is_prepared(said) else None


def _is_prepared(said: object) -> TypeGuard[Prepared]:
    """True for an answer of `ci_prepare`. The kernel runs the model's programs, so its answer is not trusted."""
    if not isinstance(said, dict):
        return False
    kinds = {"profile": str, "unread": dict, "missing": list, "reader": bool, "absent": bool, "doubts": list}
    return all(isinstance(said[name], kind) for name, kind in kinds.items() if name in said)


def _identifier(stem: str) -> str:
    name = re.sub(r"\W+", "_", stem).strip("_").lower() or f"table_{uuid.uuid4().hex[:4]}"
    return f"t_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def _stem(file: str | Path) -> str:
    """Returns a file's name without its suffixes, as far as they say of what kind it is: `sales` for sales.csv.gz."""
    path = Path(Path(file).name)
    return Path(path.stem).stem if path.suffix.lower() in PACKED and Path(path.stem).suffix else path.stem
