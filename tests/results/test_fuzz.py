"""No input of a guest makes a parser of ours raise what it does not say it raises."""

from __future__ import annotations

import itertools
import os

import pytest

from . import fuzzing

SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))
"""Of all parsers together, in the slow test; `.ci/full` gives ten minutes."""
CASES = [(name, number) for name, inputs in fuzzing.corpus().items() for number in range(len(inputs))]


def test_every_parser_has_a_corpus() -> None:
    assert set(fuzzing.corpus()) == set(fuzzing.PARSERS)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_the_corpus(name: str, number: int) -> None:
    fuzzing.check(name, fuzzing.corpus()[name][number])


@pytest.mark.parametrize("name", fuzzing.PARSERS)
def test_some_mutations(name: str) -> None:
    for value in itertools.islice(fuzzing.mutations(fuzzing.corpus()[name], 1), 40):
        fuzzing.check(name, value)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("name", fuzzing.PARSERS)
def test_many_mutations(name: str) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    assert fuzzing.fuzz(name, SECONDS / len(fuzzing.PARSERS), seed) > 0
