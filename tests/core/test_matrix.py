"""The matrix: what goes wrong x when x through which door. Each cell of it says what the caller gets, what the model
reads, how often the code ran (counted inside the sandbox), how many sandboxes were made, and that none is left.

`pytest tests/core/test_matrix.py` prints it as a table, for the stand-in and all doors. With `--kind=own
--kind=jupyter` each row is tried on real kernels of both kinds, through one of the doors, and the table shows them side
by side.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sandbox_kinds import Kind

from ci_integrations import CodeInterpreter
from ci_integrations.errors import SandboxError
from ci_integrations.recovery import RecoveryPolicy
from ci_integrations.rendering import render_text
from ci_integrations.results import ExecutionResult
from ci_integrations.testing import Fault, FaultProxy

from .fake_e2b import FakeE2B
from .real_service import RealE2B

Service = FakeE2B | RealE2B
CODE = "print('start')\nimport time\ntime.sleep(0.2)\n6 * 7"
DIES = "print('start')\ndie()\n6 * 7"
SLOW = "print('start')\nwhile True: pass"
PRINTED = b'"stdout"'
POLICY = RecoveryPolicy(first_wait=0.01, longest_wait=0.05, deadline=5.0)
RECREATE = RecoveryPolicy(first_wait=0.01, longest_wait=0.05, deadline=5.0, on_unreachable="recreate")
HASTY = RecoveryPolicy(first_wait=0.01, longest_wait=0.05, deadline=0.5)
NOT_OPEN = "The sandbox is running but port is not open"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row: what is done, and what must come of it."""

    failure: str
    moment: str
    faults: tuple[Fault, ...] = ()
    do: Callable[[Service], Any] | None = None
    """Done to the service right before the cell."""
    code: str = CODE
    timeout: float = 5.0
    options: tuple[tuple[str, Any], ...] = ()
    first: bool = False
    """The cell is the session's first one."""
    gets: str = "42"
    """The result's text, or the name of its error; `!Name` for an exception of ours."""
    reads: tuple[str, ...] = ()
    """Words that must be in what the model reads."""
    never: tuple[str, ...] = ()
    """Words that must not."""
    ran: int = 1
    made: int = 1
    keeps_x: bool = True
    """Whether the variable from before is there afterwards."""


def kill_and_refuse(service: Service) -> None:
    service.only.stop()
    service.refuse(8)


LOST = ("new one was started", "the variable x", "file /home/user/a.txt")
MAYBE = ("not run again",)

