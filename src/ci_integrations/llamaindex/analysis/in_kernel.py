"""Loads the tables of a query engine, describes them, and gives every cell fresh copies of them.

This module runs in the sandbox's kernel, never here: `dataset.py` sends it as source. So it may use the standard
library and pandas only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations, islice, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

MAX_PROFILE = 12000
"""Characters of the description that the model reads."""
MAX_RAW_LINES = 5
MAX_RAW_CHARS = 500
"""How much is shown of a file that could not be read."""
MAX_COLUMNS = 60
"""Columns of one table that are described."""


class FileItem(TypedDict):
    """A file in the sandbox: its size in bytes, its table's name, its name on the host, and how to read it."""

    path: str
    name: str
    size: int
    file: str
    options: dict[str, Any]


class FrameItem(TypedDict):
    """A frame that the host has put into a variable of the kernel, and what of it is not there as it was given."""

    name: str
    variable: str
    notes: list[str]


class Recipe(TypedDict):
    """Everything that the kernel needs to load the tables."""

    reader: str
    """Which version of the reader: with another one the files are read again."""
    files: list[FileItem]
    frames: list[FrameItem]
    sample_rows: int
    descriptions: dict[str, str]


class Prepared(TypedDict, total=False):
    """What the kernel answers: the profile, or which files are missing."""

    profile: str
    unread: dict[str, str]
    """Errors by the path of the file that could not be read."""
    loaded: bool
    """True when the data was loaded just now."""
    missing: list[str]
    reader: bool
    """False when the kernel has no reader yet."""
    absent: bool
    """True when the frames are not in the kernel yet."""
    doubts: list[str]
    """What was guessed, or could not be read as it is, with the file's name."""


class Notes(Protocol):
    """What a reader says of a table: how it was read where that is not the plain way, and its doubts."""

    how: list[str]
    doubts: list[str]


class Table(Protocol):
    """One table of a file, as `ci_integrations.tables.reader` gives it."""

    frame: pd.DataFrame
    notes: Notes
    part: str
    kind: str


class Reader(Protocol):
    """The package `ci_integrations.tables.reader`, as the kernel has it."""

    def read(self, path: Path, options: dict[str, Any]) -> list[Table]:
        """Reads the tables of a file; raises with the reason when there is none."""


