"""Decides what a column of texts is, by all of its values, and makes it that: numbers, booleans, codes, or text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .evidence import MISSING, MISSING_AMONG_NUMBERS, NUMBERS, Evidence
from .model import Notes, quoted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

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


def marks_of(columns: Iterable[Evidence], separator: str, decimal: str = "", thousands: str = "") -> Marks:
    """Returns how a file writes numbers, by all of its columns. `decimal`, `thousands`: what is known already."""
    numeric = [column for column in columns if column.only(*NUMBERS) and column.distinct]
    comma = any(column.has("comma", "dots") and column.only(*_WITH_COMMA) for column in numeric)
    dots = any(column.has("dots") and column.only(*_WITH_COMMA) for column in numeric)
    return Marks(separator, decimal or ("," if comma else ""), dots or thousands == ".", thousands)


def decide(seen: Evidence, marks: Marks) -> Decision:
    """Returns what a column of this evidence is."""
    if not seen.distinct:
        return Decision("empty")
    words = frozenset(seen.texts & MISSING_AMONG_NUMBERS)
    others = seen.distinct - sum(seen.notations[name] for name in NUMBERS)
    if others and others == len(words) and others < seen.distinct:
        found = _numbers(seen.numbers(), marks)
        told = f"{quoted(sorted(words))} read as missing"
        said = f"{found.said}; {told}" if found.said else told
        return found if found.kind == "text" else replace(found, missing=MISSING | words, said=said)
    if not others:
        return _numbers(seen, marks)
    if seen.only("boolean"):
        return Decision("boolean")
    return _text(seen)


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
    return Decision(whole)


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
    numbers = sum(seen.notations[name] for name in NUMBERS)
    decorated = seen.notations["decorated"]
    rest = seen.distinct - numbers - decorated
    kept, said = MISSING, ""
    if decorated and not rest and decorated >= 1:
        return Decision("text", said=f"numbers with marks such as {seen.shown['decorated']!r}, kept as text")
    odd = rest + decorated
    if numbers >= 3 * odd:
        said = f"mostly numbers, kept as text because of {quoted(sorted(seen.texts))}"
    words = sorted(word for word in seen.missing if word)
    if words == ["NA"] and seen.codes and not numbers:
        kept, told = MISSING - {"NA"}, "'NA' kept as text among codes; it may mean missing"
    else:
        told = f"{quoted(words)} read as missing" if words else ""
    return Decision("text", missing=kept, said="; ".join(filter(None, (said, told))))


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


@dataclass
class Column:
    """Gathers a column's values in pieces, each converted as `decision` says."""

    decision: Decision
    numbers: list[int | None] = field(default_factory=list)
    truths: list[bool | None] = field(default_factory=list)
    pieces: list[np.ndarray] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    shared: dict[str, str] = field(default_factory=dict)

    def add(self, values: Sequence[str]) -> None:
        """Converts a piece of the column. Numbers and missing values may have blanks around them; text keeps them."""
        missing = self.decision.missing
        if self.decision.kind == "text":
            share = self.shared.setdefault
            self.texts += [None if value.strip() in missing else share(value, value) for value in values]
            return
        kept: list[str | None] = list(map(str.strip, values))
        if not missing.isdisjoint(kept):
            kept = [None if text in missing else text for text in kept]
        if self.decision.kind == "boolean":
            self.truths += [None if text is None else text.lower() == "true" for text in kept]
        elif self.decision.kind == "integer":
            self.numbers += [None if text is None else int(text.replace("\u2212", "-")) for text in kept]
        elif self.decision.group or self.decision.decimal != ".":
            self.pieces.append(floats([None if text is None else float(self._plain(text)) for text in kept]))
        else:
            self.pieces.append(floats([None if text is None else float(text.replace("\u2212", "-")) for text in kept]))

    def _plain(self, text: str) -> str:
        """Returns a number as Python writes it."""
        for mark in self.decision.group:
            text = text.replace(mark, "")
        return text.replace("\u2212", "-").replace(",", ".")

    def array(self) -> object:
        """Returns the column for pandas."""
        if self.decision.kind == "integer":
            return integers(self.numbers)
        if self.decision.kind == "boolean":
            return booleans(self.truths)
        return strings(self.texts) if self.decision.kind == "text" else self._floats()

    def _floats(self) -> np.ndarray:
        import numpy as np

        array = np.concatenate(self.pieces) if self.pieces else floats([])
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
