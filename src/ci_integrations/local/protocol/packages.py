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
from urllib.parse import urlsplit

TARGET = "/home/user/.packages"
"""This directory is on `sys.path` of every Python kernel; it is kept as long as the sandbox's files are."""

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
    if "@" in urlsplit(url).netloc:
        log.warning("the host's package index needs a password; sandboxes get the default index instead")
        return None
    return url


def trusted_index() -> frozenset[tuple[str, int]]:
    """Returns (host, port) of the host's index: sandboxes may reach it at a private address too."""
    url = host_index()
    if url is None:
        return frozenset()
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return frozenset({(parts.hostname, port)}) if parts.hostname else frozenset()


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
