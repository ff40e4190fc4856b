"""The code contexts of one sandbox. The id of a context outlives the kernels behind it.

A kernel that died is replaced when its context is used next. One cell runs at a time in each context; different
contexts run in parallel. E2B's server does the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from ci_integrations.local.protocol.contract import HOME, EngineError, Sandbox, SandboxDead
from ci_integrations.local.server.http import HttpError

DEFAULT_LANGUAGE = "python"
MAX_CONTEXTS = 64
"""In one sandbox. Each has a process of its own."""
INTERRUPT_GRACE = 5.0
"""Seconds between the interrupt, which code may ignore, and the end of the kernel."""


class Kernel(Protocol):
    """A kernel as the server uses it. `local/host/context.py` has the real one, tests have others."""

    exiting: bool
    """Whether its code has called `exit()`: the kernel lives a little longer, but must not be used again."""

    @property
    def alive(self) -> bool: ...
    def execute(
        self, code: str, *, envs: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> AsyncIterator[dict[str, Any]]: ...
    async def interrupt(self, grace: float = ...) -> str: ...
    async def close(self) -> None: ...


OpenKernel = Callable[..., Awaitable[Kernel]]


async def open_real_kernel(sandbox: Sandbox, **options: Any) -> Kernel:
    """Starts a kernel in the sandbox. Raises EngineError, LookupError for an unknown language, and ValueError."""
    from ci_integrations.local.host.context import open_context

    return await open_context(sandbox, **options)


def unknown(context_id: str) -> HttpError:
    """Returns the 404 of E2B's server, in its words."""
    return HttpError(404, f"Context {context_id} not found", plain=True)


class CodeContext:
    """One context: an id, a language, a directory and, while it is in use, a kernel."""

    def __init__(self, table: ContextTable, language: str, cwd: str) -> None:
        self.id = str(uuid.uuid4())
        self.language = language
        self.cwd = cwd
        self.removed = False
        self.turn = asyncio.Lock()
        """Held by the cell that runs."""
        self._table = table
        self._opening = asyncio.Lock()
        self._kernel: Kernel | None = None

    async def kernel(self) -> Kernel:
        """Returns the kernel, and starts one if there is none or it died.

        Raises SandboxDead, HttpError 404 when the context was removed, and HttpError 500 when no kernel starts.
        """
        async with self._opening:  # one task starts it, the others wait for that
            if self.removed:
                raise unknown(self.id)
            if self._kernel is None or not self._kernel.alive or self._kernel.exiting:
                await self._drop()
                self._kernel = await self._table.open(self.language, self.cwd)
            return self._kernel

    async def _drop(self) -> None:
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.close()

    async def interrupt(self) -> None:
        """Interrupts the cell that runs. A cell that goes on for `INTERRUPT_GRACE` seconds costs the kernel."""
        if self._kernel is not None and self._kernel.alive:
            await self._kernel.interrupt(INTERRUPT_GRACE)

    async def restart(self) -> None:
        """Ends the kernel. The next cell starts another one under the same id."""
        async with self._opening:
            await self._drop()

    async def remove(self) -> None:
        """Ends the kernel for good."""
        self.removed = True
        await self.restart()

    def as_json(self) -> dict[str, str]:
        """Returns the context as `/contexts` shows it. `cwd` is what was asked for, whether it exists or not."""
        return {"id": self.id, "language": self.language, "cwd": self.cwd}


class ContextTable:
    """All contexts of a sandbox.

    Each language has a default context, which cells use that name none. It is made when it is first asked for.
    """

    def __init__(self, sandbox: Sandbox, open_kernel: OpenKernel = open_real_kernel) -> None:
        self._sandbox = sandbox
        self._open_kernel = open_kernel
        self._by_id: dict[str, CodeContext] = {}
        self._defaults: dict[str, CodeContext] = {}
        self._warming: asyncio.Task[None] | None = None

    async def open(self, language: str, cwd: str) -> Kernel:
        """Starts a kernel. Raises SandboxDead, and HttpError 500 in the words of E2B's server."""
        try:
            return await self._open_kernel(self._sandbox, language=language, cwd=cwd)
        except SandboxDead:
            raise
        except (EngineError, LookupError, ValueError) as error:
            raise HttpError(500, f"Failed to create context: {error}", plain=True) from None

    def warm(self) -> None:
        """Begins to start the default context, so that the first cell does not wait for all of it."""
        self._warming = asyncio.create_task(self._warm())

    async def _warm(self) -> None:
        with contextlib.suppress(Exception):  # the first cell meets the same error, and has a client to tell
            await self.default(DEFAULT_LANGUAGE).kernel()

    def default(self, language: str) -> CodeContext:
        """Returns the default context of a language. HttpError 429 when there are too many contexts."""
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
        """Makes a context and starts its kernel. Raises SandboxDead and HttpError 429 and 500."""
        context = self._add(language, cwd)
        try:
            await context.kernel()
        except BaseException:
            del self._by_id[context.id]  # the client never learns its id
            raise
        return context

    def find(self, context_id: str) -> CodeContext:
        """Returns the context of this id. HttpError 404 when there is none."""
        if context_id not in self._by_id:
            raise unknown(context_id)
        return self._by_id[context_id]

    async def remove(self, context_id: str) -> None:
        """Removes a context. A default one is made anew when it is asked for again."""
        context = self.find(context_id)
        del self._by_id[context_id]
        self._defaults = {k: v for k, v in self._defaults.items() if v is not context}
        await context.remove()

    def all(self) -> list[CodeContext]:
        """Returns the default contexts, Python's first, then the others. E2B lists a default that nobody used, too."""
        self.default(DEFAULT_LANGUAGE)
        first = list(self._defaults.values())
        return first + [context for context in self._by_id.values() if context not in first]

    async def release(self) -> None:
        """Gives the descriptors of all kernels back. To be called when their sandbox is dead, and they with it."""
        if self._warming is not None:
            await self._warming
        for context in self._by_id.values():
            await context.remove()
