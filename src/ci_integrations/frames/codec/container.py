"""Defines the file of a frame: a magic word, the buffers, a footer of JSON that names them, its length, the magic word.

The buffers come first, so that both sides work column by column: neither holds the whole frame a second time. A reader
trusts nothing: buffers lie one after the other inside the file and each is read once, so that what is decoded cannot be
larger than the file.
"""

from __future__ import annotations

import io
import json
from typing import Any, BinaryIO

import numpy as np

MAGIC = b"CIFRAME1"
MAX_FOOTER = 64 * 1024 * 1024
"""Bytes of the footer."""
_TAIL = 8 + len(MAGIC)


class MalformedError(ValueError):
    """Says that a file is not what `Writer` writes. It may come from hostile code."""


class Writer:
    """Writes buffers to a stream, and at the end the footer."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sizes: list[int] = []
        stream.write(MAGIC)

    def buffer(self, data: Any) -> int:
        """Writes the bytes of a contiguous array or a bytes-like object; returns the buffer's number."""
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        self._stream.write(view)
        self._sizes.append(view.nbytes)
        return len(self._sizes) - 1

    def array(self, values: np.ndarray[Any, Any]) -> int:
        """Writes a one-dimensional array of fixed-width values; returns the buffer's number."""
        # As bytes: memoryview knows neither datetime64 nor float16 of another byte order.
        return self.buffer(np.ascontiguousarray(values).view(np.uint8) if values.size else b"")

    def finish(self, footer: dict[str, Any]) -> None:
        """Writes the footer; nothing may be written after it."""
        # Lone surrogates stay what they are: escaped, two of them would come back as one character.
        text = json.dumps(footer | {"buffers": self._sizes}, ensure_ascii=False, separators=(",", ":"))
        data = text.encode("utf-8", "surrogatepass")
        self._stream.write(data)
        self._stream.write(len(data).to_bytes(8, "little") + MAGIC)


class Reader:
    """Reads a file of `Writer`. Raises `MalformedError` for anything else."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        size = stream.seek(0, io.SEEK_END)
        self.footer = self._footer(size)
        """The footer, as JSON has it: not checked yet, except for `buffers`."""
        self._offsets = self._checked(self.footer.get("buffers"), size)
        self._read: set[int] = set()

    def _footer(self, size: int) -> dict[str, Any]:
        if size < len(MAGIC) + _TAIL or self._at(0, len(MAGIC)) != MAGIC:
            raise MalformedError("not a frame's file")
        tail = self._at(size - _TAIL, _TAIL)
        length = int.from_bytes(tail[:8], "little")
        self._end = size - _TAIL - length
        if tail[8:] != MAGIC or length > MAX_FOOTER or self._end < len(MAGIC):
            raise MalformedError("the file is cut off")
        try:
            footer = json.loads(self._at(self._end, length).decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            raise MalformedError("the footer is no JSON") from error
        if not isinstance(footer, dict):
            raise MalformedError("the footer is no object")
        return footer

    def _checked(self, sizes: object, size: int) -> list[tuple[int, int]]:
        if not isinstance(sizes, list) or not all(type(one) is int and 0 <= one <= size for one in sizes):
            raise MalformedError("the buffers' sizes are no sizes")
        offsets, start = [], len(MAGIC)
        for one in sizes:
            offsets.append((start, one))
            start += one
        if start != self._end:
            raise MalformedError("the buffers do not fill the file")
        return offsets

    def _at(self, start: int, length: int) -> bytes:
        self._stream.seek(start)
        data = self._stream.read(length)
        if len(data) != length:
            raise MalformedError("the file is cut off")
        return data

    def _take(self, number: object) -> tuple[int, int]:
        if type(number) is not int or not 0 <= number < len(self._offsets) or number in self._read:
            raise MalformedError("there is no such buffer, or it was read already")
        self._read.add(number)
        return self._offsets[number]

    def buffer(self, number: object) -> bytes:
        """Returns the bytes of a buffer, once."""
        return self._at(*self._take(number))

    def array(self, number: object, dtype: np.dtype[Any], length: int) -> np.ndarray[Any, Any]:
        """Returns a buffer as `length` values of `dtype`, writable, read straight into the array's own memory."""
        start, size = self._take(number)
        if size != length * dtype.itemsize:
            raise MalformedError(f"a buffer of {size} bytes does not hold {length} values of {dtype}")
        values = np.empty(length, dtype=dtype)
        self._stream.seek(start)
        if size and self._stream.readinto(values.view(np.uint8)) != size:  # type: ignore[attr-defined]  # all have it
            raise MalformedError("the file is cut off")
        return values
