"""Decides what a column of texts is, by all of its values, and makes it that: numbers, booleans, codes, or text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from .evidence import MISSING, MISSING_AMONG_NUMBERS, NUMBERS, Evidence
from .model import Notes, quoted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .cells import Cells

EXACT = 1 << 53
"""Above it, a float does not hold every integer."""
_WITH_POINT = ("integer", "dot", "dot3", "exponent", "infinite", "power")
_WITH_COMMA = ("integer", "comma", "comma3", "dots", "dot3")


@dataclass(frozen=True)
class Marks:
    """Says how the numbers of a file are written, as far as the file or its reader's user leaves no doubt."""

    separator: str = ","
    decimal: str = ""
    """"," or "." when it is certain, otherwise empty."""
    dots_group: bool = False
    """True when a number such as 1.234,5 shows that dots are thousands."""
    thousands: str = ""
    """What the developer said of the thousands."""


@dataclass(frozen=True)
class Decision:
    """Says what a column becomes. `group`: marks that are taken out of its numbers. `said`: why, where it is no plain
    case; columns of one reason are told in one line.
    """

    kind: str
    """"integer", "number", "boolean", "text", or "empty"."""
    decimal: str = "."
    group: str = ""
    missing: frozenset[str] = MISSING
    said: str = ""
    how: str = ""
    long: bool = False
    """True for integers of more than 15 digits, which a float may not hold."""


def marks_of(columns: Iterable[Evidence], separator: str, decimal: str = "", thousands: str = "") -> Marks:
    """Returns how a file writes numbers, by all of its columns. `decimal`, `thousands`: what is known already."""
    numeric = [column for column in columns if column.only(*NUMBERS)]
    comma = any(column.has("comma", "dots") and column.only(*_WITH_COMMA) for column in numeric)
    dots = any(column.has("dots") and column.only(*_WITH_COMMA) for column in numeric)
    return Marks(separator, decimal or ("," if comma else ""), dots or thousands == ".", thousands)


def decide(seen: Evidence, marks: Marks) -> Decision:
    """Returns what a column of this evidence is."""
    if not seen.notations:
        return Decision("empty")
    if not seen.odd:
        return _numbers(seen, marks)
    if seen.only("boolean"):
        return Decision("boolean")
    words = sorted(seen.odd)
    if seen.odd <= MISSING_AMONG_NUMBERS and seen.has(*NUMBERS):
        return _numbers_and_words(_numbers(seen.without_odd(), marks), words)
    return _text(seen)


def _numbers_and_words(found: Decision, words: list[str]) -> Decision:
    """Returns what a column of numbers becomes that has words for missing values among them."""
    if found.kind == "text":
        return found
    said = "; ".join(filter(None, (found.said, f"{quoted(words)} read as missing")))
    return replace(found, missing=MISSING.union(words), said=said)


def _numbers(seen: Evidence, marks: Marks) -> Decision:
    """Returns what a column of numbers is: all of its values are numbers in some notation."""
    whole = "number" if seen.has(*(NUMBERS - {"integer", "zeros"})) else "integer"
    if reason := _code(seen, whole):
        return Decision("text", said=f"{reason}, kept as text")
    if marks.thousands:
        return Decision("number", decimal=marks.decimal or ".", group=marks.thousands)
    if seen.has("blanks", "ticks"):
        return _grouped_by_blanks(seen, marks)
    if seen.has("comma", "commas", "comma3", "dots", "indian"):
        return _with_commas(seen, marks)
    if seen.has("dot3") and not seen.has("dot", "exponent"):
        return _dot_of_three(seen, marks)
    if not seen.only(*_WITH_POINT):
        return Decision("text", said="numbers in several notations, kept as text")
    return Decision(whole, long=seen.digits > 15)


def _code(seen: Evidence, whole: str) -> str:
    """Returns why numbers are codes, or longer than a number may be; empty when they are plain numbers."""
    if seen.has("zeros"):
        return "codes with leading zeros"
    if seen.has("power") and not seen.has("dot", "dot3", "exponent"):
        return f"codes or powers of ten such as {seen.shown['power']!r}"
    if whole == "integer" and not seen.fits:
        return "integers with more digits than a number keeps"
    return "numbers with more digits than a float keeps" if whole == "number" and seen.digits > 15 else ""


