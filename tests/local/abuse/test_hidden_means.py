"""What an outside review found: means that no list of attacks had, each shown first to work without its barrier."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ci_integrations.local.host.context import Context
from ci_integrations.local.protocol.contract import Argv, Sandbox

from .conftest import Lab, on_host, stdout_of, text_of

INOTIFY = """
import ctypes
_libc, made = ctypes.CDLL(None), 0
while _libc.inotify_init1(0) >= 0:
    made += 1
made"""
TERMINALS = """
import os
made = []
try:
    while len(made) < 200:
        made.append(os.openpty())
except OSError:
    pass
len(made)"""
WAIT_FOR_A_NEWCOMER = """
import json, os, time
if os.fork() == 0:
    os.setsid()
    found, end = [], time.monotonic() + 6
    following = max(int(name) for name in os.listdir('/proc') if name.isdecimal()) + 1
    while time.monotonic() < end:
        for pid in range(following, following + 3):
            try:
                fd = os.open(f'/proc/{pid}/mem', os.O_RDWR)
            except OSError:
                continue
            try:
                found += [line.split()[1] for line in open(f'/proc/{pid}/status') if line.startswith('Seccomp:')]
            except OSError:
                pass
            os.close(fd)
            following = pid + 1
            break
        else:
            last = int(open('/proc/loadavg').read().split()[-1])
            following = last if last >= following + 2 else following
    with open(os.path.expanduser('~/found'), 'w') as file:
        json.dump(found, file)
    os._exit(0)
"""


def _with_namespaces(lab: Lab) -> None:
    if lab.level != "namespaces":
        pytest.skip("the limit is kept by the sandbox's own namespaces")


def test_one_sandbox_does_not_use_up_the_users_inotify_instances(lab: Lab, context: Context) -> None:
    _with_namespaces(lab)
    assert 0 < int(text_of(lab.run(context, INOTIFY)) or 0) <= 48
    fd = ctypes.CDLL(None).inotify_init1(0)
    assert fd >= 0, "the host's user can make no inotify instance any more"
    os.close(fd)


def test_one_sandbox_does_not_use_up_the_machines_terminals(lab: Lab, context: Context) -> None:
    _with_namespaces(lab)
    assert int(text_of(lab.run(context, TERMINALS)) or 0) == 64
    assert (
        int(
            text_of(
                lab.run(
                    lab.neighbour_context, TERMINALS + "\nfor pair in made: [os.close(fd) for fd in pair]\nlen(made)"
                )
            )
            or 0
        )
        == 64
    )


def test_nobody_gets_at_a_process_before_its_filter_is_in(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    """A process of the same user that can write another one's memory runs its code without the other's barriers."""
    if lab.level == "landlock":
        pytest.skip("the other processes of /proc cannot be opened here at all")
    lab.run(context, WAIT_FOR_A_NEWCOMER)
    lab.call(_spawn_for(sandbox, 5.5))
    found = text_of(lab.run(context, "import time; time.sleep(2); open(os.path.expanduser('~/found')).read()"))
    assert found is not None
    assert '"0"' not in found
    assert '"2"' in found, "it never got at anybody: the attack did not work"


async def _spawn_for(sandbox: Sandbox, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        child = await sandbox.spawn(Argv(["true"]))
        await child.exited
        child.close()


def test_the_file_worker_is_out_of_reach(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    """Who holds a copy of a socket that it passed out could make the server block on it."""
    from ci_integrations.local.host.files import ENTRY

    worker = lab.call(sandbox.spawn(ENTRY))
    code = f"""
import os
try:
    os.open('/proc/{worker.pid}/mem', os.O_RDWR)
    print('open')
except OSError as error:
    print(error.errno)
"""
    answer = stdout_of(lab.run(context, code)).strip()
    worker.close()
    assert answer in (str(errno.EACCES), str(errno.EPERM))


def test_a_process_cannot_hide_memory_in_pipes(lab: Lab, context: Context) -> None:
    source = """
