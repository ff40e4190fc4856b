"""The parts of the core one by one, each with a stand-in for what is below it. No sandbox, no network, no thread."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from ci_integrations._core import exit as at_exit
from ci_integrations._core.client import SandboxClient
from ci_integrations._core.faces import SyncFace
from ci_integrations._core.failures import StreamEndedError
from ci_integrations._core.flow import Flow, drive
from ci_integrations._core.furnish import Furnisher
from ci_integrations._core.kernels import Kernels
from ci_integrations._core.lifecycle import Lifecycle
from ci_integrations._core.options import InterpreterOptions
from ci_integrations._core.output import CellOutput
from ci_integrations._core.policy import RecoveryPolicy
from ci_integrations._core.repair import CellCall, Repair
from ci_integrations._core.state import KernelState, SessionState
from ci_integrations.errors import SandboxLostError, SandboxUnreachableError
from ci_integrations.results import ExecutionResult

POLICY = RecoveryPolicy(attempts=3, first_wait=0.001, longest_wait=0.001)


class Rested(SyncFace):
    """A face that notes how often it was to sleep."""

    def __init__(self) -> None:
        self.naps: list[float] = []
        self.sleep = self.naps.append


class Client:
    """A stand-in for `SandboxClient`: notes the calls, and answers with `answers` one after the other."""

    def __init__(self, *answers: Any, where: str = "running") -> None:
        self.answers, self.where = list(answers), where
        self.calls: list[tuple[Any, ...]] = []
        self.sandbox = SimpleNamespace(
            commands=SimpleNamespace(run=partial(self._note, "command")),
            run_code=partial(self._note, "cell"),
            restart_code_context=partial(self._note, "restart"),
            list_code_contexts=partial(self._note, "contexts"),
        )

    def _note(self, what: str, *args: Any, **known: Any) -> Any:
        self.calls.append((what, *args, known.get("user")))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, function: Callable[..., Any], *args: Any, within: float | None = None) -> Flow[Any]:
        return (yield partial(function, *args))

    def quietly(self, flow: Flow[Any]) -> Flow[bool]:
        return SandboxClient.quietly(SimpleNamespace(state=SimpleNamespace(id="s")), flow)  # type: ignore[arg-type]

    def whereabouts(self) -> Flow[str]:
        yield lambda: None
        return self.where

    def local_server_is_another(self) -> Flow[bool]:
        yield lambda: None
        return False

    def dispose(self, how: str) -> Flow[None]:
        yield partial(self._note, how)


def state_of(**options: Any) -> SessionState:
    return SessionState(InterpreterOptions(recovery=POLICY, **options))


def client() -> tuple[SandboxClient, Rested]:
    face = Rested()
    return SandboxClient(state_of(), face), face


def fails_then(*outcomes: Any) -> Callable[[], Any]:
    """A step that raises or returns one outcome at each call."""
    left = list(outcomes)

    def step() -> Any:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return step


def test_a_call_without_an_answer_is_made_again_after_a_pause() -> None:
    it, face = client()
    assert drive(it.retrying(fails_then(StreamEndedError("cut"), StreamEndedError("cut"), 42))) == 42
    assert len(face.naps) == 2


def test_after_the_last_attempt_its_error_is_raised() -> None:
    it, face = client()
    with pytest.raises(StreamEndedError, match="third"):
        drive(it.retrying(fails_then(*(StreamEndedError(word) for word in ("first", "second", "third", "fourth")))))
    assert len(face.naps) == 2


@pytest.mark.parametrize("error", [ValueError("the caller's own"), KeyboardInterrupt()])
def test_what_no_policy_retries_is_raised_at_once(error: BaseException) -> None:
    it, face = client()
    flow = it.retrying(lambda: None)
    next(flow)
    with pytest.raises(type(error)):
        flow.throw(error)
    assert face.naps == []


@pytest.mark.parametrize("steps", [1, 2])
def test_a_flow_that_is_closed_in_a_call_or_in_a_pause_does_nothing_more(steps: int) -> None:
    it, _ = client()
    flow = it.retrying(lambda: None)
    next(flow)
    if steps == 2:
        flow.throw(StreamEndedError("cut"))  # yields the pause
    flow.close()
    with pytest.raises(StopIteration):
        next(flow)


def test_the_policy_says_each_pause_and_a_policy_without_waits_says_none() -> None:
    assert [0 <= POLICY.pause(number) <= 0.001 for number in (1, 2, 3)] == [True] * 3

    class Hasty(RecoveryPolicy):
        def arguments(self) -> dict[str, Any]:
            return {}

    assert Hasty().pause(3) == 0


@pytest.mark.parametrize(("uid", "user"), [(0, "root"), (1000, None)])
def test_a_kernel_is_interrupted_as_its_user(uid: int, user: str | None) -> None:
    fake = Client()
    kernel = KernelState("python", process=(7, uid))
    assert drive(Kernels(state_of(), fake).signal(kernel))  # type: ignore[arg-type]
    assert fake.calls == [("command", "kill -INT 7", user)]


def test_a_kernel_that_is_not_known_cannot_be_interrupted() -> None:
    fake = Client()
    assert not drive(Kernels(state_of(), fake).signal(KernelState("python")))  # type: ignore[arg-type]
    assert fake.calls == []


@pytest.mark.parametrize(
    ("count", "seen", "code", "is_new"),
    [(3, 4, "x", False), (3, 3, "# only a comment", False), (3, 3, "x", True), (3, 1, "x", True), (None, 1, "", False)],
)
def test_the_execution_count_gives_a_new_kernel_away(count: int | None, seen: int, code: str, is_new: bool) -> None:
    assert Kernels.is_new_process(KernelState("python", count=count, last_code=code), seen) == is_new


def test_a_default_kernel_is_restarted_by_its_languages_context() -> None:
    ours = SimpleNamespace(id="1", language="r")
    fake = Client([SimpleNamespace(id="0", language="python"), ours])
    drive(Kernels(state_of(), fake).restart(KernelState("r")))  # type: ignore[arg-type]
    assert fake.calls == [("contexts", None), ("restart", ours, None)]


def test_setup_code_that_fails_after_a_loss_is_reported_and_not_raised() -> None:
    fake = Client(SimpleNamespace(error=SimpleNamespace(name="NameError", value="x")))
    state = state_of(setup_code="x")
    state.lost_sandbox, state.backend = "old", "local"
    restored = drive(Furnisher(state, fake, Kernels(state, fake)).furnish())  # type: ignore[arg-type]
    assert restored.missing == ["setup code (NameError: x)"]


def test_a_session_is_closed_once() -> None:
    fake: Any = Client()
    fake.state = state = state_of()
    state.sandbox_id = "s1"
    lifecycle = Lifecycle(state, fake, Kernels(state, fake), Furnisher(state, fake, Kernels(state, fake)))
    drive(lifecycle.close())
    drive(lifecycle.close())
    assert (fake.calls, state.closed, state.sandbox_id) == ([("kill", None)], True, None)


class Refuses:
    """A lifecycle whose sandbox is not to be replaced."""

    def holding(self, flow: Callable[[], Flow[Any]]) -> Flow[Any]:
        return flow()

    def replace(self, on_output: Any, *, still_there: bool) -> Flow[None]:
        yield lambda: None
        raise SandboxLostError("the sandbox is gone")


def cell(kernel: KernelState) -> CellCall:
    def result(received: CellOutput, error: Any) -> ExecutionResult:
        return received.result(code="x", language="python", error=error, incomplete=True)

    return CellCall(kernel=kernel, result=result, tool_call_id="call")


def test_repair_adds_what_was_received_to_a_loss_that_the_lifecycle_reports() -> None:
    state, fake = state_of(), Client(where="gone")
    repair = Repair(state, fake, Refuses(), Kernels(state, fake))  # type: ignore[arg-type]
    attempt = next(repair.attempts(CellOutput, cell=cell(KernelState("python"))))
    attempt.sent = True
    attempt.received.stdout.append("start\n")
    with pytest.raises(SandboxLostError, match="the code may have run; it was not run again") as caught:
        drive(repair.recover(_killed(), attempt))
    assert caught.value.result is not None
    assert caught.value.result.stdout == "start\n"
    assert state.cached_result("call", "x") is caught.value.result


def test_a_call_that_is_no_cell_carries_no_result() -> None:
    state, fake = state_of(), Client(where="running")
    repair = Repair(state, fake, Refuses(), Kernels(state, fake))  # type: ignore[arg-type]
    attempt = next(repair.attempts(CellOutput))
    attempt.sent = True
    with pytest.raises(SandboxUnreachableError, match="may have been carried out, and was not repeated") as caught:
        drive(repair.recover(StreamEndedError("cut"), attempt))
    assert caught.value.result is None


def test_attempts_remember_that_an_earlier_one_may_have_run() -> None:
    state, fake = state_of(), Client()
    attempts = Repair(state, fake, Refuses(), Kernels(state, fake)).attempts(CellOutput)  # type: ignore[arg-type]
    first = next(attempts)
    first.may_have_run = True
    second = next(attempts)
    assert (second.number, second.may_have_run, second.received is first.received) == (2, True, False)


def _killed() -> Exception:
    from e2b_code_interpreter.exceptions import format_sandbox_killed_error

    error: Exception = format_sandbox_killed_error()
    return error


class Something:
    """What the exit watches need not be a session."""

    def __init__(self, name: str) -> None:
        self.id, self.sandbox_id, self.creating, self.process = name, None, False, None
        self.lent = self.ends_with_process = False
        self.exit_seconds = 5.0

    def shrink(self) -> None:
        """Has nothing to forget."""

    def is_over(self) -> bool:
        return True


def test_the_exit_closes_what_is_still_there_however_the_others_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_exit, "_live", weakref.WeakKeyDictionary())
    closed: list[str] = []

    async def close(something: Something) -> None:
        closed.append(something.id)
        raise RuntimeError("the service is down")

    first, second, third = (Something(name) for name in ("first", "second", "third"))
    for one in (first, second, third):
        at_exit.watch(one, close)
    del one, second
    gc.collect()
    at_exit.close_all()
    assert sorted(closed) == ["first", "third"]


@pytest.mark.parametrize(("generation", "words"), [(-1, "Was its template built"), (0, "does not listen now")])
def test_a_closed_port_blames_the_template_only_before_a_kernel_has_run(generation: int, words: str) -> None:
    state, fake = state_of(), Client()
    state.kernel(None, None).prepared = generation
    repair = Repair(state, fake, Refuses(), Kernels(state, fake))  # type: ignore[arg-type]
    error = type("TimeoutException", (Exception,), {})("port is not open")
    (attempt, *_) = itertools.islice(repair.attempts(CellOutput), 1)
    attempt.began = -1000.0
    with pytest.raises(SandboxUnreachableError, match=words):
        drive(repair.recover(error, attempt))
