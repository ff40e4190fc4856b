"""Data for the demo, the notebooks and the tests. Public domain; README.md says where it comes from."""

from __future__ import annotations

from pathlib import Path


def penguins_path() -> Path:
    """The Palmer penguins as CSV: 344 rows, 8 columns, with the missing values of the original."""
    return Path(__file__).with_name("penguins.csv")
