"""Keeps the whole of a table that a cell shows, as the codec of frames writes it: small ones in the payload, others as
files.

The codec is a package beside this one (locally in `ci_integrations`, in the cloud among the files that the host wrote).
It is loaded when the first table is shown. Without it a table is its first rows.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from .foreign import Bundle, Frame, UserData

CODEC = "_ci_frames"
FOLDER = ".ci_tables"
"""Below the directory for temporary files: not among the user's files."""
INLINE = 12 * 1024
"""Bytes of a table that goes along in the payload."""
MOST = 256_000_000
"""Bytes of one table that is kept, estimated by its memory."""
MOST_IN_A_KERNEL = 512_000_000
"""Bytes of all tables since the kernel began."""
_kept = {"bytes": 0}


def codec() -> ModuleType | None:
    """Returns the codec of frames; None when it is not there."""
    if CODEC in sys.modules:
        return sys.modules[CODEC]
    here = __name__.rpartition(".")[0]
    folder = str(Path(__file__).parent.parent)
    try:
        if here.startswith("ci_integrations."):
            found = import_module("ci_integrations.frames.codec")
        else:
            sys.path.insert(0, folder)
            found = import_module(CODEC)
    except ImportError:
        return None
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    sys.modules[CODEC] = found
    return found


def whole(frame: Frame) -> Bundle | str:
    """Returns where the whole table is: `{"b64"}`, or `{"file", "sha256"}`, with its size; or why it is not kept."""
    room = codec()
    if room is None:
        return "only the first rows were kept"
    if _size(frame) > MOST:
        return "too large to be kept as it is: only the first rows were"
    folder = Path(tempfile.gettempdir()) / FOLDER
    folder.mkdir(mode=0o777, exist_ok=True)
    draft = folder / f"draft-{os.getpid()}"
    draft.unlink(missing_ok=True)
    kernel = import_module(f"{room.__name__}.kernel")
    said = kernel.save(frame, draft, arrow_there=True, polars_there=True)
    found: Bundle = {"size": said["size"], "sha256": said["sha256"], "notes": said["notes"][:20]}
    if said["size"] <= INLINE:
        found["b64"] = base64.b64encode(draft.read_bytes()).decode("ascii")
        draft.unlink()
        return found
    place = folder / f"{said['sha256']}.frame"
    if not place.exists():
        if _kept["bytes"] + said["size"] > MOST_IN_A_KERNEL:
            draft.unlink()
            return "no room is left to keep it whole: only the first rows were"
        _kept["bytes"] += said["size"]
    draft.replace(place)
    place.chmod(0o644)
    found["file"] = str(place)
    return found


def _size(frame: Frame) -> int:
    """Returns about how many bytes a table takes. Text is taken for what its memory is without looking at each."""
    used = frame.memory_usage(index=True, deep=False)
    return int(used if frame.ndim == 1 else used.sum())


def as_frame(table: UserData) -> Frame:
    """Returns what another library calls a table as one of pandas. Raises TypeError for what is none."""
    room = codec()
    if room is None:
        raise TypeError("there is no codec")
    notes = import_module(f"{room.__name__}.notes").Notes()
    return import_module(f"{room.__name__}.others").to_pandas(table, notes)
