"""All sandboxes of the level `namespaces` share the read-only root file system that is built here.

The zygote builds it once, in its own mount namespace. It shows the system's programs and libraries, this interpreter
with its packages, and a handful of files in /etc. The host's homes, /etc/shadow, /var, /opt and /run are not in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ci_integrations.local.jail import syscalls

LIBRARY: Final = Path(__file__).resolve().parents[2]
"""The folder of this library, wherever a link to it was imported from."""
# /lib32 and /libx32 are Debian's; what a distribution lacks is left out when the root is built.
SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC: Final = (
    "alternatives", "ca-certificates", "debian_version", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "magic", "mime.types", "os-release", "pki/ca-trust", "pki/tls/certs", "protocols", "services",
    "ssl/certs", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_EMPTY: Final = ("home/user", "tmp", "var/tmp", "run", "root", "dev/shm", "dev/pts", "proc", "mnt")
_LINKS: Final = {
    "dev/fd": "/proc/self/fd",
    "dev/stdin": "/proc/self/fd/0",
    "dev/stdout": "/proc/self/fd/1",
    "dev/stderr": "/proc/self/fd/2",
    "dev/ptmx": "pts/ptmx",
    "var/run": "/run",
    "etc/mtab": "/proc/self/mounts",
}
# Our own, not the host's: its passwd and hosts would tell names of users and machines.
TEXTS: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\nuser:x:1000:1000:user:/home/user:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/resolv.conf": "",
    "etc/hostname": "sandbox\n",
}
KERNELS_OWN: Final = ("sys", "sysrq-trigger", "irq", "bus", "fs")
"""Parts of /proc that uid 0 can write even without capabilities. They are read-only: `unshare -r` makes us uid 0."""
_READ_ONLY: Final = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID
_NO_MOUNTS: Final[Mapping[str, str]] = MappingProxyType({})
# Where the root is put together; covered only in the zygote's own mount namespace.
_WORKPLACES: Final = ("/sys", "/mnt", "/media", "/srv")


def interpreter_paths() -> list[str]:
    """Returns the paths that a process must see to run this interpreter with its packages and this library."""
    paths = {str(LIBRARY), sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, sys.executable}
    paths.update(path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"})
    return sorted(path for path in paths if path and Path(path).exists())


def enter(extra: Sequence[str] = (), mounts: Mapping[str, str] = _NO_MOUNTS) -> list[str]:
    """Builds the root and moves into it. Returns the paths that a tmpfs on /tmp or /home/user would hide.

    `mounts`: paths in the root, and what of the host is shown there besides.

    It needs CAP_SYS_ADMIN over the mount namespace, which must be ours alone. Raises OSError.
    """
    # systemd makes / shared: without this, all our mounts would appear on the host as well.
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    wanted = [*interpreter_paths(), *extra]
    root = _Root(_workplace([*wanted, *mounts.values()]))
    for path in SYSTEM:
        root.show(path)
    for name in ETC:
        root.show(f"/etc/{name}")
    for path in wanted:
        root.show(path)
    root.furnish()
    for place, source in mounts.items():
        root.grant(place, source)
    syscalls.pivot_root(root.top)
    syscalls.restrict_mount("/", _READ_ONLY, recursive=False)
    return [path for path in root.shown if is_hidden(path)]


def is_hidden(path: str) -> bool:
    """Returns whether a sandbox's own tmpfs would cover it."""
    return path.startswith(("/tmp/", "/home/user/", "/var/tmp/"))  # noqa: S108


def make_mount_point(place: Path, like: Path) -> None:
    """Makes an empty directory or file at `place`, whichever `like` is: nothing else can be bound there."""
    if like.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _workplace(wanted: Sequence[str]) -> str:
    """A directory on which the root can be built, as none of the wanted paths is in it. Raises OSError."""
    for place in _WORKPLACES:
        if Path(place).is_dir() and not any(path.startswith(place) for path in wanted):
            return place
    raise OSError(f"none of {', '.join(_WORKPLACES)} is a free directory")


class _Root:
    """Is a root file system while it is put together at `top`."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.shown: list[str] = []
        syscalls.mount("tmpfs", top, "tmpfs", syscalls.MS_NOSUID, "mode=755,size=4m")

    def show(self, path: str) -> None:
        """Binds `path` read-only at its own place, and copies every symbolic link on the way to it."""
        if not os.path.lexists(path):
            return
        parts = path.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            step = "/" + "/".join(parts[:i])
            if os.path.islink(step):  # noqa: PTH114
                self._link(step)
                target = os.path.join(os.path.dirname(step), os.readlink(step))  # noqa: PTH115, PTH118, PTH120
                self.show(os.path.normpath(os.path.join(target, *parts[i:])))  # noqa: PTH118
                return
        self._bind(path)

    def _covered(self, path: str) -> bool:
        """Whether something that is shown already contains `path`."""
        return any(path == seen or path.startswith(seen + "/") for seen in self.shown)

    def _link(self, path: str) -> None:
        """Copies a symbolic link into the root, unless what contains it is shown anyway."""
        place = Path(self.top + path)
        if self._covered(path) or place.is_symlink():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.readlink(path))  # noqa: PTH115

    def _bind(self, path: str) -> None:
        """Binds `path` read-only, without devices and set-user-ID programs."""
        if self._covered(path):
            return
        self._show_at(Path(self.top + path), path)
        self.shown.append(path)

    def grant(self, place: str, source: str) -> None:
        """Binds a folder or file of the host read-only at `place`. Raises OSError where something else is there."""
        # A link in the root would lead out of it, as long as the root is not ours.
        steps = [Path(self.top, *Path(place).parts[1 : end + 2]) for end in range(len(Path(place).parts) - 1)]
        around = any(seen.startswith(f"{place}/") for seen in self.shown)
        if around or self._covered(place) or any(step.is_symlink() for step in steps):
            raise OSError(f"{place} is taken in sandboxes: mount {source} at another place, such as /data")
        self._show_at(steps[-1], source)
        self.shown.append(place)

    def _show_at(self, place: Path, path: str) -> None:
        make_mount_point(place, Path(path))
        syscalls.bind(path, str(place))
        # A bind has the flags of what it binds, whatever mount(2) is told: they are set in a second step.
        syscalls.restrict_mount(str(place), _READ_ONLY | syscalls.MOUNT_ATTR_NODEV)

    def furnish(self) -> None:
        """Adds empty directories, our own texts, devices and links, and the zygote's /proc."""
        for name in _EMPTY:
            Path(self.top, name).mkdir(parents=True, exist_ok=True)
        for name, text in TEXTS.items():
            Path(self.top, name).write_text(text)
        for name in _DEVICES:
            Path(self.top, "dev", name).touch()
            syscalls.bind(f"/dev/{name}", f"{self.top}/dev/{name}")
        for name, target in _LINKS.items():
            Path(self.top, name).symlink_to(target)
        # A nested /proc may be mounted only where an unmasked one is visible; the agent covers this one with its own.
        syscalls.bind("/proc", f"{self.top}/proc")
