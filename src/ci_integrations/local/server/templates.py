"""Which templates this server knows: the two built-in names, and the definitions of the user's TOML file.

What a definition asks for is done when a sandbox is made: an engine with its preload list, its variables and memory,
its files copied in, its setup commands run inside. Nothing is built or kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ci_integrations.local.definition import TemplateDefinition
from ci_integrations.local.sandbox.api import Engine, Limits, MiB
from ci_integrations.local.sandbox.worker_client import FileError, FileWorker
from ci_integrations.local.server.http import HttpError
from ci_integrations.local.server.processes import Command, Ended, Output, ProcessTable, events

LOG = logging.getLogger(__name__)
BUILT_IN = ("code-interpreter-v1", "base")
SETUP_SECONDS = 600.0
READ = 256 * 1024
KEPT = 4000
"""Characters of a failed setup command's output that its error shows."""
StartEngine = Callable[[Sequence[str]], Awaitable[Engine]]


class Templates:
    """By name. Engines for preload lists of their own are started when they are first asked for."""

    def __init__(
        self,
        engine: Engine,
        definitions: Mapping[str, TemplateDefinition] | None = None,
        start: StartEngine | None = None,
    ) -> None:
        self._engine = engine
        self._definitions = dict.fromkeys(BUILT_IN) | dict(definitions or {})
        self._start = start
        self._engines: dict[tuple[str, ...], Engine] = {}
        self._starting = asyncio.Lock()

    def get(self, name: str) -> TemplateDefinition | None:
        """None for a built-in. HttpError 404 that lists the known ones, 501 for what cannot be done locally."""
        if name not in self._definitions:
            known = ", ".join(sorted(self._definitions))
            raise HttpError(404, f"template '{name}' not found; this server knows: {known}")
        definition = self._definitions[name]
        if definition is not None:
            _check(definition)
        return definition

    async def engine(self, name: str) -> Engine:
        """The engine whose sandboxes have this template's modules loaded. Raises EngineError."""
        definition = self._definitions[name]
        if definition is None or definition.preload is None or self._start is None:
            return self._engine
        async with self._starting:
            if definition.preload not in self._engines:
                self._engines[definition.preload] = await self._start(definition.preload)
            return self._engines[definition.preload]

    def limits(self, name: str, limits: Limits) -> Limits:
        definition = self._definitions[name]
        if definition is None or definition.memory is None:
            return limits
        return replace(limits, memory=definition.memory * MiB)

    async def prepare(self, name: str, files: FileWorker, processes: ProcessTable, home: str) -> None:
        """Copies its files and runs its setup in a fresh sandbox. HttpError 500 that shows what failed."""
        definition = self._definitions[name]
        if definition is None:
            return
        for remote, local in definition.files.items():
            await _copy(files, local, remote, name)
        for command in definition.setup:
            await _run(processes, command, home, name)

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()


def _check(definition: TemplateDefinition) -> None:
    for setting in ("python", "packages"):
        if getattr(definition, setting):
            error = HttpError(
                501,
                f"template '{definition.name}': {setting} is not done by the local server, whose sandboxes hold the "
                "packages of the environment that it runs in; install them there and leave the setting out",
            )
            error.headers.append(("should-retry", "false"))
            raise error


async def _copy(files: FileWorker, local: Path, remote: str, name: str) -> None:
    try:
        async with files.channel({"op": "write", "path": remote, "metadata": {}}) as channel:
            await channel.answer()
            async for chunk in _chunks(local):
                await channel.send(chunk)
            channel.end_of_data()
            await channel.answer()
    except (FileError, OSError) as error:
        raise HttpError(500, f"template '{name}': {local.name} cannot be copied to {remote}: {error}") from None


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(READ):
            yield chunk


async def _run(processes: ProcessTable, command: str, home: str, name: str) -> None:
    process = await processes.start(Command(argv=("/bin/bash", "-l", "-c", command), cwd=home, stdin=False))
    said = ""
    end: Ended | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETUP_SECONDS):
            async for event in events(process.listen(), SETUP_SECONDS):
                if isinstance(event, Output):
                    said = (said + event.data.decode("utf-8", "replace"))[-KEPT:]
                elif event is not None:
                    end = event
    if end is None or end.exit_code != 0:
        how = end.status if end is not None else f"no end after {SETUP_SECONDS:g} s"
        raise HttpError(500, f"template '{name}': its setup command {command!r} failed ({how}): {said.strip()}")
