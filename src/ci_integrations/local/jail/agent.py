"""The first process of a sandbox: starts, watches and reaps all else in it. Trusted, and out of its code's reach.

It is PID 1 of the sandbox's own pid namespace (a subreaper where there is none), is not dumpable, and speaks with the
host over one packet socket (`wire.py`), which none of its children keeps. When that socket closes, it ends.

    host → agent   configure {limits, envs, hostname}
                   spawn {id, target, cwd, envs, pty, fds, address_space_limit} + the descriptors named in fds
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from ci_integrations.local.jail import lockdown, proc, syscalls
from ci_integrations.local.jail.limits import Watchdog, cpu_reason
from ci_integrations.local.jail.syscalls import resize_terminal
from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import HOME, Limits, real_path

CONTROL_FD: Final = 3
_CANNOT_START: Final = 127
_AFTER_A_KILL: Final = 0.05


@dataclass
class _Child:
    id: int
    pid: int
    reason: str | None = None


@dataclass
class Agent:
    """`confinement` holds each child; `home` is where HOME really is; `reconfigure` applies the sandbox's own sizes."""

    channel: socket.socket
    confinement: lockdown.Confinement
    reconfigure: Callable[[dict[str, Any], Limits], None]
    home: str = HOME
    limits: Limits = field(default_factory=Limits)
    envs: dict[str, str] = field(default_factory=dict)
    children: dict[int, _Child] = field(default_factory=dict)
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(Limits()))
    frozen: bool = False
    next_look: float = 0.0

    def run(self) -> NoReturn:
        """Serve until the host lets go."""
        wakeup, waker = socket.socketpair()
        for end in (wakeup, waker):
            end.setblocking(False)  # noqa: FBT003
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
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
        return bool(self.children) or bool(proc.all_pids())

    def _watch(self) -> None:
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
        received = packets.receive(self.channel)
        if received is None:
            self._end()
        message, fds = received
        handler = getattr(self, f"_do_{message['op']}")
        try:
            handler(message, fds)
        except OSError as error:
            kind = "cwd" if isinstance(error, NotADirectoryError) else "system"
            packets.send(self.channel, {"op": "failed", "id": message.get("id"), "kind": kind, "error": _words(error)})
        finally:
            for fd in fds:
                os.close(fd)

    def _end(self) -> NoReturn:
        if os.getpid() != 1:  # else the kernel ends all processes of the namespace with us
            proc.kill_all()
        os._exit(0)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self.children.pop(pid, None)
            if child is not None:
                self._report_exit(child, status)

    def _report_exit(self, child: _Child, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        outcome = {"signal": -code} if code < 0 else {"code": code}
        reason = child.reason or (cpu_reason(self.limits) if outcome.get("signal") == signal.SIGXCPU else None)
        packets.send(self.channel, {"op": "exited", "id": child.id, "reason": reason, **outcome})

    def _do_configure(self, message: dict[str, Any], fds: list[int]) -> None:
        self.limits = Limits(**message["limits"])
        self.envs = message["envs"]
        self.watchdog = Watchdog(self.limits)
        self.reconfigure(message, self.limits)

    def _do_freeze(self, message: dict[str, Any], fds: list[int]) -> None:
        self.frozen = True
        proc.stop_all()
        packets.send(self.channel, {"op": "frozen", "id": message["id"]})

    def _do_thaw(self, message: dict[str, Any], fds: list[int]) -> None:
        proc.signal_all(signal.SIGCONT)
        self.frozen = False
        packets.send(self.channel, {"op": "thawed", "id": message["id"]})

    def _do_usage(self, message: dict[str, Any], fds: list[int]) -> None:
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

    def _do_signal(self, message: dict[str, Any], fds: list[int]) -> None:
        for child in self.children.values():
            if child.id == message["child"]:
                leads = os.getpgid(child.pid) == child.pid  # not yet, right after the fork
                proc.send(-child.pid if message["group"] and leads else child.pid, message["number"])

    def _do_spawn(self, message: dict[str, Any], fds: list[int]) -> None:
        order = _Order(message, fds, self.home)
        master = order.open_terminal()
        # A signal for the child waits until it stands on its own feet.
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
        """In the child: never returns into the agent's loop."""
        try:
            signal.set_wakeup_fd(-1)
            order.take_descriptors()
            _default_signals(keep_pythons=order.is_entry)
            envs = {**base_environment(self.home), **self.envs, **order.envs}
            os.environ.clear()
            os.environ.update(envs)
            lockdown.restrict(
                self.confinement,
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


class _Order:
    """A request to spawn, checked."""

    def __init__(self, message: dict[str, Any], fds: list[int], home: str) -> None:
        self.target: dict[str, Any] = message["target"]
        self.is_entry = "entry" in self.target
        self.guarded = self.is_entry and self.target["config"].get("guarded") is True
        self.envs: dict[str, str] = message["envs"]
        self.address_space_limit: bool = message["address_space_limit"]
        self.cwd = real_path(message["cwd"], home)
        self.pty: list[int] | None = message["pty"]
        self.fds = dict(zip(message["fds"], fds, strict=True))
        self.terminal: list[int] = []
        if not Path(self.cwd).is_dir():
            raise NotADirectoryError(20, f"not a directory: {message['cwd']}")

    def open_terminal(self) -> list[int]:
        """The master, for the host; the other side is kept in `terminal` for the child."""
        if self.pty is None:
            return []
        master, slave = pty.openpty()
        resize_terminal(master, *self.pty)
        self.terminal = [slave]
        return [master]

    def take_descriptors(self) -> None:
        """A session of its own; 0, 1, 2 and the control socket as 3; nothing else stays open."""
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        standard = [self.fds.get(name, null) for name in ("stdin", "stdout", "stderr")]
        if self.terminal:
            standard = self.terminal * 3
            fcntl.ioctl(self.terminal[0], termios.TIOCSCTTY, 0)
        wanted = [*standard, self.fds.get("control", null)]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in wanted]
        for place, fd in enumerate(high):
            os.dup2(fd, place, inheritable=place < CONTROL_FD)
        syscalls.close_from(CONTROL_FD + 1 if "control" in self.fds else CONTROL_FD)
        os.chdir(self.cwd)

    def go(self) -> NoReturn:
        argv = self.target.get("argv")
        if argv is not None:
            self._exec(argv)
        module, _, function = self.target["entry"].partition(":")
        getattr(importlib.import_module(module), function)(_adopt_control(), self.target["config"])
        _leave(0)

    def _exec(self, argv: list[str]) -> NoReturn:
        program = shutil.which(argv[0])
        if program is None:
            os.write(2, f"{argv[0]}: command not found\n".encode())
            os._exit(_CANNOT_START)
        os.execv(program, argv)  # noqa: S606


def _adopt_control() -> socket.socket:
    return socket.socket(fileno=CONTROL_FD)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # nobody listens any more
    os._exit(code)


def _default_signals(*, keep_pythons: bool) -> None:
    """An entry is a Python like any other: SIGINT raises, SIGPIPE and SIGXFSZ are errors of the call."""
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler if keep_pythons else signal.SIG_DFL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN if keep_pythons else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def base_environment(home: str) -> dict[str, str]:
    """Of every process in a sandbox; nothing of it comes from the host's environment."""
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


def _words(error: OSError) -> str:
    return error.strerror or str(error)