class CiDataset:
    """The tables of one query engine, as the kernel has them."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.tables: dict[str, pd.DataFrame] = {}
        self.origins: dict[str, str] = {}
        self.problems: list[str] = []
        self.doubts: dict[str, list[str]] = {}
        self.keys: dict[str, str] = {}
        self.unread: dict[str, str] = {}
        self.keep: set[str] = set()
        self.shell: InteractiveShell | None = None
        self.text = ""

    def missing(self) -> list[str]:
        """Returns the paths of the files that are not in the sandbox yet, or not whole."""
        sizes = {item["path"]: item["size"] for item in self.recipe["files"]}
        return [path for path, size in sizes.items() if not Path(path).is_file() or Path(path).stat().st_size != size]

    def absent(self, shell: InteractiveShell) -> bool:
        """Returns True when the host has not put the frames into this kernel yet."""
        return any(item["variable"] not in shell.user_ns for item in self.recipe["frames"])

    def load(self, shell: InteractiveShell, reader: Reader | None) -> None:
        """Takes every frame and reads every file. A file that cannot be read is noted in `unread`."""
        for item in self.recipe["frames"]:
            frame = self._frame(shell.user_ns[item["variable"]])
            self._add(item["name"], frame, "a DataFrame of the user", item["name"])
            self.problems += [f"`{item['name']}` is not here as it was given: {note}" for note in item["notes"]]
        for file in self.recipe["files"]:
            try:
                if reader is None:
                    raise ModuleNotFoundError("the kernel has no reader")
                found = reader.read(Path(file["path"]), file["options"])
            except Exception as error:  # noqa: BLE001 - the model is told, and still has the file
                self.unread[file["path"]] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                continue
            for table in found:
                self._add_table(file, table, alone=len(found) == 1)
        # Models write `df` whatever the table is called.
        if len(self.tables) == 1 and "df" not in self.tables:
            (name,) = self.tables
            self.tables["df"] = self.tables[name]
            self.origins["df"] = f"the same as {name}"

    def _add_table(self, file: FileItem, table: Table, *, alone: bool) -> None:
        name = file["name"] if alone or not table.part else f"{file['name']}_{self._name(table.part)}"
        origin = f"{table.kind} {table.part!r} of {file['path']}" if table.part else file["path"]
        if table.notes.how:
            origin += f" (read with {', '.join(table.notes.how)})"
        self.doubts[self._add(name, table.frame, origin, file["file"])] = table.notes.doubts

    def _add(self, name: str, frame: pd.DataFrame, origin: str, key: str) -> str:
        unique, count = name, 2
        while unique in self.tables:
            unique, count = f"{name}_{count}", count + 1
        self.tables[unique] = frame
        self.origins[unique] = origin
        self.keys[unique] = key
        return unique

    @staticmethod
    def _frame(table: object) -> pd.DataFrame:
        """Returns what the host has put in as a DataFrame of pandas: a Series is a table of one column."""
        if hasattr(table, "to_pandas"):
            table = table.to_pandas()
        return table.to_frame() if hasattr(table, "to_frame") else table

    @staticmethod
    def _name(text: object) -> str:
        name = re.sub(r"\W+", "_", str(text)).strip("_").lower() or "table"
        return f"t_{name}" if name[0].isdigit() else name

    def profile(self) -> str:
        """Returns the description of all tables, for the model."""
        own = [name for name in self.tables if not self.origins[name].startswith("the same as ")]
        parts = [self._unread(path) for path in self.unread]
        parts += [self._describe(name) for name in own]
        parts += [f"`{name}` is {origin}" for name, origin in self.origins.items() if name not in own]
        parts += self._joins(own) + self.problems
        text = "\n\n".join(parts) or "There are no tables."
        return text if len(text) <= MAX_PROFILE else text[:MAX_PROFILE] + "\n[the description was cut here]"

    def _unread(self, path: str) -> str:
        said = (
            f"{path}: NOT loaded, there is no DataFrame of it ({self.unread[path]}). Your program must read this file"
        )
        with Path(path).open("rb") as file:
            raw = file.read(4 * MAX_RAW_CHARS)
        # A zero byte is in almost every binary file and in no text, UTF-16 left aside.
        if b"\0" in raw or not raw:
            return f"{said} itself. It {'is binary' if raw else 'is empty'}."
        try:
            text = raw[: raw.rfind(b"\n") + 1 or None].decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")
        return f"{said} itself. It begins:\n" + "\n".join(text.splitlines()[:MAX_RAW_LINES])[:MAX_RAW_CHARS]

    def _describe(self, name: str) -> str:
        frame = self.tables[name]
        lines = [f"`{name}`: DataFrame, {len(frame)} rows x {frame.shape[1]} columns, from {self.origins[name]}"]
        described = self.recipe["descriptions"].get(self.keys[name])
        lines += [f"  {described}"] if described else []
        lines += [f"  note: {doubt}" for doubt in self.doubts.get(name, ())]
        if frame.index.names != [None] or type(frame.index).__name__ != "RangeIndex":
            lines.append(f"  index: {list(frame.index.names)}, dtype {frame.index.dtype}")
        for number in range(min(frame.shape[1], MAX_COLUMNS)):
            known = self.recipe["descriptions"].get(f"{self.keys[name]}.{frame.columns[number]}")
            lines.append(self._column(frame, number) + (f" - {known}" if known else ""))
        if frame.shape[1] > MAX_COLUMNS:
            lines.append(f"  and {frame.shape[1] - MAX_COLUMNS} more columns")
        lines.append("first rows:\n" + frame.iloc[: self.recipe["sample_rows"], :MAX_COLUMNS].to_csv().strip()[:3000])
        return "\n".join(lines)

    @staticmethod
    def _column(frame: pd.DataFrame, number: int) -> str:
        column = frame.iloc[:, number]
        line = f"  {frame.columns[number]!r}: {column.dtype}"
        missing = int(column.isna().sum())
        if missing:
            line += f", {missing} missing"
        try:
            distinct = column.nunique()
            if distinct <= 8:
                line += f", values {column.dropna().unique().tolist()!r}"[:300]
            elif column.dtype.kind in "iufM":
                line += f", {column.min()} to {column.max()}"
            else:
                line += f", {distinct} distinct values"
        except Exception:  # noqa: BLE001 - a column of any objects: its dtype is told, and its first rows
            line += ", values that cannot be compared"
        return line[:400]

    def _joins(self, names: list[str]) -> list[str]:
        shared = (
            (left, right, column)
            for left, right in combinations(names, 2)
            for column in self.tables[left].columns
            if column in self.tables[right].columns
        )
        return list(filter(None, starmap(self._join, islice(shared, 20))))

    def _join(self, left: str, right: str, column: object) -> str:
        try:
            ours = set(self.tables[left][column].dropna().unique().tolist())
            theirs = set(self.tables[right][column].dropna().unique().tolist())
        except Exception:  # noqa: BLE001 - values that cannot be compared join nothing
            return ""
        both = len(ours & theirs)
        if not both:
            return ""
        return (
            f"`{left}` and `{right}` share the column {column!r}: {both} values occur in both "
            f"(of {len(ours)} and {len(theirs)})"
        )

    def answer(self, *, loaded: bool) -> Prepared:
        """Returns what the host is told. `loaded`: True when the data was loaded just now."""
        doubts = [f"{self.keys[name]}: {doubt}" for name, found in self.doubts.items() for doubt in found]
        return {"profile": self.text, "unread": self.unread, "loaded": loaded, "doubts": doubts[:100]}

    def install(self, shell: InteractiveShell, previous: CiDataset | None) -> None:
        """Makes every cell start with copies of the tables and without the names of earlier cells."""
        keep = previous.keep if previous is not None else set(shell.user_ns)
        self.keep = keep | {"_ci_dataset"}
        # Otherwise every engine that shares the kernel would hand its tables to each cell.
        if previous is not None:
            shell.events.unregister("pre_run_cell", previous.fresh)
        shell.events.register("pre_run_cell", self.fresh)
        self.shell = shell

    def fresh(self, info: object = None) -> None:
        """Makes the namespace as a new cell finds it. IPython passes `info` about the cell."""
        if self.shell is None:
            return
        names = self.shell.user_ns
        for name in [n for n in names if n not in self.keep and not n.startswith("_")]:
            del names[name]
        # Copies: a program that changes a table must not change what the next one reads.
        names.update({name: frame.copy() for name, frame in self.tables.items()})


def ci_prepare(
    recipe: Recipe, shell: InteractiveShell, previous: CiDataset | None, find_reader: Callable[[], Reader | None]
) -> tuple[CiDataset | None, Prepared]:
    """Loads the data when it is not loaded; returns (what `_ci_dataset` is from now on, the answer for the host)."""
    if previous is not None and previous.recipe == recipe:
        return previous, previous.answer(loaded=False)
    dataset = CiDataset(recipe)
    missing, absent = dataset.missing(), dataset.absent(shell)
    reader = find_reader() if recipe["files"] else None
    if missing or absent or (reader is None and recipe["files"]):
        return previous, {"missing": missing, "absent": absent, "reader": reader is not None}
    dataset.load(shell, reader)
    dataset.text = dataset.profile()
    dataset.install(shell, previous)
    return dataset, dataset.answer(loaded=True)
