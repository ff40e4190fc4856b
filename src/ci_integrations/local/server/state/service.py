"""E2B's code-interpreter service in one sandbox of the kind `jupyter`: two processes inside, watched from here.

They are guests: nothing that they say is read here. Requests to port 49999 are passed on to them as bytes. One that
ends is started again, as systemd does it at E2B: the front server alone, jupyter-server with the front server.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
from collections.abc import Mapping

from ci_integrations.local.host.files import FileError, FileWorker
from ci_integrations.local.protocol.contract import Child, EngineError, Entry, Level, Sandbox, SandboxDead

JUPYTER = "ci_integrations.local.guest.service.jupyter:main"
FRONT = "ci_integrations.local.guest.service.front:main"
PORT = 49999
START_SECONDS = 90.0
"""How long both may take until the port answers; a machine under load needs many seconds."""
RESTART_SECONDS = 1.0
"""The pause before one that ended is started again, as at E2B."""
LOOK_SECONDS = 0.1
NEEDED = ("jupyter_server", "ipykernel", "tornado", "orjson", "e2b_charts")
"""Modules of the extra `jupyter`, in the interpreter of this server."""
LEVELS: tuple[Level, ...] = ("namespaces", "bubblewrap")
"""Levels at which a sandbox has a network of its own, in which two fixed ports are free."""


def check(level: Level) -> None:
    """Raises EngineError, with the remedy, when sandboxes of this kind cannot be made here."""
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        raise EngineError('the template "jupyter" needs more packages: pip install "ci-integrations[jupyter]"')
    if level not in LEVELS:
        raise EngineError(
            f'the template "jupyter" needs a network of its own for each sandbox: isolation {" or ".join(LEVELS)}, and '
            f"this server has {level}"
        )


class Service:
    """Starts both processes and keeps them running until the sandbox ends."""

    def __init__(self, sandbox: Sandbox, files: FileWorker, own: Mapping[str, str], given: Mapping[str, str]) -> None:
        """`own`: variables that the server gives every sandbox. `given`: those that the client asked for."""
        self._sandbox = sandbox
        self._files = files
        self._given = dict(given)
        self._envs = {**own, **given}

    async def run(self) -> None:
        """Keeps both running. Returns when the sandbox is dead; to be run as a task."""
        with contextlib.suppress(SandboxDead):
            while True:
                jupyter = await self._sandbox.spawn(Entry(JUPYTER, {"envs": self._given}), as_owner=True)
                try:
                    await self._keep_front(jupyter)
                finally:
                    jupyter.close()
                await asyncio.sleep(RESTART_SECONDS)

    async def _keep_front(self, jupyter: Child) -> None:
        """Keeps the front server running as long as jupyter-server runs."""
        while not jupyter.exited.done():
            front = await self._sandbox.spawn(Entry(FRONT, {"envs": self._envs}), as_owner=True)
            try:
                await asyncio.wait((jupyter.exited, front.exited), return_when=asyncio.FIRST_COMPLETED)
                await front.signal(signal.SIGKILL)
            finally:
                front.close()
            if not jupyter.exited.done():
                await asyncio.sleep(RESTART_SECONDS)

    async def wait_until_it_answers(self) -> None:
        """Waits until the port is open. Raises EngineError after `START_SECONDS`, SandboxDead."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._is_open():  # noqa: ASYNC110 - what opens the port is inside
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise EngineError(f"jupyter-server and its kernel were not ready after {START_SECONDS:g} s") from None

    async def _is_open(self) -> bool:
        try:
            (await self._files.connect(PORT)).close()
        except FileError:
            return False
        return True
