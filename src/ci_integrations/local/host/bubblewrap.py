"""At the level `bubblewrap` each sandbox is one bwrap around the same agent.

It works where the program bwrap is allowed what Python is not, as under Ubuntu's AppArmor profiles. No module is
preloaded and no memory is shared; a warm pool hides the longer start. tmpfs sizes hold, but not the number of inodes.
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
    """See `sources.Source`. There is no fork server: every sandbox starts an interpreter of its own."""

    alive = True

    def __init__(self, program: str, interpreter: Interpreter, mounts: Mapping[str, str]) -> None:
        self._mounts = mounts
        self._program = program
        self._interpreter = interpreter
        self._sandboxes: set[LocalSandbox] = set()

    @classmethod
    def find(cls, interpreter: Interpreter, mounts: Mapping[str, str]) -> Bubblewrap:
        """Returns a source that uses the installed bwrap. Raises EngineError when there is none."""
        # Not by the caller's PATH: a program of the caller's own there would run without a profile, or be another.
        program = shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin")
        if program is None:
            raise EngineError("bwrap is not installed")
        return cls(program, interpreter, mounts)

    async def create(self, limits: Limits) -> LocalSandbox:
        """Starts a sandbox. Raises EngineError with bwrap's own words."""
        ours, theirs = packets.pair()
        info, info_end = os.pipe()
        with theirs:
            process = self._launch(limits, theirs, info_end)
        os.close(info_end)  # or reading would not end when bwrap fails before it has written
        text = await asyncio.to_thread(_read_all, info)
        try:
            # Its child is the agent, PID 1 inside: bwrap itself is only its parent, and ends with it.
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
        """Starts bwrap, as a host user of its own where we may choose one."""
        uid = FIRST_HOST_UID + random.randrange(HOST_UIDS) if may_use_spare_uids() else None
        texts = {name: _in_memory(text) for name, text in rootfs.TEXTS.items()}
        around = [
            self._program,
            "--info-fd",
            str(info),
            *arguments(limits, texts, self._interpreter.shown, self._mounts),
        ]
        try:
            return self._interpreter.start(_AGENT, channel, around, pass_fds=[info, *texts.values()], uid=uid)
        finally:
            close_all(texts.values())

    def _bury(self, sandbox: LocalSandbox, process: subprocess.Popen[bytes]) -> None:
        """Reaps bwrap after its sandbox has died."""
        self._sandboxes.discard(sandbox)
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()

    async def close(self) -> None:
        """Ends every sandbox."""
        await asyncio.gather(*(sandbox.kill() for sandbox in list(self._sandboxes)))


def _last_words(process: subprocess.Popen[bytes]) -> str | None:
    """The last line that bwrap or the agent in it wrote to stderr. Both are gone, or about to be."""
    if process.stderr is None:
        return None
    os.set_blocking(process.stderr.fileno(), False)
    said = (process.stderr.read() or b"").decode(errors="replace").strip()
    return said.splitlines()[-1] if said else None


def arguments(limits: Limits, texts: Mapping[str, int], shown: Sequence[str], mounts: Mapping[str, str]) -> list[str]:
    """Returns the arguments of bwrap. The protection is in these: bwrap without any shows the host as it is.

    `texts`: paths and descriptors of files with our own content. `shown`: what the interpreter needs to see.
    `mounts`: paths inside, and what of the host is shown there.
    """
    # --disable-userns (bwrap 0.8): code inside cannot make namespaces, and with them kernel calls that need root.
    # --as-pid-1: bwrap would otherwise stay inside as PID 1, dumpable and of the code's user.
    words = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--as-pid-1"]
    words += ["--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--chdir", "/"]
    for path in _outside_of_tmp(shown):
        words += ["--ro-bind", path, path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for name in rootfs.KERNELS_OWN:
        words += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    # After /dev, which would cover /dev/shm, and before what is shown below /tmp or home, which it would cover.
    for place in (HOME, "/tmp", "/var/tmp", "/dev/shm", "/run"):  # noqa: S108
        words += ["--size", str(limits.disk), "--tmpfs", place]
    for path in _outermost(filter(rootfs.is_hidden, shown)):
        words += ["--ro-bind", path, path]
    for place, source in mounts.items():
        words += ["--ro-bind", source, place]
    for name, fd in texts.items():
        words += ["--ro-bind-data", str(fd), f"/{name}"]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


def _in_memory(text: str) -> int:
    """A descriptor from which bwrap can read `text`, one of our own files in /etc."""
    # bwrap copies it into a file of the sandbox's, so it cannot be changed through the descriptor later.
    fd = os.memfd_create("etc")
    os.write(fd, text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _read_all(fd: int) -> bytes:
    with open(fd, "rb") as stream:
        return stream.read()


def _outside_of_tmp(shown: Sequence[str]) -> list[str]:
    """The paths of the host to show that no tmpfs of the sandbox covers."""
    wanted = (*rootfs.SYSTEM, *(f"/etc/{name}" for name in rootfs.ETC), *shown)
    return _outermost(path for path in wanted if Path(path).exists() and not rootfs.is_hidden(path))


def _outermost(paths: Iterable[str]) -> list[str]:
    """`paths` without any path that is inside another one."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(f"{above}/") for above in kept):
            kept.append(path)
    return kept
