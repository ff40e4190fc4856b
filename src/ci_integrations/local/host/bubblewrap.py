"""Level `bubblewrap`: one bwrap each around the same agent, where bwrap is allowed what Python is not. Host side.

Nothing is preloaded and nothing shared; hide that behind a warm pool. tmpfs sizes hold, but not the number of inodes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ci_integrations.local.host.interpreters import Interpreter
from ci_integrations.local.host.packet_socket import close_all
from ci_integrations.local.host.sandboxes import LocalSandbox
from ci_integrations.local.jail import rootfs
from ci_integrations.local.jail.ids import FIRST_HOST_UID, HOST_UIDS, may_use_spare_uids
from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import HOME, EngineError, Limits

_AGENT: Final = "ci_integrations.local.jail.in_bubblewrap"


class Bubblewrap:
    """See `sources.Source`."""

    alive = True

    def __init__(self, program: str, interpreter: Interpreter) -> None:
        self._program = program
        self._interpreter = interpreter
        self._sandboxes: set[LocalSandbox] = set()

    @classmethod
    def find(cls, interpreter: Interpreter) -> Bubblewrap:
        program = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin")
        if program is None:
            raise EngineError("bwrap is not installed")
        return cls(program, interpreter)

    async def create(self, limits: Limits) -> LocalSandbox:
        """Raises EngineError with bwrap's own words."""
        ours, theirs = packets.pair()
        info, info_end = os.pipe()
        with theirs:
            process = self._launch(limits, theirs, info_end)
        os.close(info_end)
        text = await asyncio.to_thread(_read_all, info)
        try:
            pidfd = os.pidfd_open(json.loads(text)["child-pid"])
        except (ValueError, ProcessLookupError):  # it has failed already
            ours.close()
            _, said = await asyncio.to_thread(process.communicate)
            raise EngineError(
                said.decode(errors="replace").strip() or f"bwrap ended with {process.returncode}"
            ) from None
        sandbox = LocalSandbox(ours, pidfd)
        sandbox.last_words = lambda: _last_words(process)
        self._sandboxes.add(sandbox)
        sandbox.on_death.append(lambda: self._bury(sandbox, process))
        return sandbox

    def _launch(self, limits: Limits, channel: socket.socket, info: int) -> subprocess.Popen[bytes]:
        uid = FIRST_HOST_UID + random.randrange(HOST_UIDS) if may_use_spare_uids() else None
        texts = _open_texts()
        try:
            return self._popen(channel, info, texts, limits, uid)
        finally:
            close_all(list(texts.values()))

    def _popen(
        self, channel: socket.socket, info: int, texts: Mapping[str, int], limits: Limits, uid: int | None
    ) -> subprocess.Popen[bytes]:
        around = arguments(limits, texts, self._interpreter.shown)
        return subprocess.Popen(
            [self._program, "--info-fd", str(info), *around, "--", *self._interpreter.command(_AGENT)],
            stdin=channel.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._interpreter.environment(),
            cwd="/",
            pass_fds=[info, *texts.values()],
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def _bury(self, sandbox: LocalSandbox, process: subprocess.Popen[bytes]) -> None:
        self._sandboxes.discard(sandbox)
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()

    async def close(self) -> None:
        await asyncio.gather(*(sandbox.kill() for sandbox in list(self._sandboxes)))


def _last_words(process: subprocess.Popen[bytes]) -> str | None:
    """What bwrap or the agent in it complained about. Both are gone, or about to be."""
    if process.stderr is None:
        return None
    os.set_blocking(process.stderr.fileno(), False)
    said = (process.stderr.read() or b"").decode(errors="replace").strip()
    return said.splitlines()[-1] if said else None


def arguments(limits: Limits, texts: Mapping[str, int], shown: Sequence[str]) -> list[str]:
    """bwrap's, without the program: the protection is in these."""
    words = [
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--as-pid-1",
        "--cap-drop",
        "ALL",
    ]
    words += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--chdir", "/"]
    for path in _outside_of_tmp(shown):
        words += ["--ro-bind", path, path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for name in rootfs.KERNELS_OWN:
        words += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for place in (HOME, "/tmp", "/var/tmp", "/dev/shm", "/run"):  # noqa: S108
        words += ["--size", str(limits.disk), "--tmpfs", place]
    for path in _outermost(filter(rootfs.is_hidden, shown)):
        words += ["--ro-bind", path, path]
    for name, fd in texts.items():
        words += ["--ro-bind-data", str(fd), f"/{name}"]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/"]


def _open_texts() -> dict[str, int]:
    """Our own /etc/passwd and its like, as descriptors that bwrap reads."""
    return {name: _in_memory(text) for name, text in rootfs.TEXTS.items()}


def _in_memory(text: str) -> int:
    fd = os.memfd_create("etc")
    os.write(fd, text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _read_all(fd: int) -> bytes:
    with open(fd, "rb") as stream:
        return stream.read()


def _outside_of_tmp(shown: Sequence[str]) -> list[str]:
    wanted = (*rootfs.SYSTEM, *(f"/etc/{name}" for name in rootfs.ETC), *shown)
    return _outermost(path for path in wanted if Path(path).exists() and not rootfs.is_hidden(path))


def _outermost(paths: Iterable[str]) -> list[str]:
    """Without those that lie below another."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(f"{above}/") for above in kept):
            kept.append(path)
    return kept
