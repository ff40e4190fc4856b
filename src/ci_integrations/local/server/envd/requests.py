"""What both RPC services read from a request besides its message, and how they fill a protobuf oneof."""

from __future__ import annotations

from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from protobuf import Oneof

from ci_integrations.local.server.envd.users import WrongUser, user_of

Context = RequestContext[Any, Any]
DEFAULT_KEEPALIVE = 90.0
"""Seconds, as in envd. The SDK asks for 50."""


def keepalive(ctx: Context) -> float:
    """Returns after how many seconds of silence a stream shows that it is alive. At least 1."""
    try:
        return max(float(ctx.request_headers.get("keepalive-ping-interval") or DEFAULT_KEEPALIVE), 1.0)
    except ValueError:
        return DEFAULT_KEEPALIVE


def check_user(ctx: Context, *, root: bool = False) -> str:
    """Returns the user that the request wants to be. Raises ConnectError for one that the sandbox does not have."""
    try:
        return user_of(ctx.request_headers.get("authorization"), root=root)
    except WrongUser as error:
        code = Code.UNIMPLEMENTED if error.is_root else Code.UNAUTHENTICATED
        raise ConnectError(code, str(error)) from None


def one_of(field: str, value: object) -> Any:
    """Returns a protobuf oneof. The generated types are too narrow for a field name that is computed."""
    return Oneof(field, value)
