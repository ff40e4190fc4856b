"""What else a session does with its sandbox: files, commands, contexts, its identity. Each is a flow over SDK calls."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ci_integrations._core.cells import Running
from ci_integrations._core.failures import classify
from ci_integrations._core.flow import Flow
from ci_integrations._core.furnish import send
from ci_integrations._core.identity import IDENTITY, _kernel_identity
from ci_integrations._core.kernels import GRACE
from ci_integrations._core.options import check_envs
from ci_integrations._core.output import CellOutput, OutputEvent, OutputHandler
from ci_integrations._core.repair import Attempt
from ci_integrations._core.state import KernelState
from ci_integrations._core.uploads import keep_bytes, upload_from
from ci_integrations._errors import ConfigurationError
from ci_integrations.errors import SandboxError
from ci_integrations.results.model import ExecutionError


@dataclass(frozen=True, kw_only=True)
class CommandOutput:
    """What a shell command gave. A command that failed is not an exception."""

    stdout: str
    stderr: str
    exit_code: int
    error: str | None = None
    """Why it ended, when it did not end by itself: `"timed out after 60 s"`."""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.error is None


class Using(Running):
    """Files, commands, contexts."""

    def using(
        self,
        step: Callable[[Any], Flow[Any]],
        needed: float | None = None,
        *,
        received: CellOutput | None = None,
        repeatable: bool = False,
    ) -> Flow[Any]:
        """`step(sandbox)` with an open sandbox; a sandbox that was lost before it began is repaired first.

        One that is `repeatable` does no harm when it is done twice, and is done again also when it had begun.
        """
        with self.session.in_use():
            for attempt in self._attempts(received or CellOutput()):
                try:
                    yield from self.open()
                    yield from self.renew_lease(needed)
                    attempt.sent = not repeatable
                    return (yield from step(self.sandbox))
                except Exception as error:
                    rule = classify(error)
                    if rule is None or type(error).__name__ in _THE_CALLERS:
                        raise
                    yield from self.recover(rule, error, attempt)

    def _attempts(self, received: CellOutput) -> Iterator[Attempt]:
        """One after the other; `recover` raises when it was the last."""
        give_up = time.monotonic() + self.session.options.recovery.deadline
        for number in itertools.count(1):
            generation = self.session.generation
            yield Attempt(number=number, generation=generation, received=received, give_up=give_up)

    def upload(self, source: str | Path | bytes, path: str) -> Flow[str]:
        upload = upload_from(source, path)

        def step(_: Any) -> Flow[None]:
            yield from send(self, upload)

        yield from self.using(step, repeatable=True)
        self.session.has_state = True
        uploads = self.session.uploads
        uploads.pop(upload.path, None)
        uploads[upload.path] = upload
        keep_bytes(uploads)
        return upload.path

    def download(self, path: str) -> Flow[bytes]:
        def step(sandbox: Any) -> Flow[Any]:
            return self.call(sandbox.files.read, path, format="bytes")

        data = yield from self.using(step, repeatable=True)
        return bytes(data)

    def list_files(self, path: str) -> Flow[list[Any]]:
        entries = yield from self.using(lambda sandbox: self.call(sandbox.files.list, path), repeatable=True)
        return list(entries)

    def start_command(
        self, command: str, timeout: float | None, on_output: OutputHandler | None, **options: Any
    ) -> Flow[Any]:
        """The SDK's own handle: wait, send_stdin, kill."""
        if on_output is not None:
            raise ConfigurationError("on_output= is for a command that is waited for: leave it out, or background=True")
        self.session.has_state = True

        def step(sandbox: Any) -> Flow[Any]:
            return self.call(partial(sandbox.commands.run, command, background=True, timeout=timeout or 0, **options))

        return (yield from self.using(step, timeout))

    def run_command(
        self, command: str, timeout: float | None, on_output: OutputHandler | None, **options: Any
    ) -> Flow[CommandOutput]:
        """Run a command to its end, at most `timeout` seconds."""
        self.session.has_state = True
        received = CellOutput()

        def taker(kind: Any) -> Callable[[str], Any]:
            def take(text: str) -> Any:
                getattr(received, kind).append(text)
                return self.face.tell(on_output, OutputEvent(kind=kind, text=text, timestamp=time.time()))

            return take

        def step(sandbox: Any) -> Flow[tuple[int, str | None]]:
            run = partial(sandbox.commands.run, command, timeout=timeout or 0, **options)
            try:
                yield from self.call(run, on_stdout=taker("stdout"), on_stderr=taker("stderr"))
            except Exception as failure:  # noqa: BLE001 - _exit raises what it does not know
                return _exit(failure, timeout)
            return 0, None

        try:
            code, error = yield from self.using(step, timeout, received=received)
        except SandboxError as failure:
            failure.result = received.result(code=command, language="bash", error=_told(failure), incomplete=True)
            raise
        return CommandOutput(stdout=received.stdout.text(), stderr=received.stderr.text(), exit_code=code, error=error)

    def create_context(self, language: str | None, cwd: str | None) -> Flow[Any]:
        context = yield from self.using(
            lambda sandbox: self.call(sandbox.create_code_context, cwd=cwd, language=language)
        )
        self.session.kernel(None, context)
        return context

    def restart_context(self, context: Any) -> Flow[None]:
        """A fresh kernel: its variables are gone, and nobody needs to be told."""
        kernel = self.session.kernel("python", None) if context is None else self.session.kernel(None, context)
        yield from self.using(lambda _: self.restart(kernel))
        kernel.forget()

    def remove_context(self, context: Any) -> Flow[None]:
        if context is None:
            raise ConfigurationError("which context? Give what create_context() or list_contexts() gave")
        kernel = self.session.kernel(None, context)
        yield from self.using(lambda sandbox: self.call(sandbox.remove_code_context, kernel.context))
        self.session.kernels.pop(f"context {context.id}", None)

    def list_contexts(self) -> Flow[list[Any]]:
        contexts = yield from self.using(lambda sandbox: self.call(sandbox.list_code_contexts), repeatable=True)
        return list(contexts)

    def interrupt(self) -> Flow[bool]:
        """Interrupt whatever cells of this session run now. True when there was one and it could be reached."""
        session = self.session
        busy = [kernel for kernel in session.kernels.values() if kernel.busy]
        if not busy or session.sandbox_id is None:
            return False
        yield from self.open()
        for kernel in busy:
            if not (yield from self._interrupt(kernel)):
                return False
        return True

    def _interrupt(self, kernel: KernelState) -> Flow[bool]:
        if (yield from self.signal(kernel)):
            for _ in range(10):
                if not kernel.busy:
                    return True
                yield partial(self.face.sleep, GRACE / 10)
        if (yield from self.quietly(self.restart(kernel))):
            self.kernel_lost(kernel, "the code did not react to an interrupt")
            return True
        return False

    def identity(self) -> dict[str, Any]:
        """The session as plain JSON: another process goes on with it by `from_identity`."""
        session = self.session
        return {
            "schema": IDENTITY,
            "session_id": session.id,
            "sandbox_id": session.sandbox_id,
            "context_id": None,
            "backend": session.backend,
            "template_id": session.template_id,
            "generation": session.generation,
            "kernels": [_kernel_identity(kernel) for kernel in session.kernels.values()],
        }


def command_options(
    cwd: str | None, envs: Mapping[str, str] | None, user: str | None, *, stdin: bool
) -> dict[str, Any]:
    """Keyword arguments for the SDK's `commands.run`."""
    check_envs(envs)
    return {"cwd": cwd, "envs": dict(envs or {}), "user": user, "stdin": stdin or None}


_THE_CALLERS = frozenset({"FileNotFoundException", "CommandExitException", "InvalidArgumentException",
                          "NotEnoughSpaceException"})  # fmt: skip
"""The SDK's exceptions that say that the call itself was wrong: they reach the caller as they are."""


def _told(failure: SandboxError) -> ExecutionError:
    return ExecutionError(name=type(failure).__name__, value=str(failure))


def _exit(failure: Exception, timeout: float | None) -> tuple[int, str | None]:
    """Exit code and reason of a command that did not end well; other failures are raised."""
    if type(failure).__name__ == "CommandExitException":
        return int(getattr(failure, "exit_code", 1)), None
    if "exceeding 'timeout'" in str(failure):  # the SDK's words for a command's own limit
        return -1, f"timed out after {timeout:g} s"
    raise failure
