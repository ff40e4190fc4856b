"""What a second review found: ways to freeze, slow down or starve the host and its other sandboxes from inside one."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.local.host.context import Context
from ci_integrations.local.jail.ids import may_use_spare_uids
from ci_integrations.local.protocol.contract import Sandbox

from .conftest import SMALL, Host, Lab, on_host, stdout_of, text_of


def _death(events: list[dict[str, Any]]) -> str:
    return next((event["reason"] for event in events if event["type"] == "died"), "it lives")


LINGER = """
def attack():
    pair = socket.socketpair()
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 600))
    return struct.unpack('ii', pair[0].getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (1, 600)
"""
LEASE = """
def attack():
    import fcntl
    with open('{folder}/leased', 'w') as file:
        file.write('x')
    return fcntl.fcntl(os.open('{folder}/leased', os.O_RDONLY), 1024, fcntl.F_WRLCK) == 0
"""
PASS_ON = """
def attack():
    import array
    with socket.socket(fileno=os.dup(3)) as control:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))
        control.sendmsg([(2).to_bytes(4, 'big') + b'{}'], [rights])
    return True
"""


def test_a_socket_cannot_be_made_to_block_whoever_closes_it(lab: Lab, context: Context) -> None:
    """Passed to the server, with data that nobody reads, its close held up every sandbox for as long as it said."""
    assert on_host(lab.host, LINGER)["through"]
    verdict = lab.attack(context, LINGER)
    assert (verdict["through"], verdict["error"]) == (False, None), verdict


def test_the_other_options_of_a_socket_work(lab: Lab, context: Context) -> None:
    code = "import socket; s = socket.socketpair()[0]; s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192); 'set'"
    assert text_of(lab.run(context, code)) == "'set'"


def test_a_kernel_cannot_pass_descriptors_to_the_server(lab: Lab, context: Context) -> None:
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 16):
        pytest.skip("SO_PASSRIGHTS came with Linux 6.16; before, the server closes what it is passed")
    assert lab.attack(context, PASS_ON)["errno"] == errno.EPERM
    assert text_of(lab.run(context, "6 * 7")) == "42"


def test_no_file_can_be_leased(lab: Lab, context: Context, tmp_path: Path) -> None:
    """With a write lease on a file of the user's, whoever opens it waits 45 s: all that this Python has not loaded."""
    assert on_host(lab.host, LEASE.format(folder=tmp_path))["through"]
    verdict = lab.attack(context, LEASE.replace("'{folder}/leased'", "os.path.expanduser('~/leased')"))
    assert verdict["errno"] == errno.EPERM


IN_FLIGHT = """
import array, os, socket
keep, sent = [], 0
try:
    while sent < 5000:
        pair = socket.socketpair()
        keep.append(pair)
        for _ in range(6):
            pair[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 250))])
            sent += 250
except OSError as error:
    print(error.errno, sent)
"""


def test_descriptors_on_their_way_do_not_stop_the_engine(host: Host) -> None:
    """The kernel counts them for the host's user, and refuses to pass more once they exceed the sender's own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    lab = Lab("namespaces", host)
    try:
        sandbox = lab.sandbox()
        said = stdout_of(lab.run(lab.context(sandbox), IN_FLIGHT)).split()
        assert said[:1] == [str(errno.ETOOMANYREFS)], said
        lab.assert_still_creates()
        lab.assert_neighbour_unharmed()
        lab.discard(sandbox)
    finally:
        lab.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


FILL_A_CONNECTION = """
def attack():
    listener = socket.create_server(('127.0.0.1', 0))
    ends = socket.create_connection(listener.getsockname()), listener.accept()[0]
    held = 0
    for end in ends:
        end.setblocking(False)
        for _ in range(20):
            try:
                while True:
                    held += end.send(b'x' * 65536)
            except BlockingIOError:
                time.sleep(0.01)
    return held >> 20 >= 2
"""


def test_a_tcp_connection_hides_little_memory(lab: Lab, context: Context) -> None:
    if lab.level == "landlock":
        pytest.skip("there are no TCP sockets at this level")
    assert on_host(lab.host, FILL_A_CONNECTION)["through"]
    verdict = lab.attack(context, FILL_A_CONNECTION)
    assert verdict["through"] == (lab.level == "bubblewrap"), "known as open at bubblewrap: nobody there may set sizes"


MANY_FILES = """
import os, time
for _ in range({processes}):
    if os.fork() == 0:
        held = [os.open('/dev/null', 0) for _ in range(240)]
        time.sleep(20)
        os._exit(0)
time.sleep({seconds})
"""


def test_a_sandbox_as_a_whole_has_a_limit_of_open_files(lab: Lab, context: Context, sandbox: Sandbox) -> None:
    """Each can be a pipe full of memory that is nobody's."""
    events = lab.run(context, MANY_FILES.format(processes=45, seconds=15))
    assert _death(events) == f"too many open files together (limit {SMALL.memory // 32768})"
    assert text_of(lab.run(lab.context(sandbox), "1 + 1")) == "2"


