"""Gives a class `with` and `async with`, made from its `close` and its `aclose`.

`Closing` is for classes that block, `AsyncClosing` for those that await; a class that serves both has both as bases.
"""

from __future__ import annotations

from typing import Protocol, Self


class _Closes(Protocol):
    def close(self) -> object: ...


class _CloseAwaits(Protocol):
    async def aclose(self) -> object: ...


class Closing:
    """`with` closes at its end, whatever happened inside. The exception, if there was one, goes on."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self: _Closes, *_: object) -> None:
        self.close()


class AsyncClosing:
    """`async with` closes at its end, whatever happened inside. The exception, if there was one, goes on."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self: _CloseAwaits, *_: object) -> None:
        await self.aclose()
