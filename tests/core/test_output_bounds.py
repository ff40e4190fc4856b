"""Output without an end fills no message: its beginning and its end are kept, and what is lost is counted."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from ci_integrations._core.output import BoundedText, CellOutput
from ci_integrations.rendering import render_text


@given(st.lists(st.text(max_size=20), max_size=30), st.integers(2, 60))
def test_what_is_kept_is_the_beginning_and_the_end(pieces, limit):
    kept = BoundedText(limit)
    for piece in pieces:
        kept.append(piece)
    whole = "".join(pieces)
    assert bool(kept) is bool(whole)
    assert kept.lost == max(0, len(whole) - limit)
    if not kept.lost:
        assert kept.text() == whole
        return
    head, tail = limit // 2, limit - limit // 2
    assert kept.text() == f"{whole[:head]}\n[... {kept.lost:,} characters are lost ...]\n{whole[-tail:]}"


def test_the_model_and_the_artifact_are_told():
    received = CellOutput(stdout=BoundedText(10))
    received.take("stdout", SimpleNamespace(line="0123456789abcdef"))
    result = received.result()
    assert result.truncated.stdout == 6
    assert "stdout was truncated: 6 characters are lost" in render_text(result)
