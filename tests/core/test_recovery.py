"""What failures mean, what is restored and what is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import e2b
import e2b.exceptions
import httpx
import pytest
from e2b.envd.rpc import format_sandbox_unreachable_exception, format_terminated_exception
from e2b.exceptions import format_sandbox_unavailable_exception
from e2b_code_interpreter.exceptions import (
    format_execution_timeout_error,
    format_request_timeout_error,
    format_sandbox_killed_error,
)
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, Retrying

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations._core.failures import TABLE, Failure, classify
from ci_integrations._core.notices import listed, sentence
from ci_integrations._core.policy import RecoveryPolicy
from ci_integrations._core.variables import is_blank, names_made
from ci_integrations.errors import ConfigurationError, SandboxBusyError, SandboxLostError, SandboxUnreachableError
from ci_integrations.results import SandboxEvent
from ci_integrations.testing import Fault, FaultProxy

from .fake_e2b import FakeE2B

Make = Callable[..., Any]
NOT_FOUND = '{"sandboxId":"i","message":"The sandbox was not found","code":502}: This error is likely due to'


def _found_by_the_probe() -> Exception:
    """A request that failed in flight, after which the SDK's health probe found the port closed."""
    found = format_sandbox_unavailable_exception("The sandbox is running but port is not open")
    return format_sandbox_unreachable_exception(httpx.ReadError("x"), found)


MEANINGS = [
    (e2b.TimeoutException(NOT_FOUND), Failure.NOT_RUNNING, True),
    (format_sandbox_killed_error(), Failure.NOT_RUNNING, False),
    (format_execution_timeout_error(), Failure.SLOW, False),
    (format_request_timeout_error(), Failure.UNREACHABLE, False),
    (e2b.TimeoutException("... port is not open"), Failure.PORT_CLOSED, True),
    (e2b.exceptions.SandboxNotRunningException("x"), Failure.NOT_RUNNING, True),
    (format_terminated_exception(httpx.ReadError("x"), sandbox_running=False), Failure.NOT_RUNNING, False),
    (_found_by_the_probe(), Failure.PORT_CLOSED, False),
    (e2b.exceptions.SandboxUnreachableException("x"), Failure.UNREACHABLE, False),
    (e2b.exceptions.SandboxNotFoundException("x"), Failure.GONE, True),
    (e2b.exceptions.GuestUnresponsiveException("x"), Failure.GUEST_UNRESPONSIVE, True),
    (e2b.exceptions.ServiceBusyException("x"), Failure.BUSY, True),
    (e2b.RateLimitException("429: slow down"), Failure.BUSY, True),
    (e2b.RateLimitException("429: your team's quota is used up"), Failure.QUOTA, True),
    (e2b.SandboxException("402: no credit left"), Failure.QUOTA, True),
    (e2b.SandboxException("400: Timeout cannot be greater than 1 hours"), Failure.LIMIT, True),
    (e2b.SandboxException("500: oops"), Failure.UNREACHABLE, False),
    (e2b.SandboxException("500 Internal: Failed to create context: x"), Failure.CALLER, True),
    (e2b.AuthenticationException("401"), Failure.REFUSED, True),
    (e2b.NotFoundException("Context 3 not found"), Failure.CONTEXT_GONE, True),
    (e2b.InvalidArgumentException("x"), Failure.CALLER, True),
    (httpx.ConnectError("x"), Failure.UNREACHABLE, True),
    (httpx.ReadError("x"), Failure.CUT, False),
    (httpx.RemoteProtocolError("x"), Failure.CUT, False),
]


@pytest.mark.parametrize(("error", "failure", "never_started"), MEANINGS, ids=[str(n) for n in range(len(MEANINGS))])
def test_what_an_exception_means(error: Exception, failure: Failure, never_started: bool) -> None:
    rule = classify(error)
    assert rule is not None
    assert (rule.failure, rule.never_started) == (failure, never_started)


