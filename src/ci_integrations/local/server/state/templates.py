"""The templates that this server knows: two built-in names, and the definitions of the user's TOML file.

What a definition asks for is done when a sandbox is made. Its interpreter, packages and preload list need an engine of
their own, which the first such sandbox starts and all that ask for the same share. Its files are copied in, and its
setup commands run, in each sandbox. Only installed packages are kept.
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
BUILT_IN = ("code-interpreter-v1", "base", "jupyter")
"""The SDKs' defaults, of e2b-code-interpreter and of e2b, and the kind that is most like E2B's own sandboxes."""
SETUP_SECONDS = 600.0
"""How long one setup command may take."""
READ = 256 * 1024
"""Bytes of a file that are copied at once."""
KEPT = 4000
"""The last characters of a failed setup command's output that its error shows."""


class StartEngine(Protocol):
    """Starts one more engine. Raises EngineError."""

    def __call__(
        self, *, python: Path | None, packages: Sequence[str], preload: Sequence[str] | None
    ) -> Awaitable[Engine]: ...


Kind = tuple[Path | None, tuple[str, ...], tuple[str, ...] | None]
"""Interpreter, packages, preload list."""


@dataclass(frozen=True)
class Kit:
    """The engine and the packages of all templates of one kind."""

    engine: Engine
    packages: tuple[str, ...] = ()
    """Folders of packages. The engine has them on its path; commands get them by PYTHONPATH."""


class Templates:
    """Templates by name, and the engines that they need besides the server's first one."""

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
        """Returns a definition, None for a built-in template. HttpError 404 lists the names that are known."""
        if name not in self._definitions:
            known = ", ".join(sorted(self._definitions))
            raise HttpError(404, f"template '{name}' not found; this server knows: {known}")
        return self._definitions[name]

    def is_jupyter(self, name: str) -> bool:
        """Returns whether its sandboxes have jupyter-server with ipykernel, as at E2B, instead of our own kernels."""
        return name == "jupyter" and self._definitions[name] is None

    async def kit(self, name: str) -> Kit:
        """Returns the engine of a template's kind. Raises EngineError.

        The start goes on when the caller leaves, because another one may wait for it. A start that failed is tried
        again by the next caller.
        """
        definition = self._definitions[name]
        kind = _kind(definition) if definition is not None else (None, (), None)
        if definition is None or self._start is None or not any(part is not None and part != () for part in kind):
            return Kit(self._engine)
        # A task is kept and not its result, so that creates at the same time start one engine.
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
        """Returns the server's `limits` with those in their place that the template sets."""
        definition = self._definitions[name]
        if definition is None:
            return limits
        memory = {"memory": definition.memory} if definition.memory is not None else {}
        return replace(limits, **limits_in_mib(memory | dict(definition.limits)))

    async def prepare(self, name: str, files: FileWorker, processes: ProcessTable, home: str) -> None:
        """Copies a template's files into a fresh sandbox and runs its setup there. HttpError 500 shows what failed."""
        definition = self._definitions[name]
        if definition is None:
            return
        for remote, local in definition.files.items():
            await _copy(files, local, remote, name)
        for command in definition.setup:
            await _run(processes, command, home, name)

    async def close(self) -> None:
        """Ends the engines that were started here."""
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
    """Runs a setup command in a login shell, as the SDK's `commands.run` does. HttpError 500 when it fails."""
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
