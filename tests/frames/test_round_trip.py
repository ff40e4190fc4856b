"""A table that was written is read back as it was: every dtype, label, name, flag and value. Without a sandbox."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from ci_integrations.frames.codec import decode, encode

sys.path.insert(0, str(Path(__file__).parent))

from generated import frames, many, series
from same import assert_same

EXAMPLES = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def sent(table: object) -> tuple[object, list[str]]:
    """What arrives of a table on a side that has the same libraries, and what is said to be otherwise."""
    stream = io.BytesIO()
    said = encode(table, stream, arrow_there=True, polars_there=True)
    stream.seek(0)
    arrived, notes = decode(stream)
    return arrived, [*said["notes"], *notes]


@EXAMPLES
@given(frames())
def test_frames(frame) -> None:
    arrived, notes = sent(frame)
    assert not notes
    assert_same(frame, arrived)


@EXAMPLES
@given(series())
def test_series(one) -> None:
    arrived, notes = sent(one)
    assert not notes
    assert_same(one, arrived)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_frames() -> None:
    for frame in many(10_000):
        arrived, notes = sent(frame)
        assert not notes
        assert_same(frame, arrived)
