"""The promises that only a real kernel can keep: against the local server, one of its own that outlives its clients."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_kinds import Kind

from ci_integrations import AsyncCodeInterpreter, CodeInterpreter
from ci_integrations.errors import ConfigurationError
from ci_integrations.leftovers import list_leftovers, reap
from ci_integrations.rendering import render_text
from ci_integrations.sessions import SessionRegistry

SWALLOWS = "import time\nwhile True:\n  try:\n    while True: time.sleep(0.01)\n  except KeyboardInterrupt: pass"


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    """`ci-integrations serve` as a process of its own: what the SDK needs to reach it."""
    command = [sys.executable, "-m", "ci_integrations.cli", "serve", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = ""
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, "the server ended before it said where it is"
            said += line
        address = json.loads(said)
        url = address.get("E2B_API_URL") or address["url"]
        key = address.get("E2B_API_KEY") or address.get("api_key") or address["token"]
        yield {"api_url": url, "sandbox_url": url, "api_key": key}
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture
def it(server: dict[str, Any], kind: Kind) -> Iterator[CodeInterpreter]:
    where = kind.options if kind.name == "e2b" else {**server, **kind.template}
    with CodeInterpreter(**where) as interpreter:
        yield interpreter


def alive(server: dict[str, Any], session_id: str | None = None) -> list[str]:
    return [leftover.sandbox_id for leftover in list_leftovers(session_id, **server)]


def test_killed_between_two_cells(it: CodeInterpreter) -> None:
    it.run("import math\ndf = [1, 2]\ntotal = sum(df)")
    it.upload(b"a,b\n1,2\n", "a.csv")
    it.sandbox.kill()
    result = it.run("print(open('/home/user/a.csv').read())\n'second'")
    assert (result.text, result.stdout, result.error) == ("second", "a,b\n1,2\n\n", None)
    (event,) = result.events
    assert (event.lost, event.restored) == (("math", "df", "total"), ("file /home/user/a.csv",))
    text = render_text(result)
    assert "math, df, total" in text
    assert "file /home/user/a.csv" in text


def test_paused_between_two_cells_nothing_is_lost_and_nothing_announced(it: CodeInterpreter) -> None:
    it.run("x = 5")
    it.sandbox.pause()
    result = it.run("x")
    assert (result.text, result.events) == ("5", ())


def test_an_endless_loop_is_answered_in_time_and_the_variables_stay(it: CodeInterpreter) -> None:
    it.run("x = 5")
    first = it.sandbox_id
    began = time.monotonic()
    result = it.run("print('on')\nwhile True: pass", timeout=2)
    assert time.monotonic() - began < 3.5
    assert result.error is not None
    assert (result.error.name, result.stdout, result.incomplete) == ("ExecutionTimeout", "on\n", True)
    after = it.run("x")
    assert (after.text, after.events, it.sandbox_id) == ("5", (), first)


def test_a_cell_that_swallows_the_interrupt_costs_the_kernel_not_the_files(it: CodeInterpreter) -> None:
    it.run("x = 5\nopen('kept.txt', 'w').write('kept')")
    first = it.sandbox_id
    began = time.monotonic()
    result = it.run(SWALLOWS, timeout=2)
    assert time.monotonic() - began < 3.5
    assert "the variable x" in render_text(result)
    after = it.run("open('kept.txt').read(), 'x' in dir()")
    assert (after.text, it.sandbox_id) == ("('kept', False)", first)


@pytest.mark.parametrize("end", ["exit()", "import os; os._exit(1)", "import os; os.kill(os.getpid(), 9)"])
def test_a_kernel_that_ends_is_followed_by_a_fresh_one_and_it_is_said(it: CodeInterpreter, end: str) -> None:
    it.run("x = 5")
    ending = it.run(end)
    after = it.run("open('count.txt', 'a').write('x')\nopen('count.txt').read()")
    assert (after.text, after.error) == ("x", None)
    events = [*ending.events, *after.events]
    assert [(event.type, event.lost) for event in events] == [("context_restarted", ("x",))]


async def test_cancelling_a_task_interrupts_the_kernel(server: dict[str, Any]) -> None:
    async with AsyncCodeInterpreter(**server) as it:
        await it.run("x = 5")
        task = asyncio.create_task(it.run("while True: pass", timeout=None))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await it.run("x")).text == "5"
        assert time.monotonic() - began < 2


def test_charts_come_as_data_also_from_a_kernel_that_knew_nothing_of_us(it: CodeInterpreter) -> None:
    result = it.run("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [4, 5, 6])\nplt.show()")
    assert [chart.kind for chart in result.charts] == ["chart"]
    assert result.execution_count == 1


PROLOGUE = """
import json, os, signal, sys, threading, time
from ci_integrations import CodeInterpreter
from ci_integrations.sessions import SessionRegistry
server = json.loads(sys.argv[1])
"""


def program(code: str, server: dict[str, Any], *arguments: str) -> subprocess.Popen[str]:
    """A Python program of its own, told where the server is."""
    command = [sys.executable, "-c", PROLOGUE + textwrap.dedent(code), json.dumps(server), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_one_after_the_other_share_the_kernel(server: dict[str, Any]) -> None:
    first = program(
        """
        registry = SessionRegistry(server, idle="keep")
        registry.session("thread").run("x = 41")
        print(json.dumps(registry.identity("thread")))
        """,
        server,
    )
    said, problem = first.communicate(timeout=60)
    assert first.returncode == 0, problem
    second = program(
        """
        with SessionRegistry(server) as registry:
            registry.adopt("thread", json.loads(sys.argv[2]))
            print(registry.session("thread").run("x + 1").text)
        """,
        server,
        said,
    )
    answer, problem = second.communicate(timeout=60)
    assert (answer.strip(), second.returncode) == ("42", 0), problem
    assert alive(server, json.loads(said)["session_id"]) == []


RUNS_LONG = """
it = CodeInterpreter(**server)
def tell(event):
    if event.kind == "stdout":
        print(it.session_id, flush=True)
