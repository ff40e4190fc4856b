"""Checks which folders of this machine are shown, read-only, in every sandbox of a server, and where in it.

Whoever starts a server grants them. Nothing that a client of the server sends names a path of this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

Mounts = dict[str, str]
"""Paths in the sandbox, with the paths of this machine that are shown there."""
_TAKEN: Final = frozenset(
    {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin", "sys",
     "tmp", "usr", "var"}
)  # fmt: skip
"""Folders at the root of a sandbox in which nothing of the host may be shown: they are the system's or the user's."""
_OF_THE_KERNEL: Final = ("/proc", "/sys", "/dev", "/run", "/var/run")


class MountError(ValueError):
    """Says why a folder is not shown in sandboxes, for whoever starts the server."""


def checked(given: Mapping[str, object]) -> Mounts:
    """Returns the mounts with absolute paths, links resolved. Raises MountError."""
    if not isinstance(given, Mapping):
        raise MountError('mounts= is a dict like {"/data": "./data"}')
    found = {_place(place): _source(source) for place, source in given.items()}
    for place in found:
        if any(other.startswith(f"{place}/") for other in found):
            raise MountError(f"another mount is inside of {place}: give each a folder of its own")
    return dict(sorted(found.items()))


def _place(place: object) -> str:
    if not isinstance(place, str) or not place.startswith("/") or "\0" in place:
        raise MountError(f"{place!r} is no path in a sandbox: it begins with '/', as /data does")
    parts = place.strip("/").split("/")
    if not parts[0] or {"", ".", ".."} & {*parts}:
        raise MountError(f"{place!r} is no path in a sandbox: name a folder such as /data, without '.' and '..'")
    if parts[0] in _TAKEN:
        raise MountError(f"nothing can be mounted at {place}, below /{parts[0]}: take a folder such as /data")
    return "/" + "/".join(parts)


def _source(source: object) -> str:
    if not isinstance(source, (str, os.PathLike)):
        raise MountError(f"{source!r} is no path of this machine")
    try:
        real = str(Path(source).expanduser().resolve(strict=True))
    except (OSError, RuntimeError, ValueError) as error:
        raise MountError(f"{source} cannot be mounted: {getattr(error, 'strerror', None) or error}") from None
    if real == "/" or any(real == top or real.startswith(f"{top}/") for top in _OF_THE_KERNEL):
        raise MountError(f"{source} cannot be mounted: {real} is not a folder of data")
    if not (Path(real).is_dir() or Path(real).is_file()):
        raise MountError(f"{source} cannot be mounted: it is neither a folder nor a file")
    return real


def check_readable(mounts: Mapping[str, str]) -> None:
    """Raises MountError for a mount that other users cannot read: sandboxes of a server of root run as such."""
    for source in mounts.values():
        need = 0o005 if Path(source).is_dir() else 0o004
        if Path(source).stat().st_mode & need != need:
            raise MountError(f"sandboxes run as another user, who cannot read {source}: chmod -R o+rX {source}")
