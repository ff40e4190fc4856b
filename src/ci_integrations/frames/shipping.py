"""Brings the codec into a kernel: as the package that is there already, or as files that are written there once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FOLDER = "/tmp/.ci_frames"  # noqa: S108 - in the sandbox, outside the user's directory
"""The sandbox's folder for frames on their way, and for the codec where the kernel has not this library."""

NAME = "_ci_frames"
"""The codec's name where its files were written; locally it is `LOCAL`."""
LOCAL = "ci_integrations.frames.codec"

ABSENT = "codec"
"""The key by which a cell says that the kernel has no codec yet."""

# The kernel may run in a Python with another version of this library, or with none: the hash tells.
_FIND = """
import sys, os, importlib, json
def room(name, digest, folder, local):
    known = sys.modules.get(name)
    try:
        if known is not None and known.digest() == digest:
            return known
    except (AttributeError, OSError):
        pass
    for attempt in local, None:
        try:
            if attempt is None:
                for old in [old for old in sys.modules if old == name or old.startswith(name + ".")]:
                    del sys.modules[old]
                sys.path.insert(0, folder)
                importlib.invalidate_caches()  # the folder was not there when it was asked for before
            found = importlib.import_module(attempt or name)
            right = found.digest() == digest
        except (ImportError, AttributeError, OSError):
            continue
        finally:
            if folder in sys.path:
                sys.path.remove(folder)
        if right:
            sys.modules[name] = found
            return found
found = room({name!r}, {digest!r}, {folder!r}, {local!r})
"""


@cache
def _sources() -> Mapping[str, bytes]:
    """Returns the codec's files: name to content."""
    return {path.name: path.read_bytes() for path in sorted(Path(__file__).parent.joinpath("codec").glob("*.py"))}


@cache
def source_files(folder: str = "") -> Mapping[str, str]:
    """Returns what to write into a sandbox whose kernel has no codec: path below `folder` to text."""
    return {f"{folder or _remote()}/{NAME}/{name}": source.decode() for name, source in _sources().items()}


def _remote() -> str:
    return f"{FOLDER}/{digest()}"


@cache
def digest() -> str:
    """Returns the hash of the codec's files, as its own `digest` does, without loading pandas for it."""
    total = hashlib.sha256()
    for name, source in _sources().items():
        total.update(name.encode() + b"\0" + source + b"\0")
    return total.hexdigest()[:16]


def room_source() -> str:
    """Returns source that binds `found` to the codec's package, or to None when the kernel has none."""
    return _FIND.format(name=NAME, digest=digest(), folder=_remote(), local=LOCAL)


def cell(call: str, *arguments: object) -> str:
    """Returns a cell that calls a function of `codec/kernel.py` with the shell and `arguments`, which are plain JSON.

    It leaves no name. Where the kernel has no codec it prints `{"codec": false}`.
    """
    source = (
        f"{room_source()}\n"
        "if found is None:\n"
        f"    print(json.dumps({{{ABSENT!r}: False}}))\n"
        "else:\n"
        f"    importlib.import_module(found.__name__ + '.kernel').{call}(shell, *json.loads({json.dumps(arguments)!r}))"
    )
    return f"exec({source!r}, {{'shell': get_ipython()}})"