it.run("print('in the middle', flush=True)\\nimport time\\ntime.sleep(60)", on_output=tell)
"""


def ends_without_a_sandbox(code: str, server: dict[str, Any], number: signal.Signals, patience: float) -> None:
    """The program ends within `patience` seconds of the signal."""
    process = program(code, server)
    assert process.stdout is not None
    session_id = process.stdout.readline().strip()
    assert alive(server, session_id)
    process.send_signal(number)
    _, problem = process.communicate(timeout=patience)
    assert process.returncode in (-number, 1), problem
    assert alive(server, session_id) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_cell_leaves_no_sandbox(server: dict[str, Any], number: signal.Signals) -> None:
    ends_without_a_sandbox(RUNS_LONG, server, number, patience=20)


IN_AN_AGENT = """
from langchain.agents import create_agent
from ci_integrations.langchain import CodeInterpreterTool
from ci_integrations.sessions import list_leftovers
from ci_integrations.testing import ScriptedChatModel
os.environ.update(E2B_API_URL=server["api_url"], E2B_SANDBOX_URL=server["sandbox_url"], E2B_API_KEY=server["api_key"])
tool = CodeInterpreterTool()
code = "open('on', 'w').close()\\nimport time\\ntime.sleep(60)"
agent = create_agent(ScriptedChatModel([ScriptedChatModel.call(tool.name, code=code), "done"]), tools=[tool])
def tell():
    from e2b_code_interpreter import Sandbox
    mine = lambda: [left for left in list_leftovers() if left.pid == os.getpid()]
    while not mine():
        time.sleep(0.05)
    box = Sandbox.connect(mine()[0].sandbox_id)
    while not box.files.exists("/home/user/on"):
        time.sleep(0.05)
    print(mine()[0].session_id, flush=True)
threading.Thread(target=tell, daemon=True).start()
agent.invoke({"messages": ["go"]})
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_so_does_one_while_the_cell_runs_in_an_agents_thread(server: dict[str, Any], number: signal.Signals) -> None:
    ends_without_a_sandbox(IN_AN_AGENT, server, number, patience=30)


def test_a_plain_exit_in_the_middle_of_a_cell_leaves_no_sandbox(server: dict[str, Any]) -> None:
    process = program(
        """
        it = CodeInterpreter(**server)
        started = threading.Event()
        code = "print('on', flush=True)\\nimport time\\ntime.sleep(60)"
        thread = threading.Thread(target=lambda: it.run(code, on_output=lambda e: started.set()), daemon=True)
        it.run("1")
        thread.start()
        started.wait(20)
        print(it.session_id)
        """,
        server,
    )
    said, problem = process.communicate(timeout=60)
    assert process.returncode == 0, problem
    assert alive(server, said.strip()) == []


def test_what_sigkill_leaves_behind_is_found_and_reaped(server: dict[str, Any]) -> None:
    process = program(RUNS_LONG, server)
    assert process.stdout is not None
    session_id = process.stdout.readline().strip()
    process.kill()
    process.communicate()
    (left,) = list_leftovers(session_id, **server)
    assert (left.pid, left.state) == (process.pid, "running")
    assert [one.sandbox_id for one in reap(session_id, **server)] == [left.sandbox_id]
    assert alive(server, session_id) == []


@pytest.mark.parametrize("mine", ["CodeInterpreter(**server)", "CodeInterpreter(sandbox=Sandbox.create(**server))"])
def test_a_forked_child_gets_a_clear_error_instead_of_hanging(server: dict[str, Any], mine: str) -> None:
    process = program(
        f"""
        from e2b_code_interpreter import Sandbox
        from ci_integrations.errors import ForkedSessionError
        it = {mine}
        it.run("x = 1")
        child = os.fork()
        if child == 0:
            said = []
            for use in (lambda: it.run("x"), lambda: CodeInterpreter(**server).run("1")):
                try:
                    use()
                except ForkedSessionError as error:
                    said.append("spawn" in str(error))
            it.close()
            os._exit(0 if said == [True, True] else 1)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), it.run("x").text)
        it.sandbox.kill()
        it.close()
        """,
        server,
    )
    said, problem = process.communicate(timeout=60)
    assert said.split() == ["0", "1"], problem