import struct
def attack():
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return syscall(number(278, 75), os.pipe()[1], struct.pack('PP', address, 4096), 1, 0) == 4096
"""
    assert on_host(lab.host, source)["through"]
    assert lab.attack(context, source)["errno"] == errno.EPERM


def test_a_process_cannot_hide_memory_in_sockets(lab: Lab, sandbox: Sandbox, context: Context) -> None:
    if lab.level == "landlock":
        pytest.skip("known: without a network namespace nobody counts the sockets")
    code = """
import os, socket, time
for _ in range(20):
    if os.fork() == 0:
        held = [socket.socketpair() for _ in range(100)]
        time.sleep(20)
        os._exit(0)
time.sleep(10)
"""
    events = lab.run(context, code)
    died = [event["reason"] for event in events if event["type"] == "died"]
    assert died
    assert "too many sockets" in died[0]
    lab.assert_neighbour_unharmed()


def test_files_of_the_user_elsewhere_keep_their_mode(lab: Lab, context: Context, tmp_path: Path) -> None:
    file = Path("/var/tmp") / f"ci-mode-{os.getpid()}"
    file.touch(0o600)
    before = file.stat()
    code = f"""
import os
for change in (lambda p: os.chmod(p, 0o666), lambda p: os.utime(p, (1, 1)), lambda p: os.setxattr(p, 'user.x', b'1')):
    try:
        change({str(file)!r})
        print('changed')
    except OSError as error:
        print(error.errno)
"""
    try:
        answers = stdout_of(lab.run(context, code)).split()
        assert len(answers) == 3
        assert set(answers) <= {str(errno.EPERM), str(errno.EACCES), str(errno.ENOENT)}
        assert (file.stat().st_mode, file.stat().st_mtime) == (before.st_mode, before.st_mtime)
    finally:
        file.unlink()


FORGE = """
import gc, time
from ci_integrations.local.guest.python.kernel import Kernel
kernel = next(o for o in gc.get_objects() if isinstance(o, Kernel))
def forge(body):
    kernel._channel.socket.sendall(len(body).to_bytes(4, 'big') + body)
"""


def test_a_frame_of_very_many_values_is_refused_before_they_are_made(lab: Lab, context: Context) -> None:
    bomb = 'forge(b\'{"id":%d,"type":"display","data":{"x":[\' % kernel._request + b\'[],\' * 1_500_000 + b\'[]]}}\')'
    events = lab.run(context, FORGE + bomb + "\ntime.sleep(10)")
    assert "more than 1000000 values" in next(event["reason"] for event in events if event["type"] == "died")


def test_a_long_text_full_of_commas_is_no_such_frame(lab: Lab, context: Context) -> None:
    events = lab.run(context, "from IPython.display import HTML\nHTML('[,\\\\\"{' * 700_000)")
    assert [len(result_of(event)["html"]) for event in events if event["type"] == "display"] == [3_500_000]


def test_a_very_long_list_is_shown_as_its_text(lab: Lab, context: Context) -> None:
    events = lab.run(context, "[0] * 1_100_000")
    assert ["json" in result_of(event) for event in events if event["type"] == "display"] == [False]


def result_of(event: dict[str, Any]) -> dict[str, Any]:
    """The line of a large result, which another process has written."""
    result: dict[str, Any] = json.loads(b"".join(event["line"]))
    return result


def test_a_flood_of_starts_does_not_fill_the_servers_memory(lab: Lab, context: Context) -> None:
    flood = 'for _ in range(5000): forge(b\'{"id":%d,"type":"started","execution_count":1}\' % kernel._request)'
    events = lab.run(context, FORGE + flood)
    assert sum(event["type"] == "started" for event in events) == 1


def test_line_disciplines_and_other_protocols_are_closed(lab: Lab, context: Context) -> None:
    """Both may load a module into the kernel."""
    line = (
        "import fcntl\ndef attack():\n    return fcntl.ioctl(os.openpty()[1], 0x5423, struct.pack('i', 0)) is not None"
    )
    assert on_host(lab.host, line)["through"]
    assert lab.attack(context, line)["errno"] in (errno.EPERM, errno.ENOENT, errno.EACCES)
    udp_lite = "def attack():\n    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136)"
    assert on_host(lab.host, udp_lite)["through"]
    assert lab.attack(context, udp_lite)["errno"] in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT)
