"""What is kept of earlier results stays within a budget; what was dropped of them is counted."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from ci_integrations.results import ExecutionResult
from ci_integrations.results.memory import SMALL, Budget, Kept, shortened, size_of


def printed(text: str) -> ExecutionResult:
    return ExecutionResult(code="print()", stdout=text)


def test_the_oldest_are_shortened_and_the_newest_stays_whole() -> None:
    kept = Kept(Budget(250_000))
    for number in range(5):
        kept.keep(f"call-{number}", printed(str(number) * 100_000))
    lengths = [len(held.stdout) if (held := kept.get(f"call-{number}")) else None for number in range(5)]
    assert lengths[3:] == [100_000, 100_000]
    assert all(length is not None and length < 2 * SMALL for length in lengths[:3])
    first = kept.get("call-0")
    assert first is not None
    assert first.truncated.stdout == 100_000 - SMALL
    newest = kept.newest()
    assert newest is not None
    assert newest.stdout == "4" * 100_000


def test_one_that_is_larger_than_the_budget_is_whole_until_the_next() -> None:
    kept = Kept(Budget(10))
    kept.keep("a", printed("a" * 100_000))
    first = kept.get("a")
    assert first is not None
    assert len(first.stdout) == 100_000
    kept.keep("b", printed("b"))
    later = kept.get("a")
    assert later is not None
    assert len(later.stdout) < 2 * SMALL


def test_sessions_share_a_budget_and_one_that_is_gone_counts_no_more() -> None:
    budget = Budget(250_000)
    gone, stays, other = Kept(budget), Kept(budget), Kept(budget)
    gone.keep("a", printed("a" * 100_000))
    stays.keep("a", printed("b" * 100_000))
    del gone
    gc.collect()
    other.keep("a", printed("c" * 100_000))
    held = stays.get("a")
    assert held is not None
    assert len(held.stdout) == 100_000


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 60_000)), max_size=30))
def test_whole_results_never_take_more_than_the_budget_and_the_newest(calls: list[tuple[str, int]]) -> None:
    budget = Budget(100_000)
    kept = [Kept(budget), Kept(budget)]
    for number, (name, length) in enumerate(calls):
        kept[number % 2].keep(name, printed("x" * length))
        held = [one for holder in kept for key in "abcd" if (one := holder.get(key)) is not None]
        whole = [size_of(one) for one in held if len(one.stdout) > 2 * SMALL]
        assert sum(whole) <= 100_000 + 70_000


@given(st.text(max_size=3 * SMALL), st.text(max_size=3 * SMALL))
def test_what_is_shortened_begins_and_ends_as_before(out: str, err: str) -> None:
    result = ExecutionResult(stdout=out, stderr=err)
    short = shortened(result)
    assert short.stdout[:100] == result.stdout[:100]
    assert short.stdout[-100:] == result.stdout[-100:]
    assert short.truncated.stderr == max(0, len(result.stderr) - SMALL)
