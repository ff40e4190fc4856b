"""Columns that are too long for the payload, as files in the sandbox: raw little-endian numbers, named by their hash.

Bounded per figure and per kernel. The same numbers are written once. The host fetches them when somebody asks.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from .state import STATE

FOLDER = ".ci_charts"
"""Below the directory for temporary files: not among the user's files."""
MOST_IN_A_FIGURE = 64_000_000
"""Bytes."""
MOST_IN_A_KERNEL = 512_000_000
"""Bytes, of all figures since the kernel began."""


def write(item: dict[str, Any]) -> bool:
    """Put the waiting column `item` into a file and its address into `item`. False when there is no room."""
    import numpy as np

    values = item["raw"]
    data = values.tobytes()
    digest = hashlib.sha256(data).hexdigest()
    path = Path(tempfile.gettempdir()) / FOLDER / f"{digest}.{values.dtype.str[1:]}"
    if not _is_there(path, len(data)) and not _written(path, data):
        return False
    del item["raw"]
    item.update(file=str(path), sha256=digest, dtype=values.dtype.str[1:], n=len(values))
    known = values[np.isfinite(values)] / item.get("div", 1)
    if len(known):
        item["range"] = [float(known.min()), float(known.max())]
    return True


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _written(path: Path, data: bytes) -> bool:
    if STATE.filed + len(data) > MOST_IN_A_KERNEL:
        return False
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    except OSError:
        return False
    STATE.filed += len(data)
    return True
