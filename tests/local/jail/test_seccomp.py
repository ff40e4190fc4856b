"""The system call filter, run instruction by instruction as the kernel would, on both architectures."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import platform
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_integrations.local.jail import seccomp
from ci_integrations.local.jail.syscall_numbers import ALLOWED_TEXT, JUDGED_TEXT, numbers

MACHINES = ("x86_64", "aarch64")
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL = 0x7FFF0000, 0x80000000
CLONE_NEWUSER = 0x10000000
DANGEROUS_TEXT = """
acct add_key bpf chroot clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
init_module io_uring_enter io_uring_register io_uring_setup kcmp kexec_file_load kexec_load keyctl
lookup_dcookie mbind memfd_secret migrate_pages mount mount_setattr move_mount move_pages mq_open msgget
name_to_handle_at open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise
process_vm_readv process_vm_writev ptrace quotactl reboot request_key seccomp semget set_mempolicy
setdomainname sethostname setns settimeofday shmget swapoff swapon syslog umount2 unshare userfaultfd vhangup
"""
DANGEROUS = tuple(DANGEROUS_TEXT.split())


def judge(program: bytes, number: int, args: tuple[int, ...] = (), *, arch: int) -> int:
    """What the kernel answers: an interpreter for the instructions that we use."""
    data = struct.pack("=iIQ6Q", number if number < 1 << 31 else number - (1 << 32), arch, 0, *(*args, *[0] * 6)[:6])
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            accumulator &= value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += if_true if holds else if_false


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.fixture(params=MACHINES)
def machine(request):
    return request.param


@pytest.fixture
def run(machine):
    program = seccomp.filter_program(sockets=True, others=True, machine=machine)
    return lambda number, *args: judge(program, number, args, arch=ARCH[machine])


def test_what_is_on_the_list_passes(machine, run):
    assert {name: run(number) for name, number in numbers(ALLOWED_TEXT, machine).items() if run(number) != ALLOW} == {}


def test_a_number_that_is_not_on_the_list_never_passes(machine, run):
    known = set(numbers(ALLOWED_TEXT, machine).values()) | set(numbers(JUDGED_TEXT, machine).values())
    assert [number for number in range(1100) if run(number) == ALLOW and number not in known] == []


@given(number=st.integers(0, 2**32 - 1), args=st.lists(st.integers(0, 2**64 - 1), max_size=6))
def test_no_call_at_all_passes_that_is_not_listed(number, args):
    program = seccomp.filter_program(sockets=True, others=True, machine="x86_64")
    listed = set(numbers(ALLOWED_TEXT + JUDGED_TEXT, "x86_64").values())
    assert judge(program, number, tuple(args), arch=ARCH["x86_64"]) != ALLOW or number in listed


def test_newer_calls_are_said_to_be_missing(run):
    assert {run(number) for number in (463, 470, 600, 1023)} == {refused(errno.ENOSYS)}


def test_a_foreign_abi_ends_the_process(machine):
    program = seccomp.filter_program(sockets=True, others=True, machine=machine)
    assert judge(program, 1, arch=0x40000003) == KILL
    assert judge(program, 1, arch=ARCH[MACHINES[1 - MACHINES.index(machine)]]) == KILL


def test_x32_is_not_there():
    program = seccomp.filter_program(sockets=True, others=True, machine="x86_64")
    assert judge(program, 0x40000000 | 1, arch=ARCH["x86_64"]) == refused(errno.ENOSYS)


def test_processes_may_be_made_but_no_namespaces(machine, run):
    clone = numbers(JUDGED_TEXT, machine)["clone"]
    assert run(clone, 17) == ALLOW
    for bit in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, CLONE_NEWUSER, 0x20000000, 0x40000000):
        assert run(clone, 17 | bit) == refused(errno.EPERM)
    assert run(numbers(JUDGED_TEXT, machine)["clone3"]) == refused(errno.ENOSYS)
    assert run(numbers(JUDGED_TEXT, machine)["memfd_create"]) == refused(errno.ENOSYS)


def test_only_plain_sockets(machine, run):
    call = numbers(JUDGED_TEXT, machine)["socket"]
    nonblocking = 0o2004000
    assert {run(call, domain, 1 | nonblocking) for domain in (1, 2, 10)} == {ALLOW}
    assert {run(call, domain, 1) for domain in (3, 17, 38, 40)} == {refused(errno.EAFNOSUPPORT)}
    assert run(call, 16, 3) == refused(errno.EOPNOTSUPP)  # netlink: what ZeroMQ does not abort on
    assert run(call, 2, 3) == refused(errno.EPERM)  # raw
    assert run(call, 2, 1, 262) == refused(errno.EPROTONOSUPPORT)  # MPTCP
    without = seccomp.filter_program(sockets=False, others=True, machine=machine)
    assert {judge(without, call, (d, 1), arch=ARCH[machine]) for d in (1, 2, 10)} == {refused(errno.EAFNOSUPPORT)}
    pair = numbers(JUDGED_TEXT, machine)["socketpair"]
    assert judge(without, pair, (1, 1), arch=ARCH[machine]) == ALLOW


def test_upper_halves_of_arguments_do_not_help(machine, run):
    assert run(numbers(JUDGED_TEXT, machine)["ioctl"], 0, 0x5412) == refused(errno.EPERM)
    assert run(numbers(JUDGED_TEXT, machine)["ioctl"], 0, (7 << 32) | 0x5412) == refused(errno.EPERM)
    assert run(numbers(JUDGED_TEXT, machine)["ioctl"], 0, 0x5401) == ALLOW
    assert run(numbers(JUDGED_TEXT, machine)["personality"], 0x0040000) == refused(errno.EPERM)  # no randomisation


def test_calls_that_reach_the_host_through_what_is_passed_or_shared(machine, run):
    number = numbers(JUDGED_TEXT, machine)
    assert run(number["setsockopt"], 5, 1, 13) == refused(0)  # SO_LINGER: ignored
    assert run(number["setsockopt"], 5, (9 << 32) | 1, (9 << 32) | 13) == refused(0)
    assert {run(number["setsockopt"], 5, level, option) for level, option in ((6, 13), (1, 12), (0, 13))} == {ALLOW}
    assert run(number["fcntl"], 5, 1024) == refused(errno.EPERM)  # F_SETLEASE
    assert {run(number["fcntl"], 5, command) for command in (1, 2, 3, 4, 6, 1030, 1031)} == {ALLOW}
    assert {run(number["ioctl"], 5, call) for call in (0x40086602, 0x401C5820)} == {refused(errno.EPERM)}


def test_where_others_can_be_named_only_the_caller_is_changed(machine):
    program = seccomp.filter_program(sockets=True, others=False, machine=machine)
    number = numbers(ALLOWED_TEXT, machine)

    def run(name, *args):
        return judge(program, number[name], args, arch=ARCH[machine])

    for name in ("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"):
        assert (run(name, 0), run(name, 1), run(name, (1 << 32) | 7)) == (ALLOW, *[refused(errno.EPERM)] * 2)
    assert (run("setpriority", 0, 0), run("setpriority", 1, 0)) == (ALLOW, ALLOW)
    assert {run("setpriority", *args) for args in ((0, 7), (2, 0), (1, 7))} == {refused(errno.EPERM)}
    assert (run("ioprio_set", 1, 0), run("ioprio_set", 3, 0)) == (ALLOW, refused(errno.EPERM))


def test_attributes_are_refused_by_path_and_by_descriptor(machine):
    program = seccomp.filter_program(sockets=False, others=True, attributes=False, machine=machine)
    number = numbers(ALLOWED_TEXT, machine)
    for name in ("fchmod", "fchown", "fchmodat", "fsetxattr", "fremovexattr", "lsetxattr"):
        assert judge(program, number[name], (5,), arch=ARCH[machine]) == refused(errno.EPERM)
    assert judge(program, number["utimensat"], (5, 0), arch=ARCH[machine]) == ALLOW
    assert judge(program, number["utimensat"], (5, 1 << 40), arch=ARCH[machine]) == refused(errno.EPERM)


def _libseccomp() -> ctypes.CDLL:
    name = ctypes.util.find_library("seccomp") or "libseccomp.so.2"
    try:
        return ctypes.CDLL(name)
    except OSError:
        pytest.skip("libseccomp is not installed")


def test_the_numbers_are_those_that_libseccomp_knows(machine):
    library = _libseccomp()
    strange = {}
    for name, number in numbers(ALLOWED_TEXT + JUDGED_TEXT, machine).items():
        known = library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(ARCH[machine]), name.encode())
        if known not in (number, -1):  # -1: newer than the library
            strange[name] = (number, known)
    assert strange == {}


def test_dangerous_calls_are_refused_by_their_name(machine, run):
    library = _libseccomp()
    known = {
        n: library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(ARCH[machine]), n.encode()) for n in DANGEROUS
    }
    assert sum(number >= 0 for number in known.values()) > len(DANGEROUS) * 0.9
    passed = [name for name, number in known.items() if number >= 0 and run(number) != refused(errno.EPERM)]
    assert passed == []


def test_the_numbers_are_those_of_the_kernels_headers():
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if platform.machine() != "x86_64" or not header.exists():
        pytest.skip("no kernel headers here")
    known = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    ours = numbers(ALLOWED_TEXT + JUDGED_TEXT, "x86_64")
    assert {name: number for name, number in ours.items() if known.get(name, number) != number} == {}


@pytest.mark.parametrize("others", [True, False])
def test_limits_of_other_processes_are_refused_everywhere(machine, others):
    program = seccomp.filter_program(sockets=True, others=others, machine=machine)
    call = numbers(ALLOWED_TEXT, machine)["prlimit64"]
    assert judge(program, call, (0, 7), arch=ARCH[machine]) == ALLOW
    assert {judge(program, call, (pid, 7), arch=ARCH[machine]) for pid in (1, 2, 4000)} == {refused(errno.EPERM)}
