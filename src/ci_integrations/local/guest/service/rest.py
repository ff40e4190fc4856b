"""Calls of jupyter-server's REST API, on the sandbox's own loopback."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from ci_integrations.local.guest.service.jupyter import PORT

WEBSOCKETS: Final = f"ws://127.0.0.1:{PORT}"
_SECONDS: Final = 30.0
"""E2B's server gives up after 5 seconds; a machine that tests run on may be several times as slow as theirs."""


async def call(method: str, path: str, body: object = None) -> HTTPResponse:
    """Returns the answer, whatever its status. Raises OSError and tornado's HTTPClientError when there is none."""
    request = HTTPRequest(
        f"http://127.0.0.1:{PORT}{path}",
        method,
        body=None if body is None else json.dumps(body),
        allow_nonstandard_methods=True,
        request_timeout=_SECONDS,
        connect_timeout=_SECONDS,
    )
    return await AsyncHTTPClient().fetch(request, raise_error=False)


async def wait_until_it_answers(seconds: float) -> None:
    """Waits for jupyter-server to answer. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await _answers():  # noqa: ASYNC110 - another process: there is nothing to wait for
            await asyncio.sleep(0.2)


async def _answers() -> bool:
    try:
        return (await call("GET", "/api/status")).code == 200
    except (OSError, HTTPClientError):
        return False
