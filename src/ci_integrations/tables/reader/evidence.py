"""Sees of what kind the texts of a column are: numbers in which notation, codes, words for a missing value, or text.

All values of a column are looked at, in pieces; nothing is decided here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cells import Cells

MISSING = frozenset(
    {"", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "-NaN", "NULL", "null", "None", "<NA>", "#N/A", "#N/A N/A", "#NA",
     "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"}
)  # fmt: skip
"""Texts that stand for a missing value: those of pandas."""
MISSING_AMONG_NUMBERS = frozenset(
    {"-", "--", "---", ".", "..", "...", "?", "*", "**", ":", "–", "—", "n.a.", "N.A.", "na", "n.d.", "nd", "N/D",
     "n/d", "\\N", "(null)", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!", "(NA)", "(D)", "(X)"}
)  # fmt: skip
"""Texts that stand for a missing value in a column of numbers, and may mean something in a column of text."""

_PLAIN = re.compile(r"(?:-?(?:0|[1-9]\d{0,14})(?:\.\d+)?\n)+")
_INTEGER = re.compile(r"^-?\d+$", re.MULTILINE)
_DOT3 = re.compile(r"^-?[1-9]\d{0,2}\.\d{3}$", re.MULTILINE)
_DOT = re.compile(r"(?:^-?0|\d{4})\.|\.(?!\d{3}$)", re.MULTILINE)
_BLANK = "[ \u00a0\u202f\u2009]"
_SIGN = r"[+\-\u2212]?"
_NOTATIONS: dict[str, str] = {
    "zeros": rf"{_SIGN}0\d+",
    "integer": rf"{_SIGN}\d+",
    "dot3": rf"{_SIGN}[1-9]\d{{0,2}}\.\d{{3}}",
    "dot": rf"{_SIGN}(?:\d+\.\d*|\.\d+)",
    "power": r"\d+[eE]\d+",
    "exponent": rf"{_SIGN}(?:\d+\.?\d*|\.\d+)[eE][+-]?\d+",
    "comma3": rf"{_SIGN}[1-9]\d{{0,2}},\d{{3}}",
    "commas": rf"{_SIGN}\d{{1,3}}(?:(?:,\d{{3}})+\.\d*|(?:,\d{{3}}){{2,}})",
    "indian": rf"{_SIGN}\d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?:\.\d*)?",
    "comma": rf"{_SIGN}(?:\d+,\d+|,\d+)(?:[eE][+-]?\d+)?",
    "dots": rf"{_SIGN}\d{{1,3}}(?:(?:\.\d{{3}})+,\d*|(?:\.\d{{3}}){{2,}})",
    "blanks": rf"{_SIGN}\d{{1,3}}(?:{_BLANK}\d{{3}})+(?:[.,]\d+)?",
    "ticks": rf"{_SIGN}\d{{1,3}}(?:['\u2019]\d{{3}})+(?:[.,]\d+)?",
    "infinite": rf"{_SIGN}(?i:inf|infinity)",
    "boolean": r"true|false|True|False|TRUE|FALSE",
    "decorated": r"[(<>~\u2248\u00b1]?\s*[$€£¥₹]?\s*[+\-\u2212]?\s*[$€£¥₹]?\s*"
    r"(?:\d{1,3}(?:[.,'\u00a0\u202f\u2009\u2019 ]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)"
    r"\s*(?:%|‰|[$€£¥₹]|EUR|USD|GBP|CHF|JPY|kr|zł|Kč)?\s*[)*+\-†‡]{0,3}(?:\s*\([^()]*\)|\[[^\[\]]*\])?",
}
"""How numbers are written, and what else is not plain text. The first that matches all of a value is its notation.

