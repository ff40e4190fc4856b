"""Says where `pip` in a sandbox finds packages (the host's index) and puts them (a folder below home).

The interpreter's own site-packages are read-only in a sandbox. An index address with a user name or password in it is
not passed on, because code in the sandbox can read whatever is there.
"""

from __future__ import annotations

import configparser
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

TARGET = "/home/user/.packages"
"""This directory is on `sys.path` of every Python kernel; it is kept as long as the sandbox's files are."""

_LONGEST_WORD, _MOST_DIGITS = 32, 2
"""Characters, and digits among letters, of a part of an address that is certainly no key."""

log = logging.getLogger(__name__)


def pip_envs() -> dict[str, str]:
    """Returns the environment that makes pip and uv install below home, from the index configured on this host."""
    envs = {
        "PIP_TARGET": TARGET,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_ROOT_USER_ACTION": "ignore",  # at level `none` the sandbox may be root, and pip would warn each time
        "PYTHONPATH": TARGET,
    }
    index = host_index()
    return envs | ({"PIP_INDEX_URL": index, "UV_INDEX_URL": index} if index else {})


def own_pip() -> list[str]:
    """Returns the command that calls pip for this interpreter: its own, or that of Python's `ensurepip`, or nothing.

    uv's environments have no pip of their own; the one of `ensurepip` runs from its wheel without being installed.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = importlib.util.find_spec("ensurepip")
    places = found.submodule_search_locations if found else None
    wheels = sorted((Path(places[0]) / "_bundled").glob("pip-*.whl")) if places else []
    return [sys.executable, f"{wheels[-1]}/pip"] if wheels else []


def host_index() -> str | None:
    """Returns the package index this host is configured for, or None for pip's own default."""
    # pip's own order: an empty variable counts as one that is not set.
    url = os.environ.get("PIP_INDEX_URL") or _configured()
    if url is None:
        return None
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or any(_may_be_a_key(part) for part in parts.path.split("/")):
        log.warning("the host's package index needs a password; sandboxes get the default index instead")
        return None
    return url


def _may_be_a_key(part: str) -> bool:
    """Returns whether a part of an address may be a token: some indexes have theirs in the path."""
    digits = sum(c.isdigit() for c in part)
    return len(part) > _LONGEST_WORD or (digits > _MOST_DIGITS and digits < len(part))


class TrustedIndex(NamedTuple):
    """Says what of the host's package index a sandbox may read, although it may be at a private address."""

    host: str
    port: int
    is_plain: bool
    """Whether it is read without TLS: then its addresses are seen, and only those of packages are let through."""
    folders: tuple[str, ...]
    """Paths below which packages and their lists are."""

    def has(self, path: str) -> bool:
        """Returns whether a path is a package's, or a list's: written plainly, so that no server reads it otherwise."""
        plain = "%2e" not in path.lower() and "%2f" not in path.lower() and not set(path) & set("\\;?#")
        return plain and ".." not in path and "//" not in path and path.startswith(self.folders)


def trusted_index() -> TrustedIndex | None:
    """Returns what sandboxes may reach of the host's index at a private address too; None when there is none."""
    url = host_index()
    parts = urlsplit(url or "")
    if not parts.hostname:
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    lists = parts.path.rstrip("/") + "/"
    beside = lists.rstrip("/").rpartition("/")[0]
    # Where servers keep the files beside their lists: pypiserver, devpi, Nexus, Artifactory.
    folders = [f"{beside}/{name}/" for name in ("packages", "files", "+f", "+simple")]
    return TrustedIndex(parts.hostname, port, parts.scheme != "https", (lists, *folders))


def _configured() -> str | None:
    """`index-url` of pip's configuration files, the most specific one first (pip's own order of places)."""
    for path in _config_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(path)
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("install", "global"):
            if parser.has_option(section, "index-url"):
                return parser.get(section, "index-url")
    return None


def _config_files() -> list[Path]:
    home = Path.home()
    named = os.environ.get("PIP_CONFIG_FILE")
    places = [
        Path(sys.prefix) / "pip.conf",
        home / ".config/pip/pip.conf",
        home / ".pip/pip.conf",
        Path("/etc/pip.conf"),
    ]
    return ([Path(named)] if named else []) + places
