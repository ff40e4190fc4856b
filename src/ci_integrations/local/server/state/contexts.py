"""The contexts of one sandbox: ids that outlive the kernels behind them.

A kernel that died is replaced when its context is used next; one cell runs at a time in each.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from ci_integrations.local.protocol.contract import HOME, Sandbox
from ci_integrations.local.server.http import HttpError

DEFAULT_LANGUAGE = "python"
MAX_CONTEXTS = 64
INTERRUPT_GRACE = 5.0
"""Seconds between the polite interrupt and the end of the kernel."""


class Kernel(Protocol):
    """What `local/host/context.py` gives: the seam, as the server uses it."""

    exiting: bool

    @property
    def alive(self) -> bool: ...
    def execute(
        self, code: str, *, envs: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> AsyncIterator[dict[str, Any]]: ...
    async def interrupt(self, grace: float = ...) -> str: ...
    async def close(self) -> None: ...


OpenKernel = Callable[..., Awaitable[Kernel]]


async def open_real_kernel(sandbox: Sandbox, **options: Any) -> Kernel:
    from ci_integrations.local.host.context import open_context

    return await open_context(sandbox, **options)


def normalise_language(language: str | None) -> str:
    name = (language or "").strip().lower() or DEFAULT_LANGUAGE
    return {"js": "javascript", "ts": "typescript"}.get(name, name)


class CodeContext:
    """One context."""

    def __init__(self, table: ContextTable, language: str, cwd: str) -> None:
        self.id = str(uuid.uuid4())
        self.language = language
        self.cwd = cwd
        self.removed = False
        self.turn = asyncio.Lock()
        self._table = table
        self._opening = asyncio.Lock()
        self._kernel: Kernel | None = None

    async def kernel(self) -> Kernel:
        """The kernel, started if there is none or it died. HttpError 500 when it cannot be."""
        if self._kernel is not None and _usable(self._kernel):
            return self._kernel
        async with self._opening:
            if self.removed:
                raise HttpError(404, f"Context {self.id} not found", plain=True)
            if self._kernel is None or not _usable(self._kernel):
                await self._drop()
                self._kernel = await self._table.open(self.language, self.cwd)
            return self._kernel

    async def _drop(self) -> None:
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.close()

    async def interrupt(self) -> None:
        if self._kernel is not None and self._kernel.alive:
            await self._kernel.interrupt(INTERRUPT_GRACE)

    async def restart(self) -> None:
        async with self._opening:
            await self._drop()

    async def remove(self) -> None:
        self.removed = True
        await self.restart()

    def as_json(self) -> dict[str, str]:
        return {"id": self.id, "language": self.language, "cwd": self.cwd}


def _usable(kernel: Kernel) -> bool:
    return kernel.alive and not kernel.exiting


class ContextTable:
    """All contexts of a sandbox. The default one of each language is made when it is first asked for."""

    def __init__(self, sandbox: Sandbox, open_kernel: OpenKernel = open_real_kernel) -> None:
        self._sandbox = sandbox
        self._open_kernel = open_kernel
        self._by_id: dict[str, CodeContext] = {}
        self._defaults: dict[str, CodeContext] = {}
        self._warming: asyncio.Task[None] | None = None

    async def open(self, language: str, cwd: str) -> Kernel:
        from ci_integrations.local.protocol.contract import EngineError, SandboxDead

        try:
            return await self._open_kernel(self._sandbox, language=language, cwd=cwd)
        except SandboxDead:
            raise
        except (EngineError, LookupError, ValueError) as error:
            raise HttpError(500, f"Failed to create context: {error}", plain=True) from None

    def warm(self) -> None:
        """Starts the default context now, so that the first cell does not wait for all of it."""
        self._warming = asyncio.create_task(self._warm())

    async def _warm(self) -> None:
        with contextlib.suppress(Exception):  # the first cell meets the same error, and can say it
            await self.default(DEFAULT_LANGUAGE).kernel()

    def default(self, language: str) -> CodeContext:
        if language not in self._defaults:
            self._defaults[language] = self._add(language, HOME)
        return self._defaults[language]

    def _add(self, language: str, cwd: str) -> CodeContext:
        if len(self._by_id) >= MAX_CONTEXTS:
            raise HttpError(429, f"this sandbox has {MAX_CONTEXTS} contexts already; remove one", plain=True)
        context = CodeContext(self, language, cwd)
        self._by_id[context.id] = context
        return context

    async def create(self, language: str, cwd: str) -> CodeContext:
        context = self._add(language, cwd)
        try:
            await context.kernel()
        except BaseException:
            del self._by_id[context.id]
            raise
        return context

    def find(self, context_id: str) -> CodeContext:
        if context_id not in self._by_id:
            raise HttpError(404, f"Context {context_id} not found", plain=True)
        return self._by_id[context_id]

    async def remove(self, context_id: str) -> None:
        context = self.find(context_id)
        del self._by_id[context_id]
        self._defaults = {k: v for k, v in self._defaults.items() if v is not context}
        await context.remove()

    def all(self) -> list[CodeContext]:
        """Default contexts first: Python's, then the others."""
        self.default(DEFAULT_LANGUAGE)
        first = list(self._defaults.values())
        return first + [context for context in self._by_id.values() if context not in first]

    async def release(self) -> None:
        """Gives the descriptors of all kernels back. After their sandbox is dead: they died with it."""
        if self._warming is not None:
            await self._warming
        for context in self._by_id.values():
            await context.remove()
