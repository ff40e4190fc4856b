"""Does what else a session needs of its sandbox: files, commands, contexts, interrupts, as flows over SDK calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.flow import Flow, MaybeAwaitable, T
from ci_integrations._core.furnish import send
from ci_integrations._core.kernels import GRACE
from ci_integrations._core.lifecycle import Lifecycle
from ci_integrations._core.options import check_envs, check_tables, check_variable
from ci_integrations._core.output import CellOutput, OutputEvent, OutputHandler
from ci_integrations._core.repair import Repair
from ci_integrations._core.state import Doubt, KernelState, SessionState
from ci_integrations._core.tables.carrier import Carrier, PutTable, Table
from ci_integrations._core.uploads import keep_bytes, upload_from
from ci_integrations._errors import ConfigurationError
from ci_integrations._names import HOME
from ci_integrations.errors import QueueTimeoutError, SandboxError
from ci_integrations.frames.files import check_pandas
from ci_integrations.results.model import ExecutionError

if TYPE_CHECKING:
    from e2b import EntryInfo
    from e2b_code_interpreter import Context

_POLLS = 10
"""How often an interrupt looks, within `GRACE` seconds, whether the cell has ended."""


@dataclass(frozen=True, kw_only=True)
class CommandOutput:
    """Holds what a shell command gave. A command that failed is not an exception."""

    stdout: str
    stderr: str
    exit_code: int
    error: str | None = None
    """Why it ended, when it did not end by itself: `"timed out after 60 s"`."""

    @property
    def ok(self) -> bool:
        """Returns True for a command that ended by itself with exit code 0."""
        return self.exit_code == 0 and self.error is None


class Workspace:
    """Works with the files, commands and contexts of one session's sandbox."""

    def __init__(
        self, state: SessionState, client: SandboxClient, lifecycle: Lifecycle, carrier: Carrier, repair: Repair
    ) -> None:
        self.state, self.client, self.lifecycle, self.repair = state, client, lifecycle, repair
        self.carrier, self.kernels = carrier, carrier.kernels

    def using(
        self,
        step: Callable[[], Flow[T]],
        needed: float | None = None,
        *,
        received: CellOutput | None = None,
        repeatable: bool = False,
        on_output: OutputHandler | None = None,
    ) -> Flow[T]:
        """Does `step` with an open sandbox that lives for `needed` seconds. One that was lost before is repaired first.

        A `repeatable` step does no harm when it is done twice: it is done again also when it had begun. `on_output`
        hears of a sandbox that starts.
        """
        received = received or CellOutput()
        with self.state.in_use():
            for attempt in self.repair.attempts(lambda: received):
                try:
                    yield from self.lifecycle.open(on_output)
                    yield from self.lifecycle.renew_lease(needed)
                    attempt.sent = not repeatable
                    return (yield from step())
                except Exception as error:  # noqa: BLE001 - what is not a sandbox's failure is raised again
                    yield from self.repair.recover(error, attempt)
        raise AssertionError("the last attempt ends with a value or an error")

    def upload(self, source: str | Path | bytes, path: str) -> Flow[str]:
        """Writes a file, and keep what is needed to write it again after a loss."""
        upload = upload_from(source, path)
        yield from self.using(lambda: send(self.client, upload), repeatable=True)
        self.state.has_state = True
        uploads = self.state.uploads
        uploads.pop(upload.path, None)  # the newest is last: the oldest bytes are the first to be forgotten
        uploads[upload.path] = upload
        keep_bytes(uploads)
        return upload.path

    def download(self, path: str) -> Flow[bytes]:
        """Reads a file."""

        def read() -> Flow[bytearray]:
            return self.client.call(self.client.sandbox.files.read, path, format="bytes")

        return bytes((yield from self.using(read, repeatable=True)))

    def put(self, tables: Mapping[str, object], context: Context | None) -> Flow[list[PutTable]]:
        """Makes variables of tables, in the kernel of `context`; a new process of that kernel gets them again."""
        check_tables("put", tables)
        check_pandas("put")
        if not tables:
            return []
        # As they are now: what the caller does to a table afterwards must not be there after a loss.
        now = {name: _as_it_is(table) for name, table in tables.items()}
        put = yield from self.with_kernel(context, lambda kernel: self.carrier.put(kernel, now))
        kernel = self.state.kernel(None, context)
        kernel.tables |= now
        kernel.tables_arrived |= dict.fromkeys(now, True)
        self.state.has_state = True
        return put

    def get(self, name: str, context: Context | None, max_bytes: int) -> Flow[Table]:
        """Returns the table that a variable of the kernel of `context` holds."""
        check_variable(name)
        check_pandas("get")
        return (yield from self.with_kernel(context, lambda kernel: self.carrier.get(kernel, name, max_bytes)))

    def with_kernel(self, context: Context | None, step: Callable[[KernelState], Flow[T]]) -> Flow[T]:
        """Does `step` with a Python kernel that is ready, when its turn has come."""
        kernel = self.state.kernel("python" if context is None else None, context)
        if not (yield partial(self.client.face.acquire, kernel.lock, self.state.options.queue_timeout)):
            raise QueueTimeoutError(
                f"cells held this session for {self.state.options.queue_timeout} s; nothing was done"
            )

        def ready() -> Flow[T]:
            yield from self.carrier.ready(kernel)
            return (yield from step(kernel))

        try:
            return (yield from self.using(ready, repeatable=True))
        finally:
            kernel.lock.release()

    def list_files(self, path: str) -> Flow[list[EntryInfo]]:
        """Lists a directory."""
        entries = yield from self.using(lambda: self.client.call(self.client.sandbox.files.list, path), repeatable=True)
        return list(entries)

    def start_command(
        self, command: str, timeout: float | None, on_output: OutputHandler | None, **options: object
    ) -> Flow[object]:
        """Starts a command in the background. Returns the SDK's own handle: wait, send_stdin, kill."""
        if on_output is not None:
            raise ConfigurationError("on_output= is for a command that is waited for: leave it out, or background=True")
        self.state.has_state = self.state.lent = self.state.commanded = True

        def start() -> Flow[object]:
            run = partial(self.client.sandbox.commands.run, command, background=True, timeout=timeout or 0)
            return self.client.call(run, **self._as_kernels_do(options))

        return (yield from self.using(start, timeout))

    def run_command(
        self, command: str, timeout: float | None, on_output: OutputHandler | None, **options: object
    ) -> Flow[CommandOutput]:
        """Runs a command to its end, at most `timeout` seconds."""
        self.state.has_state = self.state.commanded = True
        received = CellOutput()

        def taker(kind: Literal["stdout", "stderr"]) -> Callable[[str], MaybeAwaitable[None]]:
            def take(text: str) -> MaybeAwaitable[None]:
                getattr(received, kind).append(text)
                return self.client.face.tell(on_output, OutputEvent(kind=kind, text=text, timestamp=time.time()))

            return take

        def step() -> Flow[tuple[int, str | None]]:
            options_now = self._as_kernels_do(options)
            run = partial(self.client.sandbox.commands.run, command, timeout=timeout or 0, **options_now)
            try:
                yield from self.client.call(run, on_stdout=taker("stdout"), on_stderr=taker("stderr"))
            except Exception as failure:  # noqa: BLE001 - _exit raises what it does not know
                return _exit(failure, timeout)
            return 0, None

        try:
            code, error = yield from self.using(step, timeout, received=received)
        except SandboxError as failure:
            what = ExecutionError(name=type(failure).__name__, value=str(failure))
            failure.result = received.result(code=command, language="bash", error=what, incomplete=True)
            raise
        return CommandOutput(stdout=received.stdout.text(), stderr=received.stderr.text(), exit_code=code, error=error)

    def _as_kernels_do(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a command's options, with the kernels' user where that is another than the sandbox's default one.

        At E2B kernels are root's: a command of `user` could read what cells wrote, and not change it. Home and folder
        stay those of `user`.
        """
        if options.get("user") is not None or self.state.root_kernels != self.state.sandbox_id:
            return dict(options)
        envs = {"HOME": HOME, **options["envs"]}
        return {**options, "user": "root", "cwd": options["cwd"] or HOME, "envs": envs}

    def create_context(self, language: str | None, cwd: str | None) -> Flow[Context]:
        """Makes a further kernel."""
        context = yield from self.using(
            lambda: self.client.call(self.client.sandbox.create_code_context, cwd=cwd, language=language)
        )
        self.state.kernel(None, context)
        return context

    def restart_context(self, context: Context | None) -> Flow[None]:
        """Starts a fresh kernel in a context. Its variables are gone, and no event says so: it was asked for."""
        kernel = self.state.kernel("python", None) if context is None else self.state.kernel(None, context)
        yield from self.using(lambda: self.kernels.restart(kernel))
        kernel.forget()
        kernel.doubt = Doubt.STARTING

    def remove_context(self, context: Context) -> Flow[None]:
        """Ends a context's kernel."""
        if context is None:
            raise ConfigurationError("which context? Give what create_context() or list_contexts() gave")
        kernel = self.state.kernel(None, context)
        # A context that was made again after a loss has another id: the kernel knows it.
        yield from self.using(lambda: self.client.call(self.client.sandbox.remove_code_context, kernel.context))
        self.state.kernels.pop(f"context {context.id}", None)

    def list_contexts(self) -> Flow[list[Context]]:
        """Lists the sandbox's contexts."""
        contexts = yield from self.using(
            lambda: self.client.call(self.client.sandbox.list_code_contexts), repeatable=True
        )
        return list(contexts)

    def interrupt(self) -> Flow[bool]:
        """Interrupts the cells of this session that run now. True when there was one and all could be reached."""
        busy = [kernel for kernel in self.state.kernels.values() if kernel.busy]
        if not busy or self.state.sandbox_id is None:
            return False
        yield from self.lifecycle.open()
        for kernel in busy:
            if not (yield from self._interrupt(kernel)):
                return False
        return True

    def _interrupt(self, kernel: KernelState) -> Flow[bool]:
        if (yield from self.kernels.signal(kernel)):
            for _ in range(_POLLS):
                if not kernel.busy:
                    return True
                yield from self.client.sleep(GRACE / _POLLS)
        if (yield from self.kernels.force(kernel)):
            self.kernels.lost(kernel, "the code did not react to an interrupt")
            return True
        return False


def _as_it_is(table: Any) -> object:
    is_pandas = type(table).__module__.partition(".")[0] == "pandas" and hasattr(table, "copy")
    return table.copy(deep=False) if is_pandas else table


def command_options(
    cwd: str | None, envs: Mapping[str, str] | None, user: str | None, *, stdin: bool
) -> dict[str, object]:
    """Returns keyword arguments for the SDK's `commands.run`."""
    check_envs(envs)
    return {"cwd": cwd, "envs": dict(envs or {}), "user": user, "stdin": stdin or None}


def _exit(failure: Exception, timeout: float | None) -> tuple[int, str | None]:
    """Returns exit code and reason of a command that did not end well. Raises every other failure."""
    if type(failure).__name__ == "CommandExitException":
        return int(getattr(failure, "exit_code", 1)), None
    if "exceeding 'timeout'" in str(failure):  # the SDK's words for a command's own limit
        return -1, f"timed out after {timeout:g} s"
    raise failure
