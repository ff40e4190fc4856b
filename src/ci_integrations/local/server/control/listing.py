"""The list of sandboxes: filter, order and pages.

E2B's `startedAfter` is not looked at.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from ci_integrations.local.server.http import Exchange, HttpError
from ci_integrations.local.server.state.records import SandboxRecord
from ci_integrations.local.server.state.sandboxes import SandboxTable

DEFAULT_LIMIT = 100
"""Sandboxes on one page, unless fewer are asked for."""


async def reply(exchange: Exchange, table: SandboxTable, shape: Callable[[SandboxRecord], dict[str, Any]]) -> None:
    """Answers with one page of sandboxes in the form that `shape` gives them.

    The header `x-next-token` leads to the next page; the last page has none. HttpError 400 for a broken query.
    """
    query = exchange.query
    found = [record for record in table.all() if _matches(record, query)]
    found.sort(key=lambda r: (r.started_at, r.sandbox_id), reverse=query.get("order", "desc") != "asc")
    start = _offset(found, query.get("nextToken", ""))
    limit = min(max(number(query, "limit") or DEFAULT_LIMIT, 1), DEFAULT_LIMIT)
    page = found[start : start + limit]
    headers = []
    if start + limit < len(found):
        headers.append(("x-next-token", base64.urlsafe_b64encode(page[-1].sandbox_id.encode()).decode()))
    await exchange.reply_json(200, [shape(record) for record in page], headers)


def number(query: Mapping[str, str], name: str) -> int | None:
    """Returns a whole number of the query, None when it is not there. HttpError 400 for anything else."""
    value = query.get(name)
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise HttpError(400, f"{name} must be a whole number")
    return int(value)


def _offset(found: list[SandboxRecord], token: str) -> int:
    if not token:
        return 0
    try:
        last = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        raise HttpError(400, "nextToken is not one that this server gave") from None
    # A token is the last id of the page before. If that sandbox is gone by now, there is no next page.
    ids = [record.sandbox_id for record in found]
    return ids.index(last) + 1 if last in ids else len(ids)


def _matches(record: SandboxRecord, query: Mapping[str, str]) -> bool:
    states = query.get("state") or "running,paused"
    if record.state not in states.split(","):
        return False
    if query.get("template") and record.request.template_id != query["template"]:
        return False
    return metadata_filter(query.get("metadata", "")).items() <= dict(record.request.metadata).items()


def metadata_filter(value: str) -> dict[str, str]:
    """Returns the pairs that a sandbox's metadata must have.

    The SDK encodes three times: each key and value, then the pairs as a form, then that as a value of the query. The
    last encoding was undone when the query was read.
    """
    pairs = (pair.partition("=") for pair in value.split("&") if pair)
    return {unquote_plus(unquote_plus(key)): unquote_plus(unquote_plus(text)) for key, _, text in pairs}
