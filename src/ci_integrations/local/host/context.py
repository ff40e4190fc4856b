"""A context is one running interpreter in a sandbox, in any language; the host sees it as a stream of events.

It runs in the server's event loop and never blocks. Whatever comes out of the sandbox is hostile: frames are bounded
by `protocol/frames.py`, output and results by the sandbox's `Limits`. What exceeds a limit is counted, dropped and
announced.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping

from ci_integrations._names import SERVER_MARK
from ci_integrations.local.host import languages
from ci_integrations.local.host.control import Control
from ci_integrations.local.host.decoding import Decoder, decoder_of
from ci_integrations.local.host.output import Output
from ci_integrations.local.host.results import Event, result_event
from ci_integrations.local.protocol.contract import HOME, Child, Exit, Limits, Sandbox, SandboxDead, real_path
from ci_integrations.local.protocol.frames import Frame, encode

_SO_PASSRIGHTS = 83
"""An option of Linux 6.16, from <asm-generic/socket.h>: Python's socket module has no name for it."""
_FRAME_SLACK = 1 << 20
"""Bytes of a frame beside its result."""
_SMALL = 1 << 14
"""Bytes of a frame that is read also when the cell has had all of its results: it may be the cell's end."""
_LAST_SECONDS = 5.0
"""How long what an interpreter sent before its end may take to be read."""
MAX_RESULTS = 10_000
"""Displays and errors of one cell; what comes after is counted and dropped."""
_CLOSE_GRACE = 0.5
"""Seconds for an interpreter to exit after it has closed its control socket."""
_MORTAL = "ended by the interrupt: this language's kernel does not survive one"


async def open_context(
    sandbox: Sandbox,
    *,
    language: str = "python",
    cwd: str = HOME,
    envs: Mapping[str, str] | None = None,
) -> Context:
    """Starts an interpreter. `envs` are the context's own variables, on top of the sandbox's.

    Raises `languages.LanguageError` (its message names the package to install), `SandboxDead`, `EngineError`.
    """
    limits = sandbox.spec.limits
    language = languages.normalise(language)
    entry = languages.entry(language, cwd=real_path(cwd, sandbox.home), envs=dict(envs or {}), limits=limits)
    child = await sandbox.spawn(
        entry, envs=dict(envs or {}), address_space_limit=not languages.reserves_address_space(language)
    )
    return Context(child, decoder_of(sandbox), language=language, cwd=cwd, limits=limits)


