"""The first process of a sandbox, the agent, starts, watches and reaps all the others. It is trusted.

It is PID 1 of the sandbox's own pid namespace (a subreaper where there is none) and not dumpable, so that code in the
sandbox cannot reach it. It speaks with the host over one packet socket (`protocol/packets.py`), which none of its
children keeps. When that socket closes, the agent ends.

    host → agent   configure {limits, envs, hostname, two_users}
                   spawn {id, target, cwd, envs, pty, fds, address_space_limit, as_owner} + the descriptors named in fds
                   signal {child, number, group}   freeze {id}   thaw {id}   usage {id}
    agent → host   ready   spawned {id, pid} [+ pty master]   failed {id, error}   exited {id, code | signal, reason}
                   frozen {id}   thawed {id}   usage {id, usage}
"""

from __future__ import annotations

import fcntl
import importlib
import os
import pty
import select
import shutil
import signal
import socket
import sys
import termios
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from ci_integrations.local.jail import lockdown, proc, syscalls
from ci_integrations.local.jail.limits import Watchdog, cpu_reason
from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import HOME, Limits, real_path
from ci_integrations.local.protocol.packets import Message

CONTROL_FD: Final = 3
_CANNOT_START: Final = 127
"""The exit code that shells give a program which is not there."""
_AFTER_A_KILL: Final = 0.05
"""Seconds until the next look after processes were killed: there may be more of them."""


def keep_sizes(message: Message, limits: Limits) -> None:
    """Changes nothing: for levels where a sandbox's host name and quota cannot be set after its start."""


@dataclass
class _Child:
    """Is a process that the host has asked for, under the id that the host gave it."""

    id: int
    pid: int
    reason: str | None = None
    """Why the watchdog has killed it."""