def _grouped_by_blanks(seen: Evidence, marks: Marks) -> Decision:
    if seen.has("comma", "comma3") and seen.has("dot", "dot3"):
        return Decision("text", said="numbers in several notations, kept as text")
    decimal = "," if seen.has("comma", "comma3") or marks.decimal == "," else "."
    shown = seen.shown.get("blanks") or seen.shown.get("ticks", "")
    decimal = "," if "," in shown else decimal
    mark = "'" if seen.has("ticks") else "blanks"
    return Decision("number", decimal, " \u00a0\u202f\u2009'\u2019", said=f"numbers with {mark} for thousands")


def _with_commas(seen: Evidence, marks: Marks) -> Decision:
    if seen.has("commas", "indian") or (seen.has("comma3") and seen.has("dot")):
        return _grouped_by_commas(seen)
    return _with_comma(seen) if seen.has("comma", "dots") else _fraction_or_thousand(seen, marks)


def _grouped_by_commas(seen: Evidence) -> Decision:
    if not seen.only("integer", "dot", "dot3", "comma3", "commas", "indian", "exponent"):
        return Decision("text", said="numbers in several notations, kept as text")
    return Decision("number", ".", ",", said="numbers with ',' for thousands")


def _with_comma(seen: Evidence) -> Decision:
    if not seen.only(*_WITH_COMMA):
        return Decision("text", said="numbers in several notations, kept as text")
    group = "." if seen.has("dots", "dot3") else ""
    return Decision("number", ",", group, how="decimal comma" + (", '.' for thousands" if group else ""))


def _fraction_or_thousand(seen: Evidence, marks: Marks) -> Decision:
    """Decides whether 1,234 is a fraction or a thousand: by the file's other numbers, and by its separator."""
    if not seen.only("integer", "comma3", "dot3"):
        return Decision("text", said="numbers in several notations, kept as text")
    if seen.has("dot3"):
        return Decision("text", said="numbers whose ',' and '.' may mean either, kept as text")
    if marks.decimal == ",":
        return Decision("number", ",", how="decimal comma")
    if marks.separator == ";" and marks.decimal != ".":
        return Decision("text", said="numbers whose ',' may be a decimal comma or for thousands, kept as text")
    return Decision("number", ".", ",", said="numbers with ',' for thousands")


def _dot_of_three(seen: Evidence, marks: Marks) -> Decision:
    """Decides whether 1.234 is a fraction or a thousand."""
    if marks.dots_group and marks.decimal != ".":
        return Decision("number", ",", ".", how="'.' for thousands")
    if marks.decimal == ",":
        return Decision("text", said="numbers whose '.' may be for thousands, kept as text")
    said = "read as fractions; their '.' may be for thousands" if marks.separator == ";" and not marks.decimal else ""
    return Decision("number" if seen.only(*_WITH_POINT) else "text", said=said)


def _text(seen: Evidence) -> Decision:
    """Returns a text column, with what a reader of numbers or of missing values should know of it."""
    if seen.has("decorated") and not seen.has("text", "boolean"):
        return Decision("text", said=f"numbers with marks such as {seen.shown['decorated']!r}, kept as text")
    said = f"mostly numbers, kept as text because of {quoted(sorted(seen.odd))}" if seen.mostly_numbers else ""
    words = sorted(word for word in seen.missing if word)
    if words == ["NA"] and seen.codes and not seen.numbers:
        told = "'NA' kept as text among codes; it may mean missing"
        return Decision("text", missing=MISSING - {"NA"}, said=told)
    told = f"{quoted(words)} read as missing" if words else ""
    return Decision("text", said="; ".join(filter(None, (said, told))))


