"""Finds out which level of isolation works on this machine, and what would mend one that does not.

A level is tried by doing: a sandbox is made, computes 1+1 and tries to reach the host. Settings of the kernel tell
less, as Ubuntu lets `unshare` succeed and denies the capabilities afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from ci_integrations.local.host.bubblewrap import Bubblewrap
from ci_integrations.local.host.interpreters import Interpreter
from ci_integrations.local.host.sandboxes import LocalSandbox
from ci_integrations.local.host.sources import Source, Zygote
from ci_integrations.local.protocol.contract import (
    Child,
    EngineError,
    Entry,
    InterpreterError,
    Level,
    Limits,
    SandboxDead,
    SandboxSpec,
)

STRONGEST_FIRST: Final[tuple[Level, ...]] = ("namespaces", "bubblewrap", "landlock")
TRIAL: Final = "ci_integrations.local.guest.trial:main"
"""The entry that runs `_ATTEMPT` inside."""

_TRIAL_SECONDS: Final = 30.0
_ATTEMPT: Final = """
import socket
reached = []
try:
    open(config["file"]).read()
    reached.append("a file of the host")
except OSError:
    pass
try:
    socket.create_connection(("127.0.0.1", config["port"]), 1).close()
    reached.append("a service on the host's loopback")
except OSError:
    pass
result = [1 + 1, reached]
"""


async def choose(
    isolation: Level | Literal["auto"],
    preload: Sequence[str],
    interpreter: Interpreter,
    mounts: Mapping[str, str],
) -> tuple[Level, Source, str | None]:
    """Returns the level, its running source, and why there is no stronger one. Raises EngineError when no level passes.

    `isolation`: a level, or "auto" for the strongest.
    """
    wanted = STRONGEST_FIRST if isolation == "auto" else (isolation,)
    failures: dict[Level, str] = {}
    for level in wanted:
        try:
            source = await _tried(level, preload, interpreter, mounts)
        except InterpreterError:
            raise  # not a matter of isolation: no other level and no security option would help
        except EngineError as error:
            failures[level] = str(error)
            continue
        return level, source, "; ".join(f"{name}: {why}" for name, why in failures.items()) or None
    raise EngineError(_refusal(failures))


async def start(level: Level, preload: Sequence[str], interpreter: Interpreter, mounts: Mapping[str, str]) -> Source:
    """Starts a source of sandboxes at this level, without a trial. Raises EngineError."""
    if level == "bubblewrap":
        return Bubblewrap.find(interpreter, mounts)
    return await Zygote.start(level, preload, interpreter, mounts)


async def _tried(level: Level, preload: Sequence[str], interpreter: Interpreter, mounts: Mapping[str, str]) -> Source:
    """A source of sandboxes at this level that has passed its trial. Raises EngineError with what failed."""
    source = await start(level, preload, interpreter, mounts)
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(source.close)
        try:
            await asyncio.wait_for(_try(source, level), _TRIAL_SECONDS)
        except SandboxDead as death:
            raise EngineError(f"the trial sandbox ended: {death}") from None
        except TimeoutError:
            raise EngineError(f"the trial sandbox did not answer within {_TRIAL_SECONDS:.0f} s") from None
        undo.pop_all()
    return source


async def _try(source: Source, level: Level) -> None:
    """Makes a sandbox, computes 1+1 in it, and tries to reach what must be out of reach. Raises EngineError."""
    # The file is readable for all: its mode must not be what keeps the sandbox away from it.
    with tempfile.NamedTemporaryFile(prefix="ci-trial-") as canary, socket.create_server(("127.0.0.1", 0)) as service:
        os.fchmod(canary.fileno(), 0o644)
        canary.write(secrets.token_hex().encode())
        canary.flush()
        sandbox = await source.create(Limits())
        try:
            config = {"code": _ATTEMPT, "file": canary.name, "port": service.getsockname()[1]}
            answer, reached = await _run(sandbox, config)
        finally:
            await sandbox.kill()
    if answer != 2:
        raise EngineError(f"1+1 gave {answer!r}")
    if reached and level != "none":
        raise EngineError(f"the trial sandbox reached {' and '.join(reached)}")


async def _run(sandbox: LocalSandbox, config: dict[str, object]) -> tuple[int, list[str]]:
    """What the trial code computed, and what it reached. Raises EngineError."""
    await sandbox.configure(SandboxSpec(sandbox_id="trial"))
    child = await sandbox.spawn(Entry(TRIAL, config))
    try:
        answer = await _line(child)
    finally:
        child.close()
    if "result" not in answer:
        raise EngineError(f"the trial code failed: {answer.get('error')}")
    computed, reached = answer["result"]
    return computed, reached


async def _line(child: Child) -> dict[str, Any]:
    """The trial's answer. Raises EngineError with the last words of a process that ended without one."""
    data = b""
    loop = asyncio.get_running_loop()
    while not data.endswith(b"\n"):
        if child.control is None:
            raise EngineError("the trial has no control socket")
        more = await loop.sock_recv(child.control, 65536)
        if not more:
            raise EngineError(f"the trial process ended: {_last_words(child)}")
        data += more
    answer: dict[str, Any] = json.loads(data)
    return answer


def _last_words(child: Child) -> str:
    try:
        source = child.stdout if child.stderr is None else child.stderr
        said = os.read(source, 65536).decode(errors="replace").strip()
    except BlockingIOError:
        said = ""
    return said.splitlines()[-1] if said else "it said nothing"


def _refusal(failures: dict[Level, str]) -> str:
    """The message for people when no level works: what failed, and what mends it."""
    tried = "\n".join(f"  {level}: {why}" for level, why in failures.items())
    advice = f"To mend it: {remedy()}\nOr set E2B_API_KEY to run code in the cloud."
    return f"Local sandboxes cannot be isolated on this machine:\n{tried}\n{advice}"


def remedy() -> str:
    """Returns the command that is most likely to make a level work on this machine."""
    # Ubuntu 24.04: namespaces only under a profile. It ships one for bwrap, but from 25.04 on only is it loaded.
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        if shutil.which("bwrap") is None:
            return "sudo apt install bubblewrap"
        profile = "/usr/share/apparmor/extra-profiles/bwrap-userns-restrict"
        return f"sudo cp {profile} /etc/apparmor.d/ && sudo apparmor_parser -r /etc/apparmor.d/{Path(profile).name}"
    if _sysctl("kernel/unprivileged_userns_clone") == "0":  # Debian's patch; other kernels have no such file
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _sysctl("user/max_user_namespaces") == "0":
        return "sudo sysctl -w user.max_user_namespaces=15000"
    if in_container():
        options = " ".join(f"--security-opt {name}=unconfined" for name in ("seccomp", "apparmor", "systempaths"))
        return f"docker run {options} ..."
    return "sudo apt install bubblewrap"


def in_container() -> bool:
    """Returns whether this process is in a container of Docker or Podman."""
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None
