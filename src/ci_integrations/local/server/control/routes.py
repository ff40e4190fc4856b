"""The control plane: E2B's REST API, by which sandboxes are made, found, changed and ended.

Paths with and without `/v2` are the same here: older SDKs leave it out. What this server does not do gets an
answer that says so, from `unsupported`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from ci_integrations.local.protocol.contract import EngineError, MiB
from ci_integrations.local.server.control import listing, unsupported
from ci_integrations.local.server.control.create import read_network, read_request
from ci_integrations.local.server.http import Exchange, HttpError
from ci_integrations.local.server.state.records import ENVD_VERSION, Sample, SandboxRecord, SandboxRequest
from ci_integrations.local.server.state.sandboxes import SandboxTable

if TYPE_CHECKING:
    from ci_integrations.local.server.bodies import LeaseBody

Json = dict[str, object]
CLIENT_ID = "local"
"""The SDK wants the field, and ignores its value."""
OUR_TAG = "ci_integrations"
"""The metadata key of those sandboxes that this library itself makes."""
DEFAULT_REFRESH = 15
"""Seconds that `refreshes` adds when it names none, as at E2B."""
KEYS = 1000
"""How many idempotency keys are remembered."""


class ControlPlane:
    """Answers the requests that carry no sandbox in their headers. `domain` is what get_host() puts after the id."""

    def __init__(self, table: SandboxTable, domain: str) -> None:
        self._table = table
        self._made: dict[str, asyncio.Task[SandboxRecord]] = {}
        self._domain = domain

    async def serve(self, exchange: Exchange) -> None:  # noqa: C901, PLR0912 - a table
        """Answers one request. Raises HttpError: 404 for an unknown sandbox or path, 501 for what is not done here."""
        parts = exchange.raw_path.strip("/").split("/")
        if parts[0] == "v2":
            parts = parts[1:]
        # E2B's client fails at other success codes: create must answer 201, and kill, pause and timeout 204.
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
        """Makes the sandbox once for each key: a create that is sent again gets the sandbox of the first one.

        The SDK sends it again when the answer was lost. The task goes on when the first client leaves.
        """
        if not key:
            return await self._table.create(request)
        made = self._made.get(key)
        if made is None or _in_vain(made, self._table):
            made = self._made[key] = asyncio.create_task(self._table.create(request))
            while len(self._made) > KEYS:  # dicts keep their order: the oldest goes first
                del self._made[next(iter(self._made))]
        return await asyncio.shield(made)

    async def _connect(self, exchange: Exchange, sandbox_id: str, *, resume: bool) -> None:
        body = _lease(await exchange.json())
        record = self._table.get(sandbox_id)
        if body.memory is False:
            raise unsupported.reboot()
        if record.state == "paused":
            await self._table.resume(record, body.timeout)
            await exchange.reply_json(201, self._sandbox(record))
            return
        if resume:  # the old path, which older SDKs use; /connect takes a running sandbox
            raise HttpError(409, f"Sandbox {sandbox_id} is already running")
        if body.timeout is not None:
            self._table.extend(record, body.timeout)
        await exchange.reply_json(200, self._sandbox(record))

    async def _set_timeout(self, exchange: Exchange, sandbox_id: str) -> None:
        seconds = _lease(await exchange.json()).timeout
        if seconds is None:
            raise HttpError(400, "timeout (seconds) is needed")
        record = self._table.get(sandbox_id)
        if record.state == "paused":
            raise HttpError(409, f"Sandbox '{sandbox_id}' is paused; connect to it first")
        # Unlike connect, this may also shorten the life.
        self._table.lease(record, seconds)
        await exchange.reply(204)

    async def _refresh(self, exchange: Exchange, sandbox_id: str) -> None:
        seconds = _lease(await exchange.json()).duration
        self._table.extend(self._table.get(sandbox_id), DEFAULT_REFRESH if seconds is None else seconds)
        await exchange.reply(204)

    async def _pause(self, exchange: Exchange, sandbox_id: str) -> None:
        if _lease(await exchange.json()).memory is False:
            raise unsupported.files_only()
        await self._table.pause(self._table.get(sandbox_id))
        await exchange.reply(204)

    # -- measuring

    async def _metrics(self, exchange: Exchange, sandbox_id: str) -> None:
        record = self._table.get(sandbox_id)
        await self._table.sample(record)
        start, end = (listing.number(exchange.query, name) for name in ("start", "end"))
        wanted = [m for m in record.samples if (start or 0) <= int(m[0].timestamp()) <= (end or 1e12)]
        await exchange.reply_json(200, [_metric(record, sample) for sample in wanted])

    async def _metrics_of_many(self, exchange: Exchange) -> None:
        found: dict[str, Json] = {}
        for sandbox_id in exchange.query.get("sandbox_ids", "").split(","):
            record = self._table.find(sandbox_id)
            if record is not None:
                await self._table.sample(record)
                if record.samples:  # one that is paused and was never measured has none
                    found[sandbox_id] = _metric(record, record.samples[-1])
        await exchange.reply_json(200, {"sandboxes": found})

    # -- shapes of the wire: the SDK's parsers need every field of the first two

    def _sandbox(self, record: SandboxRecord) -> Json:
        """Returns the answer to create and connect. `domain` makes get_host() print a name that this server knows."""
        return {
            "templateID": record.request.template_id,
            "sandboxID": record.sandbox_id,
            "clientID": CLIENT_ID,
            "envdVersion": ENVD_VERSION,
            "envdAccessToken": record.access_token,
            "trafficAccessToken": record.traffic_token,
            "domain": self._domain,
        }

    def _listed(self, record: SandboxRecord) -> Json:
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
        """Returns the metadata as the caller gave it, like E2B.

        The level of isolation is added where no caller can mind: when there is no metadata, and for this library's own
        sandboxes.
        """
        told = {"isolation": self._table.engine.level} if not given or OUR_TAG in given else {}
        return {**told, **given}

    def _end_at(self, record: SandboxRecord) -> datetime:
        """Returns when the sandbox ends, by the wall clock. A paused one has no end: the SDK is told when it paused."""
        return record.paused_at or self._table.clock.now() + self._table.left(record)

    def _detail(self, record: SandboxRecord) -> Json:
        request = record.request
        network: Json = {"allowPublicTraffic": not request.private_traffic}
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


def _lease(value: object) -> LeaseBody:
    from ci_integrations.local.server.bodies import LeaseBody, check

    return check(LeaseBody, value)


def _in_vain(made: asyncio.Task[SandboxRecord], table: SandboxTable) -> bool:
    """Returns whether an earlier create failed, or its sandbox is gone again."""
    if not made.done():
        return False
    return made.cancelled() or made.exception() is not None or table.find(made.result().sandbox_id) is None


def _rfc3339(moment: datetime) -> str:
    """Returns a moment as E2B's API, which is written in Go, spells it: with `Z` for UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def _metric(record: SandboxRecord, sample: Sample) -> Json:
    moment, share, usage = sample
    return {
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
