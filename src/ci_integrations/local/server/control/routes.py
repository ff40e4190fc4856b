"""The control plane: sandboxes made, found, changed and ended over REST. What it does not do it says: `unsupported`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ci_integrations.local.protocol.contract import EngineError, MiB
from ci_integrations.local.server.bodies import LeaseBody, check
from ci_integrations.local.server.control import listing, unsupported
from ci_integrations.local.server.control.create import read_network, read_request
from ci_integrations.local.server.http import Exchange, HttpError
from ci_integrations.local.server.state.records import ENVD_VERSION, SandboxRecord, SandboxRequest
from ci_integrations.local.server.state.sandboxes import SandboxTable

CLIENT_ID = "local"
OUR_TAG = "ci_integrations"
"""Metadata key of the sandboxes that the library itself makes."""
DEFAULT_REFRESH = 15
"""Seconds, as at E2B."""
KEYS = 1000
"""Idempotency keys that are remembered."""


class ControlPlane:
    """Answers the requests that carry no sandbox."""

    def __init__(self, table: SandboxTable, domain: str) -> None:
        self._table = table
        self._made: dict[str, asyncio.Task[SandboxRecord]] = {}
        self._domain = domain

    async def serve(self, exchange: Exchange) -> None:  # noqa: C901, PLR0912 - a table
        parts = exchange.raw_path.strip("/").split("/")
        if parts[0] == "v2":
            parts = parts[1:]
        match exchange.method, parts:
            case "POST", ["sandboxes"]:
                await self._create(exchange)
            case "GET", ["sandboxes"]:
                await listing.reply(exchange, self._table, self._listed)
            case "GET", ["sandboxes", "metrics"]:
                await self._metrics_of_many(exchange)
            case "GET", ["sandboxes", sandbox_id]:
                await exchange.reply_json(200, self._detail(self._table.get(sandbox_id)))
            case "DELETE", ["sandboxes", sandbox_id]:
                await self._table.kill(self._table.get(sandbox_id))
                await exchange.reply(204)
            case "POST", ["sandboxes", sandbox_id, "connect" | "resume" as verb]:
                await self._connect(exchange, sandbox_id, resume=verb == "resume")
            case "PUT", ["sandboxes", sandbox_id, "network"]:
                record = self._table.get(sandbox_id)
                await self._table.update_network(record, read_network(await exchange.json(), record.request))
                await exchange.reply(204)
            case "POST", ["sandboxes", sandbox_id, "timeout"]:
                await self._set_timeout(exchange, sandbox_id)
            case "POST", ["sandboxes", sandbox_id, "refreshes"]:
                await self._refresh(exchange, sandbox_id)
            case "POST", ["sandboxes", sandbox_id, "pause"]:
                await self._pause(exchange, sandbox_id)
            case "GET", ["sandboxes", sandbox_id, "metrics"]:
                await self._metrics(exchange, sandbox_id)
            case _:
                raise unsupported.answer(exchange.method, parts)

    # -- making and finding

    async def _create(self, exchange: Exchange) -> None:
        request = read_request(await exchange.json(), self._table.templates)
        try:
            record = await self._once(exchange.headers.get("idempotency-key"), request)
        except EngineError as error:
            raise HttpError(500, f"the sandbox could not be made: {error}") from None
        await exchange.reply_json(201, self._sandbox(record))

    async def _once(self, key: str | None, request: SandboxRequest) -> SandboxRecord:
        """A create that is sent again with its key, because its answer was lost, gets the sandbox of the first."""
        if not key:
            return await self._table.create(request)
        made = self._made.get(key)
        if made is None or _in_vain(made, self._table):
            made = self._made[key] = asyncio.create_task(self._table.create(request))
            while len(self._made) > KEYS:
                del self._made[next(iter(self._made))]
        return await asyncio.shield(made)

    async def _connect(self, exchange: Exchange, sandbox_id: str, *, resume: bool) -> None:
        body = check(LeaseBody, await exchange.json())
        record = self._table.get(sandbox_id)
        if body.memory is False:
            raise unsupported.reboot()
        if record.state == "paused":
            await self._table.resume(record, body.timeout)
            await exchange.reply_json(201, self._sandbox(record))
            return
        if resume:
            raise HttpError(409, f"Sandbox {sandbox_id} is already running")
        if body.timeout is not None:
            self._table.extend(record, body.timeout)
        await exchange.reply_json(200, self._sandbox(record))

    async def _set_timeout(self, exchange: Exchange, sandbox_id: str) -> None:
        seconds = check(LeaseBody, await exchange.json()).timeout
        if seconds is None:
            raise HttpError(400, "timeout (seconds) is needed")
        record = self._table.get(sandbox_id)
        if record.state == "paused":
            raise HttpError(409, f"Sandbox '{sandbox_id}' is paused; connect to it first")
        self._table.lease(record, seconds)
        await exchange.reply(204)

    async def _refresh(self, exchange: Exchange, sandbox_id: str) -> None:
        seconds = check(LeaseBody, await exchange.json()).duration
        self._table.extend(self._table.get(sandbox_id), DEFAULT_REFRESH if seconds is None else seconds)
        await exchange.reply(204)

    async def _pause(self, exchange: Exchange, sandbox_id: str) -> None:
        if check(LeaseBody, await exchange.json()).memory is False:
            raise unsupported.files_only()
        await self._table.pause(self._table.get(sandbox_id))
        await exchange.reply(204)

    # -- measuring

    async def _metrics(self, exchange: Exchange, sandbox_id: str) -> None:
        record = self._table.get(sandbox_id)
        await self._table.sample(record)
        start, end = (listing.number(exchange.query, name) for name in ("start", "end"))
        await exchange.reply_json(
            200, [m for m in _metrics(record) if (start or 0) <= m["timestampUnix"] <= (end or 1e12)]
        )

    async def _metrics_of_many(self, exchange: Exchange) -> None:
        found: dict[str, Any] = {}
        for sandbox_id in exchange.query.get("sandbox_ids", "").split(","):
            record = self._table.find(sandbox_id)
            if record is not None:
                await self._table.sample(record)
                found |= dict(zip((sandbox_id,), _metrics(record)[-1:], strict=False))
        await exchange.reply_json(200, {"sandboxes": found})

    # -- shapes of the wire

    def _sandbox(self, record: SandboxRecord) -> dict[str, Any]:
        return {
            "templateID": record.request.template_id,
            "sandboxID": record.sandbox_id,
            "clientID": CLIENT_ID,
            "envdVersion": ENVD_VERSION,
            "envdAccessToken": record.access_token,
            "trafficAccessToken": record.traffic_token,
            "domain": self._domain,
        }

    def _listed(self, record: SandboxRecord) -> dict[str, Any]:
        return {
            "templateID": record.request.template_id,
            "alias": record.request.template_id,
            "sandboxID": record.sandbox_id,
            "clientID": CLIENT_ID,
            "startedAt": _rfc3339(record.started_at),
            "endAt": _rfc3339(self._end_at(record)),
            "cpuCount": os.cpu_count() or 1,
            "memoryMB": record.limits.memory // MiB,
            "diskSizeMB": record.limits.disk // MiB,
            "metadata": self._metadata(record.request.metadata),
            "state": record.state,
            "envdVersion": ENVD_VERSION,
        }

    def _metadata(self, given: Mapping[str, str]) -> dict[str, str]:
        """What a caller gave comes back as it was given; without any, or with this library's tag, the level too."""
        told = {"isolation": self._table.engine.level} if not given or OUR_TAG in given else {}
        return {**told, **given}

    def _end_at(self, record: SandboxRecord) -> datetime:
        return record.paused_at or self._table.clock.now() + self._table.left(record)

    def _detail(self, record: SandboxRecord) -> dict[str, Any]:
        request = record.request
        network: dict[str, Any] = {"allowPublicTraffic": not request.private_traffic}
        if request.allow_out:
            network["allowOut"] = list(request.allow_out)
        if request.deny_out:
            network["denyOut"] = list(request.deny_out)
        return {
            **self._listed(record),
            "envdAccessToken": record.access_token,
            "domain": self._domain,
            "allowInternetAccess": bool(request.allow_internet),
            "network": network,
            "lifecycle": {"onTimeout": "pause" if request.pause_at_end else "kill", "autoResume": request.auto_resume},
        }


def _in_vain(made: asyncio.Task[SandboxRecord], table: SandboxTable) -> bool:
    """Whether it failed, or its sandbox is gone again."""
    if not made.done():
        return False
    return made.cancelled() or made.exception() is not None or table.find(made.result().sandbox_id) is None


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _metrics(record: SandboxRecord) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": _rfc3339(moment),
            "timestampUnix": int(moment.timestamp()),
            "cpuCount": os.cpu_count() or 1,
            "cpuUsedPct": round(share, 2),
            "memUsed": usage.memory,
            "memTotal": record.limits.memory,
            "memCache": 0,
            "diskUsed": usage.disk_used,
            "diskTotal": usage.disk_total,
        }
        for moment, share, usage in record.samples
    ]