@dataclass
class Agent:
    """Holds the state of the first process.

    Each child is held by `confinement`. `reconfigure` applies host name and quota when the sandbox gets its owner.
    """

    channel: socket.socket
    confinement: lockdown.Confinement
    reconfigure: Callable[[Message, Limits], None] = keep_sizes
    home: str = HOME
    """Where HOME really is, on this level."""
    owner: int | None = None
    """The sandbox's second user id, of our group, where this level has one."""
    two_users: bool = False
    limits: Limits = field(default_factory=Limits)
    envs: dict[str, str] = field(default_factory=dict)
    children: dict[int, _Child] = field(default_factory=dict)
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(Limits()))
    frozen: bool = False
    next_look: float = 0.0

    def run(self) -> NoReturn:
        """Serves until the host closes the channel."""
        wakeup = proc.wakes_when_a_child_ends()
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.register(wakeup, select.POLLIN)
        packets.send(self.channel, {"op": "ready"})
        while True:
            ready = {fd for fd, _ in poll.poll(self._pause())}
            if wakeup.fileno() in ready:
                wakeup.recv(4096)
                self._reap()
            if self.channel.fileno() in ready:
                self._obey()
            self._watch()

    def _pause(self) -> float | None:
        """Milliseconds until the next look at the limits."""
        if self.frozen or not self._has_processes():
            return None
        return max(0.0, self.next_look - time.monotonic()) * 1000

    def _has_processes(self) -> bool:
        """Whether a process runs that the watchdog has to look at."""
        return bool(self.children) or bool(proc.all_pids())

    def _watch(self) -> None:
        """Looks at the limits, if it is time for that, and kills what has exceeded one."""
        if self.frozen or time.monotonic() < self.next_look:
            return
        verdict = self.watchdog.look()
        self.next_look = time.monotonic() + (_AFTER_A_KILL if verdict else self.watchdog.pause)
        if verdict is None:
            return
        if verdict.leader in self.children:
            self.children[verdict.leader].reason = verdict.reason
        for pid in verdict.pids:
            proc.send(pid, signal.SIGKILL)

    def _obey(self) -> None:
        """Does what one message asks for. An OSError becomes an answer; the descriptors are closed."""
        received = packets.receive(self.channel)
        if received is None:
            self._end()
        message, fds = received
        handler = getattr(self, f"_do_{message['op']}")
        try:
            handler(message, fds)
        except OSError as error:
            kind = "cwd" if isinstance(error, NotADirectoryError) else "system"
            said = {"kind": kind, "error": error.strerror or str(error)}
            packets.send(self.channel, {"op": "failed", "id": message.get("id"), **said})
        finally:
            for fd in fds:
                os.close(fd)

    def _end(self) -> NoReturn:
        if os.getpid() != 1:  # as PID 1 we would take all processes of the namespace with us, without doing anything
            proc.kill_all()
        os._exit(0)

    def _reap(self) -> None:
        """Reaps all that has ended, orphans of user code too; the host is told of its own children."""
        for pid, status in proc.reaped():
            child = self.children.pop(pid, None)
            if child is not None:
                self._report_exit(child, status)

    def _report_exit(self, child: _Child, status: int) -> None:
        """Tells the host how a child ended, and why when the watchdog or the kernel ended it for a limit."""
        code = os.waitstatus_to_exitcode(status)
        outcome = {"signal": -code} if code < 0 else {"code": code}
        reason = child.reason or (cpu_reason(self.limits) if outcome.get("signal") == signal.SIGXCPU else None)
        packets.send(self.channel, {"op": "exited", "id": child.id, "reason": reason, **outcome})

    def _do_configure(self, message: Message, fds: list[int]) -> None:
        """Takes limits and variables of the sandbox's owner; what starts from now on has them."""
        self.limits = Limits(**message["limits"])
        self.envs = message["envs"]
        self.watchdog = Watchdog(self.limits)
        self.reconfigure(message, self.limits)
        self.two_users = message["two_users"] and self.owner is not None
        if self.two_users:
            Path(self.home).chmod(0o770)  # both are of one group

    def _do_freeze(self, message: Message, fds: list[int]) -> None:
        """Stops all processes. The watchdog rests meanwhile, as nothing grows."""
        self.frozen = True
        proc.stop_all()
        packets.send(self.channel, {"op": "frozen", "id": message["id"]})

    def _do_thaw(self, message: Message, fds: list[int]) -> None:
        proc.signal_all(signal.SIGCONT)
        self.frozen = False
        packets.send(self.channel, {"op": "thawed", "id": message["id"]})

    def _do_usage(self, message: Message, fds: list[int]) -> None:
        """Measures the sandbox now. Disk is the file system of home: the host's own at levels without a quota."""
        known = proc.stats(proc.all_pids())
        disk = os.statvfs(self.home)
        answer = {
            "memory": sum(proc.exact_memory(stat.pid) for stat in known),
            "cpu_seconds": proc.cpu_seconds(known),
            "disk_used": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            "disk_total": disk.f_blocks * disk.f_frsize,
            "processes": len(known),
        }
        packets.send(self.channel, {"op": "usage", "id": message["id"], "usage": answer})

    def _do_signal(self, message: Message, fds: list[int]) -> None:
        for child in self.children.values():
            if child.id == message["child"]:
                leads = os.getpgid(child.pid) == child.pid  # not yet, right after the fork: setsid is still to come
                proc.send(-child.pid if message["group"] and leads else child.pid, message["number"])

    def _do_spawn(self, message: Message, fds: list[int]) -> None:
        """Forks a child for the host. Raises OSError when there is no such directory or no more processes."""
        order = _Order(message, fds, self.home)
        master = order.open_terminal()
        # A signal for the child waits until the child has handlers of its own, and is not taken by the agent's.
        before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        pid = os.fork()
        if pid == 0:
            self._become(order)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.children[pid] = _Child(message["id"], pid)
        packets.send(self.channel, {"op": "spawned", "id": message["id"], "pid": pid}, master)
        for fd in (*master, *order.terminal):
            os.close(fd)

    def _become(self, order: _Order) -> NoReturn:
        """Turns the forked child into what was asked for. It never returns into the agent's loop."""
        try:
            signal.set_wakeup_fd(-1)  # otherwise the child's signals would wake the agent
            order.take_descriptors()
            _default_signals(keep_pythons=order.is_entry)
            envs = {**base_environment(self.home), **self.envs, **order.envs}
            os.environ.clear()
            os.environ.update(envs)
            lockdown.restrict(
                self._held(order),
                self.limits,
                address_space_limit=order.address_space_limit,
                guarded=order.guarded,
            )
            order.go()
        except SystemExit as leaving:
            _leave(leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None))
        except BaseException:  # noqa: BLE001 - whatever it was, this process must not become a second agent
            traceback.print_exc()
            _leave(1)

    def _held(self, order: _Order) -> lockdown.Confinement:
        """How the process of an order is held. Of two users, the second one's files are not for the first to write."""
        if not self.two_users:
            return self.confinement
        if order.as_owner:
            return replace(self.confinement, uid=self.owner, gid=os.getgid())
        os.umask(0o002)
        return self.confinement


