"""Carries a table from one process to another as it is: dtype by dtype, value by value, label by label.

It runs on both sides of a sandbox: here as a package of `ci_integrations`, there also as `NAME`, whose files the host
writes where the kernel has not this library. Standard library, NumPy and pandas (2.2 to 3) only; pyarrow and polars are
used where they are installed. Nothing is pickled, and a file is read as what it is: the word of a stranger.

    said = encode(frame, stream, arrow_there=False, polars_there=False)
    frame, notes = decode(stream)
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from .container import MalformedError
from .tables import decode, encode

NAME = "_ci_frames"
"""The package's name where its files were written into a sandbox."""

__all__ = ["NAME", "MalformedError", "decode", "digest", "encode"]


@cache
def digest() -> str:
    """Returns a hash of this package's files: both sides must have the same."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]
