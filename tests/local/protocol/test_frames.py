"""Frames: what the host reads was written by hostile code."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_integrations.local.protocol import frames

LIMIT = 1 << 16
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
messages = st.dictionaries(st.text(), values, max_size=5)


def read(data: bytes, cuts: list[int]) -> list[dict[str, object]]:
    reader, found, start = frames.FrameReader(LIMIT), [], 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        reader.feed(data[start:end])
        found += [frames.decode(body) for body in reader.bodies()]
        start = end
    return found


@given(st.lists(messages, max_size=5), st.lists(st.integers(min_value=0), max_size=8))
def test_every_message_arrives_however_the_stream_is_cut(sent, cuts):
    assert read(b"".join(frames.encode(message) for message in sent), cuts) == sent


@given(st.binary(max_size=300), st.lists(st.integers(min_value=0), max_size=8))
def test_any_bytes_are_frames_or_refused(data, cuts):
    try:
        found = read(data, cuts)
    except frames.FrameError:
        return
    assert all(isinstance(message, dict) for message in found)


@given(st.binary(max_size=200))
def test_any_body_is_an_object_or_refused(body):
    try:
        assert isinstance(frames.decode(body), dict)
    except frames.FrameError:
        return


def test_a_length_beyond_the_limit_is_refused_before_its_body_comes():
    with pytest.raises(frames.FrameError, match="4294967295 bytes is longer than the limit"):
        reader = frames.FrameReader(LIMIT)
        reader.feed(b"\xff\xff\xff\xff")
        list(reader.bodies())


@pytest.mark.parametrize("there", [0, 1, 5, frames.LONGEST_WHOLE])
def test_a_long_frame_is_announced_and_its_bytes_are_its_readers(there):
    body, after = b"x" * (frames.LONGEST_WHOLE + 1), frames.encode({"after": 1})
    reader = frames.FrameReader(1 << 30)
    reader.feed(frames.encode({"before": 1}) + len(body).to_bytes(4, "big") + body[:there])
    assert [frames.decode(each) for each in reader.bodies()] == [{"before": 1}]
    assert reader.long == len(body)
    assert list(reader.bodies()) == []
    assert reader.take_long() == body[:there]
    reader.feed(after)  # what is missing of the body was read by somebody else
    assert [frames.decode(each) for each in reader.bodies()] == [{"after": 1}]


@pytest.mark.parametrize("depth", [frames.MAX_DEPTH + 1, 5_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded(depth, opening, closing):
    body = '{"a":' + opening * depth + "1" + closing * depth + "}"
    with pytest.raises(frames.FrameError):
        frames.decode(body.encode())


def test_wide_messages_with_many_brackets_are_no_deep_ones():
    wide = {"rows": [[i, {"i": i}] for i in range(1000)], "html": "{{[" * 1000}
    assert frames.decode(frames.encode(wide)[4:]) == wide


@pytest.mark.parametrize("depth", range(frames.MAX_DEPTH - 2, frames.MAX_DEPTH + 3))
def test_the_bound_on_nesting_is_exact(depth):
    value: object = 1
    for _ in range(depth):
        value = [value]
    assert frames.shallow(value, frames.MAX_DEPTH) == (depth <= frames.MAX_DEPTH)


def test_nan_and_infinity_become_null():
    assert frames.decode(b'{"a": [NaN, Infinity, -Infinity, 1e999]}')["a"][:3] == [None, None, None]
    body = frames.encode({"a": float("nan")})[4:]
    assert frames.decode(body) == {"a": None}


def test_frames_are_ascii_also_with_lone_surrogates():
    body = frames.encode({"a": "é\u2028\ud83d"})[4:]
    assert body.isascii()
    assert json.loads(body) == {"a": "é\u2028\ud83d"}


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"', b"", b"{", b"\xff"])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(frames.FrameError):
        frames.decode(body)
