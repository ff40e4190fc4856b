"""What the host sends to the kernel and what the kernel answers, as plain JSON; and what a reader of files gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    import pandas as pd

MARK = "# ci: loads and describes the data"
"""The first line of the cell that prepares the data."""


class FileItem(TypedDict):
    """A user's file as it lies in the sandbox, what it is called on the host, and how the developer said to read it."""

    path: str
    file: str
    stem: str
    """The file's name without its suffixes."""
    size: int
    """Bytes."""
    stamp: str
    """Another one for every version of the file."""
    options: dict[str, Any]


class FrameItem(TypedDict):
    """A frame that the host has put into a variable of the kernel, and what of it is not there as it was given."""

    name: str
    variable: str
    notes: list[str]


class Recipe(TypedDict):
    """Everything that the kernel needs to load and to describe the tables."""

    id: str
    """Of the engine: no two share tables."""
    files: list[FileItem]
    frames: list[FrameItem]
    sample_rows: int
    values: bool
    """False: no value of a cell is in the description."""
    descriptions: dict[str, str]


class Request(TypedDict):
    """What the host asks of the kernel before a program runs."""

    recipe: Recipe
    stale: list[str]
    """Paths of files whose newest version the host has not sent."""
    question: str
    conversation: int | None
    """The result of a program is kept for the next one of the same conversation. None: every question stands alone."""


class Prepared(TypedDict, total=False):
    """What the kernel answers: the profile, or which files are missing."""

    profile: str
    unread: dict[str, str]
    """Errors by the path of the file that could not be read."""
    loaded: bool
    """True when the data was loaded just now."""
    missing: list[str]
    source: bool
    """False when the kernel has not our source yet, and could not look at anything else."""
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
