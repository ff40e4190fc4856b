"""The agent runs here as the first process of a bubblewrap, with its channel as standard input."""

from __future__ import annotations

import random
import signal

from ci_integrations.local.jail import agent, lockdown, seccomp, syscalls
from ci_integrations.local.protocol import packets


def main() -> None:
    """Serves until the host closes the channel."""
    channel = packets.taken_from_stdin()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    random.seed()
    lockdown.go_first_when_memory_ends()
    # bwrap's user namespace has no capability left in it, so the agent has none either: what guards it from code of
    # the same user is that it is not dumpable, and the filter without calls that change other processes.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    confinement = lockdown.Confinement(seccomp=seccomp.filter_program(sockets=True, others=False))
    agent.Agent(channel, confinement).run()


if __name__ == "__main__":
    main()
