"""The ASGI application behind the one port of the server.

It decides which sandbox and which part of the server a request is for, checks the token that this part wants, and
answers in the words of E2B's proxy when the sandbox is not there.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ci_integrations.local.protocol.contract import SandboxDead
from ci_integrations.local.server.control.routes import ControlPlane
from ci_integrations.local.server.envd import files, rpc
from ci_integrations.local.server.http import ClientGone, Exchange, HttpError, Receive, Scope, Send
from ci_integrations.local.server.interpreter import routes
from ci_integrations.local.server.metrics import CONTENT_TYPE, Metrics
from ci_integrations.local.server.ports import http
from ci_integrations.local.server.state.records import SandboxRecord
from ci_integrations.local.server.state.sandboxes import SandboxTable

LOG = logging.getLogger(__name__)
ENVD_PORT, INTERPRETER_PORT = 49983, 49999
"""Ports that E2B's own services have in every sandbox. Here this server answers for them."""
HOST = re.compile(r"(\d{1,5})-([a-z0-9]{8,40})\.")
"""The Host header `PORT-ID.domain`, as the SDK's get_host() prints it: a browser cannot send the two E2b headers."""


@dataclass(frozen=True)
class Target:
    """Where a request to a sandbox goes."""

    sandbox_id: str
    port: int


def target_of(headers: Mapping[str, str]) -> Target | None:
    """Returns the sandbox and port that a request is for, or None for the control plane. HttpError 400: a broken port.

    The SDK sends two headers with each request to a sandbox and none with those to the control plane, so that one
    address can serve both.
    """
    sandbox_id, port = headers.get("e2b-sandbox-id"), headers.get("e2b-sandbox-port")
    if sandbox_id is None and (found := HOST.match(headers.get("host", ""))):
        port, sandbox_id = found.groups()
    if sandbox_id is None or port is None:
        return None
    # Headers are hostile: `isdigit` alone lets other alphabets' digits pass, and a long number takes `int` long.
    if not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        raise HttpError(400, "the port of a sandbox is a number from 1 to 65535")
    return Target(sandbox_id, int(port))


def not_found(sandbox_id: str) -> HttpError:
    """Returns the answer of E2B's proxy for a sandbox that was killed, is paused or never was.

    The status and the words "was not found" decide which exception the SDK raises: a 404 would be a missing file.
    """
    return HttpError(502, "The sandbox was not found", sandboxId=sandbox_id)


def port_closed(target: Target) -> HttpError:
    """Returns the proxy's answer for a port that nobody listens on. The SDK looks for "port is not open"."""
    return HttpError(502, "The sandbox is running but port is not open", sandboxId=target.sandbox_id, port=target.port)


