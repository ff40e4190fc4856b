"""Reads CSV and TSV files as they are: separator, encoding, decimal comma, leading zeros.

This module runs in the sandbox's kernel, never here: `dataset.py` sends it as source. So it may use the standard
library and pandas only. The file's beginning shows how to read it; pandas' C parser reads all of it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
LOOK_CHARS = 65_536
LOOK_LINES = 50
"""Characters, and lines of them, from which the separator is found."""
LOOK_ROWS = 5000
"""Rows from which it is seen what kind of numbers a file has."""

_HINT = re.compile(r'"?sep=([,;\t|])"?\n')
_PLAIN_NUMBER = re.compile(r"[+-]?[\d.,]+%?")
_GERMAN = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?"
_DECIMAL_COMMA = r"[+-]?(?:.+,(?:\d{1,2}|\d{4,})|(?:0|\d{4,}|.+\.\d{3}),\d+)"
"""Matches those of the `_GERMAN` numbers whose comma cannot separate thousands, as that of 1,234 can."""
_THOUSANDS = r"[+-]?\d{1,3}(?:\.\d{3})+,\d+"


def read_delimited(path: str, usual: str) -> tuple[pd.DataFrame, str]:
    """Reads a table; returns (the table, how it was read when that is not the plain way).

    `usual`: the separator that the suffix promises. Raises `ValueError` for lines with more fields than the header.
    """
    import pandas as pd

    encoding = _encoding(path)
    separator, hints = _separator(path, encoding, usual)
    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "skiprows": hints}
    head = pd.read_csv(path, dtype=str, nrows=LOOK_ROWS, **options)
    if not isinstance(head.index, pd.RangeIndex):
        options |= _longer_lines(head, separator)
        head = _read_all_columns(path, **options | {"dtype": str, "nrows": LOOK_ROWS})
    if separator != ",":
        options["low_memory"] = False  # a column is text or numbers, not both by turns
        options["decimal"] = "," if _has_decimal_comma(head) else "."
    # Postcodes and article numbers have leading zeros, which a number would lose.
    text = [name for name in head.columns if _matches(head[name], r"0\d+").any()]
    options["dtype"] = dict.fromkeys(text, str)
    frame = _read_all_columns(path, **options)
    if options.get("decimal") == "," and _dots_are_thousands(frame, text):
        options["thousands"] = "."
    return frame, _said(options, usual)


def _encoding(path: str) -> str:
    """Returns UTF-8 if the whole file is in it, otherwise what Excel writes on Windows."""
    with Path(path).open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        # In pieces: the file may be larger than the kernel's memory.
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _separator(path: str, encoding: str, usual: str) -> tuple[str, int]:
    """Returns the separator, and how many lines before the table only name it (Excel's `sep=;`)."""
    with Path(path).open(encoding=encoding, errors="replace") as file:
        text = file.read(LOOK_CHARS)
    # The last line may be cut off, and would look as if it had fewer fields.
    if len(text) == LOOK_CHARS and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    if hint := _HINT.match(text):
        return hint[1], 1
    candidates = usual + SEPARATORS.replace(usual, "")
    scores = {separator: _score(text, separator) for separator in candidates}
    return max(candidates, key=lambda separator: scores[separator]), 0  # the usual one, if others are only as good


def _score(text: str, separator: str) -> tuple[float, int]:
    """Returns how well a separator splits the lines into as many fields as the first has, and how little is left in
    them that another one would split.
    """
    rows = [row for row in islice(csv.reader(io.StringIO(text), delimiter=separator), LOOK_LINES) if row]
    if not rows or len(rows[0]) == 1:
        return 0.0, 0
    even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    other = re.compile(rf"[{SEPARATORS.replace(separator, '')}](?!\s|$)")
    left = sum(bool(other.search(field)) and not _PLAIN_NUMBER.fullmatch(field) for row in rows for field in row)
    return even, -left


def _longer_lines(head: pd.DataFrame, separator: str) -> dict[str, bool]:
    """Returns how to read lines that have more fields than the header: pandas takes the first ones for an index."""
    if head.index.nlevels == 1 and head.iloc[:, -1].isna().all():
        return {"index_col": False}  # a separator ends every line
    if separator == "," or head.index.nlevels > 1 or head.shape[1] == 1:
        raise ValueError("the lines have more fields than the header")
    return {}  # names of rows, as R writes them


def _read_all_columns(path: str, **options: Any) -> pd.DataFrame:
    """Reads as `read_csv` does, but raises where that only warns that it leaves out fields."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, **options)


def _matches(column: pd.Series, pattern: str) -> pd.Series:
    """Returns for every value that is there whether all of it matches `pattern`."""
    return column.dropna().astype(str).str.strip().str.fullmatch(pattern)


def _has_decimal_comma(head: pd.DataFrame) -> bool:
    """True when a column is all numbers and one of them can only have a decimal comma."""
    columns = [head[name] for name in head.columns]
    return any(_matches(column, _DECIMAL_COMMA).any() and _matches(column, _GERMAN).all() for column in columns)


def _dots_are_thousands(frame: pd.DataFrame, kept: list[str]) -> bool:
    """Makes numbers of the text columns that are numbers like 1.234,56, if the file has any; 1.234 alone stays text.

    `kept`: the columns that stay text. Returns whether it made any.
    """
    import pandas as pd

    text = [name for name in frame.columns if frame[name].dtype.kind == "O" and name not in kept]
    numbers = [name for name in text if frame[name].notna().any() and _matches(frame[name], _GERMAN).all()]
    if not any(_matches(frame[name], _THOUSANDS).any() for name in numbers):
        return False
    for name in numbers:
        plain = frame[name].str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        frame[name] = pd.to_numeric(plain)
    return True


def _said(options: dict[str, Any], usual: str) -> str:
    separator, encoding = options["sep"], options["encoding"]
    said = [f"separator {'tab' if separator == chr(9) else repr(separator)}"] if separator != usual else []
    said += ["decimal comma"] if options.get("decimal") == "," else []
    said += ["'.' for thousands"] if "thousands" in options else []
    said += [f"encoding {encoding}"] if encoding != "utf-8-sig" else []
    said += ["first line skipped"] if options["skiprows"] else []
    return ", ".join(said)
