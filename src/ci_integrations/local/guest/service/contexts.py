"""The contexts of one sandbox: kernels of jupyter-server, each with a connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections import defaultdict
from collections.abc import Mapping

from ci_integrations.local.guest.service import rest
from ci_integrations.local.guest.service.connection import Connection

_HOME = "/home/user"
_ALIASES = {"": "python", "js": "javascript", "ts": "typescript"}


class ContextError(Exception):
    """The answer to a request about contexts is an error: a status, and plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def language_name(language: str | None) -> str:
    """Returns the one name of a language. A name that is not known stays as it is."""
    name = (language or "").lower().strip()
    return _ALIASES.get(name, name)


class Contexts:
    """All contexts by id, and the default one of each language."""

    def __init__(self, everywhere: Mapping[str, str]) -> None:
        self._everywhere = everywhere
        self._by_id: dict[str, Connection] = {}
        self._defaults: dict[str, str] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> None:
        """Makes the default context, which cells use that name neither a context nor a language."""
        self._first = await self.create("python", _HOME)
        self._defaults["python"] = self._first.kernel

    def all(self) -> list[dict[str, str]]:
        """Returns what `/contexts` shows."""
        return [connection.as_json() for connection in self._by_id.values()]

    async def create(self, language: str, cwd: str) -> Connection:
        """Starts a kernel and connects to it. Raises ContextError, in E2B's words, and as `Connection.open`."""
        asked = {
            "path": str(uuid.uuid4()),
            "kernel": {"name": "javascript" if language == "typescript" else language},
            "type": "notebook",
            "name": str(uuid.uuid4()),
        }
        answer = await rest.call("POST", "/api/sessions", asked)
        if answer.code >= 300:
            raise ContextError(500, f"Failed to create context: {answer.body.decode(errors='replace')}")
        made = json.loads(answer.body)
        connection = Connection(made["kernel"]["id"], made["id"], language, cwd, self._everywhere)
        await connection.open()
        self._by_id[connection.kernel] = connection
        await connection.enter_folder()
        return connection

    async def choose(self, context_id: str | None, language: str | None) -> Connection:
        """Returns the context for a cell. Raises ContextError."""
        if context_id and language:
            raise ContextError(400, "Only one of context_id or language can be provided")
        if context_id:
            return self._find(context_id)
        return await self._default(language_name(language)) if language else self._live_first()

    def _live_first(self) -> Connection:
        # A restart puts a new connection in its place; one that was removed is still used, at E2B too.
        return self._by_id.get(self._first.kernel, self._first)

    async def _default(self, language: str) -> Connection:
        async with self._making[language]:
            if language not in self._defaults:
                self._defaults[language] = (await self.create(language, _HOME)).kernel
            return self._find(self._defaults[language])

    def _find(self, context_id: str) -> Connection:
        if context_id not in self._by_id:
            raise ContextError(404, f"Context {context_id} not found")
        return self._by_id[context_id]

    async def restart(self, context_id: str) -> None:
        """Disconnects, has the kernel restarted, and connects again. Raises ContextError, and as `Connection.open`."""
        before = self._find(context_id)
        await before.close()
        answer = await rest.call("POST", f"/api/kernels/{context_id}/restart")
        if answer.code >= 300:
            raise ContextError(500, f"Failed to restart context {context_id}")
        connection = Connection(context_id, before.session, before.language, before.cwd, self._everywhere)
        await connection.open()
        self._by_id[context_id] = connection

    async def remove(self, context_id: str) -> None:
        """Ends a kernel. Raises ContextError."""
        connection = self._find(context_id)
        with contextlib.suppress(Exception):
            await connection.close()
        answer = await rest.call("DELETE", f"/api/kernels/{context_id}")
        if answer.code >= 300:
            raise ContextError(500, f"Failed to remove context {context_id}")
        del self._by_id[context_id]
