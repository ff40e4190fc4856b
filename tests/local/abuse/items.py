# ruff: noqa: E501 - an attack reads best on the lines it was written in
"""The abuse list: what hostile code tries, and what must stop it.

Each attack is Python source that defines `attack()`; it returns something true when it got through and raises `OSError`
(or `MemoryError` ...) when it was stopped. `stopped_by` names the barrier by the exact errnos that it may show; a typo
in an attack gives another errno, or another exception, and fails the test. Where the same attack does no harm on the
host, `control` is True: it must get through there, without our barrier.
Numbers are those of facts/isolation.md, section 8.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

PRELUDE = r"""
import ctypes, errno, json, mmap, os, resource, signal, socket, struct, subprocess, sys, time
_libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
def syscall(number, *args):
    _libc.syscall.restype = ctypes.c_long
    got = _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if got == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
def number(x86, arm):
    return x86 if X86 else arm
def run_attack(attack):
    try:
        got = attack()
        verdict = {"through": bool(got), "errno": None, "error": None, "detail": repr(got)[:200]}
    except OSError as e:
        verdict = {"through": False, "errno": e.errno, "error": type(e).__name__, "detail": str(e)[:200]}
    except (MemoryError, ValueError, AttributeError, subprocess.SubprocessError) as e:
        verdict = {"through": False, "errno": None, "error": type(e).__name__, "detail": str(e)[:200]}
    print("VERDICT", json.dumps(verdict), flush=True)
"""


@dataclass(frozen=True)
class Item:
    """One attack. `stopped_by`: errnos, names of exceptions, or "nothing there" for one that finds nothing."""

    number: int
    title: str
    attack: str
    stopped_by: tuple[int | str, ...]
    control: bool = False
    landlock_open: str | None = None
    """Why the landlock level does not stop it; asserted as known."""

    def __str__(self) -> str:
        return f"{self.number:02}-{self.title.replace(' ', '-')}"


DENIED = (errno.EACCES, errno.EPERM)
ABSENT = (errno.ENOENT, errno.EACCES, errno.EPERM)
FILTERED = (errno.EPERM, errno.ENOSYS)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_ROUTE = (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EACCES, errno.EPERM, errno.ECONNREFUSED, errno.EADDRNOTAVAIL)
NOTHING = "nothing there"


def _def(body: str) -> str:
    return "def attack():\n" + "\n".join(f"    {line}" for line in body.strip().splitlines())


FILES = [
    Item(1, "read the shadow file", _def("return open('/etc/shadow').read()"), ABSENT),
    Item(2, "read a world-readable secret of the host", _def("return open(CANARY_FILE).read()"), ABSENT, control=True),
    Item(3, "list the home directories of the host", _def("""
ours = {'user', *sys.base_prefix.split('/'), *sys.prefix.split('/')}
return [n for d in ('/root', '/home', os.path.dirname(CANARY_FILE)) if os.access(d, os.R_OK) for n in os.listdir(d) if n not in ours]"""),
         (*ABSENT, NOTHING), control=True),
    Item(4, "read secrets from environments in proc", _def("""
found = []
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        found.append(CANARY_SECRET in open(f'/proc/{pid}/environ').read())
    except OSError:
        pass
return any(found)"""), (NOTHING, *ABSENT), control=True),
    Item(5, "find the host's environment in forked memory", _def("""
backwards = (CANARY_SECRET[::-1] + '=' + ENV_NAME[::-1]).encode()  # forwards it would find itself
for line in open('/proc/self/maps'):
    span, perms, *rest = line.split()
    if 'r' not in perms or '[v' in line:
        continue
    start, end = (int(x, 16) for x in span.split('-'))
    try:
        with open('/proc/self/mem', 'rb', 0) as mem:
            for piece in range(start, end, 1 << 24):  # allocators reserve more than there is memory for a copy
                mem.seek(piece)
                if backwards in mem.read(min(end - piece, (1 << 24) + len(backwards)))[::-1]:
                    return True
    except (OSError, ValueError, OverflowError):
        pass
return False"""), (NOTHING, *ABSENT), control=True),
    Item(6, "write to usr", _def("return open('/usr/ci-abuse', 'w')"), READ_ONLY),
    Item(7, "write to etc", _def("return open('/etc/ci-abuse', 'w')"), READ_ONLY),
    Item(8, "write to site-packages", _def("""
import IPython
return open(os.path.join(os.path.dirname(IPython.__file__), 'ci_abuse.py'), 'w')"""), READ_ONLY),
    Item(9, "create a directory in the root", _def("os.mkdir('/ci-abuse')\nreturn True"), READ_ONLY),
    Item(10, "remount usr writable", _def("""
if _libc.mount(b'none', b'/usr', None, ctypes.c_ulong(4096 | 32), None) != 0:
    raise OSError(ctypes.get_errno(), 'remount')
