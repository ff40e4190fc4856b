"""Port 49999: `/execute` and `/contexts`, with the answers of E2B's own server, which were recorded.

What is wrong before a cell starts is answered with a status. Whatever goes wrong later is a line of the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ci_integrations._names import language_name
from ci_integrations.local.protocol.contract import HOME, SandboxDead
from ci_integrations.local.protocol.lines import END, KEEPALIVE, KEEPALIVE_SECONDS, error_line
from ci_integrations.local.server.http import Exchange, HttpError, check_variables
from ci_integrations.local.server.interpreter import lines
from ci_integrations.local.server.state.contexts import CodeContext
from ci_integrations.local.server.state.listeners import Listener

if TYPE_CHECKING:
    from ci_integrations.local.server.state.records import SandboxRecord

LOG = logging.getLogger(__name__)
_MUCH = 1 << 14
"""Bytes of a line after which others get their turn."""


async def serve(record: SandboxRecord, exchange: Exchange) -> None:
    """Answers one request to the code-interpreter port. Raises HttpError, in plain text as E2B's server answers."""
    parts = [part for part in exchange.path.split("/") if part]
    match exchange.method, parts:
        case "POST", ["execute"]:
            await _execute(record, exchange)
        case "GET", ["health"]:
            await exchange.reply_json(200, "OK")
        case "GET", ["contexts"]:
            await exchange.reply_json(200, [context.as_json() for context in record.contexts.all()])
        case "POST", ["contexts"]:
            await _create_context(record, exchange)
        case "DELETE", ["contexts", context_id]:
            await record.contexts.remove(context_id)
            await exchange.reply_json(200, None)
        case "POST", ["contexts", context_id, "restart"]:
            await record.contexts.find(context_id).restart()
            await exchange.reply_json(200, None)
        case _, ["execute"] | ["health"] | ["contexts"] | ["contexts", _] | ["contexts", _, "restart"]:
            # FastAPI's own answers, which are JSON.
            await exchange.reply_json(405, {"detail": "Method Not Allowed"})
        case _:
            await exchange.reply_json(404, {"detail": "Not Found"})


async def _create_context(record: SandboxRecord, exchange: Exchange) -> None:
    from ci_integrations.local.server.bodies import ContextBody, parse

    body = parse(ContextBody, await exchange.body())
    # E2B resolves these short names alone; another spelling is a language of its own there.
    context = await record.contexts.create(language_name(body.language), body.cwd or HOME)
    await exchange.reply_json(200, context.as_json())


async def _execute(record: SandboxRecord, exchange: Exchange) -> None:
    from ci_integrations.local.server.bodies import ExecuteBody, parse

    body = parse(ExecuteBody, await exchange.body())
    envs = body.env_vars or {}
    check_variables(envs, plain=True)
    context = _choose(record, body.context_id, body.language)
    await context.kernel()
    run = Run(context, body.code, {**record.late_envs, **envs})
    watching = asyncio.create_task(_close_when_gone(exchange, run.lines))
    try:
        await exchange.start(200)
        async for line in run.lines.items(KEEPALIVE_SECONDS):
            await exchange.write(KEEPALIVE if line is None else line)
        await exchange.finish()
    finally:
        watching.cancel()
        run.abandon(record)


def _choose(record: SandboxRecord, context_id: str | None, language: str | None) -> CodeContext:
    if context_id and language:
        raise HttpError(400, "Only one of context_id or language can be provided", plain=True)
    if context_id:
        return record.contexts.find(context_id)
    return record.contexts.default(language_name(language))


async def _close_when_gone(exchange: Exchange, listener: Listener[bytes]) -> None:
    """Watches for the client to leave while a cell is silent: writing to it would be the only other sign."""
    await exchange.gone()
    listener.close()


class Run:
    """A cell under way, in a task of its own. It is interrupted when its client leaves before its end, as at E2B."""

    def __init__(self, context: CodeContext, code: str, envs: dict[str, str]) -> None:
        self.lines = Listener[bytes]()
        self._context = context
        self._code = code
        self._envs = envs
        self._begun = False
        self._task = asyncio.create_task(self._drive())

    def abandon(self, record: SandboxRecord) -> None:
        """Interrupts the cell if it still runs. To be called when the request is over, for whatever reason."""
        if self._task.done():
            return
        self.lines.close()
        if not self._begun:  # it waits for its turn: another client's cell runs, which must not be interrupted
            self._task.cancel()
            return
        record.background(self._interrupt(record))

    async def _interrupt(self, record: SandboxRecord) -> None:
        # A paused kernel cannot take a signal: its sandbox is thawed first.
        await record.running.wait()
        if not self._task.done():
            await self._context.interrupt()

    async def _drive(self) -> None:
        async with self._context.turn:
            self._begun = True
            async for line in self._cell_or_error():
                await self.lines.put(line)
                if len(line) > _MUCH:
                    await asyncio.sleep(0)  # a queue with room makes nobody wait, and so lets nobody else have a turn
        await self.lines.put(None)

    async def _cell_or_error(self) -> AsyncIterator[bytes]:
        try:
            async for line in self._cell():
                yield line
        except HttpError as error:
            yield error_line("ContextError", error.message)
            yield END
        except SandboxDead:
            pass  # the connection is being closed; the client asks for the sandbox's health and learns it
        except Exception:
            LOG.exception("a cell failed in the server")
            yield error_line("ServerError", "the local server failed while it ran this cell; its log says why")
            yield END

    async def _cell(self) -> AsyncIterator[bytes]:
        kernel = await self._context.kernel()
        async for event in kernel.execute(self._code, envs=self._envs or None):
            if event["type"] == "died":
                yield lines.died_line(str(event.get("reason") or ""), removed=self._context.removed)
            else:
                for piece in lines.pieces_of(event):
                    yield piece
