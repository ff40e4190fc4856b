"""Carries a table from one process to another as it is: dtype by dtype, value by value, label by label.

It runs on both sides of a sandbox: here as a package of `ci_integrations`, there also as `NAME`, whose files the host
writes where the kernel has not this library. Standard library, NumPy and pandas (2.2 to 3) only; pyarrow and polars are
used where they are installed. Nothing is pickled, and a file is read as what it is: the word of a stranger.

    said = encode(frame, stream, arrow_there=False, polars_there=False)
    frame, notes = decode(stream)
"""

from __future__ import annotations

from .container import MalformedError
from .tables import decode, encode

NAME = "_ci_frames"
"""The package's name where its files were written into a sandbox."""

__all__ = ["NAME", "MalformedError", "decode", "encode"]