def test_many_open_files_are_no_reason_to_die(lab: Lab, context: Context) -> None:
    events = lab.run(context, MANY_FILES.format(processes=20, seconds=3))
    assert _death(events) == "it lives"


ELSEWHERE = {
    "prlimit": "resource.prlimit({pid}, resource.RLIMIT_CORE, (0, 0))",
    "nice": "os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "scheduler": "os.sched_setscheduler({pid}, os.SCHED_IDLE, os.sched_param(0))",
    "affinity": "os.sched_setaffinity({pid}, {{0}})",
    "ioprio": "syscall(number(251, 30), 1, {pid}, 3 << 13)",
}


def _attack(kind: str, pid: str) -> str:
    return f"def attack():\n    {ELSEWHERE[kind].format(pid=pid)}\n    return True"


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_processes_of_the_host_keep_their_limits_and_priorities(kind: str, lab: Lab, context: Context) -> None:
    assert on_host(lab.host, _attack(kind, "os.getpid()"))["through"]
    verdict = lab.attack(context, _attack(kind, "HOST_PID"))
    assert verdict["errno"] in (errno.EPERM, errno.ESRCH), verdict
    assert os.getpriority(os.PRIO_PROCESS, lab.host.pid) <= 10


@pytest.mark.parametrize("kind", [kind for kind in ELSEWHERE if kind != "prlimit"])
def test_the_watchdog_keeps_its_priority(kind: str, lab: Lab, context: Context) -> None:
    """An agent that gets no processor counts no memory."""
    if kind == "ioprio":
        pytest.skip("the agent reads and writes no disk")
    assert lab.attack(context, _attack(kind, "os.getppid()"))["errno"] == errno.EPERM


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_process_may_still_change_its_own(kind: str, lab: Lab, context: Context) -> None:
    own = "10" if kind == "nice" else "0"
    source = "os.setpriority(os.PRIO_PROCESS, 0, 19)" if kind == "nice" else ELSEWHERE[kind].format(pid="0")
    assert lab.attack(context, f"def attack():\n    {source}\n    return {own!r}")["through"]


def test_the_mode_of_a_file_that_is_only_readable_stays(lab: Lab, context: Context, tmp_path: Path) -> None:
    """At landlock the packages of this Python are the user's own: readable, and thereby within fchmod's reach."""
    (tmp_path / "file").touch()
    change = (
        "def attack():\n    fd = os.open({path}, os.O_RDONLY)\n"
        "    os.fchmod(fd, 0o666)\n    os.setxattr(fd, 'user.x', b'1')\n    return True"
    )
    assert on_host(lab.host, change.format(path=repr(str(tmp_path / "file"))))["through"]
    own = change.replace("os.open({path}, os.O_RDONLY)", "os.open(os.path.expanduser('~/file'), os.O_CREAT)")
    verdict = lab.attack(context, own)
    if lab.level == "landlock" and not may_use_spare_uids():
        assert verdict["errno"] == errno.EPERM
    else:
        assert verdict["through"], "here it is the sandbox's own file, and all it can reach"


FLOOD = """
import os, socket, time
control = socket.socket(fileno=os.dup(3))
body = b'{"type":"truncated","id":%d}' % get_ipython().send.__self__._request
end = time.monotonic() + 4
while time.monotonic() < end:
    control.sendall((len(body).to_bytes(4, 'big') + body) * 10_000)
"""


def test_a_flood_of_small_frames_takes_nobodys_turn(lab: Lab, context: Context) -> None:
    """Without a rest for the flooding socket, a cell of the neighbour took seconds."""

    async def meanwhile() -> int:
        flood = asyncio.ensure_future(_drained(context, FLOOD))
        await asyncio.sleep(0.5)
        cells = 0
        while not flood.done():
            await _drained(lab.neighbour_context, "1 + 1")
            cells += 1
        return cells

    assert lab.call(meanwhile()) >= 10


async def _drained(context: Context, code: str) -> None:
    async for _ in context.execute(code):
        pass


FORK_IN_A_THREAD = """
import os, threading, time
def fork():
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    time.sleep(30)
threading.Thread(target=fork, daemon=True).start()
time.sleep(0.5)
"""


def test_what_a_thread_has_forked_is_watched_too(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    lab.run(context, FORK_IN_A_THREAD)
    assert lab.call(sandbox.usage()).processes == 2


DEEP = """
import os
os.chdir(os.path.expanduser('~'))
for _ in range(1500):
    os.mkdir('d')
    os.chdir('d')
open('leaf', 'w').close()
os.mkdir('closed')
open('closed/leaf', 'w').close()
os.open('closed', 0)
try:
    os.chmod('closed', 0)
except PermissionError:
    pass
"""


def test_a_tree_deeper_than_pythons_stack_is_removed(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    events = lab.run(context, DEEP)
    assert [event for event in events if event["type"] in ("error", "died")] == []
    place = Path(sandbox.home)
    lab.discard(sandbox)
    deadline = time.monotonic() + 10
    while lab.level == "landlock" and place.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lab.level != "landlock" or not place.parent.exists()