def test_every_exception_of_the_sdk_has_a_meaning() -> None:
    classes = [
        value for value in vars(e2b.exceptions).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(classes) > 10
    unknown = {cls.__name__ for cls in classes if classify(cls("x")) is None}
    assert unknown <= {"BuildException", "FileUploadException", "VolumeException", "SecretException"} | {
        name for name in unknown if name.startswith(("Build", "FileUpload", "Volume", "Secret"))
    }, "these come from building templates, from volumes and secrets: calls that an interpreter does not make"


def test_what_is_not_a_sandboxs_failure_has_none() -> None:
    assert classify(ValueError("x")) is None
    assert classify(SandboxBusyError("x")) is None


def test_every_class_of_failure_is_in_the_table() -> None:
    assert {rule.failure for rule in TABLE} == set(Failure)


def test_the_policy_drives_both_of_tenacitys_engines() -> None:
    policy = RecoveryPolicy(attempts=3, first_wait=0.001, longest_wait=0.002)
    tries: list[int] = []

    def fails() -> None:
        tries.append(1)
        raise httpx.ConnectError("x")

    with pytest.raises(httpx.ConnectError):
        Retrying(**policy.arguments())(fails)
    assert len(tries) == 3

    async def afails() -> None:
        fails()

    with pytest.raises(httpx.ConnectError):
        asyncio.run(AsyncRetrying(**policy.arguments())(afails))
    assert len(tries) == 6


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["x = 1", "y: int = 2\nz += 1"], ("x", "y", "z")),
        (["import os.path, numpy as np\nfrom a import b as c, d"], ("os", "np", "c", "d")),
        (["def f(a):\n  inner = 1", "class C:\n  attr = 1", "async def g(): pass"], ("f", "C", "g")),
        (["for i in range(3):\n  j = i", "with open('x') as h: pass", "if (n := 3): pass"], ("i", "j", "h", "n")),
        (["a, (b, *c) = 1, (2, 3)"], ("a", "b", "c")),
        (["[q for q in range(3)]", "lambda w: w"], ()),
        (["x = 1", "del x", "y = 1"], ("y",)),
        (["%matplotlib inline\n!ls\nx = 1"], ("x",)),
        (["this is not python", "x = 1"], ("x",)),
        (["obj.attr = 1\nobj['key'] = 2"], ()),
    ],
)
def test_variables_are_known_from_the_cells_that_made_them(cells: list[str], names: tuple[str, ...]) -> None:
    assert names_made(cells) == names


@given(st.lists(st.text(max_size=200), max_size=5))
def test_reading_names_never_fails(cells: list[str]) -> None:
    names_made(cells)
    for code in cells:
        is_blank(code)


def test_the_sentence_for_the_model_names_and_bounds() -> None:
    many = tuple(f"v{n}" for n in range(100))
    text = sentence(many, ["file /a"], ["packages x (no index)"])
    assert "v0, v1" in text
    assert "and 80 more" in text
    assert "Restored: file /a. Not restored: packages x (no index)." in text
    assert len(text) < 600
    assert listed(("a",)) == "the variable a"


def test_files_come_back_from_where_they_came_and_changes_are_told(
    interpreter: Make, service: FakeE2B, tmp_path: Path
) -> None:
    (tmp_path / "same.csv").write_text("same")
    (tmp_path / "changed.csv").write_text("old")
    (tmp_path / "deleted.csv").write_text("x")
    it = interpreter(files={"same.csv": tmp_path / "same.csv", "bytes.bin": b"\x00\x01"})
    it.run("1")
    it.upload(tmp_path / "changed.csv", "changed.csv")
    it.upload(tmp_path / "deleted.csv", "deleted.csv")
    service.only.stop()
    (tmp_path / "changed.csv").write_text("new")
    (tmp_path / "deleted.csv").unlink()
    (event,) = it.run("1").events
    assert event.restored == (
        "file /home/user/same.csv",
        "file /home/user/bytes.bin",
        "file /home/user/changed.csv (changed since it was first uploaded)",
    )
    assert event.not_restored == ("file /home/user/deleted.csv (its source is no longer there)",)
    files = service.only.files
    assert (files["/home/user/same.csv"], files["/home/user/bytes.bin"]) == (b"same", b"\x00\x01")
    assert files["/home/user/changed.csv"] == b"new"
    assert it.run("1").events == ()


