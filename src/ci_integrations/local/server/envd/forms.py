"""multipart/form-data as a stream of files: each part's bytes are passed on as they come.

The target path of a file is the `filename` of its part, with slashes, when there are several.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ci_integrations.local.server.http import HttpError

FIELD = b"file"
"""The name of the parts that count. E2B ignores others too."""
MAX_HEADER = 64 * 1024
"""Bytes of all headers of one part."""
Event = tuple[str, bytes]
"""What the parser met, and its bytes: `part` (the disposition), `data`, `end` of a part, end of the `form`."""


async def parts(content_type: str, body: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
    """Yields (filename, data) of every part named "file". What is not read of one is skipped before the next.

    Raises HttpError 400 for a form that is malformed or ends too early.
    """
    form = _Form(content_type, body)
    while (filename := await form.next_file()) is not None:
        yield filename, form.data()
        await form.skip()


class _Form:
    """Turns the parser's callbacks, which cannot wait, into a queue of events from which the reader pulls.

    The queue holds what one chunk of the body makes: the next chunk is read when it is empty.
    """

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise HttpError(400, "the form has no boundary")
        # The parser is given no size: a form may be large, and is bounded by the sandbox's disk.
        self._body = body
        self._events: deque[Event] = deque()
        self._in_file = False
        self._header: dict[str, bytearray] = {"name": bytearray(), "value": bytearray()}
        self._disposition = b""
        self._header_size = 0
        callbacks: Any = {
            "on_part_begin": self._part_begins,
            "on_header_field": lambda data, start, end: self._collect("name", data[start:end]),
            "on_header_value": lambda data, start, end: self._collect("value", data[start:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": lambda: self._events.append(("part", self._disposition)),
            "on_part_data": lambda data, start, end: self._events.append(("data", bytes(data[start:end]))),
            "on_part_end": lambda: self._events.append(("end", b"")),
            "on_end": lambda: self._events.append(("form", b"")),
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise HttpError(400, f"the form cannot be read: {error}") from None

    def _part_begins(self) -> None:
        self._disposition = b""
        self._header_size = 0

    def _collect(self, which: str, data: bytes) -> None:
        self._header_size += len(data)
        if self._header_size > MAX_HEADER:
            raise HttpError(400, "the headers of a part are too long")
        self._header[which] += data

    def _header_ends(self) -> None:
        if bytes(self._header["name"]).lower() == b"content-disposition":
            self._disposition = bytes(self._header["value"])
        self._header = {"name": bytearray(), "value": bytearray()}  # the parser gives a header in pieces

    async def _event(self) -> Event:
        while not self._events:
            chunk = await anext(self._body, None)
            if chunk is None:
                raise HttpError(400, "the form ends too early")
            self._feed(chunk)
        return self._events.popleft()

    def _feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise HttpError(400, f"the form cannot be read: {error}") from None

    async def next_file(self) -> str | None:
        """Goes on to the next file and returns its name, or None at the end of the form."""
        while True:
            kind, value = await self._event()
            if kind == "form":
                return None
            if kind != "part":
                continue
            options = parse_options_header(value)[1]
            if options.get(b"name") == FIELD:
                self._in_file = True
                return options.get(b"filename", b"").decode("utf-8", "replace")

    async def data(self) -> AsyncIterator[bytes]:
        """Yields the bytes of the file that `next_file` has reached."""
        while self._in_file:
            kind, value = await self._event()
            if kind == "data":
                yield value
            else:
                self._in_file = False

    async def skip(self) -> None:
        """Reads what is left of the file."""
        async for _ in self.data():
            pass
