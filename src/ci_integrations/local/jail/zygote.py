"""The fork server: a bare, single-threaded interpreter with the data stack loaded, forked once per sandbox.

Started by `engine.py` as `python -I -m ci_integrations.local.jail.zygote` with an environment made from nothing and
one packet socket as its standard input: whatever is in its memory can be read in every sandbox. It ends when that
socket closes, and every agent ends with it.

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
from typing import Any, Final, Protocol

from ci_integrations.local.protocol import packets
from ci_integrations.local.protocol.contract import EngineError, PreloadError

_KERNEL: Final = "ci_integrations.local.guest.python.kernel"
_NEEDED_SOON: Final = {"matplotlib.pyplot": ("matplotlib.backends.backend_agg", "IPython.core.pylabtools")}
"""What the first use of a module would import, without side effects."""


def main() -> None:
    host = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
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


class Inside(Protocol):
    """The agent's side of a level."""

    def serve(self, channel: socket.socket) -> None: ...


class Level(Protocol):
    """The zygote's side of a level."""

    def fork(self, message: dict[str, Any]) -> tuple[int, int, str]: ...
    def enter(self) -> Inside: ...
    def reap(self) -> list[int]: ...
    def end(self) -> None: ...


def _level(config: dict[str, Any]) -> Level:
    if config["level"] == "namespaces":
        from ci_integrations.local.jail.namespaces import Namespaces

        return Namespaces(config)
    from ci_integrations.local.jail.bare import Bare

    return Bare(config)


def preload(modules: list[str]) -> None:
    """Import what sandboxes are likely to need. First the kernel: its shell must exist before pyplot is loaded."""
    kernel: Any = importlib.import_module(_KERNEL)
    kernel.prepare()
    for name in modules:
        for each in (name, *_NEEDED_SOON.get(name, ())):
            if _installed(each):
                importlib.import_module(each)
        _check_threads(name)
    kernel.warm_up()
    _check_threads("")
    gc.collect()
    gc.freeze()


def _check_threads(module: str) -> None:
    if threading.active_count() != 1 or len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        raise PreloadError(module)


def _culprit(error: BaseException) -> str | None:
    return error.module or None if isinstance(error, PreloadError) else None


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _serve(host: socket.socket, level: Level) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wakeup, waker = socket.socketpair()
    for end in (wakeup, waker):
        end.setblocking(False)  # noqa: FBT003
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
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


def _create(host: socket.socket, level: Level, message: dict[str, Any], fds: list[int]) -> None:
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
    try:
        host.close()
        random.seed()
        level.enter().serve(channel)
    except BaseException as error:  # noqa: BLE001 - never back into the zygote's loop
        packets.send(channel, {"op": "broken", "error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
