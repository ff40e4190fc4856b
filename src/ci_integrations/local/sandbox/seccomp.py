"""The system call filter of every process that runs a user's code: an allow list, as a BPF program.

Allowed calls pass; known ones that are not on the list fail with EPERM; ones newer than the list with ENOSYS, and so do
clone3 and memfd_create (the filter cannot look into clone3's struct; no limit sees a memfd's pages). vmsplice is not on
the list: pages that a pipe holds belong to no process. A call by a foreign ABI ends the process.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass, field
from typing import Final

from ci_integrations.local.sandbox.syscall_numbers import ALLOWED_TEXT, JUDGED_TEXT, LAST_KNOWN, numbers

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000

_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT: Final = 0x40000000

_OFFSET_NUMBER, _OFFSET_ARCH = 0, 4
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06

_NEW_NAMESPACES: Final = 0x7E020080
"""CLONE_NEW* of clone(2), time namespaces included."""
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
_PERSONALITIES: Final = (0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_SOCKET_KINDS: Final = (1, 2, 5)
"""stream, datagram, seqpacket: no raw sockets."""
_PROTOCOLS: Final = (0, 6, 17)
"""The default, TCP and UDP: asking for another one may load a module into the kernel, and Landlock overlooks MPTCP."""


_BY_PATH: Final = {
    *("chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "utime", "utimes", "futimesat"),
    *("setxattr", "lsetxattr", "removexattr", "lremovexattr"),
}
"""Change a file's mode, owner, times or attributes without opening it: Landlock does not see them."""


def filter_program(*, sockets: bool, attributes: bool = True, machine: str | None = None) -> bytes:
    """The program for this machine. `sockets=False` also refuses every socket but a socketpair.

    `attributes=False` refuses to change those of files by path: where nothing but Landlock guards the user's own.
    """
    machine = machine or platform.machine()
    code = _Assembler()
    code.load(_OFFSET_ARCH)
    code.unless_equal(_ARCH[machine], _KILL_PROCESS)
    code.load(_OFFSET_NUMBER)
    if machine == "x86_64":
        code.if_at_least(_X32_BIT, _ERRNO | errno.ENOSYS)
    code.if_at_least(LAST_KNOWN + 1, _ERRNO | errno.ENOSYS)
    allowed = numbers(ALLOWED_TEXT, machine)
    if not attributes:
        _refuse_attributes(code, allowed)
    for first, last in _ranges(sorted(allowed.values())):
        code.if_between(first, last, _ALLOW)
    _judge_by_arguments(code, numbers(JUDGED_TEXT, machine), sockets=sockets)
    code.answer(_ERRNO | errno.EPERM)
    return code.program()


def _refuse_attributes(code: _Assembler, allowed: dict[str, int]) -> None:
    """Utimensat without a path is about an open file: that one passes."""
    for name in sorted(_BY_PATH & allowed.keys()):
        code.rule(allowed.pop(name), [_Refuse.always(errno.EPERM)])
    no_path = [_Refuse.other_than(1, (0,), errno.EPERM), _Refuse.other_than(1, (0,), errno.EPERM, upper=True)]
    code.rule(allowed.pop("utimensat"), no_path)


def _judge_by_arguments(code: _Assembler, number: dict[str, int], *, sockets: bool) -> None:
    with_domain = (_AF_UNIX, _AF_INET, _AF_INET6) if sockets else ()
    code.rule(number["clone"], [_Refuse.bits(0, _NEW_NAMESPACES, errno.EPERM)])
    code.rule(number["clone3"], [_Refuse.always(errno.ENOSYS)])
    code.rule(number["memfd_create"], [_Refuse.always(errno.ENOSYS)])
    code.rule(number["ioctl"], [_Refuse.any_of(1, (_TIOCSTI, _TIOCLINUX, _TIOCSETD), errno.EPERM)])
    code.rule(number["personality"], [_Refuse.other_than(0, _PERSONALITIES, errno.EPERM)])
    code.rule(number["socketpair"], [_Refuse.other_than(0, (_AF_UNIX,), errno.EAFNOSUPPORT)])
    code.rule(
        number["socket"],
        [
            _Refuse.other_than(0, with_domain, errno.EAFNOSUPPORT),
            _Refuse.other_than(1, _SOCKET_KINDS, errno.EPERM, mask=0xF),
            _Refuse.other_than(2, _PROTOCOLS, errno.EPROTONOSUPPORT),
        ],
    )


@dataclass(frozen=True)
class _Refuse:
    """Answer `error` when the low half of argument `index` matches; of a pointer the upper half counts as well."""

    kind: str
    index: int
    values: tuple[int, ...]
    error: int
    mask: int | None = None
    upper: bool = False

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
    def other_than(
        cls, index: int, values: tuple[int, ...], error: int, *, mask: int | None = None, upper: bool = False
    ) -> _Refuse:
        return cls("other", index, values, error, mask, upper)

    def instructions(self) -> list[bytes]:
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
    """Straight-line code: every jump is a short one forward, over what the condition guards."""

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
        body = [instruction for refusal in refusals for instruction in refusal.instructions()]
        body.append(_instruction(_RETURN, 0, 0, _ALLOW))
        self.code.append(_instruction(_JUMP_EQUAL, 0, len(body), number))
        self.code.extend(body)

    def program(self) -> bytes:
        return b"".join(self.code)


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _ranges(values: list[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for value in values:
        if ranges and ranges[-1][1] == value - 1:
            ranges[-1] = (ranges[-1][0], value)
        else:
            ranges.append((value, value))
    return ranges
