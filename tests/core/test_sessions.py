"""Sessions by key: one each, for threads and tasks; what gives way, what is kept, what is told afterwards."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ci_integrations.errors import ConfigurationError, SandboxBusyError
from ci_integrations.leftovers import list_leftovers, reap
from ci_integrations.sessions import SessionRegistry

from .fake_e2b import FakeE2B


@pytest.fixture
def registry(service: FakeE2B) -> Iterator[Callable[..., SessionRegistry]]:
    made: list[SessionRegistry] = []

    def make(**arguments: Any) -> SessionRegistry:
        made.append(SessionRegistry(service.options, **arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_a_key_has_one_session_and_keys_share_nothing(registry: Any, service: FakeE2B) -> None:
    sessions = registry()
    sessions.session("a").run("x = 1")
    assert sessions.session("a").run("x").text == "1"
    assert sessions.session("b").run("x").error.name == "NameError"
    assert sessions.keys() == ["a", "b"]
    assert len(service.alive) == 2


def test_sync_and_async_callers_of_a_key_share_its_kernel(registry: Any, service: FakeE2B) -> None:
    sessions = registry()
    sessions.session("a").run("x = 1")

    async def use() -> str:
        return str((await sessions.asession("a").run("x")).text)

    assert [asyncio.run(use()) for _ in range(3)] == ["1", "1", "1"]
    assert len(service.sandboxes) == 1


def test_threads_and_tasks_that_come_together_make_one_sandbox(registry: Any, service: FakeE2B) -> None:
    sessions = registry()

    def in_thread() -> None:
        sessions.session("a").run("1")

    async def in_tasks() -> None:
        await asyncio.gather(*(sessions.asession("a").run("1") for _ in range(10)))

    threads = [threading.Thread(target=in_thread) for _ in range(10)]
    for thread in threads:
        thread.start()
    asyncio.run(in_tasks())
    for thread in threads:
        thread.join(20)
    assert len(service.sandboxes) == 1


def test_the_least_recently_used_gives_way_and_hears_about_it_later(registry: Any, service: FakeE2B) -> None:
    sessions = registry(max_sessions=2)
    for key in ("a", "b"):
        sessions.session(key).run(f"{key} = 1")
    leaving = sessions.session("b")  # asking the registry again would make room for it
    sessions.session("a").run("1")
    sessions.session("c").run("c = 1")
    eventually(lambda: leaving.sandbox_id is None)
    assert sessions.session("a").run("a").text == "1"
    (event,) = sessions.session("b").run("1").events
    assert (event.type, event.lost) == ("state_lost", ("b",))
    eventually(lambda: len(service.alive) == 2)


def test_a_session_that_is_busy_does_not_give_way(registry: Any, service: FakeE2B) -> None:
    sessions = registry(max_sessions=1)
    busy = sessions.session("a")
    busy.run("import time")
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(busy.run("time.sleep(0.5)\n'done'")))
    thread.start()
    eventually(lambda: busy.busy)
    sessions.session("b").run("1")
    thread.join(10)
    assert (results[0].text, results[0].events) == ("'done'", ())


def test_what_was_idle_for_too_long_is_let_go(registry: Any, service: FakeE2B) -> None:
    sessions = registry(idle_ttl=0.2)
    sessions.session("a").run("x = 1")
    time.sleep(0.3)
    sessions.session("b").run("1")
    eventually(lambda: sessions.session("a").sandbox_id is None)
    assert sessions.session("a").run("1").events[0].lost == ("x",)


def test_idle_pause_keeps_the_memory(registry: Any, service: FakeE2B) -> None:
    sessions = registry(max_sessions=1, idle="pause")
    sessions.session("a").run("x = 1")
    assert service.only.body["autoPause"] is True
    sessions.session("b").run("1")
    eventually(lambda: [box.state for box in service.sandboxes.values()].count("paused") == 1)
    again = sessions.session("a").run("x")
    assert (again.text, again.events) == ("1", ())
    sessions.close()
    assert {box.state for box in service.sandboxes.values()} == {"paused"}


def test_idle_keep_leaves_the_sandbox_to_another_process(registry: Any, service: FakeE2B) -> None:
    sessions = registry(idle="keep")
    sessions.session("a").run("x = 1")
    identity = json.loads(json.dumps(sessions.identity("a")))
    sessions.close()
    others = registry()
    others.adopt("a", identity)
    assert others.session("a").run("x").text == "1"
    others.close()
    assert service.alive == []


def test_an_adopted_session_whose_sandbox_died_says_what_it_had(registry: Any, service: FakeE2B) -> None:
    sessions = registry(idle="keep")
    sessions.session("a").run("x = 1\nimport math")
    identity = sessions.identity("a")
    sessions.close()
    service.only.stop()
    others = registry()
    others.adopt("a", identity)
    result = others.session("a").run("6 * 7")
    assert (result.text, result.events[0].lost) == ("42", ("x", "math"))


def test_a_registry_makes_only_so_many_sandboxes(registry: Any) -> None:
    sessions = registry(max_created=2)
    for key in ("a", "b"):
        sessions.session(key).run("1")
    with pytest.raises(SandboxBusyError, match="2 sandboxes"):
        sessions.session("c")
    assert sessions.session("a").run("1").ok


def test_the_limit_holds_for_sessions_made_before_and_for_replacements(registry: Any, service: FakeE2B) -> None:
    sessions = registry(max_created=2)
    first, second, third = (sessions.session(key) for key in "abc")
    assert first.run("1").ok
    assert second.run("1").ok
    for one in (third, second):
        service.alive[-1].stop()
        with pytest.raises(SandboxBusyError, match="has made them all"):
            one.run("1")
    assert len(service.sandboxes) == 2


def test_a_session_in_the_middle_of_a_command_does_not_give_way(registry: Any, service: FakeE2B) -> None:
    sessions = registry(max_sessions=1)
    busy = sessions.session("a")
    busy.run("1")
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(busy.run_command("sleep 0.5; echo done")))
    thread.start()
    eventually(lambda: bool(service.only.commands))
    sessions.session("b").run("1")
    thread.join(10)
    assert results[0].stdout == "done\n"


def test_who_rests_already_is_left_alone(registry: Any, service: FakeE2B) -> None:
    sessions = registry(max_sessions=1, idle="pause")
    for key in "abc":
        sessions.session(key).run("1")
        eventually(lambda: [box.state for box in service.alive].count("running") == 1)
    for _ in range(5):
        sessions.session("c").run("1")
    assert sum(line.endswith("/pause") for line in service.requests) == 2
    assert sessions.session("c").state.seconds_used == 0
    assert sessions.session("a").state.seconds_used > 0


def test_time_is_the_clocks_that_was_given(registry: Any, service: FakeE2B) -> None:
    now = [0.0]
    sessions = registry(idle_ttl=100, clock=lambda: now[0])
    sessions.session("a").run("x = 1")
    now[0] = 99
    sessions.session("b").run("1")
    assert sessions.session("a").sandbox_id is not None
    now[0] = 300
    sessions.session("b")
    eventually(lambda: sessions.session("a").sandbox_id is None)


def test_prewarming_makes_the_sandbox_before_the_first_cell(registry: Any, service: FakeE2B) -> None:
    sessions = registry()
    sessions.prewarm("a")
    eventually(lambda: sessions.session("a").sandbox_id is not None)
    events: list[str] = []
    sessions.session("a").run("1", on_output=lambda event: events.append(event.kind))
    assert events == ["result"]
    assert len(service.sandboxes) == 1


def test_closing_one_key_or_all_leaves_nothing(registry: Any, service: FakeE2B) -> None:
    sessions = registry()
    for key in ("a", "b", "c"):
        sessions.session(key).run("1")
    sessions.close_session("a")
    sessions.close_session("nobody")
    assert (sessions.keys(), len(service.alive)) == (["b", "c"], 2)
    asyncio.run(sessions.aclose_session("b"))
    asyncio.run(sessions.aclose())
    assert (sessions.keys(), service.alive) == ([], [])
    assert 0 < sessions.sandbox_seconds() < 60
    sessions.session("a").run("1")


def test_leftovers_are_found_by_their_tags_and_killed(registry: Any, service: FakeE2B) -> None:
    from e2b_code_interpreter import Sandbox

    access = {name: value for name, value in service.options.items() if name != "inject_extractor"}
    foreign = Sandbox.create(**access)
    session = registry().session("a")
    session.run("1")
    (left,) = list_leftovers(**access)
    assert (left.sandbox_id, left.session_id) == (session.sandbox_id, session.session_id)
    assert list_leftovers("another session", **access) == []
    assert reap(**access) == [left]
    assert [box.id for box in service.alive] == [foreign.sandbox_id]


def test_wrong_settings_are_the_programmers(service: FakeE2B) -> None:
    with pytest.raises(ConfigurationError, match='"kill", "pause" or "keep"'):
        SessionRegistry(idle="sleep")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="CodeInterpreter instead"):
        SessionRegistry({"sandbox": object()})
