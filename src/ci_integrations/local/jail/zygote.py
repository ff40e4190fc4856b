"""The fork server, or zygote, is an interpreter with the data stack loaded; each sandbox is a fork of it.

`host/sources.py` starts it with an environment made from nothing and one packet socket as its standard input. Whatever
is in its memory can be read in every sandbox, so it is told no secret. It ends when that socket closes, and every agent
ends with it.

    host → zygote   {level, preload, folder}, once; then create {id} + the agent's end of its channel
    zygote → host   ready or broken {error, interpreter, module}; created {id, pid} + pidfd, or failed {id, error}
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import random
import select
import signal
import socket
import threading
from typing import Any, Final, NoReturn, Protocol

from ci_integrations.local.jail import proc
from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import EngineError, PreloadError
from ci_integrations.local.protocol.packets import Message

_KERNEL: Final = "ci_integrations.local.guest.python.kernel"
"""The one module of the guest that is loaded before the fork, by name: its code runs here, before any user's does."""
_NEEDED_SOON: Final = {"matplotlib.pyplot": ("matplotlib.backends.backend_agg", "IPython.core.pylabtools")}
"""What the first use of a module would import, without side effects."""


def main() -> None:
    """Loads, isolates and serves, in this order: an interpreter that does not work is no fault of the level."""
    host = packets.taken_from_stdin()
    received = packets.receive(host)
    if received is None:
        return
    config, _ = received
    try:
        preload(config["preload"])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code of packages: reported
        said = {"error": f"{type(error).__name__}: {error}", "interpreter": True, "module": _culprit(error)}
        packets.send(host, {"op": "broken", **said})
        return
    try:
        level = _level(config)
    except (OSError, EngineError) as error:
        packets.send(host, {"op": "broken", "error": str(error)})
        return
    packets.send(host, {"op": "ready"})
    _serve(host, level)


class Level(Protocol):
    """Is a level of isolation, in the zygote and in the child that becomes an agent."""

    def fork(self, message: Message) -> tuple[int, int, str]:
        """Forks. Returns (0, -1, home) in the child, which must call `serve`, and (pid, pidfd, home) in the zygote.

        Raises OSError.
        """
        ...

    def serve(self, channel: socket.socket) -> NoReturn:
        """Isolates the child that was forked and becomes its agent."""
        ...

    def reap(self) -> list[int]:
        """Returns ids of the agents that are gone, with everything below them."""
        ...

    def end(self) -> None:
        """Ends what would outlive the zygote, and removes what would stay on the disk."""


def _level(config: Message) -> Level:
    # Imported here: only one of them is needed, and both are copied into every sandbox.
    if config["level"] == "namespaces":
        from ci_integrations.local.jail.namespaces import Namespaces

        return Namespaces(config)
    from ci_integrations.local.jail.bare import Bare

    return Bare(config)


def preload(modules: list[str]) -> None:
    """Imports what sandboxes are likely to need. Raises PreloadError for a module that starts a thread.

    The kernel comes first, because its shell must exist before pyplot is loaded.
    """
    kernel: Any = importlib.import_module(_KERNEL)
    kernel.prepare()
    for name in modules:
        for each in (name, *_NEEDED_SOON.get(name, ())):
            if _installed(each):
                importlib.import_module(each)
        _check_threads(name)
    kernel.warm_up()
    _check_threads("")
    # Without freeze() the first collection in a fork would write to every object's header, and copy all those pages.
    gc.collect()
    gc.freeze()


def _check_threads(module: str) -> None:
    """Raises PreloadError when a thread runs: a fork copies its locks as they are, but not the thread to open them."""
    # Both are asked: C libraries (BLAS, Arrow's allocator) start threads that Python does not know.
    if threading.active_count() != 1 or len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        raise PreloadError(module)


def _culprit(error: BaseException) -> str | None:
    """The module that must not be preloaded, when that is the error."""
    return error.module or None if isinstance(error, PreloadError) else None


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _serve(host: socket.socket, level: Level) -> None:
    """Makes sandboxes and reports agents that are gone, until the host closes its socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wakeup = proc.wakes_when_a_child_ends()
    poll = select.poll()
    poll.register(host, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if wakeup.fileno() in ready:
            wakeup.recv(4096)
            for pid in level.reap():
                packets.send(host, {"op": "gone", "pid": pid})
        if host.fileno() not in ready:
            continue
        received = packets.receive(host)
        if received is None:
            level.end()
            os._exit(0)
        _create(host, level, *received)


def _create(host: socket.socket, level: Level, message: Message, fds: list[int]) -> None:
    """Forks a sandbox. In the child it becomes the agent and never returns."""
    channel = socket.socket(fileno=fds[0])
    try:
        pid, pidfd, home = level.fork(message)
    except OSError as error:
        packets.send(host, {"op": "failed", "id": message["id"], "error": str(error)})
        channel.close()
        return
    if pid == 0:
        _be_an_agent(host, level, channel)
    channel.close()
    packets.send(host, {"op": "created", "id": message["id"], "pid": pid, "home": home}, [pidfd])
    os.close(pidfd)


def _be_an_agent(host: socket.socket, level: Level, channel: socket.socket) -> None:
    """Serves as agent. An error is told to the host, and the process ends in any case."""
    try:
        host.close()  # first: an agent that could write to it would be taken for the zygote
        random.seed()
        level.serve(channel)
    except BaseException as error:  # noqa: BLE001 - never back into the zygote's loop
        packets.send(channel, {"op": "broken", "error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
