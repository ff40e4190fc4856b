"""The generated service classes of E2B's SDK as ASGI applications.

Only this module knows those classes, which are private to the `e2b` wheel and may move in a minor release. Then RPC
calls are answered with a sentence that says so, and everything else of the server goes on.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, cast

from ci_integrations.local.server.envd.call import Encoded
from ci_integrations.local.server.http import HttpError

READ_LIMIT = 16 << 20
"""Bytes of one RPC message. The SDK sends a larger stdin in pieces."""
MAX_DEPTH = 64
"""Levels of a JSON message. Real ones have five."""
TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
"""Strings, which may hold brackets, and brackets. Possessive quantifiers (`*+`, new in Python 3.11) never go back, so
that no data makes the search slow."""


@cache
def applications() -> dict[str, Any]:
    """Returns the ASGI application of each service by its name. HttpError 501 when the SDK has moved its classes."""
    with _without_clients():
        try:
            from e2b.envd.filesystem.filesystem_connect import FilesystemASGIApplication
            from e2b.envd.process.process_connect import ProcessASGIApplication
        except ImportError as error:
            raise HttpError(
                501, f"this version of the e2b package has no service classes where they were: {error}"
            ) from None
        from ci_integrations.local.server.envd.filesystem import FilesystemService
        from ci_integrations.local.server.envd.process import ProcessService

    # The SDKs send JSON without compression; a client that compresses is told that this server does not.
    # The services lack `desc`, which only the generated clients' reflection asks for.
    filesystem, process = cast("Any", FilesystemService()), cast("Any", ProcessService())
    options: dict[str, Any] = {"read_max_bytes": READ_LIMIT, "compressions": (), "codecs": _codecs()}
    return {
        "process.Process": ProcessASGIApplication(process, **options),
        "filesystem.Filesystem": FilesystemASGIApplication(filesystem, **options),
    }


def _codecs() -> list[Any]:
    """Returns the codecs of JSON and protobuf. A message that cannot be read is its sender's fault, not a failure."""
    from connectrpc.code import Code
    from connectrpc.codec import proto_binary_codec, proto_json_codec
    from connectrpc.errors import ConnectError

    class Strict:
        def __init__(self, codec: Any) -> None:
            self.name = codec.name
            self._codec = codec

        def encode(self, message: Any) -> bytes:
            return message.data if isinstance(message, Encoded) else bytes(self._codec.encode(message))

        def decode(self, data: bytes, message_class: type) -> Any:
            if self.name() == "json" and _is_too_deep(data):
                raise ConnectError(Code.INVALID_ARGUMENT, f"the message is nested more than {MAX_DEPTH} deep")
            try:
                return self._codec.decode(data, message_class)
            except Exception as error:  # noqa: BLE001 - they have many, and no common one
                raise ConnectError(Code.INVALID_ARGUMENT, f"the message cannot be read: {error}") from None

    return [Strict(proto_binary_codec()), Strict(proto_json_codec())]


def _is_too_deep(data: bytes) -> bool:
    """Returns whether a JSON message is nested too deeply to be decoded.

    The native decoder recurses without a limit, until the stack of the whole server is gone.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in TOKENS.finditer(data):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


@contextmanager
def _without_clients() -> Iterator[None]:
    """Lets `e2b.envd` be imported without `e2b` itself, whose clients cost 0.6 s of processor time at every start.

    A bare module stands in for the package meanwhile. Afterwards `import e2b` works as ever.
    """
    spec = importlib.util.find_spec("e2b") if "e2b" not in sys.modules else None
    if spec is None or spec.submodule_search_locations is None:
        yield
        return
    bare = ModuleType("e2b")
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules["e2b"] = bare
    try:
        yield
    finally:
        del sys.modules["e2b"]


async def applications_in_thread() -> dict[str, Any]:
    """Returns `applications()`. The first call imports for tenths of a second, in a thread."""
    return applications() if applications.cache_info().currsize else await asyncio.to_thread(applications)
