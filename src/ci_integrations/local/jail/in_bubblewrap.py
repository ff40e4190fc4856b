"""The agent as the first process of a bubblewrap: started by `bubblewrap.py` with its channel as standard input."""

from __future__ import annotations

import os
import random
import signal
import socket
from typing import Any

from ci_integrations.local.jail import agent, lockdown, seccomp, syscalls
from ci_integrations.local.protocol.contract import Limits


def main() -> None:
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    random.seed()
    lockdown.go_first_when_memory_ends()
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    confinement = lockdown.Confinement(seccomp=seccomp.filter_program(sockets=True, others=False))
    agent.Agent(channel, confinement, reconfigure).run()


def reconfigure(message: dict[str, Any], limits: Limits) -> None:
    """Name and sizes were given to bwrap and cannot change."""


if __name__ == "__main__":
    main()
