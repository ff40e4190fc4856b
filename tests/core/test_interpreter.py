"""What an interpreter does for its user, sync and async alike, through the real SDK against a stand-in for E2B."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.errors import (
    AuthenticationError,
    ConfigurationError,
    QueueTimeoutError,
    SandboxLostError,
    SessionClosedError,
)

from .fake_e2b import FakeE2B

Make = Callable[..., Any]

SWALLOWS = "import time\nwhile True:\n  try:\n    while True: time.sleep(0.001)\n  except KeyboardInterrupt: pass"


def test_the_sandbox_is_made_when_the_first_cell_runs(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    assert service.requests == []
    assert it.sandbox_id is None
    result = it.run("1 + 1")
    assert (result.text, result.ok, result.execution_count) == ("2", True, 1)
    assert result.sandbox_id == it.sandbox_id == service.only.id
    assert (result.backend, result.template_id) == ("e2b", "code-interpreter-v1")


def test_cells_share_variables_and_cost_one_request_each(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    it.run("x = 20")
    before = len(service.requests)
    assert it.run("x + 1").text == "21"
    assert service.requests[before:] == ["49999 POST /execute"]


def test_an_error_in_the_code_is_a_result(interpreter: Make) -> None:
    result = interpreter().run("print('before')\n1 / 0")
    assert result.stdout == "before\n"
    assert result.error is not None
    assert (result.error.name, result.error.value) == ("ZeroDivisionError", "division by zero")
    assert not result.incomplete


def test_output_arrives_while_the_cell_runs_and_in_order(interpreter: Make) -> None:
    events: list[Any] = []
    interpreter().run("print('a')\nprint('b')\n'c'", on_output=events.append)
    assert [(e.kind, e.text) for e in events] == [
        ("status", "starting"), ("stdout", "a\n"), ("stdout", "b\n"), ("result", "'c'"),
    ]  # fmt: skip
    stamps = [e.timestamp for e in events[1:]]
    assert stamps == sorted(stamps)


def test_output_is_told_in_the_thread_that_called() -> None:
    threads: list[int] = []
    with FakeE2B() as service, CodeInterpreter(**service.options) as it:
        it.run("print('a')", on_output=lambda _: threads.append(threading.get_ident()))
    assert set(threads) == {threading.get_ident()}


async def test_an_async_callable_is_awaited(service: FakeE2B) -> None:
    seen: list[str] = []

    async def tell(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(event.text)

    async with AsyncCodeInterpreter(**service.options) as it:
        await it.run("print('a')", on_output=tell)
    assert seen == ["starting", "a\n"]


def test_the_blocking_interpreter_awaits_an_async_callable_too(service: FakeE2B) -> None:
    seen: list[str] = []

    async def tell(event: Any) -> None:
        await asyncio.sleep(0)
        seen.append(event.text)

    async def inside_a_loop() -> None:
        it.run("print('b')", on_output=tell)

    with CodeInterpreter(**service.options) as it:
        it.run("print('a')", on_output=tell)
        asyncio.run(inside_a_loop())
    assert seen == ["starting", "a\n", "b\n"]


def test_an_exception_in_the_callback_stops_the_cell_and_reaches_the_caller(interpreter: Make) -> None:
    it = interpreter()
    it.run("x = 1")

    def broken(event: Any) -> None:
        raise RuntimeError(event.text)

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="go"):
        it.run("print('go')\nimport time\nwhile True: time.sleep(0.001)", on_output=broken)
    assert time.monotonic() - began < 3
    assert it.run("x").text == "1"


def test_a_cell_that_runs_too_long_is_stopped_in_time_and_keeps_its_variables(interpreter: Make) -> None:
    it = interpreter()
    it.run("x = 5")
    began = time.monotonic()
    result = it.run("print('hi')\nwhile True: pass", timeout=1)
    assert time.monotonic() - began < 2.5
    assert result.error.name == "ExecutionTimeout"
    assert "variables from before are kept" in result.error.value
    assert (result.stdout, result.incomplete) == ("hi\n", True)
    assert it.run("x").text == "5"


def test_a_cell_that_will_not_stop_costs_its_variables_and_says_so(interpreter: Make) -> None:
    it = interpreter()
    it.run("x = 5\ndef f(): pass")
    began = time.monotonic()
    result = it.run(SWALLOWS, timeout=1)
    assert time.monotonic() - began < 2.5
    assert result.error.name == "ExecutionTimeout"
    (event,) = result.events
    assert (event.type, event.lost) == ("context_restarted", ("x", "f"))
    assert "the variables x, f" in event.message
    again = it.run("x")
    assert (again.error.name, again.events) == ("NameError", ())


def test_a_tool_call_that_is_replayed_gets_its_old_answer(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    first = it.run("print('once')", tool_call_id="call_1")
    again = it.run("print('once')", tool_call_id="call_1")
    assert again.remembered
    assert again == first.model_copy(update={"remembered": True})
    assert service.runs["print('once')"] == 1
    it.run("print('once')", tool_call_id="call_2")
    assert service.runs["print('once')"] == 2


def test_contexts_have_variables_of_their_own(interpreter: Make) -> None:
    it = interpreter()
    it.run("x = 1")
    context = it.create_context(cwd="/tmp")
    assert it.run("x", context=context).error.name == "NameError"
    it.run("x = 2", context=context)
    assert it.run("x", context=context).context_id == context.id
    assert it.run("x").text == "1"
    it.restart_context(context)
    assert it.run("x", context=context).error.name == "NameError"
    it.remove_context(context)
    assert context.id not in [c.id for c in it.list_contexts()]


def test_language_and_context_exclude_each_other(interpreter: Make) -> None:
    it = interpreter()
    context = it.create_context()
    with pytest.raises(ConfigurationError, match="not both"):
        it.run("1", context=context, language="python")


def test_files_go_in_and_out(interpreter: Make, tmp_path: Path) -> None:
    it = interpreter()
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert it.upload(tmp_path / "a.csv", "data/a.csv") == "/home/user/data/a.csv"
    assert it.download("/home/user/data/a.csv") == b"x\n1\n"
    it.upload(b"\x00\xff", "/home/user/data/b.bin")
    assert sorted(entry.name for entry in it.list_files("/home/user/data")) == ["a.csv", "b.bin"]
    with pytest.raises(ConfigurationError, match=r"no file .*nope"):
        it.upload("nope", "x")
    with pytest.raises(Exception, match="does not exist") as missing:
        it.download("/home/user/nope")
    assert type(missing.value).__name__ == "FileNotFoundException"


def test_a_failing_command_is_an_answer(interpreter: Make) -> None:
    output = interpreter().run_command("echo hi; exit 3")
    assert (output.stdout, output.exit_code, output.ok) == ("hi\n", 3, False)


def test_get_host_names_the_port_and_the_sandbox(interpreter: Make) -> None:
    it = interpreter()
    assert it.get_host(8080) == f"8080-{it.sandbox_id}.sandbox.test"


def test_options_reach_sandbox_create_under_todays_names(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter(
        template="mine", sandbox_timeout=123, envs={"A": "b"}, metadata={"who": "me"},
        lifecycle={"on_timeout": "pause"}, allow_internet_access=False,
    )  # fmt: skip
    it.run("1")
    body = service.only.body
    assert (body["templateID"], body["timeout"], body["envVars"], body["autoPause"]) == ("mine", 123, {"A": "b"}, True)
    assert body["allow_internet_access"] is False
    assert (
        body["metadata"] | {"who": "me", "ci_integrations": "1", "ci_integrations_session": it.session_id}
        == body["metadata"]
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 5}, "sandbox_timeout"),
        ({"auto_pause": True}, "lifecycle"),
        ({"beta_create": True}, "lifecycle"),
        ({"cwd": "/x"}, r"create_context\(cwd="),
        ({"lifecycle": {"autoPause": True}}, "kill the sandbox"),
        ({"lifecycle": {"on_timeout": {"action": "pause", "memory": True}}}, "memory"),
        ({"colour": "red"}, "Sandbox.create knows"),
        ({"execution_timout": 5}, "did you mean execution_timeout="),
        ({"timeouts": 5}, "sandbox_timeout= is"),
        ({"on_sandbox_lost": "ignore"}, '"restore", "recreate" or "error"'),
        ({"backend": "docker"}, "backend must be"),
        ({"sandbox_timeout": 0}, "must be positive"),
        ({"execution_timeout": -1}, "positive"),
        ({"files": 3}, "files="),
        ({"sandbox_timeout": "300"}, "must be positive"),
        ({"execution_timeout": float("inf")}, "None for no limit"),
        ({"envs": {"A": 1}}, "names to text"),
        ({"sandbox": object()}, "AsyncSandbox of e2b_code_interpreter"),
        ({"on_timeout": "pause"}, "lifecycle="),
    ],
)
def test_what_would_be_misunderstood_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        CodeInterpreter(**options)


@pytest.mark.parametrize("name", ["beta_create", "create", "notebook", "exec_cell", "run_code", "process"])
def test_what_older_sdks_had_says_what_it_is_called_today(name: str) -> None:
    for it in (CodeInterpreter, AsyncCodeInterpreter, CodeInterpreter(backend="local")):
        assert not hasattr(it, name)
        with pytest.raises(AttributeError, match=f"{name} is a name of an older SDK: .*[(_]"):
            getattr(it, name)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_INTEGRATIONS_BACKEND", "clowd")
    with pytest.raises(ConfigurationError, match="CI_INTEGRATIONS_BACKEND must be"):
        CodeInterpreter().run("1")


@pytest.mark.parametrize(
    "arguments",
    [
        {"code": 5}, {"code": b"1"}, {"timeout": "5"}, {"timeout": float("inf")}, {"timeout": 0}, {"envs": {"A": None}},
        {"envs": {"A\0": "b"}}, {"envs": {"A": "\ud800"}}, {"on_output": 5}, {"language": 5}, {"context": "abc"},
    ],
)  # fmt: skip
def test_a_wrong_argument_of_run_is_refused_before_anything_runs(
    interpreter: Make, service: FakeE2B, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        interpreter().run(**{"code": "1", **arguments})
    assert service.requests == []


def test_code_that_is_no_unicode_runs_with_replacement_characters(interpreter: Make) -> None:
    result = interpreter().run("'\ud800'")
    assert (result.code, result.error) == ("'\ufffd'", None)


def test_a_context_that_is_not_there_is_the_callers_mistake(interpreter: Make) -> None:
    it = interpreter()
    for nothing in (None, "abc"):
        with pytest.raises(ConfigurationError, match="list_contexts"):
            it.remove_context(nothing)


def test_e2b_without_a_key_names_the_variable_and_the_way_without(service: FakeE2B) -> None:
    with pytest.raises(AuthenticationError, match=r"E2B_API_KEY.*backend=\"local\""):
        CodeInterpreter(backend="e2b", api_url=service.url).run("1")


def test_a_refused_key_is_the_programmers_and_is_not_tried_again(interpreter: Make, service: FakeE2B) -> None:
    with pytest.raises(AuthenticationError, match="E2B_API_KEY"):
        interpreter(api_key="wrong").run("1")
    assert service.count("api POST") == 1


@pytest.mark.parametrize(
    ("variables", "options", "expected"),
    [
        ({}, {}, "local"),
        ({"E2B_API_KEY": "k"}, {}, "e2b"),
        ({"E2B_API_KEY": "k"}, {"backend": "local"}, "local"),
        ({"E2B_API_KEY": "k", "CI_INTEGRATIONS_BACKEND": "local"}, {}, "local"),
        ({"E2B_API_KEY": "k", "CI_INTEGRATIONS_BACKEND": "local"}, {"backend": "e2b"}, "e2b"),
        ({}, {"api_key": "k"}, "e2b"),
        ({"E2B_DEBUG": "true"}, {}, "e2b"),
    ],
)
def test_where_code_runs(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], options: dict[str, Any], expected: str
) -> None:
    from ci_integrations._core.service import choose

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert choose(options.get("backend", "auto"), options.get("api_key"), {}) == expected


def test_a_handed_in_sandbox_is_used_and_never_killed(service: FakeE2B, face: str) -> None:
    from e2b_code_interpreter import AsyncSandbox, Sandbox

    connection = {k: v for k, v in service.options.items() if k != "inject_extractor"}
    if face == "sync":
        given: Any = Sandbox.create(**connection)
        with CodeInterpreter(sandbox=given, inject_extractor=False) as it:
            assert it.run("1 + 1").sandbox_id == given.sandbox_id
            assert it.sandbox is given
    else:

        async def use() -> None:
            nonlocal given
            given = await AsyncSandbox.create(**connection)
            async with AsyncCodeInterpreter(sandbox=given, inject_extractor=False) as it:
                assert (await it.run("1 + 1")).sandbox_id == given.sandbox_id
                assert it.sandbox is given

        given = None
        asyncio.run(use())
    assert service.only.id == given.sandbox_id


def test_a_handed_in_sandbox_that_is_lost_is_an_error(service: FakeE2B) -> None:
    from e2b_code_interpreter import Sandbox

    given = Sandbox.create(**{k: v for k, v in service.options.items() if k != "inject_extractor"})
    it = CodeInterpreter(sandbox=given, inject_extractor=False)
    it.run("x = 1")
    service.only.stop()
    with pytest.raises(SandboxLostError, match="handed in") as lost:
        it.run("x")
    assert lost.value.result is not None
    assert lost.value.result.incomplete
    assert len(service.sandboxes) == 1


def test_connect_attaches_and_owns_only_when_told(service: FakeE2B) -> None:
    first = CodeInterpreter(**service.options)
    first.run("x = 7")
    with CodeInterpreter.connect(first.sandbox_id or "", **service.options) as second:
        assert second.run("x").text == "7"
    assert first.run("x").text == "7"
    with CodeInterpreter.connect(first.sandbox_id or "", owns=True, **service.options) as third:
        third.run("x")
    assert service.alive == []
    first.detach()
    first.close()


def test_closing_kills_the_sandbox_and_ends_the_session(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    it.run("1")
    it.close()
    it.close()
    assert service.alive == []
    with pytest.raises(SessionClosedError):
        it.run("1")


def test_closing_what_was_never_used_asks_nobody(interpreter: Make, service: FakeE2B) -> None:
    interpreter().close()
    assert service.requests == []


def test_one_session_serves_sync_and_async_callers(service: FakeE2B) -> None:
    with CodeInterpreter(**service.options) as it:
        it.run("x = 1")

        async def more() -> str | None:
            return (await it.as_async().run("x = x + 1\nx")).text

        assert [asyncio.run(more()) for _ in range(3)] == ["2", "3", "4"]
        assert it.run("x").text == "4"
    assert len(service.sandboxes) == 1


def test_twenty_first_calls_at_once_make_one_sandbox(service: FakeE2B) -> None:
    with CodeInterpreter(**service.options) as it:
        texts: list[str | None] = []
        threads = [threading.Thread(target=lambda n=n: texts.append(it.run(f"{n} * 2").text)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(map(int, filter(None, texts))) == [n * 2 for n in range(20)]

        async def all_at_once() -> None:
            await asyncio.gather(*(it.as_async().run("1") for _ in range(20)))

        asyncio.run(all_at_once())
    assert len(service.sandboxes) == 1


async def test_cancelling_interrupts_the_kernel_and_leaves_it_usable(service: FakeE2B) -> None:
    async with AsyncCodeInterpreter(**service.options) as it:
        await it.run("x = 1")
        task = asyncio.create_task(it.run("import time\nwhile True: time.sleep(0.001)", timeout=None))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        result = await it.run("x")
        assert (result.text, result.events) == ("1", ())


def test_a_blocking_cell_is_interrupted_from_another_thread(service: FakeE2B) -> None:
    with CodeInterpreter(**service.options) as it:
        it.run("x = 1")
        assert it.interrupt() is False
        reached: list[bool] = []
        other = threading.Timer(0.3, lambda: reached.append(it.interrupt()))
        other.start()
        result = it.run("import time\nwhile True: time.sleep(0.001)", timeout=20)
        assert result.error is not None
        assert result.error.name == "KeyboardInterrupt"
        assert it.run("x").text == "1"
        other.join()
        assert reached == [True]


def test_waiting_for_ones_turn_does_not_use_up_the_cells_own_limit(service: FakeE2B) -> None:
    with CodeInterpreter(**service.options) as it:
        it.run("import time")
        results: list[Any] = []
        codes = ["time.sleep(0.8)"] * 3
        threads = [threading.Thread(target=lambda c=c: results.append(it.run(c, timeout=1.2))) for c in codes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [result.ok for result in results] == [True] * 3


def test_waiting_too_long_for_ones_turn_is_an_error_and_runs_nothing(service: FakeE2B) -> None:
    with CodeInterpreter(**service.options, queue_timeout=0.2) as it:
        it.run("import time")
        slow = threading.Thread(target=lambda: it.run("time.sleep(1)"))
        slow.start()
        time.sleep(0.2)
        with pytest.raises(QueueTimeoutError, match="nothing ran"):
            it.run("y = 1")
        slow.join()
        assert service.runs["y = 1"] == 0


def test_the_lease_is_renewed_only_when_it_is_short(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter(sandbox_timeout=300)
    for _ in range(3):
        it.run("1")
    assert service.count("api POST /sandboxes") == 0
    it.run("1", timeout=1000)
    assert service.count("api POST /sandboxes") == 1
    assert service.only.end - time.time() > 1000
    it.run("1")
    it.upload(b"x", "x")
    it.list_files()
    assert service.count("api POST /sandboxes") == 1


def test_a_session_goes_on_in_another_process(service: FakeE2B) -> None:
    first = CodeInterpreter(**service.options)
    first.run("x = 41")
    identity = json.loads(json.dumps(first.identity()))
    first.detach()
    first.close()
    with CodeInterpreter.from_identity(identity, **service.options) as second:
        assert second.run("x + 1").text == "42"
        service.only.stop()
        (event,) = second.run("y = 1").events
        assert (event.type, event.lost) == ("state_lost", ("x",))
    assert service.alive == []


def test_the_extractor_goes_into_a_cloud_sandbox_once(service: FakeE2B) -> None:
    options = {**service.options, "inject_extractor": True}
    with CodeInterpreter(**options) as it:
        assert it.run("1 + 1").text == "2"
        it.run("2")
        it.run("3", context=it.create_context())
        assert service.count("49983 POST /files") == 1


def test_the_representation_keeps_the_key_to_itself() -> None:
    it = CodeInterpreter(api_key="e2b_secret", envs={"TOKEN": "s3cret"})
    assert "secret" not in repr(it) + repr(it.state.options)
    assert "s3cret" not in repr(it.state.options)


def test_setup_code_has_no_limit_where_cells_have_none(interpreter: Callable[..., Any]) -> None:
    assert interpreter(setup_code="x = 5", execution_timeout=None).run("x").text == "5"
