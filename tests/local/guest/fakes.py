"""A sandbox without walls: the driver runs in a plain child process, as the engine would run it in a sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping

from ci_integrations.local.protocol.contract import HOME, Argv, Child, Entry, Exit, Limits, Pty, SandboxSpec

PROGRAM = """
import importlib, json, os, socket, sys
fd, target, config = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
from ci_integrations.local.guest.python import kernel
kernel.prepare()
module, name = target.split(":")
getattr(importlib.import_module(module), name)(socket.socket(fileno=fd), config)
"""


class PlainChild:
    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        assert process.stdout
        assert process.stderr
        self.process = process
        self.pid = process.pid
        self.control: socket.socket | None = control
        self.stdin: int | None = None
        self.stdout = process.stdout.fileno()
        self.stderr: int | None = process.stderr.fileno()
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self.process.wait()
        if not self.exited.done():
            self.exited.set_result(Exit(signal=-code) if code < 0 else Exit(code=code))

    async def signal(self, number: int, *, group: bool = True) -> None:
        os.killpg(self.pid, number) if group else os.kill(self.pid, number)

    async def resize(self, pty: Pty) -> None:
        raise NotImplementedError

    def close(self) -> None:
        assert self.control
        assert self.process.stdout
        assert self.process.stderr
        self.control.close()
        self.process.stdout.close()
        self.process.stderr.close()


class PlainSandbox:
    """Only what `open_context` uses."""

    def __init__(self, home: str, limits: Limits | None = None) -> None:
        self.home = home
        self.spec = SandboxSpec(sandbox_id="plain", limits=limits or Limits())

    async def spawn(
        self,
        target: Entry | Argv,
        *,
        cwd: str = HOME,
        envs: Mapping[str, str] | None = None,
        stdin: bool = False,
        pty: Pty | None = None,
        address_space_limit: bool = True,
    ) -> Child:
        assert isinstance(target, Entry)
        mine, its = socket.socketpair()
        mine.setblocking(False)
        command = [sys.executable, "-c", PROGRAM, str(its.fileno()), target.target, json.dumps(dict(target.config))]
        environment = {"PATH": os.environ["PATH"], "HOME": self.home, **(envs or {})}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[its.fileno()],
            start_new_session=True,
            cwd=self.home,
            env=environment,
        )
        its.close()
        assert process.stdout
        assert process.stderr
        os.set_blocking(process.stdout.fileno(), False)
        os.set_blocking(process.stderr.fileno(), False)
        return PlainChild(process, mine)
