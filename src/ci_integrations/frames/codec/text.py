"""Writes columns of text: all characters in one buffer, where each text ends, and what is missing.

Any character may be in a text, lone surrogates and NUL included. Where no text has a NUL the texts are joined by it,
which both sides do in one step; otherwise their lengths are written too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .container import MalformedError, Reader, Writer
from .values import Array, objects
from .zones import Json

_NUL = "\0"
MISSING = (None, float("nan"), pd.NA, pd.NaT)
"""What may stand in a column of text where no text is; a place's code is the position here plus one, 0 for a text."""


def codes_of(values: list[Any]) -> Array | None:
    """Returns which values are missing, by code; None when one is neither text nor missing."""
    kinds = set(map(type, values))
    if kinds <= {str}:
        return np.zeros(len(values), dtype=np.uint8)
    if not kinds <= {str, type(None), float, type(pd.NA), type(pd.NaT)}:
        return None
    by_type = {str: 0, type(None): 1, float: 2, type(pd.NA): 3, type(pd.NaT): 4}
    if float in kinds and any(type(value) is float and value == value for value in values):  # noqa: PLR0124 - not NaN
        return None
    return np.fromiter((by_type[type(value)] for value in values), dtype=np.uint8, count=len(values))


def write(values: list[Any], codes: Array, writer: Writer) -> Json:
    """Writes texts; where `codes` is not 0, the value does not matter."""
    texts = [value if code == 0 else "" for value, code in zip(values, codes, strict=True)] if codes.any() else values
    found: dict[str, Json] = {"missing": writer.array(codes) if codes.any() else None}
    joined = _NUL.join(texts)
    if joined.count(_NUL) == max(0, len(texts) - 1):
        return found | {"joined": writer.buffer(joined.encode("utf-8", "surrogatepass"))}
    lengths = np.fromiter(map(len, texts), dtype="<i8", count=len(texts))
    data = "".join(texts).encode("utf-8", "surrogatepass")
    return found | {"lengths": writer.array(lengths), "data": writer.buffer(data)}


def read(spec: Json, reader: Reader, length: int) -> tuple[list[Any], Array | None]:
    """Returns texts, and which are missing, by code; None: none is."""
    codes = None if spec["missing"] is None else reader.array(spec["missing"], np.dtype(np.uint8), length)
    if codes is not None and length and codes.max() > len(MISSING):
        raise MalformedError("there is no such missing value")
    if "joined" in spec:
        joined = reader.buffer(spec["joined"]).decode("utf-8", "surrogatepass")
        texts = joined.split(_NUL) if length else []
    else:
        lengths = reader.array(spec["lengths"], np.dtype("<i8"), length)
        texts = _split(reader.buffer(spec["data"]).decode("utf-8", "surrogatepass"), lengths)
    if len(texts) != length:
        raise MalformedError(f"{len(texts)} texts in a column of {length}")
    return texts, codes


def _split(data: str, lengths: Array) -> list[str]:
    ends = np.cumsum(lengths)
    if len(lengths) and (lengths.min() < 0 or ends[-1] != len(data)):
        raise MalformedError("the texts do not fill their buffer")
    return [data[end - length : end] for length, end in zip(lengths.tolist(), ends.tolist(), strict=True)]


def as_objects(texts: list[Any], codes: Array | None) -> Array:
    """Returns texts as an array of dtype object, each missing place as what it was."""
    values = objects(texts)
    if codes is not None:
        for code, missing in enumerate(MISSING, start=1):
            values[codes == code] = missing
    return values
