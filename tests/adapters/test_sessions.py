"""Sessions of both adapters: handed in or made, found by their key, closed by their owner."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re

import pytest
from pydantic import SecretStr
from stand_ins import Awaiting, Blocking, Registry

from ci_integrations import CodeInterpreter
from ci_integrations._adapters.redaction import Redactor
from ci_integrations._adapters.sessions import AdapterSessions
from ci_integrations.errors import ConfigurationError


def test_a_registry_serves_each_key_and_stays_open():
    registry = Registry()
    sessions = AdapterSessions(registry)
    assert sessions.session("a") is registry.sessions["a"]
    assert sessions.asession("a").blocking is registry.sessions["a"]
    assert sessions.knows("a")
    assert not sessions.knows("b")
    sessions.close()
    assert not registry.closed


@pytest.mark.parametrize("given", [Blocking(), Awaiting(Blocking())], ids=["sync", "async"])
def test_one_interpreter_serves_everybody_on_both_faces(given):
    sessions = AdapterSessions(given)
    assert sessions.shares_interpreter
    assert not asyncio.iscoroutinefunction(sessions.session("a").run)
    assert asyncio.iscoroutinefunction(sessions.asession("b").run)
    assert sessions.identity("a") is None


def test_a_session_is_ended_on_the_face_that_it_has():
    registry = Registry()
    sessions = AdapterSessions(registry)
    sessions.end(sessions.session("a"), "a")
    asyncio.run(sessions.end(sessions.asession("b"), "b"))
    assert registry.keys() == []


def test_the_newest_identity_is_followed_once_and_one_that_was_left_is_not():
    registry = Registry()
    sessions = AdapterSessions(registry)
    mine = registry.session("a")
    sessions.adopt("a", {"sandbox_id": mine.sandbox_id})
    assert mine.state.memory.named is None
    sessions.adopt("a", {"sandbox_id": "theirs"})
    assert mine.state.memory.named == {"sandbox_id": "theirs"}
    assert [sessions.is_taken_over("a"), sessions.is_taken_over("a")] == [True, False]
    mine.state.memory.named = None
    mine.state.memory.part_with("older")
    sessions.adopt("a", {"sandbox_id": "older"})
    assert mine.state.memory.named is None
    assert not sessions.is_taken_over("a")


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (object(), {}, "takes a SessionRegistry or a CodeInterpreter"),
        (Registry(), {"template": "x"}, "belong to the interpreter that is handed in"),
        (None, {"sandbox_timeuot": 3}, "sandbox_timeuot"),
        (None, {"idle": "sleep"}, "idle must be"),
    ],
)
def test_a_wrong_option_is_the_programmers_to_hear_of_at_once(given, options, words):
    with pytest.raises(ConfigurationError, match=words):
        AdapterSessions(given, options)


def test_options_of_the_registry_go_to_the_registry():
    sessions = AdapterSessions(options={"backend": "local", "idle": "keep", "max_sessions": 2})
    assert isinstance(sessions.session("a"), CodeInterpreter)
    sessions.close()


def test_a_copy_in_another_process_has_the_options_and_a_key_of_its_own():
    sessions = AdapterSessions(options={"backend": "local", "sandbox_timeout": 77})
    copied = pickle.loads(pickle.dumps(sessions))
    assert copied.own_key != sessions.own_key
    assert copied.session("a").state.options.sandbox_timeout == 77
    copied.close()
    sessions.close()


def test_secrets_are_not_pickled_and_are_asked_for_again(monkeypatch):
    monkeypatch.delenv("E2B_API_KEY", raising=False)
    envs = {"TOKEN": SecretStr("open sesame"), "LANG": "C"}
    sessions = AdapterSessions(options={"backend": "local", "envs": envs, "api_key": "e2b_" + "7" * 40})
    sessions.redactor = Redactor(["open sesame", "a literal", re.compile("x+")])
    pickled = pickle.dumps(sessions)
    for secret in (b"open sesame", b"a literal", b"e2b_7"):
        assert secret not in pickled
    left = pickle.loads(pickled)
    with pytest.raises(ConfigurationError, match=r"envs\['TOKEN'\], api_key, redact was left out.*supply"):
        left.session("a")
    again = pickle.loads(pickle.dumps(left))  # what was left out is not forgotten
    again.supply(envs={"TOKEN": SecretStr("sesame two")}, api_key=SecretStr("e2b_" + "8" * 40))
    with pytest.raises(ConfigurationError, match="redact was left out"):
        again.asession("a")
    again.supply(redact=["a literal"])
    assert again.session("a").state.options.envs == {"TOKEN": "sesame two", "LANG": "C"}
    assert again.redactor.text("sesame two, a literal, xx") == "[redacted], [redacted], [redacted]"
    for one in (again, left, sessions):
        one.close()


def test_copies_in_this_process_keep_everything_but_the_sessions():
    registry = Registry()
    options = {"backend": "local", "envs": {"TOKEN": SecretStr("open sesame")}}
    for sessions in (AdapterSessions(registry), AdapterSessions(options=options)):
        sessions.session("a")
        for copied in (copy.copy(sessions), copy.deepcopy(sessions)):
            assert copied.own_key != sessions.own_key
            assert copied.session("a") is not None
            copied.close()
        sessions.close()
    with pytest.raises(ConfigurationError, match="interpreter was left out"):
        pickle.loads(pickle.dumps(AdapterSessions(CodeInterpreter(backend="local")))).session("a")
