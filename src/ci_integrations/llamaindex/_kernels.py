"""Keeps kernels of our own in an interpreter that was handed in: its own kernel is its owner's."""

from __future__ import annotations

import contextlib
from typing import Any

from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow, adrive, drive
from ci_integrations.llamaindex._run import RunOptions
from ci_integrations.llamaindex._sessions import OwnsSessions


class OwnKernels:
    """Makes a kernel for each key on first use, and ends all of them at the end."""

    def __init__(self) -> None:
        self._contexts: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._contexts)

    def of(self, interpreter: AnyInterpreter, key: str = "") -> Flow[RunOptions]:
        """Returns the option of a cell that runs in the kernel of `key`."""
        if key not in self._contexts:
            self._contexts[key] = yield interpreter.create_context
        return {"context": self._contexts[key]}

    def end(self, interpreter: AnyInterpreter, key: str) -> Flow[None]:
        """Ends the kernel of `key`. One that is gone already is no error."""
        context = self._contexts.pop(key, None)
        # Without a sandbox there is no kernel, and none is opened for this.
        if context is None or interpreter.sandbox_id is None:
            return
        with contextlib.suppress(Exception):
            yield lambda: interpreter.remove_context(context)

    def end_all(self, interpreter: AnyInterpreter) -> Flow[None]:
        """Ends all kernels."""
        for key in list(self._contexts):
            yield from self.end(interpreter, key)

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._contexts = {}


class OwnsKernels(OwnsSessions):
    """Has `_kernels` beside `_sessions`, and ends them first."""

    _kernels: OwnKernels

    def _in_own_kernel(self, options: RunOptions, interpreter: AnyInterpreter, key: str = "") -> Flow[RunOptions]:
        """Returns the options of a cell, with a kernel of our own where the interpreter is somebody else's."""
        if not self._sessions.shares_interpreter:
            return options
        return {**options, **(yield from self._kernels.of(interpreter, key))}

    def close(self) -> None:
        """Ends the kernels, and the sessions that were made here. What was handed in stays open."""
        if self._kernels:
            drive(self._kernels.end_all(self._sessions.blocking().interpreter))
        super().close()

    async def aclose(self) -> None:
        """Ends them, awaited. See `close`."""
        if self._kernels:
            await adrive(self._kernels.end_all((await self._sessions.of()).interpreter))
        await super().aclose()