def test_a_fork_before_the_first_use_is_fine(server: dict[str, Any]) -> None:
    process = program(
        """
        it = CodeInterpreter(**server)  # made, as in a server that is loaded before its workers fork, but not used
        child = os.fork()
        if child == 0:
            with it:
                answer = it.run("40 + 2").text
            os._exit(int(answer or 0))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        """,
        server,
    )
    said, problem = process.communicate(timeout=60)
    assert said.strip() == "42", problem


def test_a_registry_pauses_what_gives_way_and_resumes_it(server: dict[str, Any]) -> None:
    with SessionRegistry(server, max_sessions=1, idle="pause") as registry:
        first = registry.session("a")
        first.run("x = 1")
        registry.session("b").run("x = 2")
        registry.session("b")
        wait_for(lambda: sandbox_state(first, server) == "paused")
        again = registry.session("a").run("x")
        assert (again.text, again.events) == ("1", ())
        ids = [registry.session(key).session_id for key in ("a", "b")]
    for session_id in ids:
        reap(session_id, **server)
        assert alive(server, session_id) == []


def sandbox_state(session: CodeInterpreter, server: dict[str, Any]) -> str:
    from e2b_code_interpreter import Sandbox

    return str(Sandbox.get_info(session.sandbox_id or "", **server).state.value)


def wait_for(condition: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_nothing_of_these_tests_is_left(server: dict[str, Any]) -> None:
    mine = [left for left in list_leftovers(**server) if left.pid == os.getpid()]
    assert mine == []


def test_ctrl_c_in_a_notebook_stops_the_cell_and_keeps_the_session(server: dict[str, Any]) -> None:
    process = program(
        """
        it = CodeInterpreter(**server)
        it.run("x = 5")
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
        try:
            it.run("while True: pass")
        except KeyboardInterrupt:
            print(time.monotonic() - began < 3, it.run("x").text)
        it.close()
        """,
        server,
    )
    said, problem = process.communicate(timeout=60)
    assert said.split() == ["True", "5"], problem


def test_a_kernel_of_another_language_is_interrupted_too_or_restarted_in_time(server: dict[str, Any]) -> None:
    with CodeInterpreter(**server) as it:
        try:
            assert it.run("echo hi", language="bash").stdout == "hi\n"
        except Exception as error:
            pytest.skip(f"no bash kernel: {error}")
        began = time.monotonic()
        it.run("sleep 20", language="bash", timeout=1)
        assert time.monotonic() - began < 3


def test_when_the_local_server_itself_dies_the_session_goes_on_with_a_new_one() -> None:
    process = program(
        """
        import subprocess
        it = CodeInterpreter(backend="local")
        it.run("x = 1")
        children = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True).stdout.split()
        for child in children:
            if "ci_integrations.local.server" in open(f"/proc/{child}/cmdline").read():
                os.kill(int(child), signal.SIGKILL)
        time.sleep(0.5)  # at once, the next cell would be cut off on its way, and rightly not be run again
        result = it.run("6 * 7")
        print(result.text, result.events[0].lost)
        it.close()
        """,
        {},
    )
    said, problem = process.communicate(timeout=60)
    assert said.strip() == "42 ('x',)", problem


def test_another_holder_of_a_kernel_hears_of_its_death_though_the_count_went_on(server: dict[str, Any]) -> None:
    with CodeInterpreter(**server) as first:
        first.run("total = 10")
        with CodeInterpreter.from_identity(first.identity(), owns=False, **server) as second:
            assert second.run("total").text == "10"
            first.run("import os; os._exit(1)")
            for number in range(4):
                first.run(f"later = {number}")
            result = second.run("'total' in globals()")
            assert (result.text, [event.type for event in result.events]) == ("False", ["context_restarted"])
            assert result.events[0].lost == ("total",)
            assert second.run("1").events == ()


def test_setup_code_that_does_not_end_is_named_and_run_once(server: dict[str, Any]) -> None:
    with (
        CodeInterpreter(**server, setup_code="while True: pass", execution_timeout=1) as interpreter,
        pytest.raises(ConfigurationError, match="setup code ran longer than 1 s"),
    ):
        interpreter.run("1")


def test_what_cannot_be_restored_is_told_and_stops_no_session(server: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "data.csv"
    source.write_text("a")
    setup = "import os\nwhile os.path.exists('/home/user/lock'): pass"
    with CodeInterpreter(**server, setup_code=setup, execution_timeout=2) as interpreter:
        interpreter.upload(b"", "/home/user/lock")
        interpreter.upload(source, "/home/user/data.csv")
        interpreter.run("total = 10")
        source.unlink()
        source.mkdir()
        interpreter.sandbox.kill()
        result = interpreter.run("40 + 2")
        assert result.text == "42"
        (event,) = result.events
        assert [words.partition(" (")[0] for words in event.not_restored] == ["file /home/user/data.csv", "setup code"]
