"""Describes the tables for the model: all of them by name, and those in detail that the question is about."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .joins import said

if TYPE_CHECKING:
    import pandas as pd

MAX_PROFILE = 12_000
"""Characters of the description that the model reads, the names of the tables not counted."""
MAX_NAMES = 20_000
"""Characters of the list of names."""
MAX_RAW_LINES = 5
MAX_RAW_CHARS = 500
"""How much is shown of a file that could not be read."""
MAX_COLUMNS = 60
"""Columns of one table that are described."""
_LEAST_DETAIL = 60
"""Characters that the shortest detail has."""
_MAX_LISTED = 400
"""Characters of a table's columns where it is only named."""
_DATE = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}(?!\d)")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


@dataclass
class Described:
    """A table and everything that is known of it beside its values."""

    name: str
    frame: pd.DataFrame
    origin: str
    key: str
    """What the developer calls it: the file's name, or the frame's."""
    describer: Describer
    doubts: list[str] = field(default_factory=list)

    @cached_property
    def detail(self) -> str:
        """All that the model may read of the table: written when it is wanted, for there may be thousands of tables."""
        return self.describer.detail(self)

    @property
    def size(self) -> str:
        """The table's rows and columns in words."""
        return f"{len(self.frame)} rows x {self.frame.shape[1]} columns"

    def line(self) -> str:
        """Returns the table in one line: its name, its size, where it comes from, its columns."""
        columns = ", ".join(str(label) for label in list(self.frame.columns)[:MAX_COLUMNS])
        return f"`{self.name}`: {self.size}, from {self.origin}; columns: {columns}"[:_MAX_LISTED]


@dataclass(frozen=True)
class Describer:
    """Writes the details of tables. `values`: False keeps every value of a cell out of them."""

    sample_rows: int
    values: bool
    descriptions: dict[str, str]

    def detail(self, table: Described) -> str:
        """Returns all that the model may read of one table."""
        frame = table.frame
        lines = [f"`{table.name}`: DataFrame, {table.size}, from {table.origin}"]
        described = self.descriptions.get(table.key)
        lines += [f"  {described}"] if described else []
        lines += [f"  note: {self.without_values(doubt)}" for doubt in table.doubts]
        if frame.index.names != [None] or type(frame.index).__name__ != "RangeIndex":
            lines.append(f"  index: {[*map(str, frame.index.names)]}, dtype {frame.index.dtype}")
        for place in range(min(frame.shape[1], MAX_COLUMNS)):
            known = self.descriptions.get(f"{table.key}.{frame.columns[place]}")
            lines.append(self._column(frame.columns[place], frame.iloc[:, place]) + (f" - {known}" if known else ""))
        if frame.shape[1] > MAX_COLUMNS:
            lines.append(f"  and {frame.shape[1] - MAX_COLUMNS} more columns")
        if self.values and self.sample_rows > 0:
            rows = frame.iloc[: self.sample_rows, :MAX_COLUMNS].to_csv()
            lines.append("first rows:\n" + rows.strip()[:3000])
        return "\n".join(lines)

    def without_values(self, text: str) -> str:
        """Returns a sentence about a file, whose own words are in quotes, without them where no value may be sent."""
        return text if self.values else _QUOTED.sub("...", text)

    def unread(self, path: str, why: str) -> str:
        """Returns what the model reads of a file that is no table: the reason, and how it begins."""
        reason = f" ({why if self.values else why.partition(':')[0]})"
        told = f"{path}: NOT loaded, there is no DataFrame of it{reason}. Your program must read this file itself."
        with Path(path).open("rb") as file:
            raw = file.read(4 * MAX_RAW_CHARS)
        # A zero byte is in almost every binary file and in no text, UTF-16 left aside.
        if b"\0" in raw or not raw:
            return f"{told} It {'is binary' if raw else 'is empty'}."
        if not self.values:
            return told
        try:
            text = raw[: raw.rfind(b"\n") + 1 or None].decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")
        return f"{told} It begins:\n" + "\n".join(text.splitlines()[:MAX_RAW_LINES])[:MAX_RAW_CHARS]

    def _column(self, label: object, column: pd.Series[Any]) -> str:
        line = f"  {said(label)}: {column.dtype}"
        missing = int(column.isna().sum())
        if missing:
            line += f", {missing} missing"
        return (line + self._values(column))[:400] if self.values else line[:400]

    @staticmethod
    def _values(column: pd.Series[Any]) -> str:
        try:
            distinct = column.nunique()
            if distinct <= 8:
                return f", values {column.dropna().unique().tolist()!r}"[:300]
            if column.dtype.kind in "iufM":
                return f", {column.min()} to {column.max()}"
            if _holds_dates(column):
                return f", dates as text, {column.min()} to {column.max()}; pd.to_datetime makes dates of them"
        except Exception:  # noqa: BLE001 - a column of any objects: its dtype is told, and its first rows
            return ", values that cannot be compared"
        return f", {distinct} distinct values"


