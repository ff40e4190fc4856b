"""What is lost is said in full and in few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ci_integrations import CodeInterpreter
from ci_integrations._core.notices import listed, sentence
from ci_integrations._core.variables import MAX_CELLS, Journal

from .fake_e2b import FakeE2B


def test_a_notice_spells_out_twenty_names_and_counts_the_rest() -> None:
    names = tuple(f"n{number}" for number in range(1000))
    assert listed(names).endswith("n18, n19 and 980 more")
    assert listed(("a", "b"), unnamed=3) == "the variables a, b and 3 more"
    assert len(sentence(names, [f"file {name}" for name in names], [f"file {name}" for name in names])) < 1500


def test_a_journal_remembers_the_names_of_all_cells() -> None:
    journal = Journal()
    journal.append("first = 1\ngone = 2")
    for _ in range(MAX_CELLS):
        journal.append("again = 1")
    journal.append("del gone")
    for _ in range(MAX_CELLS):
        journal.append("again = 1")
    assert journal.names() == ("first", "again")


def test_much_code_is_not_kept_for_its_names() -> None:
    journal = Journal()
    for number in range(12):
        journal.append(f"big_{number} = {'1' * 200_000!r}")
    assert journal.names() == tuple(f"big_{number}" for number in range(12))
    assert sum(map(len, journal._cells)) <= 1_000_000


def test_variables_beyond_those_in_an_identity_are_counted(service: FakeE2B, interpreter: Callable[..., Any]) -> None:
    first = interpreter()
    first.run("".join(f"name_{number} = 1\n" for number in range(250)))
    identity = first.identity()
    with CodeInterpreter.from_identity(identity, **service.options) as second:
        service.only.stop()
        (event,) = second.run("1").events
    assert "name_19 and 230 more" in event.message
