"""The read-only root that all sandboxes of level `namespaces` share: built once, in the zygote's mount namespace.

It shows the system's programs and libraries, this interpreter with its packages, and a handful of files in /etc.
Nothing of the host's homes, /etc/shadow, /var, /opt or /run is in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ci_integrations.local.jail import syscalls

LIBRARY: Final = Path(__file__).resolve().parents[2]
"""The folder of this library, wherever a link to it was imported from."""
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
"""Of /proc: the host's uid 0 may write there without a capability, and `unshare -r` may have made us that."""
_READ_ONLY: Final = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID
# Where the root is put together; covered only in the zygote's own mount namespace.
_WORKPLACES: Final = ("/sys", "/mnt", "/media", "/srv")


def interpreter_paths() -> list[str]:
    """What a process needs to see to run this interpreter with its packages and this library."""
    paths = {str(LIBRARY), sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, sys.executable}
    paths.update(path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"})
    return sorted(path for path in paths if path and Path(path).exists())


def enter(extra: Sequence[str] = ()) -> list[str]:
    """Build the root and move into it. Returns the paths that a tmpfs on /tmp or /home/user would hide.

    Needs CAP_SYS_ADMIN over the mount namespace, which must be ours alone.
    """
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    wanted = [*interpreter_paths(), *extra]
    root = _Root(_workplace(wanted))
    for path in SYSTEM:
        root.show(path)
    for name in ETC:
        root.show(f"/etc/{name}")
    for path in wanted:
        root.show(path)
    root.furnish()
    syscalls.pivot_root(root.top)
    syscalls.restrict_mount("/", _READ_ONLY, recursive=False)
    return [path for path in root.shown if is_hidden(path)]


def is_hidden(path: str) -> bool:
    """Whether a sandbox's own tmpfs would cover it."""
    return path.startswith(("/tmp/", "/home/user/", "/var/tmp/"))  # noqa: S108


def _workplace(wanted: Sequence[str]) -> str:
    for place in _WORKPLACES:
        if Path(place).is_dir() and not any(path.startswith(place) for path in wanted):
            return place
    raise OSError(f"none of {', '.join(_WORKPLACES)} is a free directory")


class _Root:
    def __init__(self, top: str) -> None:
        self.top = top
        self.shown: list[str] = []
        syscalls.mount("tmpfs", top, "tmpfs", syscalls.MS_NOSUID, "mode=755,size=4m")

    def show(self, path: str) -> None:
        """Bind `path` read-only at its own place, with every symbolic link on the way to it."""
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
        return any(path == seen or path.startswith(seen + "/") for seen in self.shown)

    def _link(self, path: str) -> None:
        place = Path(self.top + path)
        if self._covered(path) or place.is_symlink():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.readlink(path))  # noqa: PTH115

    def _bind(self, path: str) -> None:
        if self._covered(path):
            return
        place = Path(self.top + path)
        if Path(path).is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        syscalls.bind(path, str(place))
        syscalls.restrict_mount(str(place), _READ_ONLY | syscalls.MOUNT_ATTR_NODEV)
        self.shown.append(path)

    def furnish(self) -> None:
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
