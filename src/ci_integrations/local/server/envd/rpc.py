"""The one module that knows the generated service classes inside the `e2b` wheel, and their RPC framework.

They are private to the SDK and may move in a minor release: then this import says so, and everything else of the
server goes on. They are imported without the SDK's clients, and in a thread while the engine starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_integrations.local.server.envd.call import CALL, Call
from ci_integrations.local.server.envd.services import _applications
from ci_integrations.local.server.http import Exchange, HttpError, Message

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord

KINDS = frozenset({"application/json", "application/connect+json", "application/proto", "application/connect+proto"})
"""gRPC is not among them: it needs trailers, which HTTP/1.1 servers do not have."""


async def serve(record: SandboxRecord, exchange: Exchange) -> None:
    """Hands a request to the service that its path names."""
    kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise HttpError(415, f"this is Connect RPC: send {' or '.join(sorted(KINDS))}")
    application = (await _applications()).get(exchange.path.split("/")[1])
    if application is None:
        raise HttpError(404, f"no such service: {exchange.path}")
    call = Call(record, exchange)
    CALL.set(call)

    async def receive() -> Message:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            call.gone.set()
        return message

    await application(exchange.scope, receive, exchange.gated_send)
