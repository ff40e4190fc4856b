"""What E2B's server does when kernels die, hang or restart: the double has to have its faults as well.

The client of this library is tested against them in other rooms; here they are shown to be there.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from e2b import SandboxException, TimeoutException
from e2b_code_interpreter import Context, Sandbox
from e2b_code_interpreter.models import Execution

STUBBORN = "kept = 1\nwhile True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"


@pytest.fixture
def context(sandbox: Sandbox) -> Context:
    """A kernel that has run a cell: the variables of the sandbox are set."""
    made = sandbox.create_code_context()
    sandbox.run_code("kept = 1", context=made)
    return made


def leave(sandbox: Sandbox, context: Context, code: str) -> None:
    """Runs a cell and hangs up after a second or two, without an answer. The SDK's limit fires at twice its value."""
    with pytest.raises(TimeoutException):
        sandbox.run_code(code, context=context, timeout=1)


def error_of(execution: Execution) -> str | None:
    return execution.error.name if execution.error is not None else None


def test_a_kernel_that_dies_in_a_cell_is_started_again(sandbox: Sandbox, context: Context) -> None:
    """The kernel tells the count from a thread of its own: a cell that dies at once may be faster than that."""
    died = sandbox.run_code("import os, time; time.sleep(2); os._exit(1)", context=context)
    assert (error_of(died), died.execution_count) == ("ContextRestarting", 2)
    at_once = sandbox.run_code("import os; os._exit(1)", context=context)
    assert error_of(at_once) == "ContextRestarting"
    assert at_once.execution_count in (1, None)
    assert sandbox.run_code("'kept' in globals()", context=context).text == "False"


def test_a_cell_sent_while_no_kernel_lives_runs_in_the_next_one_whatever_was_answered(sandbox: Sandbox) -> None:
    """Its message waits in a socket. The answer says that the context restarts, without a count, and is no promise."""
    answers = set()
    for wait in (0.1, 0.2, 0.4, 0.6):
        context = sandbox.create_code_context()
        sandbox.run_code("import os, threading; threading.Timer(0.2, os._exit, (1,)).start()", context=context)
        time.sleep(0.2 + wait)
        sandbox.files.write("trace", "")
        answer = sandbox.run_code("with open('trace', 'a') as file: file.write('x')", context=context)
        answers.add((error_of(answer), answer.execution_count))
        sandbox.run_code("1", context=context)
        assert sandbox.files.read("trace") == "x", (wait, answers)
        sandbox.remove_code_context(context)
    assert ("ContextRestarting", None) in answers


def test_exit_is_no_error_and_the_next_cell_may_be_told_of_the_restart(sandbox: Sandbox, context: Context) -> None:
    assert error_of(sandbox.run_code("exit()", context=context)) is None
    answers = [sandbox.run_code("'kept' in globals()", context=context) for _ in range(3)]
    assert {error_of(answer) for answer in answers[:2]} <= {"ContextRestarting", None}
    assert answers[2].text == "False"


@pytest.mark.parametrize("code", ["while True: pass", "import asyncio; await asyncio.sleep(60)"])
def test_the_cell_after_an_interrupt_is_lost_and_the_one_after_that_is_not(
    sandbox: Sandbox, context: Context, code: str
) -> None:
    """The kernel aborts what came while it was still in the cell, and the server does not know that answer."""
    leave(sandbox, context, code)
    with pytest.raises(TimeoutException):
        sandbox.run_code("'lost'", context=context, timeout=2)
    assert sandbox.run_code("kept", context=context).text == "1"


def test_a_cell_that_swallows_interrupts_holds_its_context_until_a_restart(sandbox: Sandbox, context: Context) -> None:
    leave(sandbox, context, STUBBORN)
    leave(sandbox, context, "'waits'")
    sandbox.restart_code_context(context)
    assert sandbox.run_code("'kept' in globals()", context=context).text == "False"


def test_a_restart_takes_the_connection_away_from_the_cell_that_runs(sandbox: Sandbox, context: Context) -> None:
    with ThreadPoolExecutor() as pool:
        running = pool.submit(sandbox.run_code, "import time; time.sleep(30)", context=context)
        time.sleep(1)
        sandbox.restart_code_context(context)
        assert error_of(running.result(20)) == "UnexpectedEndOfExecution"


def test_a_request_that_waited_for_a_context_that_is_removed_gets_no_answer(sandbox: Sandbox, context: Context) -> None:
    with ThreadPoolExecutor() as pool:
        running = pool.submit(sandbox.run_code, "import time; time.sleep(30)", context=context)
        time.sleep(1)
        waiting = pool.submit(sandbox.run_code, "'waits'", context=context, timeout=15)
        time.sleep(0.5)
        sandbox.remove_code_context(context)
        assert error_of(running.result(20)) == "UnexpectedEndOfExecution"
        with pytest.raises((httpx.RemoteProtocolError, TimeoutException)):
            waiting.result(60)


@pytest.mark.slow
def test_after_five_restarts_close_together_a_context_is_dead_for_good(sandbox: Sandbox, context: Context) -> None:
    for _ in range(5):
        assert error_of(sandbox.run_code("import os; os._exit(1)", context=context)) == "ContextRestarting"
    leave(sandbox, context, "import os; os._exit(1)")
    leave(sandbox, context, "'never'")
    with pytest.raises(SandboxException, match=f"500.*Failed to restart context {context.id}"):
        sandbox.restart_code_context(context)
    assert sandbox.run_code("'others live'").text == "others live"


def test_a_service_that_is_killed_comes_back_and_its_port_is_closed_meanwhile(
    sandbox: Sandbox, http: httpx.Client
) -> None:
    """As systemd has it at E2B. The default context is another one then; the kernels of the old one are nobody's."""
    sandbox.run_code("kept = 1")
    front = (
        "import os\n"
        "ports = open('/proc/net/tcp').read().splitlines()[1:]\n"
        "inode = next(row.split()[9] for row in ports if row.split()[1].endswith(':C34F') and row.split()[3] == '0A')\n"
        "for pid in filter(str.isdecimal, os.listdir('/proc')):\n"
        "    try:\n"
        "        links = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]\n"
        "    except OSError:\n        continue\n"
        "    if f'socket:[{inode}]' in links:\n        os.kill(int(pid), 9)\n"
    )
    with pytest.raises((httpx.RemoteProtocolError, SandboxException)):
        sandbox.run_code(front)
    answers, deadline = [http.get("/health")], time.monotonic() + 90
    while answers[-1].status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
        answers.append(http.get("/health"))
    assert {answer.status_code for answer in answers} == {200, 502}
    assert any("port is not open" in answer.text for answer in answers)
    assert sandbox.run_code("'kept' in globals()").text == "False"
