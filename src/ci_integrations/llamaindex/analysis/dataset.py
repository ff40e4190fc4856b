"""Brings the data of a query engine into the sandbox: which files and frames, and how the kernel loads them.

Frames travel as CSV with their dtypes beside them, never as pickle. Nothing about a sandbox is kept here: the kernel is
asked what it lacks, so a replaced sandbox is filled again without a special case.
"""

from __future__ import annotations

import hashlib
import io
import json
import keyword
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from ci_integrations._errors import ConfigurationError
from ci_integrations._names import HOME
from ci_integrations.llamaindex.analysis.in_kernel import Conversion, FrameItem, Prepared, Recipe
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    import pandas as pd

REMOTE = f"{HOME}/data"
"""The sandbox's folder for the data."""
_NA = "\N{SYMBOL FOR NULL}NA\N{SYMBOL FOR NULL}"
"""Stands for a missing value in the CSV of a frame, so that "", "NA" and "None" stay text."""

_READABLE = re.compile(r"bool|boolean|U?Int\d+|Float\d+|u?int\d+|float\d+|string")
_CONVERTED = re.compile(r"datetime64|timedelta64|category")


@dataclass(frozen=True)
class Dataset:
    """Files of this machine and frames of this process, by the names that the model's code will use."""

    files: Sequence[str | Path] = ()
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    sample_rows: int = 5

    def __post_init__(self) -> None:
        for path in self.files:
            if not Path(path).is_file():
                raise ConfigurationError(f"no such file: {path}")
        for name, frame in self.frames.items():
            if not hasattr(frame, "to_csv"):
                raise ConfigurationError(f"{name!r} is not a DataFrame: {type(frame).__name__}")
            if not name.isidentifier() or keyword.iskeyword(name):
                raise ConfigurationError(f"{name!r} cannot be a variable's name: call the DataFrame something else")

    @cached_property
    def recipe(self) -> Recipe:
        """What the kernel needs to load everything, as plain JSON. It is made once, at the first question."""
        return {
            "files": [
                {"path": remote, "name": _identifier(Path(local).stem), "size": Path(local).stat().st_size}
                for remote, local in self._remote_files().items()
            ],
            "frames": [_frame_recipe(name, frame) for name, frame in self.frames.items()],
            "sample_rows": self.sample_rows,
        }

    def prepare_cell(self) -> str:
        """Returns a cell that loads what is not loaded, or says which files are missing; see `read_prepared`."""
        package = package_files(__package__)
        sources = [package.joinpath(name).read_text("utf-8") for name in ("in_kernel_csv.py", "in_kernel.py")]
        recipe = json.dumps(self.recipe)
        # Everything lives in one namespace of its own: the user's names stay the user's.
        return (
            f"_ci_room = {{'__name__': 'ci_dataset'}}\nfor _ci_source in {sources!r}:\n    exec(_ci_source, _ci_room)\n"
            f"_ci_dataset, _ci_said = _ci_room['ci_prepare'](__import__('json').loads({recipe!r}), get_ipython(), "
            "globals().get('_ci_dataset'), _ci_room['read_delimited'])\n"
            "print(__import__('json').dumps(_ci_said))\ndel _ci_room, _ci_source, _ci_said"
        )

    def content(self, remote: str) -> Path | bytes:
        """Returns what to upload to `remote`."""
        local = self._remote_files().get(remote)
        if local is not None:
            return Path(local)
        (name,) = [item["name"] for item in self.recipe["frames"] if item["path"] == remote]
        return _csv(self.frames[name])

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
    kinds = {"profile": str, "unread": dict, "missing": list}
    return all(isinstance(said[name], kind) for name, kind in kinds.items() if name in said)


def _identifier(stem: str) -> str:
    name = re.sub(r"\W+", "_", stem).strip("_").lower() or f"table_{uuid.uuid4().hex[:4]}"
    return f"t_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def _frame_recipe(name: str, frame: pd.DataFrame) -> FrameItem:
    """Returns how to read the frame's CSV back with the dtypes it has here."""
    flat, depth = _flat(frame)
    content = _csv(frame)
    # Named by content: two engines that share a sandbox may both have a `df`.
    return {
        "name": name,
        "path": f"{REMOTE}/frames/{name}-{hashlib.sha256(content).hexdigest()[:8]}.csv",
        "size": len(content),
        "na": _NA,
        "read": {column: _read_as(flat[column]) for column in flat.columns},
        "then": {column: _then(flat[column]) for column in flat.columns if _CONVERTED.match(str(flat[column].dtype))},
        "index": depth,
        "index_names": [None if n is None else str(n) for n in frame.index.names] if depth else [],
        "columns": [list(map(str, c)) if isinstance(c, tuple) else _label(c) for c in frame.columns],
    }


def _read_as(column: pd.Series) -> str:
    """Returns the dtype for reading. Text stays text ("007"); other objects travel by their string form, categories by
    their codes.
    """
    dtype = str(column.dtype)
    if dtype == "category":
        return "int64"
    return dtype if _READABLE.fullmatch(dtype) else "str"


def _then(column: pd.Series) -> Conversion:
    dtype = str(column.dtype)
    if dtype != "category":
        return {"dtype": dtype}
    categories = [_label(value) for value in column.cat.categories]
    return {"dtype": dtype, "categories": categories, "ordered": bool(column.cat.ordered)}


def _csv(frame: pd.DataFrame) -> bytes:
    flat, _ = _flat(frame)
    for column in flat.columns:
        if str(flat[column].dtype) == "category":
            flat[column] = flat[column].cat.codes
    out = io.StringIO()
    flat.to_csv(out, index=False, na_rep=_NA)
    return out.getvalue().encode()


def _flat(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Returns the frame with its index as leading columns, all columns named by position; and how many are the index.

    An index that only counts the rows is left out.
    """
    # By the class's name: pandas is not imported on the host, where only its frames are handled.
    counting = type(frame.index).__name__ == "RangeIndex" and (frame.index.start, frame.index.step) == (0, 1)
    flat = frame.copy(deep=False)
    flat.columns = [f"c{n}" for n in range(frame.shape[1])]
    if counting and frame.index.name is None:
        return flat, 0
    flat.index = flat.index.set_names([f"i{n}" for n in range(frame.index.nlevels)])
    return flat.reset_index(), int(frame.index.nlevels)


def _label(name: object) -> str | int | float:
    """Returns a column's name as JSON has it: a string or a number, anything else by its string form."""
    # NumPy's scalars are no numbers to the json module.
    plain = name.item() if hasattr(name, "item") else name
    return plain if isinstance(plain, (str, int, float)) else str(plain)