def told(notes: Notes, names: Sequence[str], decisions: Sequence[Decision]) -> None:
    """Adds what was decided to the notes: one line for each reason, with the columns that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name, decision in zip(names, decisions, strict=True):
        if decision.said:
            by_reason.setdefault(decision.said, []).append(name)
        for word in filter(None, decision.how.split(", ")):
            if word not in notes.how:
                notes.how.append(word)
    for reason, columns in by_reason.items():
        notes.doubt(f"{quoted(columns, 8)}: {reason}")


class Column:
    """Gathers a column's values in pieces, each converted as its decision says."""

    def __init__(self, decision: Decision, *, gaps: bool = True) -> None:
        """`gaps`: whether values may be missing."""
        self.decision, self._gaps = decision, gaps
        self._is_list = decision.kind in ("text", "boolean") or decision.long
        self._values: list[object] = []
        self._pieces: list[np.ndarray] = []

    def add(self, values: Sequence[str]) -> None:
        """Converts a piece of the column. Numbers and missing values may have blanks around them; text keeps them."""
        if self._is_list:
            self._values += self._converted(values)
        else:
            self._pieces.append(floats(cast("Sequence[float | None]", self._converted(values))))

    def add_cells(self, cells: Cells) -> None:
        """Converts a piece whose values are bytes: plain numbers all at once."""
        if self._is_list:
            self._values += self._converted(cells.texts())
            return
        if not self._has_point:
            self._pieces.append(floats(cast("Sequence[float | None]", self._converted(cells.texts()))))
            return
        plain = cells.numbers
        array = plain.values.copy() if len(plain.values) else floats([None]).repeat(len(cells))
        rest = ~(plain.mask | cells.empty)
        array[rest] = floats(cast("Sequence[float | None]", self._converted(cells.part(rest).texts())))
        self._pieces.append(array)

    @property
    def _has_point(self) -> bool:
        """Whether plain numbers mean what Python reads in them."""
        return self.decision.decimal == "." and "." not in self.decision.group

    def _converted(self, values: Sequence[str]) -> Sequence[object]:
        distinct = set(values)
        if 2 * len(distinct) > len(values):
            return list(map(self._value, values)) if self.decision.kind != "text" else self._texts(values)
        known = {text: self._value(text) for text in distinct}
        return [known[text] for text in values]

    def _texts(self, values: Sequence[str]) -> Sequence[object]:
        missing = self.decision.missing
        if not self._gaps:
            return values
        return [None if text.strip() in missing else text for text in values]

    def _value(self, text: str) -> object:
        stripped = text.strip()
        if stripped in self.decision.missing:
            return None
        if self.decision.kind == "text":
            return text
        if self.decision.kind == "boolean":
            return stripped.lower() == "true"
        return int(stripped.replace("\u2212", "-")) if self.decision.long else float(self._number(stripped))

    def _number(self, text: str) -> str:
        """Returns a number as Python writes it."""
        for mark in self.decision.group:
            text = text.replace(mark, "")
        text = text.replace("\u2212", "-")
        return text.replace(",", ".") if self.decision.decimal == "," or self.decision.group else text

    def array(self) -> object:
        """Returns the column for pandas."""
        if self.decision.kind == "text":
            return strings(cast("list[str | None]", self._values))
        if self.decision.kind == "boolean":
            return booleans(cast("list[bool | None]", self._values))
        return integers(cast("list[int | None]", self._values)) if self.decision.long else self._numbers()

    def _numbers(self) -> np.ndarray:
        import numpy as np

        array = np.concatenate(self._pieces) if self._pieces else floats([])
        if self.decision.kind == "integer":  # of at most 15 digits: a float holds them
            return array + 0.0 if np.isnan(array).any() else array.astype("int64")
        whole = self.decision.group and len(array) and bool((np.abs(array) < EXACT).all() and (array % 1 == 0).all())
        return array.astype("int64") if whole else array


def integers(values: list[int | None]) -> object:
    """Returns integers with all digits: int64, float64 with gaps where it is exact, Int64, UInt64, or text."""
    import numpy as np
    import pandas as pd

    there = [value for value in values if value is not None]
    low, high = min(there, default=0), max(there, default=0)
    gaps = len(there) < len(values)
    if gaps and low >= -EXACT and high <= EXACT:
        return floats(values)
    if low >= -(1 << 63) and high < 1 << 63:
        return pd.array(values, dtype="Int64") if gaps else np.array(values, dtype="int64")
    if low >= 0 and high < 1 << 64:
        return pd.array(values, dtype="UInt64") if gaps else np.array(values, dtype="uint64")
    return strings([None if value is None else str(value) for value in values])


def floats(values: Sequence[float | None]) -> np.ndarray:
    """Returns float64 with NaN for what is missing."""
    import numpy as np

    return np.array([np.nan if value is None else value for value in values], dtype="float64")


def booleans(values: list[bool | None]) -> object:
    """Returns bool, or pandas' nullable boolean when values are missing."""
    import numpy as np
    import pandas as pd

    return pd.array(values, dtype="boolean") if None in values else np.array(values, dtype=bool)


def strings(values: list[str | None]) -> object:
    """Returns text as the installed pandas keeps it, never as something else."""
    import pandas as pd

    dtype: object = "str" if int(pd.__version__.split(".")[0]) >= 3 else object
    return pd.Series(values, dtype=dtype)


def frame_of(names: Sequence[str], arrays: Sequence[object]) -> pd.DataFrame:
    """Returns a DataFrame of columns by position. Names may repeat."""
    import pandas as pd

    frame = pd.DataFrame(dict(enumerate(arrays)))
    frame.columns = pd.Index(list(names))
    return frame
