"""The Python kernel of a sandbox is IPython in a forked child, driven by frames over one socket.

The zygote runs `prepare()`, before it imports matplotlib.pyplot, and `warm_up()`; every fork that is a Python context
runs `main()`. The host trusts nothing that comes from here, because user code shares this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import ExecutionResult

from ci_integrations.local.guest.python import formats, pip, streams
from ci_integrations.local.guest.python.shell import KernelShell, forget_cells, make_shell
from ci_integrations.local.protocol.contract import ContextConfig
from ci_integrations.local.protocol.frames import Channel, Frame, encode

INLINE = "module://matplotlib_inline.backend_inline"
_WARM_UP = ("[1]", "1/0", "1+1")
_OFTEN = 8
"""Rounds of the rehearsal: CPython (3.11 and later) specialises a function's code after that many calls, which writes
to its page. Done here it happens once, and not in each fork."""
_WARM_UP_WITH = {"pandas": "__import__('pandas').DataFrame({'a': [1, 2] * 50, 'b': range(100)}).groupby('a').mean()"}


def prepare() -> KernelShell:
    """Makes this process's shell, once. It is safe before a fork: no thread, no loop, no open file."""
    os.environ.setdefault("MPLBACKEND", INLINE)
    if KernelShell.initialized():
        return KernelShell.instance()
    shell = make_shell()
    formats.hook_pillow()
    return shell


def warm_up() -> None:
    """Runs cells in the zygote as a fork will, so that all forks share what the cells import, compile and look up.

    It saves each fork 2.5 MiB of its own and the first cells half of their time. It leaves no trace in the shell.
    """
    shell = prepare()
    interrupt = signal.getsignal(signal.SIGINT)
    near, far = socket.socketpair()
    with near, far:
        for _ in range(_OFTEN):
            _reseed()
            kernel = Kernel(Channel(near), shell, 1 << 20)
            for code in (*_WARM_UP, *(code for name, code in _WARM_UP_WITH.items() if name in sys.modules)):
                kernel.rehearse(code)
                far.recv(1 << 20)
            kernel.close()
    signal.signal(signal.SIGINT, interrupt)
    forget_cells(shell)


def main(control: socket.socket, config: ContextConfig) -> None:
    """Serves cells until the host hangs up or user code calls `exit()`.

    With CI_INTEGRATIONS_EXTRACT=1 among the variables, charts come as full data.
    """
    kernel = Kernel(Channel(control), prepare(), int(config.get("results", 64 << 20)))
    kernel.start(config)
    kernel.serve()


