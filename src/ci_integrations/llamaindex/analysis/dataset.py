"""Says what data a query engine has, where it lies in the sandbox, and what the kernel is asked about it.

Frames travel by `interpreter.put`, dtype by dtype, files by `upload`. The kernel is asked what it lacks, so that a
replaced sandbox is filled again without a special case. A file that has changed is sent again.
"""

from __future__ import annotations

import json
import keyword
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from ci_integrations._errors import ConfigurationError
from ci_integrations._names import HOME
from ci_integrations.interpreter import PutTable
from ci_integrations.llamaindex.analysis.kernel.model import FileItem, Prepared, Recipe, Request
from ci_integrations.results.result import ExecutionResult
from ci_integrations.tables.options import PACKED, checked_descriptions, checked_options
from ci_integrations.tables.reader.model import ReadOptions

if TYPE_CHECKING:
    import pandas as pd

REMOTE = f"{HOME}/data"
"""The sandbox's folder for the data."""


@dataclass
class Placed:
    """What an engine has put into its kernel. It is plain JSON, and a copied engine has one of its own."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    sent: dict[str, str] = field(default_factory=dict)
    """Which version of each file was sent, by the file's path in the sandbox."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    """What of a frame did not arrive as it was given, by the frame's name: known once the frames are in a kernel."""


class Version(NamedTuple):
    """A file as it is now."""

    local: Path
    size: int
    stamp: str
    gone: bool = False
    """True: the file is no longer there, and what was sent of it is used."""


@dataclass(frozen=True)
class Dataset:
    """Files of this machine and frames of this process, by the names that the model's code will use.

    `shared`: True: others work in the same sandbox, so that the files are put into a folder of their own.
    """

    files: Sequence[str | Path] = ()
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    sample_rows: int = 5
    read_options: Mapping[str, ReadOptions] | None = None
    """How to read files, by file name, for what the developer knows of them."""
    descriptions: Mapping[str, str] | None = None
    """What tables and columns mean: `{"sales.csv": "...", "sales.csv.rev": "...", "df.n": "..."}`."""
    send_values: bool = True
    """False: no value of a cell is in the description."""
    shared: bool = False
    placed: Placed = field(default_factory=Placed)

    @property
    def sends_values(self) -> bool:
        """True when the model may read values of cells before a program has run."""
        return self.send_values and self.sample_rows > 0

    def __post_init__(self) -> None:
        for name, frame in self.frames.items():
            if not hasattr(frame, "shape") and not hasattr(frame, "columns"):
                raise ConfigurationError(f"{name!r} is not a DataFrame: {type(frame).__name__}")
            if not name.isidentifier() or keyword.iskeyword(name):
                raise ConfigurationError(f"{name!r} cannot be a variable's name: call the DataFrame something else")
        checked_options(self.files, self.read_options)
        checked_descriptions([*(Path(file).name for file in self.files), *self.frames], self.descriptions)

    def request(self, question: str = "", conversation: int | None = None) -> Request:
        """Returns what the kernel is asked before a program runs. Raises `FileNotFoundError` for a file that is gone.

        A file that is gone after it was sent stays in the sandbox as it was.
        """
        versions = self.versions()
        return {
            "recipe": self._recipe(versions),
            "stale": [remote for remote, now in versions.items() if self.placed.sent.get(remote) != now.stamp],
            "question": question,
            "conversation": conversation,
        }

    def versions(self) -> dict[str, Version]:
        """Returns the files as they are now, by their paths in the sandbox."""
        return {remote: self._version(remote, Path(local)) for remote, local in self._remote_files().items()}

    def _version(self, remote: str, local: Path) -> Version:
        try:
            now = local.stat()
        except OSError:
            if remote not in self.placed.sent:
                raise
            stamp = self.placed.sent[remote]
            return Version(local, int(stamp.partition("-")[0]), stamp, gone=True)
        return Version(local, now.st_size, f"{now.st_size}-{now.st_mtime_ns}-{now.st_ino}")

    def _recipe(self, versions: Mapping[str, Version]) -> Recipe:
        """Returns what the kernel needs to load everything, as plain JSON."""
        options = checked_options(self.files, self.read_options)
        files: list[FileItem] = [
            {
                "path": remote,
                "file": now.local.name,
                "stem": _stem(now.local),
                "size": now.size,
                "stamp": now.stamp,
                "options": dict(options.get(now.local.name, {})),
            }
            for remote, now in versions.items()
        ]
        return {
            "id": self.placed.id,
            "files": files,
            "frames": [
                {"name": name, "variable": self._variable(name), "notes": list(self.placed.notes.get(name, ()))}
                for name in self.frames
            ],
            "sample_rows": self.sample_rows,
            "values": self.sends_values,
            "descriptions": dict(self.descriptions or {}),
        }

    def changed(self, request: Request) -> list[str]:
        """Returns the names of the files of which another version was sent before."""
        stale = set(request["stale"]) & set(self.placed.sent)
        return [item["file"] for item in request["recipe"]["files"] if item["path"] in stale]

    def missing(self, request: Request, said: Prepared) -> list[str]:
        """Returns what to upload, by its path in the sandbox, after the kernel has said what it lacks."""
        known = {item["path"] for item in request["recipe"]["files"]}
        wanted = [path for path in said.get("missing", ()) if path in known]
        # A kernel without our source could not look at the files.
        return list(dict.fromkeys([*wanted, *request["stale"]]))

    def content(self, remote: str) -> Path:
        """Returns what to upload to `remote`."""
        return Path(self._remote_files()[remote])

    def arrived(self, request: Request, remote: str) -> None:
        """Keeps which version of a file was sent."""
        stamps = {item["path"]: item["stamp"] for item in request["recipe"]["files"]}
        if remote in stamps:
            self.placed.sent[remote] = stamps[remote]

    def variables(self) -> dict[str, pd.DataFrame]:
        """Returns the frames by the names under which the kernel keeps them, of which the model does not hear."""
        return {self._variable(name): frame for name, frame in self.frames.items()}

    def put(self, put: Iterable[PutTable]) -> None:
        """Keeps what was said of the frames as they were put into the kernel, for the profile."""
        said = {table.name: list(table.notes) for table in put}
        names = [name for name in self.frames if self._variable(name) in said]
        self.placed.notes.update({name: said[self._variable(name)] for name in names})

    def _variable(self, name: str) -> str:
        return f"_ci_table_{self.placed.id}_{name}"

    def _remote_files(self) -> dict[str, str | Path]:
        return placed(self.files, f"{REMOTE}/{self.placed.id}" if self.shared else REMOTE)


def placed(files: Iterable[str | Path], folder: str) -> dict[str, str | Path]:
    """Returns local files by their paths in `folder` of the sandbox; two of one name do not overwrite each other."""
    there: dict[str, str | Path] = {}
    for local in files:
        path, count = Path(local), 2
        remote = f"{folder}/{path.name}"
        while remote in there:  # two files from different folders may have one name
            remote, count = f"{folder}/{path.stem}_{count}{path.suffix}", count + 1
        there[remote] = local
    return there


def listed(files: Iterable[str | Path]) -> tuple[str | Path, ...]:
    """Returns `files=` as it was given. Raises `ConfigurationError` for a single path, and for what is no file."""
    if isinstance(files, str | Path):
        raise ConfigurationError(f"files takes a list: files=[{str(files)!r}]")
    for path in files:
        if not Path(path).is_file():
            raise ConfigurationError(f"no such file: {path}")
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
    except (ValueError, RecursionError):
        return None
    return said if _is_prepared(said) else None


def _is_prepared(said: object) -> TypeGuard[Prepared]:
    """True for an answer of `prepare`. The kernel runs the model's programs, so its answer is not trusted."""
    if not isinstance(said, dict):
        return False
    kinds = {"profile": str, "unread": dict, "missing": list, "source": bool, "absent": bool, "doubts": list}
    return all(isinstance(said[name], kind) for name, kind in kinds.items() if name in said)


def _stem(path: Path) -> str:
    """Returns a file's name without its suffixes, as far as they say of what kind it is: `sales` for sales.csv.gz."""
    return Path(path.stem).stem if path.suffix.lower() in PACKED and Path(path.stem).suffix else path.stem