return True"""), FILTERED),
]  # fmt: skip

NETWORK = [
    Item(11, "connect to a service on the host's loopback", _def(
        "s = socket.create_connection(('127.0.0.1', HOST_PORT), 3)\nreturn s.recv(5)"
    ), NO_ROUTE, control=True),
    Item(12, "connect to the cloud's metadata address", _def(
        "return socket.create_connection(('169.254.169.254', 80), 3)"
    ), NO_ROUTE),
    Item(13, "send a datagram to a name server", _def("""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
return s.sendto(b'x', ('8.8.8.8', 53))"""), NO_ROUTE),
    Item(14, "connect to an abstract unix socket of the host", _def("""
s = socket.socket(socket.AF_UNIX)
s.connect(b'\\0' + CANARY_SECRET.encode())
return s.recv(5)"""), (errno.ECONNREFUSED, errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES), control=True),
    Item(15, "connect to a unix socket of the host by path", _def("""
s = socket.socket(socket.AF_UNIX)
s.connect(HOST_SOCKET)
return s.recv(5)"""), (errno.ENOENT, errno.EACCES, errno.EAFNOSUPPORT, errno.EPERM), control=True),
    Item(35, "open a raw internet socket", _def("return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
         (errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES)),
    Item(36, "open a packet socket", _def("return socket.socket(17, socket.SOCK_RAW, 3)"),
         (errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES)),
    Item(37, "open a vsock to the hypervisor", _def("return socket.socket(40, socket.SOCK_STREAM, 0)"),
         (errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES)),
    Item(38, "open kernel crypto and netlink audit sockets", _def("""
errors = []
for family, kind, proto in ((38, 5, 0), (16, 3, 9), (16, 3, 12)):
    try:
        return socket.socket(family, kind, proto)
    except OSError as e:
        errors.append(e)
raise errors[0]"""), (errno.EPERM, errno.EAFNOSUPPORT, errno.EACCES)),
]  # fmt: skip

PROCESSES = [
    Item(16, "trace the parent", _def("return syscall(number(101, 117), 16, os.getppid(), 0, 0) == 0"), FILTERED),
    Item(17, "read the parent's memory", _def("""
buf = ctypes.create_string_buffer(8)
iov = struct.pack('PP', ctypes.addressof(buf), 8)
return syscall(number(310, 270), os.getppid(), iov, 1, iov, 1, 0) > 0"""), FILTERED),
    Item(18, "open the parent's memory and descriptors", _def("""
p = os.getppid()
try:
    return [os.open(f'/proc/{p}/fd/{n}', os.O_PATH) for n in os.listdir(f'/proc/{p}/fd')]
except OSError:
    return open(f'/proc/{p}/mem', 'rb').read(1)"""), ABSENT),
    Item(19, "kill the sandbox's first process and a host process", _def("""
os.kill(1, signal.SIGKILL)
time.sleep(0.2)
try:
    os.kill(HOST_PID, signal.SIGTERM)
except ProcessLookupError:
    pass
return not ALIVE_CHECK()"""), (NOTHING, errno.EPERM, errno.ESRCH)),
    Item(20, "see processes outside the sandbox", _def("""
return [p for p in os.listdir('/proc') if p.isdigit()
        and b'ci-abuse-neighbour' in open(f'/proc/{p}/cmdline', 'rb').read()]"""), (NOTHING, *ABSENT), control=True),
    Item(31, "make a user namespace", _def("return syscall(number(272, 97), 0x10000000) == 0"), FILTERED),
    Item(32, "clone into a user namespace, or clone3", _def("""
