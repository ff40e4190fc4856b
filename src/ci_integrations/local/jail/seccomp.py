"""A system call filter holds every process that runs a user's code: an allow list, as a BPF program.

Calls on the list pass. Known calls that are not on it fail with EPERM. Calls newer than the list fail with ENOSYS, and
so do clone3 and memfd_create: the filter cannot look into clone3's struct, and no limit sees a memfd's pages. vmsplice
is not on the list, because pages that a pipe holds belong to no process. A call by a foreign ABI ends the process.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass, field
from typing import Final

from ci_integrations.local.jail.syscall_numbers import ALLOWED_TEXT, JUDGED_TEXT, LAST_KNOWN, numbers

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000

_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# x32 calls have x86-64's architecture and this bit in their number: they are not the calls that the list means.
_X32_BIT: Final = 0x40000000

_OFFSET_NUMBER, _OFFSET_ARCH = 0, 4
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06

_NEW_NAMESPACES: Final = 0x7E020080
"""All CLONE_NEW* flags of clone(2), time namespaces included."""
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_AF_NETLINK = 16
"""It is refused with EOPNOTSUPP: ZeroMQ, and so most Jupyter kernels, asks for the network's interfaces and aborts on
any other error."""
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
_SETFLAGS, _FSSETXATTR, _ENABLE_VERITY = 0x40086602, 0x401C5820, 0x40806685
"""These ioctls change a file of our user that is only open for reading."""
_SOL_SOCKET, _SO_LINGER = 1, 13
"""The process that closes such a socket last waits, and that may be the server: a socket can be passed to it. So the
option is ignored; an error would end programs that only want to close without delay."""
_IGNORED = 0
_F_SETLEASE = 1024
"""A lease makes the host's own programs wait 45 s (/proc/sys/fs/lease-break-time) for each such file they open."""
_PERSONALITIES: Final = (0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_SOCKET_KINDS: Final = (1, 2, 5)
"""stream, datagram, seqpacket: no raw sockets."""
_PROTOCOLS: Final = (0, 6, 17)
"""The default, TCP and UDP: asking for another one may load a module into the kernel, and Landlock overlooks MPTCP."""


_ATTRIBUTES: Final = {
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "futimesat"),
    *("setxattr", "fsetxattr", "lsetxattr", "removexattr", "fremovexattr", "lremovexattr"),
}
"""These calls change a file's mode, owner, times or attributes, also when it is only open for reading or not at all."""
_OF_A_PROCESS: Final = ("sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
"""These calls change the scheduling of the process in the first argument; 0 is the caller."""


def filter_program(
    *, sockets: bool, others: bool, attributes: bool = True, watches: bool = True, machine: str | None = None
) -> bytes:
    """Returns the filter program for this machine, or for `machine`.

    `sockets=False` also refuses every socket but a socketpair. `attributes=False` refuses to change those of files, for
    levels where Landlock alone guards the user's own files: it does not see such changes. `others=False` refuses to
    change priorities and scheduling of other processes, for levels where code can name processes of the same user that
    are not its own, and no capability guards these. `watches=False` refuses to watch files, for levels where code can
    name the host's: Landlock has no rule for it.
    """
    machine = machine or platform.machine()
    code = _Assembler()
    # The architecture first: a number means another call on another one.
    code.load(_OFFSET_ARCH)
    code.unless_equal(_ARCH[machine], _KILL_PROCESS)
    code.load(_OFFSET_NUMBER)
    if machine == "x86_64":
        code.if_at_least(_X32_BIT, _ERRNO | errno.ENOSYS)
    code.if_at_least(LAST_KNOWN + 1, _ERRNO | errno.ENOSYS)
    allowed = numbers(ALLOWED_TEXT, machine)
    if not attributes:
        _refuse_attributes(code, allowed)
    # Everywhere: the agent and the file worker run as the code's own user at some levels, and no program needs it.
    code.rule(allowed.pop("prlimit64"), [_Refuse.other_than(0, (0,), errno.EPERM)])
    if not watches:
        code.rule(allowed.pop("inotify_add_watch"), [_Refuse.always(errno.EACCES)])
    if not others:
        _refuse_others(code, allowed)
    for first, last in _ranges(sorted(allowed.values())):
        code.if_between(first, last, _ALLOW)
    _judge_by_arguments(code, numbers(JUDGED_TEXT, machine), sockets=sockets)
    code.answer(_ERRNO | errno.EPERM)
    return code.program()


def _refuse_attributes(code: _Assembler, allowed: dict[str, int]) -> None:
    """Refuses the calls of `_ATTRIBUTES`, and utimensat with a path.

    Without a path utimensat is about an open file, and programs that unpack archives set times of new files with it.
    """
    for name in sorted(_ATTRIBUTES & allowed.keys()):
        code.rule(allowed.pop(name), [_Refuse.always(errno.EPERM)])
    no_path = [_Refuse.other_than(1, (0,), errno.EPERM), _Refuse.other_than(1, (0,), errno.EPERM, upper=True)]
    code.rule(allowed.pop("utimensat"), no_path)


def _refuse_others(code: _Assembler, allowed: dict[str, int]) -> None:
    """Refuses calls of `_OF_A_PROCESS`, and priorities, for all processes but the caller."""
    for name in _OF_A_PROCESS:
        code.rule(allowed.pop(name), [_Refuse.other_than(0, (0,), errno.EPERM)])
    for name, of_process_or_group in {"setpriority": (0, 1), "ioprio_set": (1, 2)}.items():
        itself = [_Refuse.other_than(0, of_process_or_group, errno.EPERM), _Refuse.other_than(1, (0,), errno.EPERM)]
        code.rule(allowed.pop(name), itself)


def _judge_by_arguments(code: _Assembler, number: dict[str, int], *, sockets: bool) -> None:
    """Adds the rules for calls that depend on their arguments, or that answer ENOSYS so that libraries fall back."""
    with_domain = (_AF_UNIX, _AF_INET, _AF_INET6) if sockets else ()
    code.rule(number["clone"], [_Refuse.bits(0, _NEW_NAMESPACES, errno.EPERM)])
    code.rule(number["clone3"], [_Refuse.always(errno.ENOSYS)])
    code.rule(number["memfd_create"], [_Refuse.always(errno.ENOSYS)])
    ioctls = (_TIOCSTI, _TIOCLINUX, _TIOCSETD, _SETFLAGS, _FSSETXATTR, _ENABLE_VERITY)
    code.rule(number["ioctl"], [_Refuse.any_of(1, ioctls, errno.EPERM)])
    code.rule(number["fcntl"], [_Refuse.any_of(1, (_F_SETLEASE,), errno.EPERM)])
    code.rule(number["setsockopt"], [_Refuse.both((1, _SOL_SOCKET), (2, _SO_LINGER), _IGNORED)])
    code.rule(number["personality"], [_Refuse.other_than(0, _PERSONALITIES, errno.EPERM)])
    code.rule(number["socketpair"], [_Refuse.other_than(0, (_AF_UNIX,), errno.EAFNOSUPPORT)])
    code.rule(
        number["socket"],
        [
            _Refuse.any_of(0, (_AF_NETLINK,), errno.EOPNOTSUPP),
            _Refuse.other_than(0, with_domain, errno.EAFNOSUPPORT),
            _Refuse.other_than(1, _SOCKET_KINDS, errno.EPERM, mask=0xF),
            _Refuse.other_than(2, _PROTOCOLS, errno.EPROTONOSUPPORT),
        ],
    )


@dataclass(frozen=True)
class _Refuse:
    """Answers `error` when the low half of argument `index` matches; with `upper`, when the upper half does.

    The kernel reads int arguments from the low half alone, so a program may leave anything in the upper one.
    """

    kind: str
    index: int
    values: tuple[int, ...]
    error: int
    mask: int | None = None
    upper: bool = False
    first: tuple[int, int] | None = None
    """Another argument and the value that it must have; otherwise the call is not refused."""

    @classmethod
    def always(cls, error: int) -> _Refuse:
        return cls("always", 0, (), error)

    @classmethod
    def bits(cls, index: int, bits: int, error: int) -> _Refuse:
        return cls("bits", index, (bits,), error)

    @classmethod
    def any_of(cls, index: int, values: tuple[int, ...], error: int) -> _Refuse:
        return cls("any", index, values, error)

    @classmethod
    def both(cls, first: tuple[int, int], second: tuple[int, int], error: int) -> _Refuse:
        return cls("any", second[0], (second[1],), error, first=first)

    @classmethod
    def other_than(
        cls, index: int, values: tuple[int, ...], error: int, *, mask: int | None = None, upper: bool = False
    ) -> _Refuse:
        return cls("other", index, values, error, mask, upper)

    def instructions(self) -> list[bytes]:
        """Returns the BPF instructions of this refusal; they fall through when it does not apply."""
        code = self._condition()
        if self.first is None:
            return code
        index, value = self.first
        return [_instruction(_LOAD, 0, 0, 16 + 8 * index), _instruction(_JUMP_EQUAL, 0, len(code), value), *code]

    def _condition(self) -> list[bytes]:
        refuse = _instruction(_RETURN, 0, 0, _ERRNO | self.error)
        if self.kind == "always":
            return [refuse]
        code = [_instruction(_LOAD, 0, 0, 16 + 8 * self.index + 4 * self.upper)]
        if self.mask is not None:
            code.append(_instruction(0x54, 0, 0, self.mask))  # A &= mask
        if self.kind == "bits":
            return [*code, _instruction(_JUMP_SET, 0, 1, self.values[0]), refuse]
        count = len(self.values)
        if self.kind == "any":
            tests = [
                _instruction(_JUMP_EQUAL, count - 1 - i, int(i == count - 1), v) for i, v in enumerate(self.values)
            ]
        else:
            tests = [_instruction(_JUMP_EQUAL, count - i, 0, v) for i, v in enumerate(self.values)]
        return [*code, *tests, refuse]


@dataclass
class _Assembler:
    """Collects straight-line code: every jump is a short one forward, over what its condition guards."""

    code: list[bytes] = field(default_factory=list)

    def load(self, offset: int) -> None:
        self.code.append(_instruction(_LOAD, 0, 0, offset))

    def answer(self, action: int) -> None:
        self.code.append(_instruction(_RETURN, 0, 0, action))

    def unless_equal(self, value: int, action: int) -> None:
        self.code.append(_instruction(_JUMP_EQUAL, 1, 0, value))
        self.answer(action)

    def if_at_least(self, value: int, action: int) -> None:
        self.code.append(_instruction(_JUMP_GREATER_EQUAL, 0, 1, value))
        self.answer(action)

    def if_between(self, first: int, last: int, action: int) -> None:
        self.code.append(_instruction(_JUMP_GREATER_EQUAL, 0, 2, first))
        self.code.append(_instruction(_JUMP_GREATER_EQUAL, 1, 0, last + 1))
        self.answer(action)

    def rule(self, number: int, refusals: list[_Refuse]) -> None:
        """Adds a call that passes unless one of the refusals answers."""
        body = [instruction for refusal in refusals for instruction in refusal.instructions()]
        body.append(_instruction(_RETURN, 0, 0, _ALLOW))
        self.code.append(_instruction(_JUMP_EQUAL, 0, len(body), number))
        self.code.extend(body)

    def program(self) -> bytes:
        return b"".join(self.code)


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _ranges(values: list[int]) -> list[tuple[int, int]]:
    """(first, last) of each run of neighbours in sorted values: one comparison serves a whole run."""
    ranges: list[tuple[int, int]] = []
    for value in values:
        if ranges and ranges[-1][1] == value - 1:
            ranges[-1] = (ranges[-1][0], value)
        else:
            ranges.append((value, value))
    return ranges