class Kernel:
    """Runs the loop of one context: it receives a cell, runs it and says that it is done."""

    def __init__(self, channel: Channel, shell: KernelShell, max_results: int) -> None:
        self._channel = channel
        self._shell = shell
        self._max = max_results
        # Made after the fork: a loop holds an epoll descriptor, and processes that share one wake each other.
        self._loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._cell: asyncio.Task[None] | None = None
        self._request: object = None
        self._telling = threading.RLock()
        """Held while a frame is sent: the host ends a kernel that sends results before a cell's start or after its end,
        which a thread of the user's would otherwise make it do."""
        self._deferred = False

    def start(self, config: ContextConfig) -> None:
        """Sets up what belongs to this process and not to the zygote."""
        os.environ.update(config.get("envs") or {})
        os.environ.setdefault("MPLBACKEND", INLINE)
        streams.install()
        sys.argv = [""]  # not the zygote's; and argparse of user code works
        _change_directory(str(config.get("cwd", "")))
        shell: Any = self._shell
        shell.home_dir = os.environ.get("HOME", "/")  # for `%cd`
        shell.history_manager.dir_hist[:] = [Path.cwd()]
        _order_import_path()
        pip.use_packages()
        _reseed()
        asyncio.set_event_loop(self._loop)
        self._shell.send = self._send  # type: ignore[method-assign]
        if os.environ.get("CI_INTEGRATIONS_EXTRACT") == "1":
            formats.install_full_extractor(self._shell)
        signal.signal(signal.SIGINT, self._on_sigint)

    def rehearse(self, code: str) -> None:
        """Runs a cell before there is a host."""
        self._shell.send = self._send  # type: ignore[method-assign]
        self._run({"id": 0, "code": code})

    def close(self) -> None:
        """Takes this kernel off the shell again, after rehearsals."""
        self._loop.close()
        del self._shell.send

    def serve(self) -> None:
        """Runs cells until the host hangs up, the code exits, or this is a process that user code has forked."""
        while (request := self._next_request()) is not None:
            self._run(request)
            if self._shell.exiting or not self._channel.mine:
                return

    def _next_request(self) -> Frame | None:
        """Waits for a cell; meanwhile the user's asyncio tasks go on."""
        while not self._channel.waiting():
            with contextlib.suppress(KeyboardInterrupt):  # a background task was interrupted: it alone ends
                self._drive(self._loop.create_task(self._readable()))
        return self._channel.receive()

    async def _readable(self) -> None:
        """Waits until the host has sent something."""
        ready = self._loop.create_future()
        self._loop.add_reader(self._channel.socket, _resolve, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._channel.socket)

    def _run(self, request: Frame) -> None:
        """Runs one request and sends its frames, from `started` to `done`."""
        self._shell.interrupted = self._shell.showed_error = self._deferred = False
        with self._telling:
            self._request = request.get("id")
            self._send({"type": "started", "execution_count": self._shell.execution_count})
        with _environment(request.get("envs") or {}):
            self._run_cell(str(request.get("code", "")))
        if not self._channel.mine:
            return  # a fork of the user's: it may have been made while a thread held the lock
        with self._telling:
            self._send({"type": "done", "exiting": self._shell.exiting})
            self._request = None

    def _run_cell(self, code: str) -> None:
        """Runs code as a task of the loop, so that `await` works in it and SIGINT can cancel it."""
        signal.signal(signal.SIGINT, self._on_sigint)  # the last cell may have set its own
        self._cell = self._loop.create_task(self._cell_body(code))
        try:
            self._drive(self._cell)
        except BaseException:  # noqa: BLE001 - whatever escapes IPython is the cell's error, as there
            self._shell.showtraceback(running_compiled_code=True)
        finally:
            self._cell = None

    async def _cell_body(self, code: str) -> None:
        """Runs code as ipykernel does: transform, decide about async, run, then the events after a cell."""
        shell: Any = self._shell  # most of IPython is untyped
        broken = None
        try:
            transformed = shell.transform_cell(code)
        except Exception:  # noqa: BLE001 - a transformer's fault is shown as the cell's error
            transformed, broken = code, sys.exc_info()
        try:
            self._raise_deferred()
            if not shell.should_run_async(code, transformed_cell=transformed, preprocessing_exc_tuple=broken):
                # Twice, as ipykernel does: what the compiler warns of is then said as often as there.
                shell.should_run_async(code, transformed_cell=transformed, preprocessing_exc_tuple=broken)
            result = await shell.run_cell_async(
                code, store_history=True, transformed_cell=transformed, preprocessing_exc_tuple=broken
            )
        except BaseException:  # noqa: BLE001
            shell.showtraceback(running_compiled_code=True)
            result = None
        self._report(result)
        shell.events.trigger("post_execute")
        shell.events.trigger("post_run_cell", result)

    def _report(self, result: ExecutionResult | None) -> None:
        """Sends an error that IPython only prints, as it does with exception groups."""
        error = result and (result.error_before_exec or result.error_in_exec)
        if error and not self._shell.showed_error:
            self._shell.send({"type": "error", "name": type(error).__name__, "value": str(error), "traceback": ""})

    def _drive(self, task: asyncio.Task[None]) -> None:
        """Runs the loop until `task` is done. Raises what the task raised."""
        while not task.done():
            try:
                self._loop.run_until_complete(task)
            except KeyboardInterrupt:
                if task.done():
                    raise
                self._cancel()
            except RuntimeError:
                if task.done() or self._loop.is_closed():
                    raise
                # user code stopped the loop; the cell goes on
        task.result()

    def _on_sigint(self, signum: int, frame: object) -> None:
        """Raises KeyboardInterrupt in the user code that runs; a cell that only waits is cancelled."""
        if self._channel.sending or (self._cell is None and self._request is not None):
            self._deferred = True
        elif asyncio.current_task(self._loop) is not None:
            raise KeyboardInterrupt
        elif self._cell is not None:
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._cell is not None and not self._cell.done():
            self._shell.interrupted = True
            self._cell.cancel()

    def _send(self, message: Frame) -> None:
        """Sends a frame of the running cell; one larger than its limit becomes an announcement of its size."""
        if self._request is None or not self._channel.mine:
            return  # shown by a background task between cells, or in a fork: there is nobody to show it to
        if message["type"] == "display":
            message = {**message, "data": formats.wire_bundle(message["data"])}
        frame = encode({**message, "id": (number := self._request)})
        if len(frame) > self._max:
            frame = encode({"type": "truncated", "bytes": len(frame), "id": number})
        with self._telling:
            if self._request == number:  # otherwise the cell has ended meanwhile
                self._channel.send_bytes(frame)
        self._raise_deferred()

    def _raise_deferred(self) -> None:
        """Raises the KeyboardInterrupt that came while a frame was sent or a cell was starting."""
        if self._deferred and self._cell is not None:
            self._deferred = False
            raise KeyboardInterrupt


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@contextlib.contextmanager
def _environment(envs: Mapping[str, str]) -> Iterator[None]:
    """Sets `envs` for the block, and then brings these variables back, whatever the cell did to them."""
    before = {name: os.environ.get(name) for name in envs}
    os.environ.update(envs)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _change_directory(path: str) -> None:
    """Goes to `path`, or home when there is no such directory: that is no error in the reference either."""
    for each in (path, os.environ.get("HOME", "/")):
        with contextlib.suppress(OSError):
            os.chdir(each)
            return


def _order_import_path() -> None:
    """Puts the standard library first, so that a user's `json.py` cannot hide it; then the user's files, then packages.

    Jupyter has the user's directory first. Here IPython itself imports lazily, and would find the user's module.
    """
    library = f"{sys.base_prefix}/"
    own = [
        path for path in sys.path if path.startswith(library) and not path.endswith(("site-packages", "dist-packages"))
    ]
    sys.path[:] = [*own, "", *(path for path in sys.path if path and path not in own)]


def _reseed() -> None:
    """Seeds the generators anew: otherwise all forks of the zygote would draw the same numbers."""
    random.seed()
    if "numpy" in sys.modules:  # from an integer: seeding from nothing would cost each fork 250 KiB of its own
        sys.modules["numpy"].random.seed(random.getrandbits(32))
