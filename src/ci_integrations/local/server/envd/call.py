"""One RPC call as a handler sees it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ci_integrations.local.server.http import Exchange

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord


class Call:
    """The request that is being served, for the services."""

    def __init__(self, record: SandboxRecord, exchange: Exchange) -> None:
        self.record = record
        self.exchange = exchange
        self.gone = asyncio.Event()
        """Set when the client has closed the connection."""


def one_of(field: str, value: object) -> Any:
    """A protobuf oneof; its generated types are too narrow for a name that is computed."""
    from protobuf import Oneof

    return Oneof(field, value)


CALL: ContextVar[Call] = ContextVar("call")
