"""The ASGI application: whom a request is for, whether it may, and what it gets when its sandbox is not there."""

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
HOST = re.compile(r"(\d{1,5})-([a-z0-9]{8,40})\.")
"""`PORT-ID.domain`, as get_host() prints it."""


@dataclass(frozen=True)
class Target:
    sandbox_id: str
    port: int


def target_of(headers: Mapping[str, str]) -> Target | None:
    """The sandbox and port that a request is for; None for the control plane. HttpError 400 for a broken port."""
    sandbox_id, port = headers.get("e2b-sandbox-id"), headers.get("e2b-sandbox-port")
    if sandbox_id is None and (found := HOST.match(headers.get("host", ""))):
        port, sandbox_id = found.groups()
    if sandbox_id is None or port is None:
        return None
    if not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65536:
        raise HttpError(400, "the port of a sandbox is a number from 1 to 65535")
    return Target(sandbox_id, int(port))


def not_found(sandbox_id: str) -> HttpError:
    """The SDK reads these very words."""
    return HttpError(502, "The sandbox was not found", sandboxId=sandbox_id)


def port_closed(target: Target) -> HttpError:
    return HttpError(502, "The sandbox is running but port is not open", sandboxId=target.sandbox_id, port=target.port)


class App:
    """Everything behind the one port."""

    def __init__(self, table: SandboxTable, control: ControlPlane, metrics: Metrics, api_key: str) -> None:
        self._table = table
        self._control = control
        self._metrics = metrics
        self._api_key = api_key.encode()

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
            pass
        except asyncio.CancelledError:
            if not exchange.was_cut:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
        except Exception:
            if not exchange.was_cut:
                LOG.exception("%s %s failed", exchange.method, exchange.path)
                await exchange.reply_error(HttpError(500, "the local server failed; its log says why"))
        if exchange.was_cut:  # also where what we host took the cancellation for its own
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
        given = exchange.headers.get("x-api-key", "").encode()
        if not hmac.compare_digest(given, self._api_key):
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
        _check_traffic(exchange.headers, record)
        if target.port == INTERPRETER_PORT:
            if exchange.path == "/execute":
                _check_token(exchange, record)
            await routes.serve(record, exchange)
        elif not await http.forward(record, exchange, target.port):
            raise port_closed(target)

    async def find_port(self, headers: Mapping[str, str]) -> tuple[SandboxRecord, int]:
        """For a connection that leaves HTTP: where it goes. HttpError when it may not."""
        target = target_of(headers)
        if target is None or target.port in (ENVD_PORT, INTERPRETER_PORT):
            raise HttpError(404, "only ports of programs in a sandbox speak WebSocket here")
        record = await self._running(target.sandbox_id)
        _check_traffic(headers, record)
        return record, target.port

    async def _serve_signed(self, exchange: Exchange) -> None:
        """A signed URL names no sandbox: it is the one whose token made the signature."""
        operation = "write" if exchange.method == "POST" else "read"
        for record in self._table.all():
            if files.signature_is_valid(exchange.query, operation, record.access_token):
                await self._running(record.sandbox_id)
                await files.serve(record, exchange)
                return
        raise HttpError(401, "invalid signature")


async def _serve_envd(exchange: Exchange, record: SandboxRecord) -> None:
    if exchange.path == "/health":
        await exchange.reply(204)
        return
    signed = exchange.path == "/files" and "x-access-token" not in exchange.headers and "signature" in exchange.query
    if not signed:
        _check_token(exchange, record)
    elif not files.signature_is_valid(
        exchange.query, "write" if exchange.method == "POST" else "read", record.access_token
    ):
        raise HttpError(401, "invalid signature")
    if exchange.path != "/files":
        await rpc.serve(record, exchange)
    elif exchange.method in ("GET", "POST", "HEAD"):
        await files.serve(record, exchange)
    else:
        raise HttpError(405, f"{exchange.method} is not allowed on /files")


def _check_token(exchange: Exchange, record: SandboxRecord) -> None:
    given = exchange.headers.get("x-access-token", "").encode()
    if not hmac.compare_digest(given, record.access_token.encode()):
        raise HttpError(401, "unauthorized access, please provide a valid access token")


def _check_traffic(headers: Mapping[str, str], record: SandboxRecord) -> None:
    if record.traffic_token is None:
        return
    given = headers.get("e2b-traffic-access-token", "").encode()
    if not hmac.compare_digest(given, record.traffic_token.encode()):
        raise HttpError(
            403,
            "Sandbox is secured with traffic access token. Token header 'e2b-traffic-access-token' is missing or wrong",
            sandboxId=record.sandbox_id,
        )