CASES = [
    Case(failure="nothing", moment="-", never=("lost", "gone", "restarted")),
    Case(failure="gone", moment="before", do=lambda s: s.only.stop(), reads=("42", *LOST), made=2, keeps_x=False),
    Case(failure="gone", moment="during", faults=(Fault("kill", moment="during", marker=PRINTED),), gets="SandboxLost",
         reads=("start", *LOST, *MAYBE), made=2, keeps_x=False),
    Case(failure="gone, rerun asked for", moment="during", faults=(Fault("kill", moment="during", marker=PRINTED),),
         options=(("rerun_on_loss", True),), reads=("42", *LOST), ran=2, made=2, keeps_x=False),
    Case(failure="gone, policy error", moment="before", do=lambda s: s.only.stop(),
         options=(("on_sandbox_lost", "error"),), gets="!SandboxLostError", reads=("no longer exists",), ran=0),
    Case(failure="gone, policy recreate", moment="before", do=lambda s: s.only.stop(),
         options=(("on_sandbox_lost", "recreate"),), reads=("42", "Not restored: file /home/user/a.txt"), made=2,
         keeps_x=False),
    Case(failure="gone, no new one to be had", moment="before", do=kill_and_refuse, gets="!SandboxBusyError",
         reads=("busy",), ran=0, keeps_x=False, made=2),
    Case(failure="gone, policy error", moment="during", faults=(Fault("kill", moment="during", marker=PRINTED),),
         options=(("on_sandbox_lost", "error"),), gets="!SandboxLostError", reads=("start", "no longer exists", *MAYBE),
         never=("nothing ran",)),
    Case(failure="gone, no new one to be had", moment="during", gets="!SandboxBusyError", keeps_x=False, made=2,
         faults=(Fault("kill", moment="during", marker=PRINTED), Fault("status", on="create", status=503, times=9)),
         reads=("start", "busy", *MAYBE), never=("nothing ran",)),
    Case(failure="gone, the new one too", moment="during the restore", do=lambda s: s.only.stop(),
         faults=(Fault("kill", on="files"),), reads=("42", *LOST), made=3, keeps_x=False),
    Case(failure="gone, connection dropped", moment="during the restore", do=lambda s: s.only.stop(),
         faults=(Fault("drop", on="files"),), reads=("42", *LOST), made=3, keeps_x=False),
    Case(failure="no answer, recreate asked for", moment="during", options=(("recovery", RECREATE),),
         faults=(Fault("drop", moment="during", marker=PRINTED),), gets="SandboxLost", reads=("start", *LOST, *MAYBE),
         made=2, keeps_x=False),
    Case(failure="paused", moment="before", do=lambda s: s.only.pause(), never=("lost", "gone", "paused")),
    Case(failure="paused", moment="during", faults=(Fault("pause", moment="during", marker=PRINTED),),
         gets="SandboxPaused", reads=("start", "paused", *MAYBE)),
    Case(failure="paused without memory", moment="before", do=lambda s: s.only.pause(memory=False),
         reads=("42", "without its memory", "the variable x", "Files are kept"), keeps_x=False),
    Case(failure="kernel died", moment="before", do=lambda s: s.kernels_die(),
         reads=("42", "restarted", "the variable x"), keeps_x=False),
    Case(failure="kernel died", moment="during", code=DIES, gets="ContextRestarting",
         reads=("start", "the kernel died", "the variable x", "Files are kept"), keeps_x=False),
    Case(failure="too slow", moment="during", code=SLOW, timeout=0.5, gets="ExecutionTimeout",
         reads=("start", "0.5 s", "kept")),
    Case(failure="connection dropped", moment="before", faults=(Fault("drop"),), gets="!SandboxUnreachableError",
         reads=("may have run",), ran=0),
    Case(failure="connection dropped", moment="during", faults=(Fault("drop", moment="during", marker=PRINTED),),
         gets="!SandboxUnreachableError", reads=("start", "may have run")),
    Case(failure="connection dropped", moment="after", faults=(Fault("drop", moment="after"),),
         gets="!SandboxUnreachableError", reads=("may have run",)),
    Case(failure="delayed", moment="before", faults=(Fault("delay", seconds=0.3),), never=("lost",)),
    Case(failure="no answer", moment="before", faults=(Fault("hang"),), timeout=0.5, gets="ExecutionTimeout",
         reads=("0.5 s",), ran=0),
    Case(failure="503 once", moment="before", faults=(Fault("status", status=503),), never=("busy",)),
    Case(failure="429 once", moment="before", faults=(Fault("status", status=429),), never=("rate",)),
    Case(failure="503 for ever", moment="before", faults=(Fault("status", status=503, times=99),),
         gets="!SandboxBusyError", reads=("nothing ran",), ran=0),
    Case(failure="502 without a reason", moment="before", faults=(Fault("status", status=502),),
         gets="!SandboxUnreachableError", reads=("may have run",), ran=0),
    Case(failure="port not open, then open", moment="before",
         faults=(Fault("status", status=502, message=NOT_OPEN),)),
    Case(failure="port never open", moment="before", options=(("recovery", HASTY),), ran=0,
         faults=(Fault("status", status=502, message=NOT_OPEN, times=9999),),
         gets="!SandboxUnreachableError", reads=("does not listen now", "nothing ran"), never=("template",)),
    Case(failure="create cut off", moment="after", first=True, faults=(Fault("drop", on="create", moment="after"),)),
    Case(failure="create cut off", moment="before", first=True, faults=(Fault("drop", on="create"),)),
    Case(failure="create busy", moment="before", first=True, faults=(Fault("status", on="create", status=503),),
         gets="!SandboxBusyError", reads=("nothing ran",), ran=0),
    Case(failure="quota used up", moment="before", first=True, gets="!QuotaError", ran=0, reads=("quota",),
         faults=(Fault("status", on="create", status=429, message="team quota exceeded"),)),
    Case(failure="gone", moment="control plane slow", do=lambda s: s.only.stop(),
         faults=(Fault("delay", on="get_info", seconds=0.3),), reads=("42", *LOST), made=2, keeps_x=False),
]  # fmt: skip


def name(value: Case | str) -> str:
    return value if isinstance(value, str) else f"{value.failure} {value.moment}".replace(" ", "-")


DOORS = ["sync", "async", "tool", "async tool", "llamaindex tool", "llamaindex blocking tool"]


@dataclass
class Told:
    """What came out of a door."""

    gets: str
    text: str
    result: ExecutionResult | None


def through(door: str, it: CodeInterpreter, case: Case) -> Told:
    """Run the case's cell through one of the doors."""
    if door.endswith("tool"):
        return through_tool(door, it, case)
    try:
        result = it.run(case.code) if door == "sync" else asyncio.run(it.as_async().run(case.code))
    except SandboxError as error:
        received = error.result or ExecutionResult(text="the error does not carry what was received")
        return Told(f"!{type(error).__name__}", f"{error}\n{render_text(received)}", received)
    return Told(result.error.name if result.error else str(result.text), render_text(result), result)


def through_tool(door: str, it: CodeInterpreter, case: Case) -> Told:
    if door.startswith("llamaindex"):
        return through_llamaindex(door, it, case)
    from ci_integrations.langchain import CodeInterpreterTool

    tool = CodeInterpreterTool(interpreter=it)
    call = {"name": tool.name, "args": {"code": case.code}, "id": "call_1", "type": "tool_call"}
    message: Any = tool.invoke(call) if door == "tool" else asyncio.run(tool.ainvoke(call))
    result = ExecutionResult.from_message(message)
    assert message.status == ("success" if result.error is None else "error")
    text = message.content if isinstance(message.content, str) else str(message.content)
    return Told(result.error.name if result.error else str(result.text), text, result)