`dot3` and `comma3` may be a fraction of three digits or a thousand: 1.234 and 1,234.
"""
_VALUE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _NOTATIONS.items()))
_CODE = re.compile(r"[A-Z]{2,3}")

NUMBERS = frozenset(_NOTATIONS) - {"boolean", "decorated"}
_MOST_ODD = 5000


@dataclass
class Evidence:
    """Gathers what a column's values are, whatever pieces it comes in."""

    notations: set[str] = field(default_factory=set)
    """Notations that some value has; "text" is what has none."""
    missing: Counter[str] = field(default_factory=Counter)
    """How often each word for a missing value stands there."""
    numbers: int = 0
    """How many values are numbers."""
    odd: set[str] = field(default_factory=set)
    """Distinct values that are no numbers: all of them while they are few."""
    shown: dict[str, str] = field(default_factory=dict)
    """One value of each notation."""
    digits: int = 0
    """Digits of the longest integer among those with more than 15."""
    low: int = 0
    high: int = 0
    """The least and the greatest of the integers with more than 15 digits."""
    codes: bool = True
    """True while every text is two or three capital letters."""

    def add(self, counts: Mapping[str, int], missing: frozenset[str] = MISSING) -> None:
        """Adds a piece of the column: how often each value stands there. They are stripped of blanks around them."""
        absent = counts.keys() & missing
        self.missing.update({word: counts[word] for word in absent})
        distinct = counts.keys() - absent if absent else counts.keys()
        if not distinct:
            return
        if self._all_plain("\n".join(distinct) + "\n"):
            self.numbers += sum(counts.values()) - sum(counts[word] for word in absent)
        else:
            self.numbers += sum(counts[value] for value in distinct if self._is_number(value))

    def add_cells(self, cells: Cells, missing: frozenset[str] = MISSING) -> None:
        """Adds a piece whose values are bytes: plain numbers and what is surely text are not looked at one by one."""
        plain, empty = cells.numbers, cells.empty
        self.missing.update({"": count} if (count := int(empty.sum())) else {})
        self.numbers += int(plain.mask.sum())
        self.notations |= plain.notations
        rest = ~(empty | plain.mask)
        if missing == MISSING and rest.any():
            sure = rest & cells.surely_text()
            self._add_texts(cells.part(sure))
            rest &= ~sure
        if rest.any():
            self.add(stripped(cells.part(rest).texts()), missing)

    def _add_texts(self, cells: Cells) -> None:
        """Adds values that are neither numbers nor missing. While all are codes, every one is looked at."""
        if not len(cells):
            return
        self.notations.add("text")
        enough = len(cells) if self.codes else _MOST_ODD if len(self.odd) < _MOST_ODD else 0
        for value in set(cells.part(slice(enough)).texts()) - self.odd:
            self._odd(value.strip())

    def _all_plain(self, joined: str) -> bool:
        """Returns whether values are of plain notation, whose integers have at most 15 digits, and adds which."""
        if not _PLAIN.fullmatch(joined):
            return False
        found = (("integer", _INTEGER), ("dot3", _DOT3), ("dot", _DOT))
        self.notations |= {name for name, pattern in found if pattern.search(joined)}
        return True

    def _is_number(self, value: str) -> bool:
        """Adds one value, and returns whether it is a number."""
        match = _VALUE.fullmatch(value)
        notation = (match.lastgroup or "text") if match else "text"
        self.notations.add(notation)
        self.shown[notation] = min(value, self.shown.get(notation, value))
        if notation == "integer":
            self._integer(value)
        if notation not in NUMBERS:
            self._odd(value)
        return notation in NUMBERS

    def _odd(self, value: str) -> None:
        self.codes = self.codes and _CODE.fullmatch(value) is not None
        if len(self.odd) < _MOST_ODD:
            self.odd.add(value)

    def _integer(self, value: str) -> None:
        digits = len(value.lstrip("+-\u2212"))
        if digits > 15:
            number = int(value.replace("\u2212", "-")) if digits < 25 else 1 << 70
            self.digits = max(self.digits, digits)
            self.low, self.high = min(self.low, number), max(self.high, number)

    @property
    def fits(self) -> bool:
        """Whether the integers fit into 64 bits."""
        return (self.low >= -(1 << 63) and self.high < 1 << 63) or (self.low >= 0 and self.high < 1 << 64)

    @property
    def mostly_numbers(self) -> bool:
        """Whether a few values that are no numbers stand among many that are."""
        return 3 * len(self.odd) <= self.numbers and len(self.odd) < _MOST_ODD

    def without_odd(self) -> Evidence:
        """Returns the evidence without what is no number."""
        return replace(self, notations=self.notations & NUMBERS, odd=set())

    def has(self, *notations: str) -> bool:
        """Returns whether any value is of one of these notations."""
        return not self.notations.isdisjoint(notations)

    def only(self, *notations: str) -> bool:
        """Returns whether there are values, and all of them are of these notations."""
        return bool(self.notations) and self.notations <= {*notations}


def stripped(values: Iterable[str]) -> Counter[str]:
    """Returns how often each value stands there, without blanks around it."""
    found: Counter[str] = Counter()
    for value, count in Counter(values).items():
        found[value.strip()] += count
    return found


def notation_of(value: str) -> str:
    """Returns the notation of one stripped value: a name of a number's notation, "missing", or "text"."""
    if value in MISSING or value in MISSING_AMONG_NUMBERS:
        return "missing"
    match = _VALUE.fullmatch(value)
    return (match.lastgroup or "text") if match else "text"
