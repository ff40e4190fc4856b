"""Holds the fields of one column as bytes, so that NumPy sees at once which of them are plain numbers or surely text.

What it does not see so is handed on as Python texts, to be looked at one by one. It is imported where NumPy is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

Array = np.ndarray
DIGIT, DOT, MINUS, OTHER, NEVER, BRACKET = 1, 2, 4, 8, 16, 32
"""What a field holds, as bits. `DOT`: one dot; `MINUS`: a sign in front; more of them are `OTHER`. `NEVER`: a character
that no notation of a number has outside of brackets."""
_IN_NUMBERS = b" +-,.'<>~$%*)]0123456789eEinfINFtyTYrulsaRULSADGBPCHJKkz"
_OTHER_INITIALS = b"iIfFtTnN"
"""Letters with which booleans, the infinite and words for missing values begin."""
_LONGEST_WORD = 8
"""Characters of the longest word that is a missing value or an infinite number."""
_EXACT, _WHOLE = 15, 19
"""Digits of a number that a float holds exactly, and those that 64 bits hold."""
_TENS = np.array([float(10**power) for power in range(_EXACT + 1)])
_LONG_TENS = np.cumprod(np.array([1] + [10] * _WHOLE, dtype=np.longdouble))
_HAS_LONG = np.finfo(np.longdouble).nmant == 63 and np.dtype(np.longdouble).itemsize == 16
"""Whether the machine divides with 64 bits of precision, as x86 does."""
PADDING = 32
"""Bytes that `raw` has behind its last field: more than a number that is read here has."""


def _kinds() -> Array:
    kinds = np.full(256, OTHER, dtype=np.uint8)
    kinds[33:127] = NEVER
    kinds[list(_IN_NUMBERS)] = OTHER
    kinds[48:58] = DIGIT
    kinds[ord(".")], kinds[ord("-")] = DOT, MINUS
    kinds[list(b"([")] = BRACKET
    return kinds


def _initials() -> Array:
    sure = np.zeros(256, dtype=bool)
    sure[65:91] = sure[97:123] = True
    sure[list(_OTHER_INITIALS)] = False
    return sure


KINDS = _kinds()
_SURE_INITIALS = _initials()
_EDGES = np.arange(256) <= 32
_EDGES[128:] = True  # bytes above ASCII may be blanks too


@dataclass(frozen=True)
class Numbers:
    """Holds the plain numbers among the fields of a column: `-?(0|[1-9]\\d{0,14})(\\.\\d+)?`."""

    mask: Array
    """Which fields are plain numbers."""
    values: Array
    """Their values as floats, NaN for what is none; of integers exactly."""
    notations: frozenset[str]
    """The names that `evidence` has for how they are written."""


@dataclass(frozen=True)
class Cells:
    """Holds fields of one column: `raw[starts[n]:ends[n]]` is the UTF-8 of the n-th."""

    raw: Array
    starts: Array
    ends: Array
    kinds: Array
    points: Array
    """Where the dot is in those that have one."""
    doubled: bool = False
    """True when a quote in a field is written twice."""

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, chosen: slice | Array) -> Cells:
        """Returns some of the fields: a slice, a mask, or their places."""
        starts, ends = self.starts[chosen], self.ends[chosen]
        return Cells(self.raw, starts, ends, self.kinds[chosen], self.points[chosen], self.doubled)

    @property
    def empty(self) -> Array:
        """Which of the fields have no character."""
        empty: Array = self.starts == self.ends
        return empty

    def texts(self) -> list[str]:
        """Returns the fields as Python has them."""
        if not len(self):
            return []
        sizes = (self.ends - self.starts).astype(np.int64) + 1
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + np.repeat(self.starts - (ends - sizes), sizes)
        joined = self.raw[places]
        joined[ends - 1] = 10
        packed = joined.tobytes()
        if packed.count(b"\n") == len(self):
            found = packed[:-1].decode().split("\n")
        else:
            bounds = zip((ends - sizes).tolist(), (ends - 1).tolist(), strict=True)
            found = [packed[begin:end].decode() for begin, end in bounds]
        return [text.replace('""', '"') for text in found] if self.doubled else found

    def surely_text(self) -> Array:
        """Returns which fields are no number, no boolean and no word for a missing value, whatever stands around."""
        starts = np.where(self.empty, 0, self.starts)
        odd = (self.kinds & NEVER > 0) & (self.kinds & BRACKET == 0) & (self.ends - starts > _LONGEST_WORD)
        odd &= ~_EDGES[self.raw[starts]] & ~_EDGES[self.raw[self.ends - 1]]
        sure: Array = ~self.empty & (odd | _SURE_INITIALS[self.raw[starts]])
        return sure

    @cached_property
    def numbers(self) -> Numbers:
        """The plain numbers among the fields."""
        mask = (self.kinds > 0) & (self.kinds < OTHER)
        if not mask.any():
            return Numbers(mask, np.empty(0), frozenset())
        minus, dotted = self.kinds & MINUS > 0, self.kinds & DOT > 0
        begins = self.starts + minus
        points = np.where(dotted, self.points, self.ends)
        whole, fraction = points - begins, np.where(dotted, self.ends - points - 1, 1)
        zero = self.raw[begins] == 48
        mask &= (whole >= 1) & (whole <= _EXACT) & (fraction > 0) & (~zero | (whole == 1))
        dotted &= mask
        three = dotted & (fraction == 3) & (whole <= 3) & ~zero
        there = {"integer": mask & ~dotted, "dot3": three, "dot": dotted & ~three}
        values = self._values(mask, begins, np.where(dotted, fraction, 0))
        values[minus] *= -1.0
        return Numbers(mask, values, frozenset(name for name, which in there.items() if which.any()))

    def _values(self, mask: Array, begins: Array, fraction: Array) -> Array:
        """Returns numbers without their signs, rounded as Python does."""
        size = self.ends - begins - (fraction > 0)
        exact = mask & (size <= _EXACT)
        fits = mask & (size - (self.raw[begins] == 48) <= _WHOLE) if _HAS_LONG else exact
        digits = self._digits(begins, int(size[fits].max(initial=0)) + 1)
        values: Array = digits / _TENS[np.where(exact, fraction, 0)]
        long = np.flatnonzero(fits & ~exact)
        values[long], sure = _divided(digits[long], fraction[long])
        rest = np.concatenate((np.flatnonzero(mask & ~fits), long[~sure]))
        values[rest] = [abs(float(text)) for text in self.part(rest).texts()]
        values[~mask] = np.nan
        return values

    def _digits(self, begins: Array, most: int) -> Array:
        """Returns the digits of each field as one whole number, whatever dot is among them."""
        found = np.zeros(len(self), dtype=np.uint64)
        places = begins.copy()
        for _ in range(most):
            digits = self.raw[places] - np.uint8(48)
            inside = (digits < 10) & (places < self.ends)
            np.multiply(found, 10, out=found, where=inside)
            np.add(found, digits, out=found, where=inside)
            places += 1
        return found


def _divided(digits: Array, fraction: Array) -> tuple[Array, Array]:
    """Returns digits divided by a power of ten, and which are surely rounded as Python does.

    Both are exact in 64 bits, so the quotient is rounded once to 64 bits and once to 53. That differs from rounding
    once only where the first left exactly a half for the second.
    """
    if not len(digits):
        return np.empty(0), np.empty(0, dtype=bool)
    quotients = digits.astype(np.longdouble) / _LONG_TENS[np.minimum(fraction, _WHOLE)]
    bits = quotients.view(np.uint64)[::2]
    return quotients.astype(np.float64), (bits & np.uint64(0x7FF) != 0x400) & (fraction <= _WHOLE)
