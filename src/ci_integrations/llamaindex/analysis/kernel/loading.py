"""Loads the tables of one engine into the kernel, and answers the host: what is missing, or what there is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import names
from .describe import Described, Describer, profile
from .joins import Keys
from .model import FileItem, Prepared, Reader, Recipe, Request, Table
from .programs import LAST, Programs

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell


class Dataset:
    """The tables of one query engine, as the kernel has them."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.tables: dict[str, Described] = {}
        self.found: dict[str, list[Table]] = {}
        """The tables of each file that was read, by its path."""
        self.unread: dict[str, str] = {}
        self.describer = Describer(recipe["sample_rows"], recipe["values"], recipe["descriptions"])
        self.others: list[str] = []

    def load(self, shell: InteractiveShell, reader: Callable[[], Reader | None], previous: Dataset | None) -> None:
        """Takes every frame and reads every file. A file that cannot be read is noted in `unread`."""
        problems = []
        for item in self.recipe["frames"]:
            frame = _frame(shell.user_ns[item["variable"]])
            name = self._add(item["name"], frame, "a DataFrame of the user", item["name"])
            problems += [f"`{name}` is not here as it was given: {note}" for note in item["notes"]]
        for file in self.recipe["files"]:
            try:
                found = self._read(file, reader, previous)
            except Exception as error:  # noqa: BLE001 - the model is told, and still has the file
                self.unread[file["path"]] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                continue
            self.found[file["path"]] = found
            for table in found:
                self._add_table(file, table, alone=len(found) == 1)
        unread = "\n\n".join(self.describer.unread(path, why) for path, why in self.unread.items())
        joins = Keys({name: table.frame for name, table in self.tables.items()}).sentences()
        self.others = [unread, *self._alias(), *joins, *problems]

    def _read(self, file: FileItem, reader: Callable[[], Reader | None], previous: Dataset | None) -> list[Table]:
        if previous is not None and file in previous.recipe["files"] and file["path"] in previous.found:
            return previous.found[file["path"]]
        found = reader()
        if found is None:
            raise ModuleNotFoundError("the kernel has no reader of files")
        return found.read(Path(file["path"]), file["options"])

    def _add_table(self, file: FileItem, table: Table, *, alone: bool) -> None:
        part = "" if alone or not table.part else f"_{names.slug(table.part)}"
        origin = f"{table.kind} {table.part!r} of {file['path']}" if table.part else file["path"]
        if table.notes.how:
            origin += f" (read with {', '.join(table.notes.how)})"
        name = self._add(names.slug(file["stem"]) + part, table.frame, origin, file["file"])
        self.tables[name].doubts = table.notes.doubts

    def _add(self, name: str, frame: pd.DataFrame, origin: str, key: str) -> str:
        unique = names.free(names.untaken(name), self.tables)
        self.tables[unique] = Described(unique, frame, origin, key, self.describer)
        return unique

    def _alias(self) -> list[str]:
        """Names what else a table is called: models write `df` whatever it is called."""
        if len(self.tables) != 1 or "df" in self.tables:
            return []
        return [f"`df` is the same as {next(iter(self.tables))}"]

    def frames(self) -> dict[str, pd.DataFrame]:
        """Returns the tables by all names under which programs find them."""
        frames = {name: table.frame for name, table in self.tables.items()}
        return frames | ({"df": next(iter(frames.values()))} if self._alias() else {})

    def answer(self, question: str, last: str, *, loaded: bool) -> Prepared:
        """Returns what the host is told. `loaded`: True when the data was loaded just now."""
        doubts = [f"{table.key}: {doubt}" for table in self.tables.values() for doubt in table.doubts]
        told = [f"`{LAST}` is what the last program came to: {last}"] if last else []
        text = profile(list(self.tables.values()), [*self.others, *told], question)
        return {"profile": text, "unread": self.unread, "loaded": loaded, "doubts": doubts[:100]}


class _Kernel:
    """What this kernel holds: the programs' surroundings, and the tables of the engine that owns the kernel."""

    programs: Programs | None = None
    dataset: Dataset | None = None


def prepare(request: Request, shell: InteractiveShell, reader: Callable[[], Reader | None]) -> Prepared:
    """Loads the data when it is not loaded; returns the answer for the host."""
    recipe, loaded = request["recipe"], False
    previous = _Kernel.dataset if _Kernel.dataset and _Kernel.dataset.recipe["id"] == recipe["id"] else None
    if previous is None or previous.recipe != recipe:
        missing = _missing(recipe, request["stale"])
        absent = any(item["variable"] not in shell.user_ns for item in recipe["frames"])
        if missing or absent:
            return {"missing": missing, "absent": absent}
        _Kernel.programs = _Kernel.programs or Programs(shell)
        _Kernel.dataset = Dataset(recipe)
        _Kernel.dataset.load(shell, reader, previous)
        _Kernel.programs.take(_Kernel.dataset.frames())
        loaded = True
    programs, dataset = _Kernel.programs, _Kernel.dataset
    assert programs is not None and dataset is not None  # noqa: S101, PT018 - made above, or before
    programs.join(request["conversation"])
    return dataset.answer(request["question"], programs.last(), loaded=loaded)


def _missing(recipe: Recipe, stale: list[str]) -> list[str]:
    """Returns the paths of the files that are not in the sandbox yet, or not whole, or not the newest."""
    sizes = {item["path"]: item["size"] for item in recipe["files"]}
    there = {path for path, size in sizes.items() if Path(path).is_file() and Path(path).stat().st_size == size}
    return [path for path in sizes if path in stale or path not in there]


def _frame(table: Any) -> pd.DataFrame:
    """Returns what the host has put in as a DataFrame of pandas: a Series is a table of one column."""
    if hasattr(table, "to_pandas"):
        table = table.to_pandas()
    return table.to_frame() if hasattr(table, "to_frame") else table
