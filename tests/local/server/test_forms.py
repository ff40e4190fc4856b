"""Forms arrive in any pieces; ranges and metadata filters in any spelling."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_integrations.local.server.control.listing import metadata_filter
from ci_integrations.local.server.envd.files import _range
from ci_integrations.local.server.envd.forms import parts
from ci_integrations.local.server.http import HttpError

TYPE = "multipart/form-data; boundary=XX"


def form(files: list[tuple[str, bytes]]) -> bytes:
    made = b""
    for name, data in files:
        made += (
            f'--XX\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        )
    return made + b"--XX--\r\n"


async def pieces(raw: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), size):
        yield raw[start : start + size]


async def read(raw: bytes, size: int) -> list[tuple[str, bytes]]:
    return [(name, b"".join([chunk async for chunk in data])) async for name, data in parts(TYPE, pieces(raw, size))]


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=20)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=300) | st.just(b"\r\n--X\r\n--XXX"[:8])), min_size=1, max_size=4)


@given(FILES, st.integers(1, 64))
async def test_files_are_whole_in_any_pieces(files: list[tuple[str, bytes]], size: int) -> None:
    assert await read(form(files), size) == files


async def test_other_parts_are_skipped() -> None:
    raw = b'--XX\r\nContent-Disposition: form-data; name="other"\r\n\r\nno\r\n' + form([("a/b", b"yes")])
    assert await read(raw, 7) == [("a/b", b"yes")]


@given(st.binary(max_size=200), st.integers(1, 50))
async def test_nonsense_is_an_http_error_or_nothing(raw: bytes, size: int) -> None:
    with contextlib.suppress(HttpError):
        await read(raw, size)


@given(st.text(max_size=30), st.integers(0, 1 << 40))
def test_any_range_header_is_understood_or_ignored(header: str, size: int) -> None:
    found = _range("bytes=" + header, size)
    if found is not None:
        start, end = found
        assert 0 <= start <= end <= size


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3))
def test_a_metadata_filter_survives_its_three_encodings(metadata: dict[str, str]) -> None:
    usable = {k: v for k, v in metadata.items() if not any("\ud800" <= c <= "\udfff" for c in k + v)}
    once = urlencode({quote(key): quote(value) for key, value in usable.items()})
    assert metadata_filter(once) == usable


@pytest.mark.parametrize("digits", ["٣-٤", "²-5", "1-²", "1" * 5000 + "-"])
def test_foreign_digits_are_no_range(digits: str) -> None:
    assert _range("bytes=" + digits, 10) is None
