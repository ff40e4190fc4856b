"""Writes columns that are too long for the payload as files: raw little-endian numbers, named by their hash.

Bounded per figure and per kernel. The same numbers are written once. The host fetches them when somebody asks.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .importing import np
from .state import STATE

if TYPE_CHECKING:
    from .foreign import Packed


FOLDER = ".ci_charts"
"""Below the directory for temporary files: not among the user's files."""
MOST_IN_A_FIGURE = 64_000_000
"""Bytes."""
MOST_IN_A_KERNEL = 512_000_000
"""Bytes, of all figures since the kernel began."""


def write(item: Packed) -> bool:
    """Puts the waiting column `item` into a file and its address into `item`. Returns False when there is no room."""
    values = item["raw"]
    data = values.tobytes()  # little-endian already: `pack` chooses dtypes that begin with "<"
    digest = hashlib.sha256(data).hexdigest()
    path = Path(tempfile.gettempdir()) / FOLDER / f"{digest}.{values.dtype.str[1:]}"
    if not _is_there(path, len(data)) and not _written(path, data):
        return False
    del item["raw"]
    item.update({"file": str(path), "sha256": digest, "dtype": values.dtype.str[1:], "n": len(values)})
    known = values[np.isfinite(values)] / item.get("div", 1)
    if len(known):
        item["range"] = [float(known.min()), float(known.max())]
    return True


def _is_there(path: Path, size: int) -> bool:
    """Says whether the same numbers were written before: the name is their hash."""
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _written(path: Path, data: bytes) -> bool:
    """Writes a file, unless all files together would exceed `MOST_IN_A_KERNEL` or the disk refuses it."""
    if STATE.filed + len(data) > MOST_IN_A_KERNEL:
        return False
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    except OSError:
        return False
    STATE.filed += len(data)
    return True
