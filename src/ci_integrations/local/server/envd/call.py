"""One RPC call as the services see it. `rpc` sets it, because the RPC framework passes only headers and messages on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ci_integrations.local.server.http import Exchange

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord


class Call:
    """The request that is being served, and the sandbox that it is for."""

    def __init__(self, record: SandboxRecord, exchange: Exchange) -> None:
        self.record = record
        self.exchange = exchange
        self.gone = asyncio.Event()
        """Set when the client has closed the connection."""

    async def when_gone(self, act: Callable[[], object]) -> None:
        """Waits until the client has left, then calls `act`. To be run as a task beside a stream of answers."""
        await self.gone.wait()
        act()


@dataclass(frozen=True)
class Encoded:
    """Is an answer that its method has encoded by itself, for the codec that the request asked for."""

    data: bytes


CALL: ContextVar[Call] = ContextVar("call")
"""One object serves all sandboxes: which sandbox a call is for is found here."""
