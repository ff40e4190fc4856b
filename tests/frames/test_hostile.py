"""A file out of a sandbox may be anything: it is a table, or `MalformedError`; nothing is run, nothing grows."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_integrations.frames.codec import MalformedError, decode, encode
from ci_integrations.frames.codec.container import MAGIC

sys.path.insert(0, str(Path(__file__).parent))


def file_of(table: object) -> bytes:
    stream = io.BytesIO()
    encode(table, stream, arrow_there=False, polars_there=False)
    return stream.getvalue()


def with_footer(change, table: object) -> bytes:
    """The file of a table whose footer was changed."""
    data = file_of(table)
    length = int.from_bytes(data[-16:-8], "little")
    body, footer = data[: -16 - length], json.loads(data[-16 - length : -16])
    change(footer)
    said = json.dumps(footer).encode()
    return body + said + len(said).to_bytes(8, "little") + MAGIC


FRAME = pd.DataFrame(
    {
        "n": [1, 2, 3],
        "t": ["a", None, "c"],
        "c": pd.Categorical(["x", "y", "x"]),
        "o": [{"a": [1]}, (1, 2), b"x"],
        "z": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"),
        "m": pd.array([1, None, 3]),
        "s": pd.arrays.SparseArray([0, 0, 1]),
        "i": pd.interval_range(0, 3),
        "p": pd.period_range("2024", periods=3, freq="M"),
    },
    index=pd.MultiIndex.from_product([["k"], [1, 2, 3]], names=["a", 1]),
)
GOOD = file_of(FRAME)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_changed_file_is_a_table_or_malformed(data) -> None:
    changed = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)))
    for file in (bytes(changed), bytes(changed[:cut]), bytes(changed[cut:])):
        with contextlib.suppress(MalformedError):
            decode(io.BytesIO(file))


@pytest.mark.parametrize(
    "file", [b"", b"CIFRAME1", b"x" * 100, pickle.dumps(FRAME), MAGIC * 3, b"PAR1" + bytes(50) + b"PAR1"]
)
def test_what_is_no_frame_is_malformed(file: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(io.BytesIO(file))


def _rows(footer) -> None:
    footer["rows"] = 1 << 60


def _range(footer) -> None:
    footer["index"] = {"range": [0, 1 << 62, 1], "name": None}


def _dtype(footer) -> None:
    footer["data"][0]["dtype"] = "|O"


def _again(footer) -> None:
    footer["data"][1] = footer["data"][0]


def _sizes(footer) -> None:
    footer["buffers"][0] = 1 << 50


def _negative(footer) -> None:
    footer["buffers"][0] = -8


def _zone(footer) -> None:
    footer["attrs"] = {"dict": [["a", {"zone": {"zone": "../../../etc/passwd", "library": "dateutil"}}]]}


def _type(footer) -> None:
    footer["attrs"] = {"os.system": "id"}


def _deep(footer) -> None:
    value: object = 1
    for _ in range(200):
        value = [value]
    footer["attrs"] = {"dict": [["a", value]]}


@pytest.mark.parametrize("change", [_rows, _range, _dtype, _again, _sizes, _negative, _zone, _type, _deep])
def test_a_footer_that_lies_is_malformed(change) -> None:
    with pytest.raises(MalformedError):
        decode(io.BytesIO(with_footer(change, pd.DataFrame({"a": [1, 2], "b": [3, 4]}))))


def test_codes_outside_of_the_categories_are_malformed() -> None:
    wrong = GOOD.replace(np.array([0, 1, 0], "i1").tobytes(), np.array([0, 99, 0], "i1").tobytes(), 1)
    if wrong != GOOD:
        with pytest.raises(MalformedError):
            decode(io.BytesIO(wrong))
