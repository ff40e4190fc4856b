"""The server on port 49999 of a sandbox of the kind `jupyter`: E2B's `/execute` and `/contexts`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from ci_integrations.local.guest.service import bodies, rest
from ci_integrations.local.guest.service.contexts import ContextError, Contexts, language_name
from ci_integrations.local.protocol.lines import END

PORT: Final = 49999
_START_SECONDS: Final = 60.0
_HOME: Final = "/home/user"
_MOST: Final = 1 << 30
"""Bytes of a request: the sandbox's memory ends before."""


def main(_control: socket.socket, config: dict[str, dict[str, str]]) -> None:
    """Serves for ever. `config["envs"]` are the sandbox's variables. It listens when the default context is ready."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    asyncio.run(_serve(config["envs"]))


async def _serve(envs: dict[str, str]) -> None:
    await rest.wait_until_it_answers(_START_SECONDS)
    contexts = Contexts(envs)
    await contexts.start()
    routes = [
        (r"/health", Health),
        (r"/execute", Execute),
        (r"/contexts", AllContexts),
        (r"/contexts/([^/]+)", OneContext),
        (r"/contexts/([^/]+)/restart", Restart),
    ]
    handlers = [(path, handler, {"contexts": contexts}) for path, handler in routes]
    application = Application(handlers, default_handler_class=Unknown, default_handler_args={"contexts": contexts})
    HTTPServer(application, max_body_size=_MOST, max_buffer_size=_MOST).listen(PORT)
    await asyncio.Event().wait()


class Handler(RequestHandler):
    """Answers as a FastAPI application does: JSON, or plain text for errors of the service's own."""

    def initialize(self, contexts: Contexts) -> None:
        self.contexts = contexts

    def compute_etag(self) -> None:
        """Returns none: E2B's server has no such header."""

    def set_default_headers(self) -> None:
        self.clear_header("Content-Type")
        if "Origin" in self.request.headers:
            self.set_header("Access-Control-Allow-Origin", "*")

    def reply(self, value: object, status: int = 200) -> None:
        """Sends JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))

    def reply_text(self, text: str, status: int) -> None:
        """Sends plain text."""
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(text)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code in (404, 405):
            self.reply({"detail": self._reason}, status_code)
        else:
            self.reply_text("Internal Server Error", 500)

    async def answer(self, work: Callable[[], Awaitable[object]]) -> None:
        """Does the work and sends its value, or the error that it raises."""
        try:
            self.reply(await work())
        except bodies.BodyError as error:
            self.reply({"detail": [error.detail]}, 422)
        except ContextError as error:
            self.reply_text(str(error), error.status)


class Unknown(Handler):
    async def prepare(self) -> None:
        self.reply({"detail": "Not Found"}, 404)


class Health(Handler):
    def get(self) -> None:
        self.reply("OK")


class AllContexts(Handler):
    def get(self) -> None:
        self.reply(self.contexts.all())

    async def post(self) -> None:
        await self.answer(self._create)

    async def _create(self) -> object:
        body = bodies.read(self.request.body)
        language, cwd = bodies.text(body, "language"), bodies.text(body, "cwd")
        made = await self.contexts.create(language_name(language), cwd or _HOME)
        return made.as_json()


class OneContext(Handler):
    async def delete(self, context_id: str) -> None:
        await self.answer(lambda: self.contexts.remove(context_id))


class Restart(Handler):
    async def post(self, context_id: str) -> None:
        await self.answer(lambda: self.contexts.restart(context_id))


class Execute(Handler):
    """Streams the lines of a cell. When the client goes, the work is cancelled, which interrupts the kernel."""

    _work: asyncio.Task[None] | None = None

    async def post(self) -> None:
        self._work = asyncio.create_task(self._stream())
        with contextlib.suppress(asyncio.CancelledError):
            await self._work

    def on_connection_close(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def _stream(self) -> None:
        try:
            body = bodies.read_cell(self.request.body)
            connection = await self.contexts.choose(body.context_id, body.language)
        except bodies.BodyError as error:
            self.reply({"detail": [error.detail]}, 422)
            return
        except ContextError as error:
            self.reply_text(str(error), error.status)
            return
        try:
            await self.flush()
            async with contextlib.aclosing(connection.execute(body.code, body.env_vars)) as lines:
                async for line in lines:
                    await self._say(line)
            self.finish(END)
        except StreamClosedError:
            pass  # the client has gone; closing the generator has interrupted the kernel
        except Exception:  # noqa: BLE001 - the status has been sent: what is left is to break off, as E2B's server does
            self.detach().close()

    async def _say(self, line: bytes) -> None:
        self.write(line)
        await self.flush()
