"""How the host and a driver inside the sandbox talk: 4 bytes of length, big-endian, then one JSON object in ASCII.

Both ends use this file. What the host reads here was written by hostile code, so length, depth and kind are checked
before anybody looks at a field; what does not hold raises `FrameError` and the context is killed.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 200
"""Of nested lists and objects in a frame. The kernel leaves out JSON results deeper than `MAX_JSON_DEPTH`."""
MAX_JSON_DEPTH = 128
MAX_VALUES = 1_000_000
"""In a frame's lists and objects: each takes up to a hundred times more memory than bytes on the wire."""
_HEADER = 4
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


class FrameError(Exception):
    """The other side broke the protocol; the message says how."""


def encode(message: dict[str, Any]) -> bytes:
    """Raises TypeError, ValueError or RecursionError when `message` is not JSON. NaN may pass; `decode` reads null."""
    body = _ENCODER.encode(message).encode("ascii")
    return len(body).to_bytes(_HEADER, "big") + body


def decode(body: bytes | bytearray) -> dict[str, Any]:
    """One frame's object; NaN and infinities become null. Raises FrameError."""
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
    """Whether JSON text holds more than `MAX_VALUES` values; found out without making them."""
    if _most_values(body) <= MAX_VALUES:
        return False
    return _most_values(_STRING.sub(b"", body)) > MAX_VALUES


def _most_values(body: bytes | bytearray) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def shallow(value: Any, depth: int, *, brackets: int | None = None) -> bool:
    """Whether `value` has at most `depth` levels of lists and objects. `brackets`: how many it can have at most."""
    if brackets is not None and brackets <= depth:
        return True
    level = [value]
    for _ in range(depth):
        level = [child for item in level for child in _children(item)]
        if not level:
            return True
    return False


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [child for child in value.values() if isinstance(child, (dict, list, tuple))]
    if isinstance(value, (list, tuple)):
        return [child for child in value if isinstance(child, (dict, list, tuple))]
    return []


class FrameReader:
    """Cuts a byte stream into frames. Holds at most one unfinished frame of `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
        """Every frame that `data` completes, with its size in bytes. Raises FrameError."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _HEADER:
            length = int.from_bytes(self._buffer[start : start + _HEADER], "big")
            if length > self._max:
                raise FrameError(f"a frame of {length} bytes is longer than the limit of {self._max}")
            end = start + _HEADER + length
            if len(self._buffer) < end:
                break
            body = self._buffer[start + _HEADER : end]
            start = end
            yield decode(body), length
        del self._buffer[:start]


class Channel:
    """A driver's end of the control socket. Blocking; only the process that made it may send.

    A child forked by user code inherits the socket: it must not answer for the kernel, so its sends do nothing.
    """

    def __init__(self, control: socket.socket) -> None:
        control.settimeout(None)
        self.socket = control
        self._pid = os.getpid()
        self.sending = False
        """A signal handler must not raise while this is true: half a frame would be left behind."""

    @property
    def mine(self) -> bool:
        return os.getpid() == self._pid

    def send(self, message: dict[str, Any]) -> None:
        self.send_bytes(encode(message))

    def send_bytes(self, frame: bytes) -> None:
        if not self.mine:
            return
        self.sending = True
        try:
            self.socket.sendall(frame)
        finally:
            self.sending = False

    def receive(self) -> dict[str, Any] | None:
        """Waits for the next frame; None when the host has gone."""
        header = self._exactly(_HEADER)
        if header is None:
            return None
        body = self._exactly(int.from_bytes(header, "big"))
        return None if body is None else decode(body)

    def waiting(self) -> bool:
        """Whether something can be read without waiting."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def _exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            chunk = self.socket.recv(min(count - len(data), 1 << 20))
            if not chunk:
                return None
            data += chunk
        return bytes(data)
