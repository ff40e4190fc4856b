"""No sandbox outlives its use: objects that nobody holds, workers of pools, signals, a service that hangs at exit."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

from ci_integrations import CodeInterpreter
from ci_integrations.sessions import SessionRegistry

from .fake_e2b import FakeE2B


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        gc.collect()
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_an_interpreter_that_nobody_holds_leaves_no_sandbox(service: FakeE2B, interpreter: Callable[..., Any]) -> None:
    def rerun() -> str:
        return str(CodeInterpreter(**service.options).run("6 * 7").text)

    kept = interpreter()
    assert kept.run("x = 1").ok
    assert [rerun() for _ in range(3)] == ["42"] * 3
    eventually(lambda: len(service.alive) == 1)
    assert kept.run("x").text == "1"


def test_a_registry_that_nobody_holds_leaves_no_sandbox(service: FakeE2B) -> None:
    def handle() -> None:
        registry = SessionRegistry(service.options)
        for key in ("anna", "ben"):
            registry.session(key).run("1")

    handle()
    eventually(lambda: service.alive == [])


def test_a_sandbox_whose_identity_was_handed_out_is_not_ended_with_the_object(service: FakeE2B) -> None:
    def first_request() -> dict[str, Any]:
        interpreter = CodeInterpreter(**service.options)
        interpreter.run("x = 1")
        return interpreter.identity()

    identity = first_request()
    for _ in range(3):  # where the other tests see their sandboxes go
        gc.collect()
        CodeInterpreter(**service.options).run("1")
    eventually(lambda: len(service.alive) == 1)
    with CodeInterpreter.from_identity(identity, **service.options) as again:
        assert again.run("x").text == "1"


def program(code: str, service: FakeE2B, *, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A program of its own, with `options` that lead to the service."""
    head = f"""
    import os, signal, sys, threading, time
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` has it ignored
    from ci_integrations import CodeInterpreter
    from ci_integrations.sessions import SessionRegistry
    options = {service.options!r}
    """
    text = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ends(process: subprocess.Popen[str], within: float = 60) -> str:
    try:
        said, problem = process.communicate(timeout=within)
    finally:
        process.kill()
    assert process.returncode is not None, problem
    return said + problem


def test_what_was_dropped_and_lent_ends_with_the_process(service: FakeE2B) -> None:
    process = program(
        """
        def handle():
            registry = SessionRegistry(options)
            registry.session("a").run("1")
            return registry.identity("a")
        print([handle()["sandbox_id"] is not None for _ in range(2)])
        """,
        service,
    )
    assert "[True, True]" in ends(process)
    assert service.alive == []


WORKER = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def work(number):
    global interpreter
    interpreter = globals().get("interpreter") or CodeInterpreter(**options)
    return interpreter.run(f"{number} * 2").text
"""


@pytest.mark.parametrize(
    "use",
    [
        "with ProcessPoolExecutor(2, mp_context=context) as pool: print(list(pool.map(work, range(3))))",
        "pool = context.Pool(2); print(pool.map(work, range(3))); pool.close(); pool.join()",
        "with context.Pool(2) as pool: print(pool.map(work, range(3)))",
    ],
)
def test_workers_of_a_pool_leave_no_sandbox(service: FakeE2B, use: str) -> None:
    process = program(f"{WORKER}\ncontext = multiprocessing.get_context('fork')\n{use}", service)
    assert "['0', '2', '4']" in ends(process)
    eventually(lambda: service.alive == [])  # a pool that is terminated does not wait for its workers' ends


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_that_ends_the_program_leaves_no_sandbox(service: FakeE2B, name: str) -> None:
    process = program(
        """
        def use():
            global interpreter
            interpreter = CodeInterpreter(**options)
            interpreter.run("1")
            print("READY", flush=True)
        threading.Thread(target=use).start()
        time.sleep(60)
        """,
        service,
    )
    assert process.stdout is not None
    assert "READY" in process.stdout.readline()
    assert len(service.alive) == 1
    process.send_signal(getattr(signal, name))
    ends(process)
    assert process.returncode == -getattr(signal, name)
    assert service.alive == []


def test_what_others_do_at_a_signal_stays_theirs(service: FakeE2B) -> None:
    process = program(
        """
        import subprocess
        code = '''
        import faulthandler, signal
        faulthandler.register(signal.SIGQUIT)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        import ci_integrations.interpreter
        print(signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
        '''
        import textwrap
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
        """,
        service,
    )
    expected = "True True" if os.path.exists("/proc/self/status") else "True"  # noqa: PTH110 - told from there
    assert expected in ends(process)


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces of Linux")
def test_process_1_of_a_container_ends_at_sigterm(service: FakeE2B) -> None:
    code = """
    interpreter = CodeInterpreter(**options)
    interpreter.run("1")
    print("READY", os.getpid(), flush=True)
    os.kill(1, signal.SIGTERM)
    time.sleep(60)
    print("WENT ON", flush=True)
    """
    said = ends(program(code, service, prefix=("unshare", "--pid", "--fork", "--mount-proc")))
    if "READY 1" not in said:
        pytest.skip("no right to make a PID namespace here")
    assert "WENT ON" not in said
    assert service.alive == []


def test_a_service_that_hangs_holds_the_exit_for_one_deadline(service: FakeE2B) -> None:
    process = program(
        """
        import atexit
        from ci_integrations.recovery import RecoveryPolicy
        sessions = [CodeInterpreter(**options, recovery=RecoveryPolicy(exit_deadline=1.5)) for _ in range(4)]
        atexit.register(lambda: print(f"WAITED {time.monotonic() - began:.1f}", flush=True))
        print([session.run("1").text for session in sessions])
        import socket
        silent = socket.create_server(("127.0.0.1", 0))
        for session in sessions:
            session.state.connection = {**session.state.connection, "api_url": options["api_url"]}
            session.state.options.create_options["api_url"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
            session.state.connection["api_url"] = session.state.options.create_options["api_url"]
        began = time.monotonic()
        """,
        service,
    )
    said = ends(process)
    waited = float(said.partition("WAITED ")[2].split()[0])
    assert 1.0 < waited < 5.5, said  # four in turn would have taken 6 seconds


def test_a_forked_child_is_told_that_it_cannot_list_leftovers(service: FakeE2B) -> None:
    process = program(
        """
        from ci_integrations.errors import ForkedSessionError
        from ci_integrations.sessions import list_leftovers, reap
        interpreter = CodeInterpreter(**options)
        interpreter.run("1")
        if os.fork() == 0:
            for ask in (list_leftovers, reap):
                try:
                    ask(**options)
                except ForkedSessionError:
                    print("TOLD", flush=True)
            os._exit(0)
        os.wait()
        """,
        service,
    )
    assert ends(process).count("TOLD") == 2
