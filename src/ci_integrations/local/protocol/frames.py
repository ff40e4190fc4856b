"""Frames carry messages between the host and a driver in a sandbox.

A frame is 4 bytes of length, big-endian, and then one JSON object in ASCII.

Both ends use this file. What the host reads was written by hostile code, so length, depth and kind are checked before
a field is looked at. A frame that fails a check raises `FrameError`, and the host kills the context.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
from collections.abc import Iterator
from typing import Any

Frame = dict[str, Any]

MAX_DEPTH = 200
"""Levels of lists and objects in a frame."""
MAX_JSON_DEPTH = 128
"""Levels of a JSON result: the kernel leaves out deeper ones, so that a frame with it stays below `MAX_DEPTH`."""
MAX_VALUES = 1_000_000
"""Values in a frame's lists and objects: each takes up to a hundred times more memory than bytes on the wire."""
LONGEST_WHOLE = 1 << 20
"""Bytes of the longest frame that a `FrameReader` hands out whole."""
_CHEAP = 20_000
"""Commas and brackets of a frame that is decoded within a few milliseconds, whatever else it holds."""
_HEADER = 4
# Possessive (Python 3.11): without it a string that never ends makes the engine try every place to backtrack to.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_ENCODER = json.JSONEncoder(separators=(",", ":"))
# Python's json reads NaN and Infinity, which are no JSON; browsers and pydantic's parser would refuse them later.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


class FrameError(Exception):
    """The other side broke the protocol; the message says how."""


def encode(message: Frame) -> bytes:
    """Returns `message` as a frame. Raises TypeError, ValueError or RecursionError when it is not JSON.

    NaN and infinities pass here; `decode` reads them as null.
    """
    body = _ENCODER.encode(message).encode("ascii")
    return len(body).to_bytes(_HEADER, "big") + body


def decode(body: bytes | bytearray) -> Frame:
    """Returns one frame's object; NaN and infinities become null. Raises FrameError."""
    if has_many_values(body):
        raise FrameError(f"a frame holds more than {MAX_VALUES} values")
    try:
        message = _DECODER.decode(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame is not JSON ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise FrameError("a frame is not an object")
    if not shallow(message, MAX_DEPTH, brackets=body.count(b"[") + body.count(b"{")):
        raise FrameError(f"a frame is nested deeper than {MAX_DEPTH}")
    return message


def has_many_values(body: bytes | bytearray) -> bool:
    """Returns whether JSON text holds more than `MAX_VALUES` values; found out without making them."""
    # An upper bound first, at the speed of memchr; commas inside strings are taken out only when it is exceeded.
    if _most_values(body) <= MAX_VALUES:
        return False
    return _most_values(_STRING.sub(b"", body)) > MAX_VALUES


def is_cheap(body: bytes | bytearray) -> bool:
    """Returns whether `body` can be decoded at once without keeping others waiting: pictures and texts can."""
    return len(body) <= LONGEST_WHOLE and _most_values(body) <= _CHEAP


def _most_values(body: bytes | bytearray) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def shallow(value: object, depth: int, *, brackets: int | None = None) -> bool:
    """Returns whether `value` has at most `depth` levels of lists and objects.

    `brackets`: how many lists and objects it can have at most, if that is known.
    """
    if brackets is not None and brackets <= depth:
        return True
    # Level by level: a recursive walk would end at Python's recursion limit, which is what hostile depth aims at.
    level = [value]
    for _ in range(depth):
        level = [child for item in level for child in _children(item)]
        if not level:
            return True
    return False


def _children(value: object) -> list[object]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [child for child in inner if isinstance(child, (dict, list, tuple))]


class FrameReader:
    """Cuts a byte stream into the bodies of frames. A long frame is only announced: its reader fetches it by itself.

    It holds at most one unfinished frame of `LONGEST_WHOLE` bytes, beside what is fed at once.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._buffer = bytearray()
        self.long = 0
        """Bytes of the long frame that comes next: `take_long` has what is there of it. 0 when there is none."""

    def feed(self, data: bytes) -> None:
        """Takes the stream's next bytes."""
        self._buffer += data

    def bodies(self) -> Iterator[bytes]:
        """Yields the body of every frame that is complete; stops at a long one. Raises FrameError.

        It may be left and called again: nothing is yielded twice.
        """
        while not self.long and len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[:_HEADER], "big")
            if length > self._max:  # by its header, before a byte of it is kept
                raise FrameError(f"a frame of {length} bytes is longer than the limit of {self._max}")
            end = _HEADER + length
            if length > LONGEST_WHOLE:
                self.long = length
                del self._buffer[:_HEADER]
            elif len(self._buffer) < end:
                return
            else:
                body = bytes(self._buffer[_HEADER:end])
                del self._buffer[:end]  # a bytearray gives its front away without moving the rest
                yield body

    def take_long(self) -> bytes:
        """Returns what has come of the long frame, and goes on behind it: the rest is the caller's to read."""
        part = bytes(self._buffer[: self.long])
        del self._buffer[: self.long]
        self.long = 0
        return part


class Channel:
    """Is a driver's end of the control socket. It blocks, and only the process that made it may send.

    A child that user code forks inherits the socket. It must not answer for the kernel, so its sends do nothing.
    """

    def __init__(self, control: socket.socket) -> None:
        control.settimeout(None)
        self.socket = control
        self._pid = os.getpid()
        self.sending = False
        """True while a frame is being sent: a signal handler must not raise then, or half a frame stays behind."""

    @property
    def mine(self) -> bool:
        """Returns whether this process made the channel."""
        return os.getpid() == self._pid

    def send(self, message: Frame) -> None:
        """Sends one frame. Raises what `encode` raises, and OSError when the host has gone."""
        self.send_bytes(encode(message))

    def send_bytes(self, frame: bytes) -> None:
        """Sends a frame that is encoded already."""
        if not self.mine:
            return
        self.sending = True
        try:
            self.socket.sendall(frame)
        finally:
            self.sending = False

    def receive(self) -> Frame | None:
        """Waits for the next frame; None when the host has gone."""
        return receive(self.socket)

    def waiting(self) -> bool:
        """Returns whether something can be read without waiting."""
        return bool(select.select([self.socket], [], [], 0)[0])


def receive(end: socket.socket) -> Frame | None:
    """Returns the next frame from a blocking socket whose other end is trusted; None when the other end has gone."""
    header = exactly(end, _HEADER)
    body = None if header is None else exactly(end, int.from_bytes(header, "big"))
    return None if body is None else decode(body)


def exactly(end: socket.socket, count: int) -> bytes | None:
    """Returns the next `count` bytes from a blocking socket; None when the other end has gone before."""
    data = bytearray()
    while len(data) < count:
        chunk = end.recv(min(count - len(data), 1 << 20))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Writes all of `data` to a blocking descriptor: write(2) may take a part of it when a signal comes in between."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
