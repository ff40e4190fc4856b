"""Reads a file of any known kind as tables, in the sandbox's kernel, and says what is not plain about each.

It runs where this library is not installed: standard library, NumPy and pandas (2.2 to 3) only; pyarrow,
python-calamine, openpyxl, pyreadstat and duckdb are used for the formats that need them. What a file says is decided
on all of it, and a guess is called a guess.

    tables = read(Path("sales.csv"), {})
    tables[0].frame, tables[0].notes.how, tables[0].notes.doubts
"""

from .model import NotATableError, ReadOptions, Table
from .reading import read

NAME = "_ci_reader"
"""The package's name in a kernel."""

__all__ = ["NAME", "NotATableError", "ReadOptions", "Table", "read"]
