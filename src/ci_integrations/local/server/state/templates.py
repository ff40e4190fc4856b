"""Which templates this server knows: the two built-in names, and the definitions of the user's TOML file.

What a definition asks for is done when a sandbox is made: an engine for its interpreter, packages and preload list,
shared by all that ask for the same and started by the first; its variables and limits; its files copied in, its setup
commands run inside. Only the packages are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ci_integrations.local.definition import TemplateDefinition
from ci_integrations.local.host.files import FileError, FileWorker
from ci_integrations.local.protocol.contract import Engine, EngineError, Limits, limits_in_mib
from ci_integrations.local.server.http import HttpError
from ci_integrations.local.server.state.environments import installed
from ci_integrations.local.server.state.processes import Command, Ended, Output, ProcessTable, events

LOG = logging.getLogger(__name__)
BUILT_IN = ("code-interpreter-v1", "base")
SETUP_SECONDS = 600.0
READ = 256 * 1024
KEPT = 4000
"""Characters of a failed setup command's output that its error shows."""


class StartEngine(Protocol):
    """Starts one more engine. Raises EngineError."""

    def __call__(
        self, *, python: Path | None, packages: Sequence[str], preload: Sequence[str] | None
    ) -> Awaitable[Engine]: ...


Kind = tuple[Path | None, tuple[str, ...], tuple[str, ...] | None]
"""Interpreter, packages, preload list."""


@dataclass(frozen=True)
class Kit:
    """What the sandboxes of one kind are made with."""

    engine: Engine
    packages: tuple[str, ...] = ()
    """Folders that its engine has on its path, and commands need on theirs."""


class Templates:
    """By name. Engines of another kind than the server's own are started when they are first asked for."""

    def __init__(
        self,
        engine: Engine,
        definitions: Mapping[str, TemplateDefinition] | None = None,
        start: StartEngine | None = None,
    ) -> None:
        self._engine = engine
        self._definitions = dict.fromkeys(BUILT_IN) | dict(definitions or {})
        self._start = start
        self._kits: dict[Kind, asyncio.Task[Kit]] = {}

    def get(self, name: str) -> TemplateDefinition | None:
        """None for a built-in. HttpError 404 that lists the known ones."""
        if name not in self._definitions:
            known = ", ".join(sorted(self._definitions))
            raise HttpError(404, f"template '{name}' not found; this server knows: {known}")
        return self._definitions[name]

    async def kit(self, name: str) -> Kit:
        """The engine of this template's kind. Its start goes on when a caller leaves. Raises EngineError."""
        definition = self._definitions[name]
        kind = _kind(definition) if definition is not None else (None, (), None)
        if definition is None or self._start is None or not any(part is not None and part != () for part in kind):
            return Kit(self._engine)
        if kind not in self._kits:
            self._kits[kind] = asyncio.create_task(self._started(self._start, definition))
        try:
            return await asyncio.shield(self._kits[kind])
        except EngineError as error:
            self._kits.pop(kind, None)  # the next one may have a network
            raise EngineError(f"template '{name}': {error}") from None

    async def _started(self, start: StartEngine, definition: TemplateDefinition) -> Kit:
        folders: list[str] = []
        if definition.packages:
            folders.append(str(await installed(definition.packages, definition.python, definition.directory)))
        engine = await start(python=definition.python, packages=folders, preload=definition.preload)
        return Kit(engine, tuple(folders))

    def limits(self, name: str, limits: Limits) -> Limits:
        definition = self._definitions[name]
        if definition is None:
            return limits
        memory = {"memory": definition.memory} if definition.memory is not None else {}
        return replace(limits, **limits_in_mib(memory | dict(definition.limits)))

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
        for starting in self._kits.values():
            starting.cancel()  # nothing to one that is done
        for ended in await asyncio.gather(*self._kits.values(), return_exceptions=True):
            if not isinstance(ended, BaseException):
                await ended.engine.close()


def _kind(definition: TemplateDefinition) -> Kind:
    return definition.python, tuple(sorted(definition.packages)), definition.preload


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
