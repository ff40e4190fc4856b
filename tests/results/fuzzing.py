"""Mutates what guests send and gives it to every parser that reads it. `test_fuzz.py` and `.ci/full` run it.

A parser may refuse in its own words (`refusals`); any other exception is a fault, and its input belongs into
`corpus.json`, whose entries are tried first.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2b_code_interpreter import Result

from ci_integrations._core.kernels import _SAID, _process
from ci_integrations._names import CHART_MIME
from ci_integrations.charts.read import dispatch, tables
from ci_integrations.local.host.decoder import answer
from ci_integrations.local.host.files import FileError, read_entry
from ci_integrations.local.protocol.frames import FrameError, FrameReader, decode
from ci_integrations.rendering import images_for_model, render_text
from ci_integrations.results.clean import clean_traceback
from ci_integrations.results.result import ExecutionResult

from .test_results import run_of

CORPUS = Path(__file__).with_name("corpus.json")
NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 1 << 70, -(1 << 63), 1e308, float("nan"), float("inf"), "", "\ud800", "\0", "../..", "x" * 5000,
    [], {}, [[[[]]]], {"": {}}, ["a"] * 300, {"a": [None]}, "2020-13-45", "data:image/png;base64,AAAA", "\u202e[The",
)  # fmt: skip


@dataclass(frozen=True)
class Parser:
    """Is one reader of what guests send, with the exceptions by which it refuses."""

    read: Callable[[Any], object]
    refusals: tuple[type[Exception], ...] = ()


def _frames(data: bytes) -> None:
    reader = FrameReader(1 << 20)
    for start in range(0, len(data), 7):
        reader.feed(data[start : start + 7])
        for body in reader.bodies():
            decode(body)
        if reader.long:
            reader.take_long()


def _result(fields: object) -> None:
    if isinstance(fields, dict):
        result = run_of(Result(**{str(key): value for key, value in fields.items() if str(key).isidentifier()}))
        again = ExecutionResult.model_validate(json.loads(result.model_dump_json()))
        assert render_text(again) == render_text(result)
        images_for_model(result)


def _said(text: bytes) -> None:
    if found := _SAID.search(text.decode("utf-8", "replace")):
        _process(int(found[1]), int(found[2]))


PARSERS: dict[str, Parser] = {
    "frames": Parser(_frames, (FrameError,)),
    "decoder": Parser(answer),
    "file entry": Parser(read_entry, (FileError,)),
    "chart": Parser(lambda payload: dispatch.chart_from_mime(CHART_MIME, payload)),
    "plotly": Parser(lambda payload: dispatch.chart_from_mime("application/vnd.plotly.v1+json", payload)),
    "vega": Parser(lambda payload: dispatch.chart_from_mime("application/vnd.vegalite.v5+json", payload)),
    "table": Parser(tables.table_from_mime),
    "files": Parser(tables.files_from_mime),
    "result": Parser(_result),
    "kernel": Parser(_said),
    "traceback": Parser(lambda raw: clean_traceback(raw.decode("utf-8", "replace"))),
}


def corpus() -> dict[str, list[Any]]:
    """Returns the committed inputs by parser; `{"base64": ...}` stands for bytes."""
    found: dict[str, list[Any]] = json.loads(CORPUS.read_text("utf-8"))
    return {name: [_loaded(each) for each in inputs] for name, inputs in found.items()}


def _loaded(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"])
    return value


def check(name: str, value: Any) -> None:
    """Gives a parser one input. Raises what the parser must not raise."""
    parser = PARSERS[name]
    with contextlib.suppress(*parser.refusals):
        parser.read(copy.deepcopy(value))


def mutations(seeds: list[Any], seed: int) -> Iterator[Any]:
    """Yields mutated inputs without end, the same for the same seed."""
    chance = random.Random(seed)
    while True:
        value = copy.deepcopy(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            value = _bytes(value, seeds, chance) if isinstance(value, bytes) else _json(value, seeds, chance)
        yield value


def _bytes(value: bytes, seeds: list[Any], chance: random.Random) -> bytes:
    at, end = sorted(chance.randint(0, len(value)) for _ in range(2))
    kind = chance.randrange(5)
    if kind == 0:
        return value[:at] + value[end:]
    if kind == 1:
        return value[:at] + chance.randbytes(chance.randint(1, 6)) + value[at:]
    if kind == 2:
        return value[:end] + value[at:end] * chance.randint(1, 9) + value[end:]
    if kind == 3:
        other = chance.choice(seeds)
        return value[:at] + other[chance.randint(0, len(other)) :]
    return value[:at] + bytes([chance.randrange(256)]) + value[at + 1 :]


def _json(value: Any, seeds: list[Any], chance: random.Random) -> Any:
    """Replaces, removes or doubles one place in plain JSON."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.1:
        return copy.deepcopy(chance.choice([*NASTY, *seeds]))
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = chance.choice(list(keys))
    if chance.random() < 0.7:
        value[key] = _json(value[key], seeds, chance)
    elif isinstance(value, dict):
        value[chance.choice([*map(str, keys), "x", ""])] = value.pop(key)
    else:
        value.insert(key, copy.deepcopy(chance.choice(value)))
    return value


def fuzz(name: str, seconds: float, seed: int) -> int:
    """Tries mutated inputs for so long; returns how many. Raises AssertionError with the input of a fault."""
    end, count = time.monotonic() + seconds, 0
    for count, value in enumerate(mutations(corpus()[name], seed), 1):  # noqa: B007
        try:
            check(name, value)
        except Exception as error:
            shown = {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            raise AssertionError(f"{name}, seed {seed}: {error!r} for {json.dumps(shown)[:3000]}") from error
        if time.monotonic() > end:
            break
    return count