def through_llamaindex(door: str, it: CodeInterpreter, case: Case) -> Told:
    from ci_integrations.llamaindex import CodeInterpreterTool

    tool = CodeInterpreterTool(it)
    output = tool.call(code=case.code) if "blocking" in door else asyncio.run(tool.acall(code=case.code))
    result = ExecutionResult.from_message(output)
    assert output.is_error == (result.error is not None)
    return Told(result.error.name if result.error else str(result.text), output.content, result)


def real(case: Case) -> Case:
    """The row for a real kernel, which takes longer for everything."""
    options = dict(case.options)
    policy = options.get("recovery", POLICY)
    options["recovery"] = replace(policy, deadline=policy.deadline * 10)
    return replace(
        case,
        timeout=max(case.timeout, 2.0),
        reads=tuple(words.replace("0.5 s", "2 s") for words in case.reads),
        options=tuple(options.items()),
    )


def options_of(service: Service, proxy: FaultProxy, case: Case) -> dict[str, Any]:
    return {
        **service.options, "api_url": proxy.url, "sandbox_url": proxy.url, "retries": 0, "recovery": POLICY,
        "execution_timeout": case.timeout, **dict(case.options),
    }  # fmt: skip


def check(case: Case, told: Told, ran: int) -> None:
    """What the row promises of the answer."""
    assert told.gets.lstrip("!") == case.gets.lstrip("!")
    for words in case.reads:
        assert words in told.text
    for words in case.never:
        assert words not in told.text
    assert ran == case.ran
    if told.result is not None and case.gets != "42":
        assert told.result.error is not None
    if case.gets not in ("42", "ContextRestarting") and told.result is not None:
        assert told.result.incomplete


def goes_on(case: Case) -> bool:
    """Whether a next cell is to be answered."""
    return not case.first and dict(case.options).get("on_sandbox_lost") != "error"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", CASES, ids=name)
def test_matrix(case: Case, door: str, record_property: Callable[[str, object], None]) -> None:
    with FakeE2B() as service, FaultProxy(service.url) as proxy:
        it = CodeInterpreter(**options_of(service, proxy, case))
        if not case.first:
            it.run("x = 5")
            it.upload(b"hello", "a.txt")
        proxy.inject(*case.faults)
        if case.do is not None:
            case.do(service)
        told = through(door, it, case)
        proxy.clear()
        service.create_status.clear()
        ran = service.runs[case.code]
        record_property("matrix", (case.failure, case.moment, door, "stand-in", told.gets, ran))

        check(case, told, ran)
        if goes_on(case):
            after = it.run("x")
            assert (after.text == "5") == case.keeps_x
        assert len(service.sandboxes) == case.made or (case.first and case.ran == 0)
        it.close()
        assert service.alive == []


DANGEROUS = {
    ("kernel died", "before"), ("kernel died", "during"), ("too slow", "during"), ("gone", "during"),
    ("connection dropped", "during"),
}  # fmt: skip
"""Failures after which code was run twice, or a session hung, at E2B's own server."""
ROWS = [
    pytest.param(case, door, marks=[pytest.mark.dangerous] if (case.failure, case.moment) in DANGEROUS else [])
    for case, door in zip(CASES, itertools.cycle(DOORS), strict=False)
]


@pytest.mark.parametrize(("case", "door"), ROWS, ids=name)
def test_on_real_kernels(case: Case, door: str, kind: Kind, record_property: Callable[[str, object], None]) -> None:
    if not kind.asked:
        pytest.skip("--kind not given: the stand-in has all doors")
    case = real(case)
    with RealE2B(kind) as service, FaultProxy(service.url) as service.proxy:
        it = CodeInterpreter(**options_of(service, service.proxy, case))
        case = replace(case, code=service.counted(case.code))
        first = "none"
        if not case.first:
            it.run("x = 5", timeout=60)
            it.upload(b"hello", "a.txt")
            first = service.only.id
        service.proxy.inject(*case.faults)
        if case.do is not None:
            case.do(service)
        told = through(door, it, case)
        service.proxy.clear()
        alive = service.alive
        # What ran in a sandbox that is lost cannot be read any more: the cell was lost after its first words.
        lost = bool(alive or case.failure) and first not in {box.id for box in alive} and "start" in told.text
        ran = sum(box.runs() for box in alive) + int(lost and any(fault.moment == "during" for fault in case.faults))
        record_property("matrix", (case.failure, case.moment, door, kind.name, told.gets, ran))

        if kind.name != "own" and (case.failure, case.moment) == ("kernel died", "before") and told.gets != "42":
            # jupyter keeps the cell for the next kernel: where it cannot be told whether it ran, that is said
            assert ran <= 1
            assert told.result is not None
            assert told.result.error is not None
        else:
            check(case, told, ran)
        if goes_on(case):
            after = it.run("x", timeout=60)
            assert (after.text == "5") == case.keeps_x
        it.close()
        assert service.alive == []