def test_setup_code_runs_at_first_and_again_after_a_loss(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter(setup_code="base = 40")
    assert it.run("base + 2").text == "42"
    service.only.stop()
    result = it.run("base + 3")
    assert (result.text, result.events[0].restored) == ("43", ("setup code",))


def test_setup_code_that_fails_at_first_is_the_programmers(interpreter: Make, service: FakeE2B) -> None:
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        interpreter(setup_code="1 / 0").run("1")
    assert service.alive == []


def test_packages_are_installed_with_what_the_sandbox_has(interpreter: Make, service: FakeE2B) -> None:
    service.answers["pip install"] = (0, b"")
    it = interpreter(packages=["humanize", "tabulate>=0.9"])
    it.run("1")
    (command,) = service.only.commands
    assert "uv pip install" in command
    assert "python3 -m pip install -q -- humanize 'tabulate>=0.9'" in command
    service.answers["pip install"] = (1, b"")
    service.only.stop()
    (event,) = it.run("1").events
    assert event.not_restored == ("packages humanize, tabulate>=0.9 (no reason given)",)


def test_packages_that_cannot_be_installed_at_first_are_the_programmers(interpreter: Make, service: FakeE2B) -> None:
    service.answers["pip install"] = (1, b"")
    with pytest.raises(ConfigurationError, match="packages nope could not be set up"):
        interpreter(packages=["nope"]).run("1")
    assert service.alive == []


def test_environment_and_template_come_along(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter(envs={"A": "b"}, template="mine")
    it.run("1")
    service.only.stop()
    it.run("1")
    assert (service.only.body["envVars"], service.only.body["templateID"]) == ({"A": "b"}, "mine")
    assert it.generation == 1


def test_a_context_of_a_lost_sandbox_is_made_again(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    context = it.create_context(cwd="/data")
    it.run("x = 1", context=context)
    service.only.stop()
    result = it.run("6 * 7", context=context)
    assert (result.text, result.events[0].lost) == ("42", ("x",))
    assert result.context_id != context.id
    assert "/data" in [kernel.cwd for kernel in service.only.kernels.values()]


def test_a_context_that_was_removed_elsewhere_is_made_again_and_told(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    context = it.create_context()
    it.run("x = 1", context=context)
    del service.only.kernels[context.id]
    result = it.run("6 * 7", context=context)
    assert (result.text, result.events[0].lost) == ("42", ("x",))


def test_the_application_hears_of_a_replacement(interpreter: Make, service: FakeE2B) -> None:
    heard: list[Any] = []
    it = interpreter(on_replaced=heard.append)
    first = it.run("1").sandbox_id
    service.only.stop()
    it.run("1")
    (event,) = heard
    assert (event.old_sandbox_id, event.new_sandbox_id) == (first, it.sandbox_id)


def test_files_and_commands_survive_a_lost_sandbox_too(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    it.upload(b"1", "a.txt")
    service.only.stop()
    assert it.download("/home/user/a.txt") == b"1"
    service.only.stop()
    assert it.run_command("echo hi").stdout == "hi\n"
    assert len(service.sandboxes) == 3


def test_a_tier_that_does_not_allow_the_lifetime_is_named(service: FakeE2B) -> None:
    service.create_answers.append((400, "Timeout cannot be greater than 1 hours"))
    with pytest.raises(ConfigurationError, match="tier does not allow"):
        CodeInterpreter(**service.options, sandbox_timeout=86_400).run("1")


def test_the_status_of_a_recovery_is_told_while_it_happens(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    it.run("1")
    service.only.stop()
    said: list[str] = []
    it.run("1", on_output=lambda event: said.append(event.text) if event.kind == "status" else None)
    assert said == ["restoring"]


def test_cells_that_are_safe_for_it_are_run_again_after_a_loss(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter(restore="replay")
    it.run("base = 40", replayable=True)
    it.run("other = 1")
    service.only.stop()
    result = it.run("base + 2")
    (event,) = result.events
    assert (result.text, event.lost) == ("42", ("other",))
    assert event.restored == ("the variable base (1 earlier cell run again)",)
    assert service.runs["base = 40"] == 2
    assert service.runs["other = 1"] == 1


def test_what_a_cancelled_cell_gave_is_not_lost(service: FakeE2B) -> None:
    async def cancel() -> Any:
        async with AsyncCodeInterpreter(**service.options) as it:
            task = asyncio.create_task(it.run("print('before')\nimport time\nwhile True: time.sleep(0.001)"))
            await asyncio.sleep(0.4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return it.last_result

    result = asyncio.run(cancel())
    assert (result.stdout, result.incomplete) == ("before\n", True)


def test_a_cell_without_a_limit_keeps_its_sandbox_alive(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter(sandbox_timeout=1)
    it.run("1")
    before = service.count("api POST /sandboxes")
    it.run("import time\ntime.sleep(1.5)", timeout=None)
    assert service.only.end > time.time()
    assert service.count("api POST /sandboxes") >= before


@pytest.fixture
def proxy(service: FakeE2B) -> Iterator[FaultProxy]:
    with FaultProxy(service.url) as one:
        yield one


def behind(proxy: FaultProxy, service: FakeE2B) -> dict[str, Any]:
    return {**service.options, "api_url": proxy.url, "sandbox_url": proxy.url}


def during(service: FakeE2B, act: Callable[[], Any]) -> None:
    """`act` once a command or a cell is under way."""

    def wait() -> None:
        before = service.runs.total()
        deadline = time.monotonic() + 5
        while service.runs.total() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        act()

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_a_command_that_was_cut_off_is_not_run_again(interpreter: Make, service: FakeE2B, how: str) -> None:
    it = interpreter()
    it.run("x = 5")
    command = "echo on; sleep 2"
    during(service, getattr(service.only, how))
    with pytest.raises(SandboxLostError, match="may have been carried out, and was not repeated") as caught:
        it.run_command(command)
    assert service.runs[command] == 1
    assert caught.value.result is not None
    assert caught.value.result.incomplete
    assert it.run_command("echo fine").stdout == "fine\n"


def test_an_upload_that_was_cut_off_is_made_again(service: FakeE2B, proxy: FaultProxy) -> None:
    with CodeInterpreter(**behind(proxy, service)) as it:
        it.run("x = 5")
        proxy.inject(Fault("kill", on="files"), Fault("drop", on="files", call=2))
        path = it.upload(b"data", "a.txt")
        assert it.download(path) == b"data"
        assert it.run("1").events[0].lost == ("x",)


def test_a_fault_strikes_the_users_first_cell_and_not_what_prepares_for_it(service: FakeE2B, proxy: FaultProxy) -> None:
    proxy.inject(Fault("drop", call=2), Fault("drop", on="files"))
    with CodeInterpreter(**behind(proxy, service)) as it:
        assert it.run("1").text == "1"
        assert (proxy.calls["execute"], proxy.calls["files"]) == (1, 0)
        with pytest.raises(SandboxUnreachableError):
            it.run("2")
        assert proxy.calls["execute"] == 2


def test_a_call_that_hangs_ends_with_the_deadline(service: FakeE2B, proxy: FaultProxy) -> None:
    options = behind(proxy, service)
    it = CodeInterpreter(**options, recovery=RecoveryPolicy(deadline=0.5))
    for call in ("create", "kill"):
        proxy.inject(Fault("hang", on=call))
        began = time.monotonic()
        with pytest.raises(SandboxUnreachableError):
            it.run("x = 1") if call == "create" else it.close()
        assert time.monotonic() - began < 3
        assert call == "kill" or it.run("x = 1").ok
    service.only.stop()


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_sandbox_that_comes_after_the_deadline_is_killed(service: FakeE2B, proxy: FaultProxy, face: str) -> None:
    options = behind(proxy, service)
    policy = RecoveryPolicy(deadline=0.3)
    proxy.inject(Fault("delay", on="create", seconds=1.0))

    async def use() -> None:
        it = AsyncCodeInterpreter(**options, recovery=policy)
        with pytest.raises(SandboxUnreachableError):
            await (it.run("1") if face == "async" else asyncio.to_thread(it.as_sync().run, "1"))
        await asyncio.sleep(1.5)

    asyncio.run(use())
    assert len(service.sandboxes) == 1
    assert service.alive == []


def test_a_cancelled_cell_does_not_swallow_the_news_of_a_loss(service: FakeE2B) -> None:
    async def use() -> Any:
        async with AsyncCodeInterpreter(**service.options) as it:
            await it.run("x = 5")
            service.only.stop()
            task = asyncio.create_task(it.run("import time\ntime.sleep(1)"))
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await it.run("1")).events

    (event,) = asyncio.run(use())
    assert event.lost == ("x",)


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.1])
def test_cancelled_while_the_sandbox_is_made_the_next_one_is_furnished(service: FakeE2B, moment: float) -> None:
    async def use() -> Any:
        async with AsyncCodeInterpreter(**service.options, setup_code="q = 3") as it:
            task = asyncio.create_task(it.run("q"))
            await asyncio.sleep(moment)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return (await it.run("q")).text

    assert asyncio.run(use()) == "3"
    assert service.alive == []


def test_a_scope_that_cancels_again_and_again_leaves_the_kernel_usable(service: FakeE2B) -> None:
    async def use() -> Any:
        async with AsyncCodeInterpreter(**service.options) as it:
            await it.run("x = 5")
            with anyio.move_on_after(0.3):
                await it.run("while True: pass")
            return (await it.run("x")).text

    assert asyncio.run(use()) == "5"


def test_a_callback_that_fails_does_not_hinder_the_recovery(interpreter: Make, service: FakeE2B) -> None:
    def fails(_: SandboxEvent) -> None:
        raise RuntimeError("mine")

    it = interpreter(on_replaced=fails)
    it.run("x = 5")
    service.only.stop()
    result = it.run("6 * 7")
    assert (result.text, result.events[0].lost) == ("42", ("x",))


def test_losses_in_a_row_are_told_once_with_everything_that_is_gone(interpreter: Make, service: FakeE2B) -> None:
    it = interpreter()
    it.run("x = 5")
    service.only.stop()
    assert it.run_command("true").ok
    service.only.stop()
    (event,) = it.run("1").events
    assert event.lost == ("x",)


def test_what_an_unknown_call_gave_is_remembered_and_other_code_is_another_call(
    service: FakeE2B, proxy: FaultProxy
) -> None:
    with CodeInterpreter(**behind(proxy, service)) as it:
        assert it.run("1", tool_call_id="call_1").text == "1"
        assert it.run("2", tool_call_id="call_1").text == "2"
        proxy.inject(Fault("drop", moment="during"))
        with pytest.raises(SandboxUnreachableError):
            it.run("3", tool_call_id="call_2")
        replayed = it.run("3", tool_call_id="call_2")
        assert replayed.error is not None
        assert "may have run" in replayed.error.value
        assert service.runs["3"] == 1


def test_a_lease_that_the_user_made_longer_is_not_shortened(service: FakeE2B, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.monotonic
    with CodeInterpreter(**service.options) as it, CodeInterpreter(**service.options) as other:
        it.run("1")
        it.sandbox.set_timeout(3000)
        other.state.sandbox_id, other.state.owned = it.sandbox_id, False
        other.run("1")
        monkeypatch.setattr("ci_integrations._core.lifecycle.time.monotonic", lambda: real() + 250)
        for one in (it, other):
            one.run("1")
        assert service.only.end - time.time() > 2900
