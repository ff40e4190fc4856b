"""Splits the lines of a text file into fields, in the one of the usual ways that a `Dialect` names."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

BLANKS = "blanks"
WIDE_BLANKS = "wide blanks"
POSITIONS = "positions"
_TOKEN = re.compile(r"""\s*("(?:[^"]|"")*"|'[^']*'(?=\s|$)|[^\s]+)""")
_GAP = re.compile(r"[ \u00a0]{2,}|\t+")
_RULE = re.compile(r"[\s|+:]*[-=_]{2,}[\s|+:=_-]*")


@dataclass(frozen=True)
class Dialect:
    """Says how lines become fields. `separator`: one character, or `BLANKS`, `WIDE_BLANKS` or `POSITIONS`."""

    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    skip_blank: bool = False
    """True when a blank follows every separator."""
    comment: str = ""
    """Lines that begin with it are left out."""
    skip: int = 0
    """Lines at the beginning that are left out."""
    positions: tuple[tuple[int, int], ...] = ()
    rules: bool = False
    """True when lines that only draw a rule, as in Markdown, are left out."""


def split(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    """Yields the fields of every line that is not blank. `lines` keep their ends: a quoted field may hold one."""
    kept = _kept(lines, dialect)
    if dialect.separator == BLANKS:
        yield from (fields for line in kept if (fields := [_unquoted(t) for t in _TOKEN.findall(line)]))
    elif dialect.separator == WIDE_BLANKS:
        yield from (_GAP.split(text) for line in kept if (text := line.strip()))
    elif dialect.separator == POSITIONS:
        yield from ([line[a:b].strip() for a, b in dialect.positions] for line in kept if line.strip())
    else:
        yield from _csv(kept, dialect)


def _csv(lines: Iterable[str], dialect: Dialect) -> Iterator[list[str]]:
    csv.field_size_limit(1 << 30)
    drawn = dialect.rules and dialect.separator == "|"
    if drawn:  # Markdown: a bar at both ends, and blanks around the fields
        lines = (line.strip().strip("|") + "\n" for line in lines)
    reader = csv.reader(
        lines, delimiter=dialect.separator, quotechar=dialect.quote, escapechar=dialect.escape,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE, skipinitialspace=dialect.skip_blank,
        doublequote=dialect.escape is None,
    )  # fmt: skip
    if drawn:
        yield from ([field.strip() for field in row] for row in reader if row)
    else:
        yield from filter(None, reader)


def _kept(lines: Iterable[str], dialect: Dialect) -> Iterable[str]:
    plain = not (dialect.skip or dialect.comment or dialect.rules)
    return lines if plain else _filtered(lines, dialect)


def _filtered(lines: Iterable[str], dialect: Dialect) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number < dialect.skip or (dialect.comment and line.startswith(dialect.comment)):
            continue
        if dialect.rules and _RULE.fullmatch(line.rstrip()):
            continue
        yield line


def _unquoted(token: str) -> str:
    if len(token) > 1 and token[0] == token[-1] and token[0] in "\"'":
        return token[1:-1].replace('""', '"')
    return token


def is_rule(line: str) -> bool:
    """Returns whether a line only draws a rule: `|---|---|`, `=====`."""
    return _RULE.fullmatch(line.rstrip()) is not None


@dataclass(frozen=True)
class Source:
    """Holds a text file that can be read again and again: it may be larger than the memory."""

    path: Path
    encoding: str
    dialect: Dialect = Dialect()

    def open(self) -> TextIO:
        """Opens the text. Ends of lines stay as they are: a quoted field may hold a lone CR."""
        return self.path.open(encoding=self.encoding, newline="")

    def rows(self) -> Iterator[list[str]]:
        """Yields all rows of fields."""
        with self.open() as file:
            yield from split(file, self.dialect)

    def sample(self, characters: int) -> list[str]:
        """Returns the first lines, whole ones, with their ends."""
        with self.open() as file:
            text = file.read(characters + 1)
        lines = text.splitlines(keepends=True) if "\x0b" not in text else text.split("\n")
        # The last line may be cut off, and would look as if it had fewer fields.
        return lines[:-1] if len(text) > characters and len(lines) > 1 else lines


def widths(rows: Sequence[Sequence[str]]) -> dict[int, int]:
    """Returns how many rows have each number of fields."""
    found: dict[int, int] = {}
    for row in rows:
        found[len(row)] = found.get(len(row), 0) + 1
    return found