errors = []
try:
    pid = syscall(number(56, 220), 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return True
except OSError as e:
    errors.append(e)
try:
    args = struct.pack('QQQQQQQQ', 0x10000000, 0, 0, 0, 17, 0, 0, 0)
    pid = syscall(435, args, len(args))
    if pid == 0:
        os._exit(0)
    return True
except OSError as e:
    if e.errno != errno.ENOSYS:
        return f'clone3 gave {e}'
raise errors[0]"""), FILTERED),
    Item(33, "enter another namespace", _def("""
fd = os.open('/proc/self/ns/net', os.O_RDONLY)
return syscall(number(308, 268), fd, 0) == 0"""), (*FILTERED, errno.EACCES)),
    Item(34, "gain privileges by setuid programs", _def("""
import glob
tried = [p for p in ('/bin/su', '/usr/bin/su', '/usr/bin/sudo', '/usr/bin/passwd', '/usr/bin/newuidmap') if os.path.exists(p)]
for program in tried:
    got = subprocess.run([program, '-c', 'id -u'], input='\\n', capture_output=True, text=True, timeout=5)
    if got.stdout.strip() == '0':
        return program
status = open('/proc/self/status').read()
return 'NoNewPrivs:\\t1' not in status"""), (NOTHING, *ABSENT, "TimeoutExpired")),
    Item(42, "raise limits and regain capabilities", _def("""
class Header(ctypes.Structure):
    _fields_ = [('version', ctypes.c_uint32), ('pid', ctypes.c_int)]
h = Header(0x20080522, 0)
data = (ctypes.c_uint32 * 6)(0xffffffff, 0xffffffff, 0, 0xffffffff, 0xffffffff, 0)
try:
    resource.setrlimit(resource.RLIMIT_NPROC, (1 << 20, 1 << 20))
    return 'limit raised'
except (OSError, ValueError):
    pass
caps = [line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapInh', 'CapPrm', 'CapEff', 'CapAmb'))]
if any(int(c, 16) for c in caps):
    return caps
if _libc.capset(ctypes.byref(h), data) != 0:
    raise OSError(ctypes.get_errno(), 'capset')
return True"""), FILTERED),
    Item(43, "become root", _def("before = os.getuid()\nos.setuid(0)\nreturn before != 0"),
         (errno.EPERM, errno.EINVAL, NOTHING)),  # nothing: at landlock below `unshare -r` it is nobody else
    Item(45, "take realtime priority", _def("os.sched_setscheduler(0, 1, os.sched_param(50))\nreturn True"), (errno.EPERM,)),
    Item(65, "answer for the kernel from a forked child", _def("""
pid = os.fork()
if pid == 0:
    try:
        print('child speaking', flush=True)
        os.close(3)
    finally:
        os._exit(0)
os.waitpid(pid, 0)
return False"""), (NOTHING,)),
]  # fmt: skip

KERNEL = [
    Item(21, "write the core pattern and the host name", _def("""
try:
    open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')
    return 'core_pattern'
except OSError:
    socket.sethostname('abuse')
    return 'hostname'"""), (*READ_ONLY, errno.ENOSYS)),
    Item(22, "write the sysrq trigger", _def("return open('/proc/sysrq-trigger', 'w').write('h')"), (*READ_ONLY, errno.EIO, errno.ENOENT)),
    Item(23, "mount a tmpfs", _def("""
if _libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) != 0:
    raise OSError(ctypes.get_errno(), 'mount')
return True"""), FILTERED),
    Item(24, "unmount, pivot and change the root", _def("""
errors = []
for work in (lambda: syscall(number(166, 39), b'/tmp', 2), lambda: syscall(number(155, 41), b'/tmp', b'/tmp'),
             lambda: os.chroot('/tmp')):
    try:
        work()
        return True
    except OSError as e:
        errors.append(e)
raise errors[0]"""), FILTERED),
    Item(25, "use the new mount interface", _def("""
errors = []
for work in (lambda: syscall(430, b'tmpfs', 0), lambda: syscall(428, -100, b'/', 1)):
    try:
        work()
        return True
    except OSError as e:
        errors.append(e)
raise errors[0]"""), FILTERED),
    Item(26, "use kernel keyrings", _def("return syscall(number(250, 219), 0, -3, 1) > 0"), FILTERED),
    Item(27, "load a bpf program", _def("return syscall(number(321, 280), 5, b'\\0' * 128, 128) >= 0"), FILTERED),
    Item(28, "open a performance counter", _def(
        "return syscall(number(298, 241), struct.pack('IIQ', 1, 112, 0) + b'\\0' * 96, 0, -1, -1, 0) >= 0"
    ), FILTERED),
    Item(29, "create a userfaultfd", _def("return syscall(number(323, 282), 1) >= 0"), FILTERED),
    Item(30, "set up an io_uring", _def("return syscall(425, 8, ctypes.create_string_buffer(120)) >= 0"), FILTERED),
    Item(39, "make a device node", _def("os.mknod('/tmp/sda', 0o60666, os.makedev(8, 0))\nreturn True"), (*FILTERED, errno.EACCES)),
    Item(40, "open raw devices", _def("""
errors = []
for name in ('/dev/sda', '/dev/vda', '/dev/mem', '/dev/kvm', '/dev/fuse'):
    try:
        return open(name, 'rb')
    except OSError as e:
        errors.append(e)
raise errors[0]"""), ABSENT),
    Item(41, "open a file by its handle", _def(
        "return syscall(number(304, 265), -100, ctypes.create_string_buffer(b'\\x08\\0\\0\\0\\x01\\0\\0\\0' + b'\\x02' * 8), 0) >= 0"
    ), FILTERED),
    Item(44, "push input into the terminal", _def("""
import fcntl, pty, termios
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSTI, b'x')
return True"""), (errno.EPERM, errno.EIO, errno.EACCES, errno.ENOSYS, errno.ENOENT, "FileNotFoundError", "OSError")),
    Item(46, "read the kernel's log", _def("return syscall(number(103, 116), 3, ctypes.create_string_buffer(99), 99) >= 0"), FILTERED),
    Item(47, "call through a foreign ABI", _def("return syscall((0x40000000 if X86 else 0x10000000) + number(39, 172)) > 0"), FILTERED),
]  # fmt: skip

PLAIN = [*FILES, *NETWORK, *PROCESSES, *KERNEL]
