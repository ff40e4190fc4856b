"""Hands a Connect RPC request to the application of its service.

Connect is HTTP: POST to `/package.Service/Method`, a JSON or protobuf message as the body. The applications come from
`services`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_integrations.local.server.envd.call import CALL, Call
from ci_integrations.local.server.envd.services import applications_in_thread
from ci_integrations.local.server.http import Exchange, HttpError, Message

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord

KINDS = frozenset({"application/json", "application/connect+json", "application/proto", "application/connect+proto"})
"""The content types of Connect. gRPC needs trailers, which ASGI servers for HTTP/1.1 do not send."""


async def serve(record: SandboxRecord, exchange: Exchange) -> None:
    """Answers one request. HttpError 415 for a content type of another protocol, 404 for an unknown service."""
    kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise HttpError(415, f"this is Connect RPC: send {' or '.join(sorted(KINDS))}")
    application = (await applications_in_thread()).get(exchange.path.split("/")[1])
    if application is None:
        raise HttpError(404, f"no such service: {exchange.path}")
    # A context variable belongs to the task, and each request has a task of its own.
    call = Call(record, exchange)
    CALL.set(call)

    async def receive() -> Message:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            call.gone.set()
        return message

    await application(exchange.scope, receive, exchange.gated_send)
