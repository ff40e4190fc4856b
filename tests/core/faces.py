"""Both faces of the interpreter behind one blocking set of methods, so that one test body serves both."""

from __future__ import annotations

import asyncio
from typing import Any

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter


class Sync:
    """`CodeInterpreter` as it is."""

    def __init__(self, **options: Any) -> None:
        self.it: Any = CodeInterpreter(**options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.it, name)


class Async:
    """`AsyncCodeInterpreter`, driven by a fresh `asyncio.run` per call: no loop may be held on to."""

    def __init__(self, **options: Any) -> None:
        self.it: Any = AsyncCodeInterpreter(**options)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.it, name)
        if not asyncio.iscoroutinefunction(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run(value(*args, **kwargs))

        return call


FACES = {"sync": Sync, "async": Async}
