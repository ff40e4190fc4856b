"""Finds the dialect of a text file: the one that splits its lines most evenly into fields that look like values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .dialect import BLANKS, POSITIONS, WIDE_BLANKS, Dialect, Source, is_rule, split
from .evidence import notation_of
from .model import NotATableError, ReadOptions

LOOK_CHARS = 1 << 17
LOOK_ROWS = 400
_SEPARATORS = ",;\t|"
_RARE = "\x01\x1f\x1c^~:"
_HINT = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    r"|\d{1,2}:\d{2}(?::\d{2})?"
)
_COMMENTS = ("#", "%", "//", "!", "--")
_SURE = 0.9


@dataclass(frozen=True)
class Fit:
    """Says how well a dialect fits: `even` is the share of rows with `width` fields, `clean` that of plain fields."""

    dialect: Dialect
    width: int = 1
    even: float = 0.0
    clean: float = 0.0
    numeric: float = 0.0

    @property
    def score(self) -> float:
        """Both shares in one number; 0 for a single column."""
        return self.even**2 * (0.3 + 0.7 * self.clean) if self.width > 1 else 0.0


def detect(source: Source, usual: str, options: ReadOptions) -> Dialect:
    """Returns the dialect of a file. `usual`: the separator that the suffix promises, or nothing.

    Raises `NotATableError` for text whose lines have nothing in common.
    """
    lines = source.sample(LOOK_CHARS)
    if not any(line.strip() for line in lines):
        raise NotATableError("it is empty")
    start = _given(options, lines)
    hint = _HINT.match(lines[0])
    if hint and "sep" not in options:
        return replace(_quoting(lines, replace(start, separator=hint[1], skip=1)))
    if "widths" in options:
        return replace(start, separator=POSITIONS, positions=_by_widths(options["widths"]))
    if given := options.get("sep"):
        separator = BLANKS if given in (r"\s+", " +", "blanks") else given
        return _quoting(lines, replace(start, separator=separator))
    return _found(lines, start, usual)


def _given(options: ReadOptions, lines: Sequence[str]) -> Dialect:
    comment = options.get("comment") or _comment(lines)
    rules = sum(map(is_rule, lines[:50])) > 0
    quote = options.get("quotechar", '"')
    return Dialect(quote=quote or None, comment=comment, skip=int(options.get("skiprows") or 0), rules=rules)


def _comment(lines: Sequence[str]) -> str:
    """Returns what comment lines begin with, when the file begins with some and has other lines too."""
    for mark in _COMMENTS:
        if lines[0].startswith(mark):
            marked = [line for line in lines if line.startswith(mark)]
            few = len(marked) > 1 or len(marked) < len(lines) - 1
            return mark if few and _alike(marked, lines) < max(2, len(marked) / 2) else ""
    # Further down, only the usual mark counts, and only where lines do not look like the others.
    inner = [line for line in lines if line.startswith("#")]
    few = len(inner) < len(lines) / 3 and not lines[-1].startswith("#")
    return "#" if inner and few and not _alike(inner, lines) else ""


def _alike(marked: Sequence[str], lines: Sequence[str]) -> int:
    """Returns how many of the lines have as many separators as most others: the names may be one of them, rows are."""
    apart = {*marked}
    others = [line for line in lines if line not in apart and line.strip()]
    for separator in _SEPARATORS:
        usual = Counter(line.count(separator) for line in others).most_common(1)
        if usual and usual[0][0] and usual[0][1] > len(others) * 0.8:
            return sum(line.count(separator) == usual[0][0] for line in marked)
    return 0


def _found(lines: Sequence[str], start: Dialect, usual: str) -> Dialect:
    order = usual + "".join(mark for mark in _SEPARATORS if mark != usual)
    fits = [_fit(lines, _quoting(lines, replace(start, separator=mark))) for mark in order]
    best = max(fits, key=lambda fit: round(fit.score, 3))
    if best.score >= _SURE and best.even > 0.95:
        return best.dialect
    others = [*_blank_fits(lines, start), *(_fit(lines, replace(start, separator=mark)) for mark in _RARE[:-1])]
    rival = max(others, key=lambda fit: fit.score)
    if rival.score > max(best.score * 1.05, 0.6):
        return rival.dialect
    if best.score > 0.25 and best.even > 0.5:
        return best.dialect
    if rival.score > 0.6:
        return rival.dialect
    if _is_one_column(lines, start, usual):
        return replace(start, separator=usual or ",")
    raise NotATableError("its lines have no fields in common")


def _fit(lines: Sequence[str], dialect: Dialect) -> Fit:
    rows = [row for row, _ in zip(split(lines, dialect), range(LOOK_ROWS), strict=False)]
    counts = Counter(len(row) for row in rows if len(row) > 1)
    if not counts:
        return Fit(dialect)
    width = max(counts, key=lambda number: (counts[number], number))
    body = rows[_begin(rows, width) :]
    same = sum(len(row) == width or (len(row) == width + 1 and not row[-1].strip()) for row in body)
    # What stands above the table costs little, unless it is most of the file.
    even = same / len(body) * min(1.0, (0.4 if same < 10 else 0.7) + len(body) / len(rows))
    if same < 2 and len(rows) > 2:
        even /= 2
    cells = [cell.strip() for row in body if len(row) == width for cell in row]
    kinds = [_kind(cell, dialect.separator) for cell in cells]
    clean, numeric = sum(kind > 0 for kind in kinds), sum(kind > 1 for kind in kinds)
    return Fit(dialect, width, even, clean / len(kinds), numeric / len(kinds))


def _begin(rows: Sequence[Sequence[str]], width: int) -> int:
    """Returns the first row of so many fields below which most rows have as many."""
    found = [number for number, row in enumerate(rows) if len(row) == width]
    for number in found:
        below = rows[number + 1 : number + 7]
        if sum(len(row) == width for row in below) >= 0.7 * len(below):
            return number
    return found[0]


def _kind(cell: str, separator: str) -> int:
    """Returns 2 for a number or a date, 1 for words and nothing, 0 for what another separator would split."""
    notation = notation_of(cell)
    if notation == "missing":
        return 1
    if notation != "text" or DATE.fullmatch(cell):
        return 2
    others = [mark for mark in _SEPARATORS if mark != separator]
    return 0 if any(re.search(re.escape(mark) + r"(?!\s|$)", cell) for mark in others) else 1


def _quoting(lines: Sequence[str], dialect: Dialect) -> Dialect:
    """Returns the dialect with its quotes: none where they do not close, escaped ones, and blanks after separators."""
    if len(dialect.separator) != 1:
        return dialect
    text = "".join(lines)
    mark = re.escape(dialect.separator)
    follow = len(re.findall(mark + r" +(?=\S)", text)), len(re.findall(mark + r"(?=[^\s" + mark + "])", text))
    if follow[0] > 9 * follow[1] and dialect.separator not in " \t":
        dialect = replace(dialect, skip_blank=True)
    if dialect.quote == '"' and '"' not in text:
        single = len(re.findall(rf"(?:^|{mark})'[^'\n]*'(?={mark}|$)", text, re.MULTILINE))
        first = len(re.findall(rf"(?:^|{mark})'[^'\n]*'(?={mark}|\r?\n|$)", lines[0]))
        usual = single > len(lines) / 2 or first == lines[0].count(dialect.separator) + 1
        return replace(dialect, quote="'") if usual else replace(dialect, quote=None)
    if '\\"' in text and '""' not in text:
        dialect = replace(dialect, escape="\\")
    return replace(dialect, quote=None, escape=None) if _never_closes(lines, dialect) else dialect


def _never_closes(lines: Sequence[str], dialect: Dialect) -> bool:
    """Returns whether a quote swallows many lines: then it is no quote, but inches or a typing error."""
    longest = max((cell.count("\n") + cell.count("\r") for row in split(lines, dialect) for cell in row), default=0)
    if longest < 8:
        return False
    plain = _fit(lines, replace(dialect, quote=None, escape=None))
    return plain.even >= _fit(lines, dialect).even


def _blank_fits(lines: Sequence[str], start: Dialect) -> list[Fit]:
    """Returns how blanks between columns fit, and columns at fixed positions: only where there are numbers."""
    fits = [_fit(lines, replace(start, separator=kind)) for kind in (BLANKS, WIDE_BLANKS)]
    fits = [
        fit if fit.numeric > 0.2 or (fit.dialect.separator == WIDE_BLANKS and fit.even > 0.95) else Fit(fit.dialect)
        for fit in fits
    ]
    if positions := _positions([line.rstrip("\r\n") for line in lines if line.strip()]):
        fits.append(_fit(lines, replace(start, separator=POSITIONS, positions=positions)))
        # Every line has all positions, so evenness says nothing: what counts is that the gaps are blank everywhere.
        fits[-1] = replace(fits[-1], even=0.93 if fits[-1].numeric > 0.2 else 0.0)
    return fits


def _positions(lines: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Returns the spans between the columns of characters that are blank in every line; empty when there are none."""
    if len(lines) < 4 or any("\t" in line for line in lines):
        return ()
    longest = max(map(len, lines))
    used = [False] * longest
    for line in lines:
        for place, char in enumerate(line):
            used[place] = used[place] or char != " "
    spans, begin = [], None
    for place in range(longest + 1):
        inside = place < longest and used[place]
        if inside and begin is None:
            begin = place
        elif not inside and begin is not None:
            spans.append((begin, place))
            begin = None
    return _widened(spans) if len(spans) > 1 else ()


def _widened(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Lets every span reach to the next one: a later line may be longer than those that were looked at."""
    ends = [begin for begin, _ in spans[1:]] + [1 << 16]
    return tuple(
        (begin if number else 0, end) for number, ((begin, _), end) in enumerate(zip(spans, ends, strict=True))
    )


def _by_widths(given: Sequence[int]) -> tuple[tuple[int, int], ...]:
    ends = [sum(given[: number + 1]) for number in range(len(given))]
    return tuple((end - width, end) for end, width in zip(ends, given, strict=True))


def _is_one_column(lines: Sequence[str], start: Dialect, usual: str) -> bool:
    """Returns whether lines are values of one column: numbers, or short texts in a file that says it is a table."""
    values = [line.strip() for line in lines if line.strip() and not (start.comment and line.startswith(start.comment))]
    numbers = sum(_kind(value, ",") == 2 for value in values)
    if numbers >= max(1, len(values) - 1):
        return True
    splits = sum(any(mark in value for mark in _SEPARATORS) for value in values)
    return bool(usual) and splits <= len(values) * 0.1 and max(map(len, values), default=0) < 500
