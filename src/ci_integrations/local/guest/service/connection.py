"""One context's connection: requests go to a kernel over jupyter-server's websocket, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Final

from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from ci_integrations.local.guest.service import messages, rest, variables
from ci_integrations.local.guest.service.messages import Execution
from ci_integrations.local.protocol.lines import KEEPALIVE, KEEPALIVE_SECONDS

_RECONNECTS: Final = 3
_OPEN_SECONDS: Final = 10.0
"""How long a websocket may take to open when it was lost: a kernel that starts, or that is gone, makes it wait."""
_FIRST_SECONDS: Final = 30.0
"""The same for a new context: E2B's server has 10 here, too, and machines that tests run on are slower."""
_CLOSE_SECONDS: Final = 10.0
_LARGEST: Final = 1 << 30
"""Bytes of one message: the sandbox's memory ends before."""
_FOLDERS: Final = {
    "python": "%cd {}",
    "javascript": "process.chdir('{}')",
    "typescript": "process.chdir('{}')",
    "r": "setwd('{}')",
    "bash": "cd '{}'",
}


class Connection:
    """Sends cells to the kernel of one context and collects the answers.

    `everywhere`: the sandbox's own variables. They are set before the first cell that goes through this connection.
    """

    def __init__(self, kernel: str, session: str, language: str, cwd: str, everywhere: Mapping[str, str]) -> None:
        self.kernel = kernel
        self.session = session
        self.language = language
        self.cwd = cwd
        self._everywhere = everywhere
        self._furnished = False
        self._socket: WebSocketClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._cleaning: asyncio.Task[None] | None = None
        self._executions: dict[str, Execution] = {}
        self._turn = asyncio.Lock()

    def as_json(self) -> dict[str, str]:
        """Returns the context as `/contexts` shows it."""
        return {"id": self.kernel, "language": self.language, "cwd": self.cwd}

    async def open(self, within: float = _FIRST_SECONDS) -> None:
        """Connects. Raises TimeoutError after `within` seconds, OSError and tornado's HTTPClientError."""
        url = f"{rest.WEBSOCKETS}/api/kernels/{self.kernel}/channels"
        opening = websocket_connect(url, ping_interval=20, ping_timeout=20, max_message_size=_LARGEST)
        self._socket = await asyncio.wait_for(opening, within)
        self._reading = asyncio.create_task(self._read(self._socket))

    async def close(self) -> None:
        """Disconnects. Requests under way end with two errors."""
        if self._socket is not None:
            self._socket.close()
        if self._reading is not None:
            await asyncio.wait((self._reading,), timeout=_CLOSE_SECONDS)
            self._reading.cancel()
        if self._cleaning is not None:
            self._cleaning.cancel()

    async def _read(self, source: WebSocketClientConnection) -> None:
        try:
            while (text := await source.read_message()) is not None:
                self._take(json.loads(text))
        finally:
            for execution in self._executions.values():
                execution.cut()

    def _take(self, message: messages.Message) -> None:
        if messages.is_restart(message):
            messages.tell_of_a_restart(self._executions.values())
            return
        execution = self._executions.get(message["parent_header"].get("msg_id", ""))
        if execution is not None:
            messages.deliver(message, execution)

    async def enter_folder(self) -> None:
        """Makes `cwd` the kernel's directory. One that is not there is no error: the kernel stays where it is."""
        if self.language in _FOLDERS:
            async for _ in self._run_silently(_FOLDERS[self.language].format(self.cwd)):
                pass

    async def execute(self, code: str, envs: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Runs a cell and yields its lines, without the last one.

        It waits for its turn. A caller that closes it early has the kernel interrupted. The answer breaks off with a
        TimeoutError, OSError or HTTPClientError when the connection is lost and cannot be made again.
        """
        async with self._turn:
            await self._cleaned()
            execution, number = Execution(), str(uuid.uuid4())
            self._executions[number] = execution
            try:
                await self._send_or_say(execution, number, self._complete(code, envs))
                async for line in _lines(execution):
                    yield line
            except (asyncio.CancelledError, GeneratorExit):
                await asyncio.shield(asyncio.ensure_future(self._interrupt()))
                raise
            finally:
                self._executions.pop(number, None)
            if envs:
                self._cleaning = asyncio.create_task(self._clean(envs))

    def _complete(self, code: str, envs: Mapping[str, str]) -> str:
        everywhere = "" if self._furnished else variables.setting(self.language, self._everywhere)
        self._furnished = True
        return variables.before(code, everywhere, variables.setting(self.language, envs))

    async def _send_or_say(self, execution: Execution, number: str, code: str) -> None:
        for left in reversed(range(1 + _RECONNECTS)):
            try:
                await self._send(number, code, silent=False)
                return
            except WebSocketClosedError:
                if left:
                    await self._reconnect()
        execution.put(messages.NOT_SENT, messages.UNEXPECTED, None)

    async def _reconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._reading is not None:
            await self._reading
        await self.open(_OPEN_SECONDS)

    async def _send(self, number: str, code: str, *, silent: bool) -> None:
        if self._socket is None:
            raise WebSocketClosedError
        header = {
            "msg_id": number,
            "username": "e2b",
            "session": self.session,
            "msg_type": "execute_request",
            "version": "5.3",
            "date": datetime.now(UTC).isoformat(),
        }
        content = {"code": code, "silent": silent, "store_history": True, "user_expressions": {}}
        content |= {"stop_on_error": True, "allow_stdin": False}
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self._socket.write_message(json.dumps(request))

    async def _run_silently(self, code: str) -> AsyncGenerator[bytes, None]:
        execution, number = Execution(silent=True), str(uuid.uuid4())
        self._executions[number] = execution
        try:
            await self._send(number, code, silent=True)
            async for line in _lines(execution):
                yield line
        finally:
            self._executions.pop(number, None)

    async def _clean(self, envs: Mapping[str, str]) -> None:
        code = variables.resetting(self.language, envs, self._everywhere)
        if code:
            async for _ in self._run_silently(code):
                pass

    async def _cleaned(self) -> None:
        """Waits until the variables of the cell before are gone. It fails only for its own cell."""
        if self._cleaning is not None and not self._cleaning.done():
            with contextlib.suppress(Exception):
                await self._cleaning
            self._cleaning = None

    async def _interrupt(self) -> None:
        with contextlib.suppress(Exception):  # the client has gone: nobody to tell
            await rest.call("POST", f"/api/kernels/{self.kernel}/interrupt")


async def _lines(execution: Execution) -> AsyncGenerator[bytes, None]:
    """The lines of an execution, with one that says nothing after each silence."""
    while True:
        try:
            line = await asyncio.wait_for(execution.lines.get(), KEEPALIVE_SECONDS)
        except TimeoutError:
            yield KEEPALIVE
            continue
        if line is None:
            return
        yield line
