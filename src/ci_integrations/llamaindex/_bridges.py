"""A blocking interpreter for asyncio, an asynchronous one for threads. Only for interpreters that users hand in.

A session registry hands out both kinds by itself; these bridges are for `CodeInterpreterTool(CodeInterpreter())` in an
agent, which always awaits, and for `CodeInterpreterTool(AsyncCodeInterpreter())` in a script.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from llama_index.core.async_utils import asyncio_run


def as_async(interpreter: Any) -> Any:
    """`interpreter` with methods to await."""
    return interpreter if inspect.iscoroutinefunction(interpreter.run) else _InThread(interpreter)


def as_sync(interpreter: Any) -> Any:
    """`interpreter` with methods that block; fine inside a running event loop."""
    return _Blocking(interpreter) if inspect.iscoroutinefunction(interpreter.run) else interpreter


class _InThread:
    def __init__(self, interpreter: Any) -> None:
        self._blocking = interpreter

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._blocking, name)
        if not callable(member):
            return member

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(member, *args, **kwargs)

        return call

    def identity(self) -> Any:
        return self._blocking.identity()

    async def run(self, code: str, *, on_output: Callable[[Any], Any] | None = None, **options: Any) -> Any:
        """The blocking `run` in a thread; its output reaches `on_output` on this loop, while the cell runs."""
        loop = asyncio.get_running_loop()

        def deliver(event: Any) -> None:
            if on_output is not None:
                loop.call_soon_threadsafe(on_output, event)

        work = asyncio.ensure_future(asyncio.to_thread(self._blocking.run, code, on_output=deliver, **options))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # A thread cannot be cancelled: stop what it waits for, then let it end.
            await asyncio.to_thread(self._blocking.interrupt)
            with contextlib.suppress(Exception):
                await work
            raise


class _Blocking:
    def __init__(self, interpreter: Any) -> None:
        self._awaited = interpreter

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._awaited, name)
        if not inspect.iscoroutinefunction(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            return asyncio_run(_awaiting(member(*args, **kwargs)))

        return call


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
