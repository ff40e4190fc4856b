"""Splits plain text lines into columns of bytes by NumPy: the same fields as the csv module gives, in less time.

It gives up, and leaves the file to the csv module, on whatever is not plain: lines of other lengths, blank lines,
quotes inside of fields, other ends of lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np

from .cells import KINDS, OTHER, PADDING, Array, Cells
from .dialect import Source
from .grid import Look

if TYPE_CHECKING:
    from .layout import Layout

_CHARACTERS = 8 << 20
"""Characters that are split at once."""
_NEWLINE, _RETURN, _QUOTE, _MINUS, _DOT = b'\n\r"-.'
_NO_PLACES = np.empty(0, dtype=np.intp)
Columns = list[Cells]


class NotPlainError(Exception):
    """Says that a file has to be read by the csv module."""


def is_plain(source: Source) -> bool:
    """Returns whether a dialect is one that is split here: the file may still hold what is not."""
    dialect = source.dialect
    usual = len(dialect.separator.encode()) == 1 and dialect.quote in (None, '"')
    return usual and not (dialect.comment or dialect.rules or dialect.escape or dialect.skip_blank)


class PlainRows:
    """Holds all fields of a file as bytes, by columns. Making one raises `NotPlainError` where it is not plain."""

    def __init__(self, source: Source, head: int, tail: int) -> None:
        first = cast("list[list[object]]", list(islice(source.rows(), head)))
        if not first:
            raise NotPlainError
        self._width = len(first[0])
        self._pieces = list(_pieces(source, self._width))
        self._cut = (0, -1)
        self.look = self._seen(first, tail)

    def _seen(self, first: list[list[object]], tail: int) -> Look:
        count = sum(len(piece[0]) for piece in self._pieces)
        ends = [[cells.part(slice(-tail, None)).texts() for cells in piece] for piece in self._pieces[-2:]]
        last = [list(row) for columns in ends for row in zip(*columns, strict=True)][-tail:]
        if len(last) < min(tail, count):
            raise NotPlainError
        ended = sum(_blank(piece[-1]) for piece in self._pieces)
        widths = Counter({(self._width, True): ended, (self._width, False): count - ended})
        return Look(first, cast("list[list[object]]", last), count, +widths)

    def pieces(self, found: Layout) -> Iterator[Columns]:
        """Yields the columns of the table's rows, so many at a time. Raises `NotPlainError` for other rows."""
        if found.extra or found.width != self._width:
            raise NotPlainError
        if self._cut != (found.first, found.last):
            self._pieces, self._cut = [*self._between(found.first, found.last)], (found.first, found.last)
        return iter(self._pieces)

    def _between(self, first: int, last: int) -> Iterator[Columns]:
        """Yields the columns of some of the rows. What the columns of a whole piece have found, they keep."""
        begin = 0
        for piece in self._pieces:
            rows = len(piece[0])
            chosen = slice(max(first - begin, 0), max(last - begin, 0))
            begin += rows
            yield piece if chosen.start == 0 and chosen.stop >= rows else [cells.part(chosen) for cells in piece]


def _blank(cells: Cells) -> int:
    """Returns how many fields are empty or blanks."""
    empty = cells.empty
    first = cells.raw[cells.starts]
    doubtful = ~empty & ((first <= ord(" ")) | (first > 127))
    return int(empty.sum()) + sum(not text.strip() for text in cells.part(doubtful).texts())


def _pieces(source: Source, width: int) -> Iterator[Columns]:
    """Yields the columns of so many whole lines at a time."""
    separator = ord(source.dialect.separator)
    quote = ord(source.dialect.quote) if source.dialect.quote else None
    for raw in _lines(source, quote):
        yield split(raw, separator, quote, width)


def _lines(source: Source, quote: int | None) -> Iterator[bytes]:
    """Yields the text as UTF-8, cut at ends of lines that are not quoted."""
    rest = b""
    with source.open() as file:
        for _ in range(source.dialect.skip):
            file.readline()
        while text := file.read(_CHARACTERS):
            rest += text.encode()
            cut = _cut(rest, quote)
            if cut:
                yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def _cut(raw: bytes, quote: int | None) -> int:
    """Returns where the last line that is whole ends."""
    cut = raw.rfind(b"\n") + 1
    if quote is None or not cut:
        return cut
    mark = bytes([quote])
    odd = raw.count(mark, 0, cut) % 2
    while odd and cut:
        before = raw.rfind(b"\n", 0, cut - 1) + 1
        odd ^= raw.count(mark, before, cut) % 2
        cut = before
    return cut