class App:
    """Serves every HTTP request. No exception leaves it: what goes wrong is logged and answered with status 500."""

    def __init__(self, table: SandboxTable, control: ControlPlane, metrics: Metrics, api_key: str) -> None:
        self._table = table
        self._control = control
        self._metrics = metrics
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except HttpError as error:
            if not exchange.was_cut:
                await exchange.reply_error(error)
        except ClientGone:
            pass  # nobody is there to be told
        except asyncio.CancelledError:
            if not exchange.was_cut:
                raise
            # `cut()` cancelled the task to stop the handler; the answer below must not be cancelled as well.
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
        except Exception:
            if not exchange.was_cut:
                LOG.exception("%s %s failed", exchange.method, exchange.path)
                await exchange.reply_error(HttpError(500, "the local server failed; its log says why"))
        if exchange.was_cut:  # also where a hosted application caught the cancellation itself
            await exchange.reply_error(not_found(exchange.headers.get("e2b-sandbox-id", "")))

    async def _serve(self, exchange: Exchange) -> None:
        target = target_of(exchange.headers)
        if target is not None:
            await self._serve_sandbox(exchange, target)
        elif exchange.path == "/files" and "signature" in exchange.query:
            await self._serve_signed(exchange)
        elif exchange.path == "/health":
            await exchange.reply_json(200, {"status": "ok", "level": self._table.engine.level})
        elif exchange.path == "/metrics":
            await exchange.reply(200, self._metrics.text(self._table), CONTENT_TYPE)
        else:
            self._check_key(exchange)
            await self._control.serve(exchange)

    def _check_key(self, exchange: Exchange) -> None:
        if not _sent(exchange.headers, "x-api-key", self._api_key):
            raise HttpError(401, "X-API-KEY is missing or is not this server's key (it prints it when it starts)")

    async def _serve_sandbox(self, exchange: Exchange, target: Target) -> None:
        record = await self._running(target.sandbox_id)
        record.exchanges.add(exchange)
        try:
            await self._serve_port(exchange, record, target)
        except SandboxDead:
            raise not_found(target.sandbox_id) from None
        finally:
            record.exchanges.discard(exchange)

    async def _running(self, sandbox_id: str) -> SandboxRecord:
        """Returns a sandbox that runs. A paused one is resumed first if its creator asked for `autoResume`."""
        record = self._table.find(sandbox_id)
        if record is None:
            raise not_found(sandbox_id)
        if record.state == "paused" and record.request.auto_resume:
            await self._table.resume(record, None)
        if record.state == "paused":
            raise not_found(sandbox_id)
        return record

    async def _serve_port(self, exchange: Exchange, record: SandboxRecord, target: Target) -> None:
        if target.port == ENVD_PORT:
            await _serve_envd(exchange, record)
            return
        # The traffic token guards every port but envd's, which has a token of its own.
        _check_traffic(exchange.headers, record)
        # The SDK sends its token to /execute only: what guards /contexts is the sandbox id, which is random.
        if target.port == INTERPRETER_PORT and exchange.path == "/execute":
            _check_token(exchange, record)
        if target.port == INTERPRETER_PORT and record.service is None:
            await routes.serve(record, exchange)
        elif not await http.forward(record, exchange, target.port):
            raise port_closed(target)

    async def find_port(self, headers: Mapping[str, str]) -> tuple[SandboxRecord, int]:
        """Returns where a connection that leaves HTTP goes. Raises HttpError when it may not go there."""
        target = target_of(headers)
        if target is None or target.port in (ENVD_PORT, INTERPRETER_PORT):
            raise HttpError(404, "only ports of programs in a sandbox speak WebSocket here")
        record = await self._running(target.sandbox_id)
        _check_traffic(headers, record)
        return record, target.port

    async def _serve_signed(self, exchange: Exchange) -> None:
        """Serves a signed URL that names no sandbox: it is for the sandbox whose token made the signature."""
        for record in self._table.all():
            if _is_signed(exchange, record):
                await self._running(record.sandbox_id)
                await files.serve(record, exchange)
                return
        raise HttpError(401, "invalid signature")


async def _serve_envd(exchange: Exchange, record: SandboxRecord) -> None:
    if exchange.path == "/health":
        await exchange.reply(204)  # never with a token: the SDK asks so whether a sandbox still lives
        return
    # As envd does it: a signature counts only where no token was sent.
    if exchange.path != "/files" or "x-access-token" in exchange.headers or "signature" not in exchange.query:
        _check_token(exchange, record)
    elif not _is_signed(exchange, record):
        raise HttpError(401, "invalid signature")
    if exchange.path != "/files":
        await rpc.serve(record, exchange)
    elif exchange.method in ("GET", "POST", "HEAD"):
        await files.serve(record, exchange)
    else:
        raise HttpError(405, f"{exchange.method} is not allowed on /files")


def _is_signed(exchange: Exchange, record: SandboxRecord) -> bool:
    operation = "write" if exchange.method == "POST" else "read"
    return files.signature_is_valid(exchange.query, operation, record.access_token)


def _sent(headers: Mapping[str, str], name: str, secret: str) -> bool:
    """Returns whether a header holds the secret, in a time that does not tell how much of it was right."""
    return hmac.compare_digest(headers.get(name, "").encode(), secret.encode())


def _check_token(exchange: Exchange, record: SandboxRecord) -> None:
    if not _sent(exchange.headers, "x-access-token", record.access_token):
        raise HttpError(401, "unauthorized access, please provide a valid access token")


def _check_traffic(headers: Mapping[str, str], record: SandboxRecord) -> None:
    """Raises HttpError 403 at a sandbox that was made with `allow_public_traffic=False` and gets no traffic token."""
    if record.traffic_token is not None and not _sent(headers, "e2b-traffic-access-token", record.traffic_token):
        raise HttpError(
            403,
            "Sandbox is secured with traffic access token. Token header 'e2b-traffic-access-token' is missing or wrong",
            sandboxId=record.sandbox_id,
        )
