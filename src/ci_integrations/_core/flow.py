"""Defines generator flows and their two drivers. A flow yields what is to be done; `drive` blocks, `adrive` awaits.

Every rule of a session is written once, as a flow. The flow does nothing by itself: each step that it yields is a call
without arguments, and it gets the step's value, or its exception, back from the driver.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

MaybeAwaitable: TypeAlias = T | Awaitable[T]
"""What a method of an object of either face returns: the value itself, or an awaitable of it."""

AnyCall: TypeAlias = Callable[..., Any]
"""A call of either face, whose arguments and result are known where it is made and not where it is passed on."""

Step: TypeAlias = Callable[[], Any]
"""One thing to do: it blocks and returns a value, or returns an awaitable."""

Flow: TypeAlias = Generator[Step, Any, T]
"""A generator that yields steps and returns a value of type T."""


def drive(flow: Flow[T]) -> T:
    """Runs a flow whose steps block."""
    resume: Callable[[Any], Step] = flow.send
    value: object = None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            ended: T = stop.value
            return ended
        try:
            value, resume = step(), flow.send
        except BaseException as error:  # noqa: BLE001 - given to the flow, which decides
            value, resume = error, flow.throw


async def adrive(flow: Flow[T]) -> T:
    """Runs a flow whose steps may return awaitables."""
    resume: Callable[[Any], Step] = flow.send
    value: object = None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            ended: T = stop.value
            return ended
        try:
            value, resume = step(), flow.send
            if inspect.isawaitable(value):
                value = await value
        except BaseException as error:  # noqa: BLE001 - given to the flow, which decides
            value, resume = error, flow.throw
