"""Sees of what kind the texts of a column are: numbers in which notation, codes, words for a missing value, or text.

All values of a column are looked at, in pieces; nothing is decided here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

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
_MOST_TEXTS = 5000


@dataclass
class Evidence:
    """Counts what a column's values are. `notations`: distinct values of each notation; "text" is what has none."""

    notations: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    """How often each word for a missing value stands there."""
    texts: set[str] = field(default_factory=set)
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

    def add(self, values: Collection[str], missing: frozenset[str] = MISSING) -> None:
        """Counts a piece of the column. `values` come stripped of blanks around them."""
        distinct = set(values)
        absent = distinct & missing
        if absent:
            self.missing.update({word: sum(value == word for value in values) for word in absent})
            distinct -= absent
        if not distinct:
            return
        joined = "\n".join(distinct) + "\n"
        if _PLAIN.fullmatch(joined):
            self._plain(joined, len(distinct))
            return
        for value in distinct:
            self._one(value)

    def _plain(self, joined: str, count: int) -> None:
        """Counts values of plain notation, whose integers have at most 15 digits: which notations, not how many."""
        found = {"integer"} if _INTEGER.search(joined) else set()
        if "." in joined:
            found |= {name for name, pattern in (("dot3", _DOT3), ("dot", _DOT)) if pattern.search(joined)}
        for name in found:
            self.notations[name] += 1
        self.notations[max(found)] += count - len(found)

    def _one(self, value: str) -> None:
        match = _VALUE.fullmatch(value)
        notation = (match.lastgroup or "text") if match else "text"
        self.notations[notation] += 1
        self.shown.setdefault(notation, value)
        if notation == "integer":
            self._integer(value)
        if notation not in NUMBERS:
            self.codes = self.codes and _CODE.fullmatch(value) is not None
            if len(self.texts) < _MOST_TEXTS:
                self.texts.add(value)

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

    def numbers(self) -> Evidence:
        """Returns the evidence without what is no number."""
        return replace(self, notations=Counter({name: self.notations[name] for name in NUMBERS}))

    @property
    def distinct(self) -> int:
        """How many distinct values there are beside the missing ones; too many where pieces share values."""
        return self.notations.total()

    def has(self, *notations: str) -> bool:
        """Returns whether any value is of one of these notations."""
        return any(self.notations[name] for name in notations)

    def only(self, *notations: str) -> bool:
        """Returns whether there are values, and all of them are of these notations."""
        return self.distinct > 0 and all(name in notations for name, count in self.notations.items() if count)


def notation_of(value: str) -> str:
    """Returns the notation of one stripped value: a name of a number's notation, "missing", or "text"."""
    if value in MISSING or value in MISSING_AMONG_NUMBERS:
        return "missing"
    match = _VALUE.fullmatch(value)
    return (match.lastgroup or "text") if match else "text"