def split(raw: bytes, separator: int, quote: int | None, width: int) -> Columns:
    """Returns the columns of lines of `width` fields each. Raises `NotPlainError`."""
    padded = np.frombuffer(raw + bytes(PADDING), dtype=np.uint8)
    text = padded[:-PADDING]
    quotes = np.flatnonzero(text == quote) if quote is not None and quote in raw else _NO_PLACES
    _check_quotes(text, quotes, separator)
    places = np.flatnonzero((text == separator) | (text == _NEWLINE) | (text == _DOT))
    dots = text[places] == _DOT
    if len(quotes):
        kept = dots | _outside(places, quotes)
        places, dots = places[kept], dots[kept]
    marks = places[~dots]
    if not len(marks) or len(marks) % width:
        raise NotPlainError
    ends = marks.astype(np.int32).reshape(-1, width)
    starts = np.concatenate(([0], marks[:-1] + 1)).astype(np.int32).reshape(-1, width)
    lines = text[ends] == _NEWLINE
    if not lines[:, -1].all() or lines[:, :-1].any():
        raise NotPlainError
    ends = _without_returns(text, ends, quotes)
    if width == 1 and (starts == ends).any():  # a blank line is no row
        raise NotPlainError
    kinds, points = _bytes_kinds(text, separator), np.zeros(starts.size, dtype=np.int32)
    fields = np.cumsum(~dots)[dots]
    points[fields] = places[dots]
    kinds[places[dots][1:][fields[1:] == fields[:-1]]] = OTHER
    quoted = text[starts] == quote if len(quotes) else np.zeros(starts.shape, dtype=bool)
    starts, ends = starts + quoted, ends - quoted
    found = _kinds(kinds, starts, ends)
    points = points.reshape(starts.shape)
    doubled = len(quotes) > 2 * int(quoted.sum())
    return [Cells(padded, starts[:, n], ends[:, n], found[:, n], points[:, n], doubled) for n in range(width)]


def _outside(places: Array, quotes: Array) -> Array:
    """Returns which places are not inside of quotes."""
    outside: Array = np.searchsorted(quotes, places) % 2 == 0
    return outside


def _check_quotes(text: Array, quotes: Array, separator: int) -> None:
    """Raises `NotPlainError` unless each quote opens a field, closes one, or is one of two for one in the text."""
    if len(quotes) % 2:
        raise NotPlainError
    if not len(quotes):
        return
    opening, closing = quotes[::2], quotes[1::2]
    before, after = text[opening - 1], text[closing + 1]
    twice = opening[1:] == closing[:-1] + 1
    opens = (before == separator) | (before == _NEWLINE) | (opening == 0)
    closes = (after == separator) | (after == _NEWLINE) | (after == _RETURN)
    opens[1:] |= twice
    closes[:-1] |= twice
    if not (opens.all() and closes.all()):
        raise NotPlainError


def _without_returns(text: Array, ends: Array, quotes: Array) -> Array:
    """Returns the ends of the fields without the CR of CR LF. Raises `NotPlainError` for any other CR."""
    returns = np.flatnonzero(text == _RETURN)
    if not len(returns):
        return ends
    ended = text[ends[:, -1] - 1] == _RETURN
    if int(_outside(returns, quotes).sum()) != int(ended.sum()):
        raise NotPlainError
    ends[:, -1] -= ended
    return ends


def _bytes_kinds(text: Array, separator: int) -> Array:
    """Returns what each byte is, as bits of `cells`. A minus that does not begin a field is no sign."""
    kinds: Array = KINDS[text]
    minus = np.flatnonzero(text == _MINUS)
    before = text[minus - 1]
    first = (before == separator) | (before == _NEWLINE) | (before == _QUOTE) | (minus == 0)
    kinds[minus[~first]] = OTHER
    return kinds


def _kinds(kinds: Array, starts: Array, ends: Array) -> Array:
    """Returns what each field holds, as bits of `cells`, of what each byte is."""
    bounds = np.stack((starts, ends), axis=-1).ravel()
    found = np.bitwise_or.reduceat(kinds, bounds)[::2].reshape(starts.shape)
    return np.where(ends > starts, found, 0).astype(np.uint8)
