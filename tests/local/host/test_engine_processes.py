"""Processes in a sandbox: their descriptors, environment, terminals, signals and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest

from ci_integrations.local.protocol.contract import HOME, Argv, EngineError, Pty, SandboxDead

from .conftest import answer, new_sandbox, python, read_some, read_to_end, shell, start_python

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_entry_answers_over_its_control_socket(sandbox):
    assert await python(sandbox, "result = config['a'] + 1", {"a": 41}) == 42


async def test_an_entry_writes_to_pipes_of_its_own(sandbox):
    child = await start_python(sandbox, "import sys; print('out'); print('err', file=sys.stderr)")
    await answer(child)
    assert (await child.exited).code == 0
    assert (await read_to_end(child.stdout), await read_to_end(child.stderr)) == (b"out\n", b"err\n")
    child.close()


async def test_a_program_gets_its_input_and_returns_its_exit_code(sandbox):
    child = await sandbox.spawn(Argv(["bash", "-c", "read line; echo got $line >&2; exit 3"]), stdin=True)
    os.write(child.stdin, b"hello\n")
    child.close_stdin()
    assert (await child.exited).code == 3
    assert await read_to_end(child.stderr) == b"got hello\n"
    child.close()


async def test_without_stdin_a_program_reads_the_end_at_once(sandbox):
    outcome, out, _ = await shell(sandbox, "cat; echo done")
    assert (outcome.code, out) == (0, b"done\n")


async def test_nothing_but_the_standard_descriptors_is_inherited(sandbox):
    _, out, _ = await shell(sandbox, "ls /proc/$$/fd" if sandbox.home == HOME else "echo /dev/fd/* ; true")
    assert [int(word.rpartition(b"/")[2]) for word in out.split() if word[-1:].isdigit()][:3] == [0, 1, 2]
    fds = await python(sandbox, "import os; result = sorted(map(int, os.listdir('/proc/self/fd')))[:-1]")
    assert fds == [0, 1, 2, 3]


async def test_the_environment_holds_only_what_belongs_to_the_sandbox(engine, monkeypatch):
    monkeypatch.setenv("HOST_SECRET", "swordfish")
    sandbox = await new_sandbox(engine, envs={"E2B_SANDBOX": "true", "BOTH": "sandbox"})
    code = "import os; result = [dict(os.environ), open('/proc/self/environ').read()]"
    envs, block = await python(sandbox, code, envs={"BOTH": "process"})
    known = {"HOME", "USER", "LOGNAME", "SHELL", "LANG", "PATH", "E2B_SANDBOX", "BOTH"}
    assert set(envs) - {"TMPDIR"} == known
    assert (envs["BOTH"], envs["HOME"], envs["USER"]) == ("process", sandbox.home, "user")
    assert "swordfish" not in block
    await sandbox.kill()


async def test_every_process_starts_in_the_home_or_where_it_is_told_to(sandbox):
    assert await python(sandbox, "import os; result = os.getcwd()") == sandbox.home
    assert await python(sandbox, "import os; result = os.getcwd()", cwd="/usr") == "/usr"
    await python(sandbox, "import os; os.mkdir('below')")
    assert await python(sandbox, "import os; result = os.getcwd()", cwd=f"{HOME}/below") == f"{sandbox.home}/below"


async def test_a_directory_that_is_not_there_is_said(sandbox):
    with pytest.raises(NotADirectoryError, match="/no/such/place"):
        await sandbox.spawn(Argv(["true"]), cwd="/no/such/place")


async def test_a_program_that_is_not_there_exits_with_127(sandbox):
    child = await sandbox.spawn(Argv(["no-such-program"]))
    assert (await child.exited).code == 127
    assert await read_to_end(child.stderr) == b"no-such-program: command not found\n"
    child.close()


async def test_an_entry_that_raises_exits_with_1_and_its_traceback(sandbox):
    child = await start_python(sandbox, "raise SystemExit(7)")
    assert (await child.exited).code == 7
    child.close()


async def test_a_request_that_fits_no_packet_is_refused_and_the_sandbox_lives(sandbox):
    with pytest.raises(EngineError, match="too large"):
        await python(sandbox, "result = 1", {"filler": "x" * (8 << 20)})
    assert await python(sandbox, "result = 1") == 1


async def test_signals_reach_the_whole_process_group(sandbox):
    child = await sandbox.spawn(Argv(["bash", "-c", "sleep 100 & wait"]))
    await child.signal(signal.SIGTERM)
    assert (await child.exited).signal == signal.SIGTERM
    child.close()
    _, out, _ = await shell(sandbox, "pgrep sleep; true")
    assert out == b""


async def test_sigint_interrupts_python_as_on_any_terminal(sandbox):
    child = await start_python(sandbox, "control.send(b'1')\nwhile True: pass")
    await asyncio.get_running_loop().sock_recv(child.control, 1)
    await child.signal(signal.SIGINT, group=False)
    assert (await child.exited).code == 1
    assert b"KeyboardInterrupt" in await read_to_end(child.stderr)
    child.close()


async def test_a_signal_after_the_end_is_no_error(sandbox):
    child = await sandbox.spawn(Argv(["true"]))
    await child.exited
    await child.signal(signal.SIGTERM)
    child.close()


async def test_a_terminal_has_its_size_and_is_resized(sandbox):
    child = await sandbox.spawn(Argv(["bash", "-c", "stty size; read go; stty size"]), pty=Pty(cols=100, rows=30))
    assert await read_some(child.stdout) == b"30 100\r\n"
    await child.resize(Pty(cols=50, rows=20))
    os.write(child.stdin, b"\n")
    await child.exited
    assert b"20 50" in await read_to_end(child.stdout)
    child.close()


async def test_control_c_typed_into_a_terminal_interrupts(sandbox):
    child = await sandbox.spawn(Argv(["bash", "-c", "echo ready; sleep 100"]), pty=Pty(cols=80, rows=24))
    assert b"ready" in await read_some(child.stdout)
    os.write(child.stdin, b"\x03")
    outcome = await child.exited
    assert signal.SIGINT in (outcome.signal, (outcome.code or 0) - 128)
    child.close()


async def test_a_listening_socket_made_inside_can_be_passed_out(sandbox):
    if sandbox.home != HOME:
        pytest.skip("no sockets at the landlock level")
    code = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
socket.send_fds(control, [b"s"], [listener.fileno()])
client = socket.create_connection(listener.getsockname())
result = client.recv(5).decode()
"""
    child = await start_python(sandbox, code)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, _wait_readable, child.control)
    _, fds, _, _ = socket.recv_fds(child.control, 1, 1)
    with socket.socket(fileno=fds[0]) as listener:
        listener.setblocking(False)
        connection, _ = await loop.sock_accept(listener)
        with connection:
            connection.sendall(b"hello")
    assert await answer(child) == "hello"
    child.close()


def _wait_readable(end: socket.socket) -> None:
    import select

    select.select([end], [], [], 10)


async def test_large_output_does_not_block_the_agent(sandbox):
    child = await sandbox.spawn(Argv(["bash", "-c", "head -c 3000000 /dev/zero"]))
    assert await python(sandbox, "result = 1") == 1  # nobody reads the other one's pipe yet
    assert len(await read_to_end(child.stdout)) == 3_000_000
    child.close()


async def test_a_caller_who_gives_up_leaves_no_process_behind(sandbox):
    task = asyncio.ensure_future(sandbox.spawn(Argv(["sleep", "100"])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(200):
        if (await sandbox.usage()).processes == 0:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the process of a cancelled request still runs")


async def test_a_dead_sandbox_says_so(engine):
    sandbox = await new_sandbox(engine)
    await sandbox.kill()
    for call in (sandbox.spawn(Argv(["true"])), sandbox.usage(), sandbox.freeze(), sandbox.thaw()):
        with pytest.raises(SandboxDead):
            await call