class Context:
    """Is one interpreter, made by `open_context`. It runs one cell at a time: the caller holds a lock."""

    def __init__(self, child: Child, decoder: Decoder, *, language: str, cwd: str, limits: Limits) -> None:
        if child.control is None:
            raise ValueError("the child has no control socket")
        self.language = language
        self.cwd = cwd
        self.child = child
        self.died: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done, with the reason in plain words, once the interpreter is gone."""
        self._loop = asyncio.get_running_loop()
        self._socket = child.control
        with contextlib.suppress(OSError):  # Linux 6.16; descriptors that it passes are ours to close
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
        self._decoder = decoder
        self._closed = False
        self._limits = limits
        self._ids = itertools.count(1)
        self._running: int | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        """Done when the running cell is."""
        self._started = asyncio.Event()
        """Set when the interpreter has taken the cell, or the cell is over."""
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._output = Output(child.stdout, child.stderr, limits.output, self._wake.set)
        self._results = self._shown = self._dropped = 0
        self._reason: str | None = None
        self.exiting = False
        """Whether the code ended the interpreter (`exit()`): another cell needs another context."""
        self._interrupted = False
        self._control = Control(self._socket, self, limits.results + _FRAME_SLACK, decoder)
        child.exited.add_done_callback(self._on_exit)

    @property
    def alive(self) -> bool:
        """Returns whether the interpreter can run cells."""
        return not self.died.done()

    async def execute(
        self, code: str, *, envs: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> AsyncIterator[Event]:
        """Runs a cell; yields its events, the last of which is `done`.

        A caller that abandons the iterator leaves the cell running, and has to interrupt it. `timeout` (seconds)
        interrupts the cell; it then ends with an error, or with `died` if it does not stop.
        """
        if self._running is not None:
            await self.interrupt()
        self._begin()
        timer = None if timeout is None else self._loop.call_later(timeout, self._time_out, timeout)
        try:
            await self._ask({"id": self._running, "op": "execute", "code": code, "envs": dict(envs or {})})
            async for event in self._stream():
                yield event
        finally:
            if timer is not None:
                timer.cancel()
            self._output.end()
            self._events.clear()

    async def interrupt(self, grace: float = 2.0) -> str:
        """Stops the running cell by SIGINT, and after `grace` seconds by SIGKILL.

        Returns "interrupted" or "killed", whichever it took.
        """
        over, self._interrupted = self._over, True
        if self._running is None or not self.alive:
            return "interrupted" if self.alive else "killed"
        self._output.resume()  # a cell that waits for room in its pipe cannot handle the signal
        # Before the cell has started, a signal would meet an interpreter that is not ready for it.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._started.wait(), grace)
        await self._signal(signal.SIGINT)
        await asyncio.wait({over}, timeout=grace)
        if over.done():
            return "interrupted" if self.alive else "killed"
        await self.kill(f"killed: it did not stop within {grace:g} s of being interrupted")
        return "killed"

    async def kill(self, reason: str) -> None:
        """Kills the interpreter and its process group; `reason` is what `died` will say."""
        self._reason = self._reason or reason
        await self._signal(signal.SIGKILL)
        # shield: a caller's cancellation must not cancel the future that everybody else waits for.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.died), 5)
        self._die(self._reason)

    async def close(self) -> None:
        """Ends the interpreter and closes its descriptors. It may be called again, and after a death."""
        if self.alive:
            await self.kill("closed")
        self._output.close()
        await self._control.closed()
        self.child.close()
        if not self._closed:
            self._closed = True
            self._decoder.release()

    def _begin(self) -> None:
        """Forgets the last cell and starts to count for a new one."""
        self._running = next(self._ids)
        self._over = self._loop.create_future()
        self._started.clear()
        self._events.clear()
        self._output.begin()
        self._interrupted = False
        self._results = self._shown = self._dropped = 0

    async def _ask(self, message: Frame) -> None:
        """Sends the request for a cell; a dead interpreter answers at once with `died`."""
        if not self.alive:
            self._push_death(self.died.result())
            return
        with contextlib.suppress(OSError):  # it is dying: its exit will be the event
            await self._loop.sock_sendall(self._socket, encode(message))

    async def _stream(self) -> AsyncIterator[Event]:
        """The events of the running cell, in the order in which they came."""
        while True:
            while self._events:
                event = self._events.popleft()
                yield event
                if event["type"] == "done":
                    return
            for event in self._output.take():
                yield event
            if not self._events:
                await self._wait()

    async def _wait(self) -> None:
        """Waits until there is an event; small output is gathered for a moment first."""
        self._wake.clear()
        if self._events:
            return
        pause = self._output.pause()
        if pause is None:
            await self._wake.wait()
        elif pause > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    def _time_out(self, seconds: float) -> None:
        # Kept as an attribute: the loop has weak references only, and a task may be collected before it ends.
        self._timed_out = self._loop.create_task(self.interrupt())

    async def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, SandboxDead):
            await self.child.signal(number, group=True)

    def on_broken(self, reason: str) -> None:
        """Kills an interpreter that broke the protocol: nothing that it says can be used any more."""
        self._ending = self._loop.create_task(self.kill(f"killed: {reason}"))

    def on_hang_up(self) -> None:
        """Handles that the interpreter's end is closed. Usually it exits; otherwise it can never answer again."""
        self._ending = self._loop.create_task(self._expect_exit())

    async def _expect_exit(self) -> None:
        await asyncio.wait({self.died}, timeout=_CLOSE_GRACE)
        if self.alive:
            await self.kill("killed: it closed its control socket")

    def is_beyond_limits(self, size: int) -> bool:
        """Returns whether a frame of `size` bytes is left out, unread, because the cell has had all of its results."""
        if size <= _SMALL or self._results + size <= self._limits.results:
            return False
        self._results += size
        self._dropped += 1
        return True

    def take(self, frame: Frame, size: int) -> None:
        """Takes one frame. One that cannot come from an interpreter of ours ends it: user code shares its socket."""
        kind, begun = frame.get("type"), self._started.is_set()
        if self._running is None or frame.get("id") != self._running:
            self._refuse("a message of a cell that does not run")
        elif kind == "started" and not begun:
            self._started.set()
            self._push({"type": "started", "execution_count": _integer(frame.get("execution_count"))})
        elif kind not in ("done", "display", "error", "truncated"):
            self._refuse("a second start of a cell" if kind == "started" else "a message of no known kind")
        elif not begun:
            self._refuse("a message of a cell that had not started")
        elif kind == "done":
            self._finish()
            if frame.get("exiting") is True:
                self.exiting = True
                self._reason = "the code ended the interpreter"
        else:
            self._on_result(frame, size)

    def _refuse(self, what: str) -> None:
        """Ends an interpreter that sent what none of ours sends."""
        self._control.close()
        self.on_broken(f"code in it sent {what}")

    def _on_result(self, frame: Frame, size: int) -> None:
        """Takes a result, or counts it when the cell has had too many or too large ones."""
        self._results += size
        self._shown += 1
        if frame["type"] == "truncated" or self._results > self._limits.results or self._shown > MAX_RESULTS:
            self._dropped += 1
            return
        self._output.drain()  # what was printed before it comes before it
        event = frame if "line" in frame else result_event(frame)
        if event is not None:
            self._push(event)

    def _finish(self) -> None:
        """Ends a cell whose interpreter has said `done`: output first, then what was left out."""
        self._output.drain()
        self._events.extend(self._output.take(final=True))
        self._announce_cuts()
        self._end_cell()

    def _announce_cuts(self) -> None:
        """Tells on stderr what was left out of output and results."""
        for text in self._output.cut(), self._cut_results():
            if text:
                self._push({"type": "stderr", "text": text, "timestamp": self._output.now()})

    def _cut_results(self) -> str:
        if not self._dropped:
            return ""
        return f"{SERVER_MARK}results truncated after {self._limits.results} bytes: {self._dropped} left out\n"

    def _push(self, event: Event) -> None:
        """Adds an event, after the output that came before it."""
        self._events.extend(self._output.take(everything=True))
        self._events.append(event)
        self._wake.set()

    def _push_death(self, reason: str) -> None:
        self._push({"type": "died", "reason": reason})
        self._end_cell()

    def _end_cell(self) -> None:
        """Adds `done`, whichever way the cell has ended, and lets `interrupt` go on."""
        self._started.set()
        self._push({"type": "done"})
        self._running = None
        self._over.set_result(None)

    def _on_exit(self, exited: asyncio.Future[Exit]) -> None:
        """Handles the end of the process. What it has sent before that is read first."""
        if not self.alive or exited.cancelled():
            return
        end = Exit(reason="the sandbox is gone") if exited.exception() else exited.result()
        self._ending = self._loop.create_task(self._end(end))

    async def _end(self, end: Exit) -> None:
        """Ends the context of a process that has ended, when what it sent before that is read."""
        await self._control.finish(_LAST_SECONDS)
        self._output.drain()
        by_interrupt = self._interrupted and end.signal == signal.SIGINT
        self._die(end.reason or self._reason or (_MORTAL if by_interrupt else _describe(end)))

    def _die(self, reason: str) -> None:
        """Ends the context. A running cell ends with `died`."""
        if not self.alive:
            return
        self._control.close()
        self.died.set_result(reason)
        if self._running is not None:
            self._announce_cuts()
            self._push_death(reason)


def _integer(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else 0  # what JavaScript's numbers hold exactly


def _describe(exit: Exit) -> str:
    """How a process ended, in words for people."""
    if exit.signal is None:
        return f"exited with code {exit.code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(exit.signal).name}"
    return f"killed by signal {exit.signal}"
