"""Generator flows and their two drivers. A flow yields what is to be done; `drive` blocks, `adrive` awaits."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias, TypeVar

logger = logging.getLogger("ci_integrations")


T = TypeVar("T")


MaybeAwaitable: TypeAlias = T | Awaitable[T]
"""What a method of an object of either face returns: the value itself, or an awaitable of it."""


Step = Callable[[], Any]


Flow = Generator[Step, Any, T]


def drive(flow: Flow[T]) -> T:
    """Run a flow whose steps block."""
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            value, resume = step(), flow.send
        except BaseException as error:  # noqa: BLE001 - given to the flow, which decides
            value, resume = error, flow.throw


async def adrive(flow: Flow[T]) -> T:
    """Run a flow whose steps may give awaitables."""
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            value, resume = step(), flow.send
            if inspect.isawaitable(value):
                value = await value
        except BaseException as error:  # noqa: BLE001 - given to the flow, which decides
            value, resume = error, flow.throw
