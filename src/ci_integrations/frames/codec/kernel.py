"""Is the sandbox's end: says what the kernel has, makes variables of files, writes variables into files.

Each function prints one line of JSON, also when it fails. The host takes that for what it is, the word of a stranger.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import arrow
from .tables import decode, encode

_CHUNK = 1 << 20


def say(answer: dict[str, Any]) -> None:
    """Prints an answer for the host, on a line of its own."""
    print("\n" + json.dumps(answer))  # noqa: T201 - the cell's output is the way to the host


def _saying(work: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    def said(*args: Any) -> None:
        try:
            answer = work(*args)
        except Exception as error:  # noqa: BLE001 - the host raises it
            answer = {"error": f"{type(error).__name__}: {error}"[:2000], "where": traceback.format_exc()[-2000:]}
        say(answer)

    return said


def _hello(shell: Any, names: Sequence[str]) -> dict[str, Any]:
    absent = [name for name in names if name not in shell.user_ns]
    return {"arrow": arrow.is_here(), "polars": arrow.has_polars(), "absent": absent}


def _load(shell: Any, places: Sequence[tuple[str, str]]) -> dict[str, Any]:
    loaded, notes = {}, {}
    for name, path in places:
        with Path(path).open("rb") as stream:
            loaded[name], notes[name] = decode(stream)
        Path(path).unlink()
    shell.user_ns.update(loaded)  # all of them or none
    return {"notes": notes}


def _save(shell: Any, name: str, path: str, *there: bool) -> dict[str, Any]:
    if name not in shell.user_ns:
        raise NameError(f"name {name!r} is not defined")
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    said = save(shell.user_ns[name], place, arrow_there=there[0], polars_there=there[1])
    place.chmod(0o644)
    return said


def save(table: object, place: Path, *, arrow_there: bool, polars_there: bool) -> dict[str, Any]:
    """Writes a table into a new file; returns what `encode` says, and the file's size and hash."""
    try:
        with place.open("xb") as stream:
            said = encode(table, stream, arrow_there=arrow_there, polars_there=polars_there)
        with place.open("rb") as stream:
            digest = hashlib.sha256()
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return {**said, "size": place.stat().st_size, "sha256": digest.hexdigest()}


hello, load, write = _saying(_hello), _saying(_load), _saying(_save)