class _Order:
    """Is a request to spawn, checked. Raises NotADirectoryError when its working directory is none."""

    def __init__(self, message: Message, fds: list[int], home: str) -> None:
        self.target: Message = message["target"]
        self.is_entry = "entry" in self.target
        self.guarded = self.is_entry and self.target["config"].get("guarded") is True
        self.envs: dict[str, str] = message["envs"]
        self.address_space_limit: bool = message["address_space_limit"]
        self.cwd = real_path(message["cwd"], home)
        self.as_owner: bool = message["as_owner"]
        self.pty: list[int] | None = message["pty"]
        self.fds = dict(zip(message["fds"], fds, strict=True))
        self.terminal: list[int] = []
        if not Path(self.cwd).is_dir():
            raise NotADirectoryError(20, f"not a directory: {message['cwd']}")

    def open_terminal(self) -> list[int]:
        """Returns the master side of a new terminal, for the host; `terminal` keeps the other side for the child."""
        if self.pty is None:
            return []
        master, slave = pty.openpty()
        syscalls.resize_terminal(master, *self.pty)
        self.terminal = [slave]
        return [master]

    def take_descriptors(self) -> None:
        """Gives the process a session of its own, 0, 1, 2, and its control socket as 3. All other descriptors close."""
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        standard = [self.fds.get(name, null) for name in ("stdin", "stdout", "stderr")]
        if self.terminal:
            standard = self.terminal * 3
            fcntl.ioctl(self.terminal[0], termios.TIOCSCTTY, 0)
        wanted = [*standard, self.fds.get("control", null)]
        # Out of the way first: dup2 to 0..3 would close descriptors that are still to be placed.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in wanted]
        for place, fd in enumerate(high):
            os.dup2(fd, place, inheritable=place < CONTROL_FD)
        syscalls.close_from(CONTROL_FD + 1 if "control" in self.fds else CONTROL_FD)
        os.chdir(self.cwd)

    def go(self) -> NoReturn:
        """Executes the program, or imports and calls the function, of the order."""
        argv = self.target.get("argv")
        if argv is not None:
            self._exec(argv)
        module, _, function = self.target["entry"].partition(":")
        control = socket.socket(fileno=CONTROL_FD)
        getattr(importlib.import_module(module), function)(control, self.target["config"])
        _leave(0)

    def _exec(self, argv: list[str]) -> NoReturn:
        """Executes a program found on the sandbox's PATH, with the sandbox's environment."""
        program = shutil.which(argv[0])
        if program is None:
            os.write(2, f"{argv[0]}: command not found\n".encode())
            os._exit(_CANNOT_START)
        os.execv(program, argv)  # noqa: S606


def _leave(code: int) -> NoReturn:
    """Flushes and ends. Not by `sys.exit`: handlers that the zygote's modules registered are not this process's."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # nobody listens any more
    os._exit(code)


def _default_signals(*, keep_pythons: bool) -> None:
    """Undoes the agent's signal handlers and mask, which exec would hand on.

    An entry gets those of any Python: SIGINT raises, SIGPIPE and SIGXFSZ are errors of the call. A program gets the
    kernel's defaults, as bash would give it.
    """
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler if keep_pythons else signal.SIG_DFL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN if keep_pythons else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def base_environment(home: str) -> dict[str, str]:
    """Returns the variables that every process in a sandbox has. None of them comes from the host's environment."""
    path = [f"{home}/.local/bin", str(Path(sys.executable).parent), "/usr/local/sbin", "/usr/local/bin"]
    path += ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    elsewhere = {} if home == HOME else {"TMPDIR": str(Path(home).parent / "tmp")}
    return {
        **elsewhere,
        "HOME": home,
        "USER": "user",
        "LOGNAME": "user",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PATH": ":".join(path),
    }
