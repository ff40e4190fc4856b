"""One rule in both adapters: what becomes a message to the model, what is raised, where long output goes."""

from __future__ import annotations

from functools import partial

import pytest
from stand_ins import LOST, Blocking

from ci_integrations import ExecutionResult
from ci_integrations._adapters.outcome import attempted, cache_key
from ci_integrations._adapters.spill import FOLDER, spilled
from ci_integrations.errors import ConfigurationError, QueueTimeoutError, SandboxLostError
from ci_integrations.results.model import ImageArtifact

ASKED = lambda: ("1 + 1", "python")


def runs(session):
    yield partial(session.run, "1 + 1")
    return ExecutionResult(code="1 + 1", text="2")


def raising(error):
    def session():
        raise error

    return session


def test_a_result_is_told_where_it_came_from_and_what_was_lost_meanwhile(done):
    result = done(Blocking(), lambda session: attempted(lambda: session, runs, ASKED))
    assert (result.text, result.sandbox_id, result.backend, result.events) == ("2", "sandbox", "fake", (LOST,))
    assert result.duration is not None


@pytest.mark.parametrize("error", [SandboxLostError("gone"), QueueTimeoutError("full")])
def test_a_run_time_failure_is_a_result(done, error):
    session = Blocking()
    session.fails = error
    result = done(session, lambda it: attempted(lambda: it, runs, ASKED))
    assert (result.code, result.error.name, result.incomplete) == ("1 + 1", type(error).__name__, True)


def test_what_was_received_before_a_failure_is_kept(done):
    session = Blocking()
    session.fails = SandboxLostError("gone", result=ExecutionResult(stdout="half", sandbox_id="old"))
    result = done(session, lambda it: attempted(lambda: it, runs, ASKED))
    assert (result.stdout, result.sandbox_id, result.error.value) == ("half", "old", "gone")


@pytest.mark.parametrize("error", [ConfigurationError("no key"), TypeError("ours")])
def test_what_a_programmer_has_to_read_is_raised(done, error):
    with pytest.raises(type(error)):
        done(Blocking(), lambda _: attempted(raising(error), runs, ASKED))


def test_a_replayed_call_has_the_same_key_and_another_call_has_not():
    assert cache_key("call_0", "1", "turn a") == cache_key("call_0", "1", "turn a")
    others = [
        cache_key("call_0", "1", "turn b"),
        cache_key("call_0", "2", "turn a"),
        cache_key("call_1", "1", "turn a"),
    ]
    assert cache_key("call_0", "1", "turn a") not in others
    assert cache_key(None, "1") is None


def test_output_that_is_too_long_goes_into_a_file_of_the_sandbox(done):
    session, long = Blocking(), ExecutionResult(stdout="x" * 3000)
    path = done(session, lambda it: spilled(it, long, 1000))
    assert path.startswith(FOLDER)
    assert session.files == {path: b"x" * 3000}


@pytest.mark.parametrize(
    "result",
    [
        ExecutionResult(stdout="x" * 900),
        ExecutionResult(stdout="short", artifacts=(ImageArtifact(id="a0", mime="image/png", data="eA=="),)),
    ],
)
def test_output_that_fits_stays_where_it_is(done, result):
    session = Blocking()
    assert done(session, lambda it: spilled(it, result, 1000)) is None
    assert session.files == {}


def test_a_file_that_cannot_be_written_costs_the_answer_nothing(done):
    session = Blocking()
    session.fails = SandboxLostError("gone")
    assert done(session, lambda it: spilled(it, ExecutionResult(stdout="x" * 3000), 1000)) is None
