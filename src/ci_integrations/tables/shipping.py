"""Brings the reader into a kernel: one zip of its source, which the kernel imports from."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

_NAME = "_ci_reader"
_FOLDER = "/tmp/.ci_tables"  # noqa: S108 - in the sandbox, outside the user's directory


class Archive(NamedTuple):
    """A zip of the reader's source, and the path that it has in a sandbox: another version has another path."""

    path: str
    content: bytes


@cache
def archive() -> Archive:
    """Returns the reader's source. The same source gives the same bytes."""
    folder = Path(__file__).parent / "reader"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.glob("*.py")):
            packed.writestr(zipfile.ZipInfo(f"{_NAME}/{path.name}"), path.read_text("utf-8"), zipfile.ZIP_DEFLATED)
    content = out.getvalue()
    return Archive(f"{_FOLDER}/{hashlib.sha256(content).hexdigest()[:16]}.zip", content)


def import_code() -> str:
    """Returns an expression that gives the reader's package in a kernel where `archive` was written."""
    return (
        f"(lambda sys, path: (sys.modules.pop({_NAME!r}, None) if getattr(sys.modules.get({_NAME!r}), '__file__', path)"
        f".find(path) < 0 else None, sys.path.insert(0, path), __import__({_NAME!r}), sys.path.remove(path))[2])"
        f"(__import__('sys'), {archive().path!r})"
    )