def _holds_dates(column: pd.Series[Any]) -> bool:
    """Returns True for text that is a date, year first, in each of the rows that are looked at."""
    seen = column.dropna().iloc[:: max(1, len(column) // 50)]
    return len(seen) > 0 and all(isinstance(value, str) and _DATE.match(value) for value in seen)


def profile(tables: list[Described], others: list[str], question: str) -> str:
    """Returns the description: `others` and the tables that fit, those first that the question speaks of.

    When not all of them fit, every table is named before.
    """
    if not tables and not any(others):
        return "There are no tables."
    if _all_fit(tables):
        return cut("\n\n".join([*others[:1], *(table.detail for table in tables), *others[1:]]).strip())
    names = "\n".join(table.line() for table in tables)
    if len(names) > MAX_NAMES:
        names = ", ".join(f"`{table.name}` ({table.size})" for table in tables)
    if len(names) > MAX_NAMES:
        names = ", ".join(f"`{table.name}`" for table in tables)[: 10 * MAX_NAMES]
    shown = _fitting(sorted(tables, key=lambda table: -relevance(table, question)))
    told = f"In detail, {len(shown)} of the {len(tables)} tables; look at the others in your program if you need them:"
    return "\n\n".join([f"All {len(tables)} tables:\n{names}", *others, *([told] if shown else []), *shown])


def _all_fit(tables: list[Described]) -> bool:
    left = MAX_PROFILE
    for table in tables:
        left -= len(table.detail)
        if left < 0:
            return False
    return True


def _fitting(tables: list[Described]) -> list[str]:
    """Returns the details of the first tables that fit; a table like an earlier one is said to be like it."""
    shown: list[str] = []
    left = MAX_PROFILE
    alike: dict[str, str] = {}
    for table in tables:
        if left < _LEAST_DETAIL:
            break
        look = "\n".join(f"{label}: {dtype}" for label, dtype in table.frame.dtypes.items())
        detail = table.detail if look not in alike else f"`{table.name}` has the columns of `{alike[look]}`."
        alike.setdefault(look, table.name)
        if not shown:
            detail = cut(detail)
        if len(detail) <= left:
            shown.append(detail)
            left -= len(detail)
    return shown


def relevance(table: Described, question: str) -> float:
    """Returns how much the question speaks of a table: its name counts more than its columns."""
    asked = words(question)
    name = words(f"{table.name} {table.key}")
    columns = words(" ".join(str(label) for label in table.frame.columns[:500]))
    return 3 * len(asked & name) + len(asked & columns)


def words(text: str) -> set[str]:
    """Returns the words and numbers of a text, in lower case, without the plural's s."""
    return {word.rstrip("s") or word for word in re.findall(r"[^\W\d_]+|\d+", text.lower())}


def cut(text: str) -> str:
    """Returns at most `MAX_PROFILE` characters, and says when that is not all."""
    return text if len(text) <= MAX_PROFILE else text[:MAX_PROFILE] + "\n[the description was cut here]"
