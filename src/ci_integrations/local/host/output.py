"""Drains, bounds and decodes stdout and stderr of a context. Only `context` uses it.

The first output of a cell is handed on at once. After that, output is gathered for a few milliseconds, so that a
hundred thousand prints become a few hundred events, and megabytes a few big ones.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from ci_integrations._names import SERVER_MARK
from ci_integrations.local.protocol.frames import Frame

_READ = 1 << 18
_PIPE = 1 << 20
"""Bytes that a pipe holds, up to /proc/sys/fs/pipe-max-size: a cell waits less often for us to read."""
_GATHER = 0.02
"""Seconds between two events of the same stream, unless `_ENOUGH` bytes are there before."""
_FIRST = 0.002
"""Seconds to wait with the first whole line. `print` writes its text and the line end one after the other: text that
does not end a line waits for `_GATHER`, so that the two stay together on a busy machine."""
_ENOUGH = 1 << 18
_FULL = 8 << 20
"""Bytes not yet handed on before reading stops: a slow consumer slows the cell down instead of filling memory."""
_DRIBBLE = 4096
_REST = 0.003
"""Seconds without reading after a small read of less than `_DRIBBLE` bytes: a loop of prints must not wake us for
each of them."""


class _Stream:
    """Holds one pipe, and what was read from it and not yet handed on."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.open = True
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.parts: list[bytes] = []
        with contextlib.suppress(OSError):  # EPERM: the user's pipes have used up pipe-user-pages-soft
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE)


class Output:
    """Reads both pipes of one child. `wake()` is called when there is something to `take()`."""

    def __init__(self, stdout: int, stderr: int | None, limit: int, wake: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams = [_Stream("stdout", stdout)]
        if stderr is not None:
            self._streams.append(_Stream("stderr", stderr))
        self._limit = limit
        self._wake = wake
        self._kept = self._dropped = self._pending = 0
        self._told = self._since = 0.0
        self._whole = True
        self._reading = False
        self._rest: asyncio.TimerHandle | None = None
        self.quiet = True
        """True between cells: output is dropped then, as it belongs to no cell."""
        self.resume()

    def begin(self) -> None:
        """Starts a cell. Output that came before it is dropped."""
        self.quiet = True
        self.drain()
        self.quiet = False
        self._kept = self._dropped = self._pending = 0
        self._told = 0.0
        for stream in self._streams:
            stream.decoder.reset()
            stream.parts.clear()
        self.resume()

    def end(self) -> None:
        """Ends a cell, or its caller has gone: output is read and dropped from now on."""
        self.quiet = True
        self._pending = 0
        for stream in self._streams:
            stream.parts.clear()
        self.resume()

    def resume(self) -> None:
        """Reads again, after a pause."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._reading:
            return
        self._reading = True
        for stream in self._streams:
            if stream.open:
                self._loop.add_reader(stream.fd, self._on_readable, stream)

    def _pause_reading(self) -> None:
        self._reading = False
        for stream in self._streams:
            self._loop.remove_reader(stream.fd)

    def _on_readable(self, stream: _Stream) -> None:
        """Reads once; pauses when enough waits to be taken, or when output comes in small pieces."""
        count = self._read(stream)
        if self._pending >= _FULL:
            self._pause_reading()
        elif 0 < count < _DRIBBLE:
            self._pause_reading()
            self._rest = self._loop.call_later(_REST, self.resume)

    def _read(self, stream: _Stream) -> int:
        """Reads once. Returns how many bytes; 0 when there is no more."""
        try:
            data = os.read(stream.fd, _READ)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: a terminal whose processes are gone
            data = b""
        if not data:
            self._end(stream)
            return 0
        if not self.quiet:
            self._keep(stream, data)
        return len(data)

    def _end(self, stream: _Stream) -> None:
        stream.open = False
        self._loop.remove_reader(stream.fd)

    def _keep(self, stream: _Stream, data: bytes) -> None:
        """Keeps data up to the limit of the cell, counts the rest, and wakes the context."""
        room = max(self._limit - self._kept, 0)
        kept = data if len(data) <= room else data[:room]
        self._dropped += len(data) - len(kept)
        if not kept:
            return
        if not self._pending:
            self._since = self._loop.time()
        stream.parts.append(kept)
        self._whole = kept.endswith(b"\n")
        self._kept += len(kept)
        self._pending += len(kept)
        if self._pending == len(kept) or self._pending >= _ENOUGH:
            self._wake()

    def drain(self) -> None:
        """Reads what is there now: at most what the pipes can hold, so that an endless writer cannot keep us."""
        for stream in self._streams:
            left = 2 * _PIPE
            while stream.open and left > 0 and (count := self._read(stream)):
                left -= count

    def pause(self) -> float | None:
        """Returns seconds to go on gathering; 0 or less when it is time to `take()`, None when there is nothing."""
        if not self._pending:
            return None
        if self._pending >= _ENOUGH:
            return 0.0
        first = _FIRST if self._whole else _GATHER
        return max(self._told + _GATHER, self._since + first) - self._loop.time()

    def take(self, *, everything: bool = False, final: bool = False) -> list[Frame]:
        """Returns the events that are due now; each has a few hundred kilobytes at most.

        With `everything`, output that is still being gathered is due; with `final`, also half a character at the end.
        """
        if not final and not self._due(everything=everything):
            return []
        self.drain()
        self._pending = 0
        self._told = self._loop.time()
        events = [
            {"type": stream.name, "text": text, "timestamp": self.now()}
            for stream in self._streams
            for text in _texts(stream, final=final)
        ]
        if not self._reading and self._rest is None:
            self.resume()
        return events

    def _due(self, *, everything: bool) -> bool:
        pause = self.pause()
        return pause is not None and (everything or pause <= 0)

    def cut(self) -> str:
        """Returns the text that announces what was left out; empty when nothing was."""
        if not self._dropped:
            return ""
        return f"\n{SERVER_MARK}output truncated after {self._limit} bytes: {self._dropped} bytes left out\n"

    def now(self) -> str:
        """Returns the time of an event, as the reference writes it."""
        return datetime.now(UTC).isoformat()

    def close(self) -> None:
        """Stops reading. The descriptors belong to the child."""
        self.quiet = True
        if self._rest is not None:
            self._rest.cancel()
        self._pause_reading()


def _texts(stream: _Stream, *, final: bool) -> Iterator[str]:
    """Takes what was read from a stream as texts, each of them short enough to be written at once."""
    gathered = bytearray()
    for part in stream.parts:
        gathered += part
        if len(gathered) >= _ENOUGH:
            yield _unmarked(stream.decoder.decode(bytes(gathered)))
            gathered.clear()
    stream.parts.clear()
    if text := _unmarked(stream.decoder.decode(bytes(gathered), final)):
        yield text


def _unmarked(text: str) -> str:
    """Code must not be able to print a line that is the server's own."""
    return text if text.isascii() else text.replace(SERVER_MARK, "")
