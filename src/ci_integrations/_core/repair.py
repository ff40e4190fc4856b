"""What is done about a failure: the decisions of `recovery.TABLE`, carried out and told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ci_integrations._core.failures import Failure, Rule, classify, explained
from ci_integrations._core.flow import Flow
from ci_integrations._core.furnish import Restored, _note, install, restore_file, run_setup, send
from ci_integrations._core.kernels import PROBE, PROBE_SECONDS
from ci_integrations._core.lifecycle import Life
from ci_integrations._core.notices import listed, sentence
from ci_integrations._core.output import CellOutput, OutputHandler, status
from ci_integrations._core.service import local_connection
from ci_integrations._core.state import KernelState
from ci_integrations._core.variables import names_made
from ci_integrations._telemetry import count_loss, span
from ci_integrations.errors import SandboxError, SandboxLostError, SandboxUnreachableError
from ci_integrations.results.model import ExecutionError, SandboxEvent
from ci_integrations.results.result import ExecutionResult

logger = logging.getLogger("ci_integrations")


@dataclass(kw_only=True)
class Attempt:
    """One try of one call, and what is known about it."""

    number: int
    generation: int
    received: CellOutput
    give_up: float
    """On the monotonic clock: when this call stops trying."""
    sent: bool = False
    """True once the code itself was on its way, not only what prepares for it."""
    may_have_run: bool = False
    """True when it failed, now or in an earlier attempt, in a way that does not prove that it never started."""
    tool_call_id: str | None = None
    kernel: KernelState | None = None
    on_output: OutputHandler | None = None
    result: Callable[..., ExecutionResult] | None = None
    """Everything received so far as a result; None for calls that are not cells."""


class Recovering(Life):
    """Losses and their repair."""

    def recover(self, rule: Rule, error: Exception, attempt: Attempt) -> Flow[ExecutionResult | None]:
        """None: run it (again, if that was asked for). A result: it may have run, and is not run again. Or raises."""
        self.session.check_usable()  # closed meanwhile: that is why it is gone
        attempt.may_have_run = attempt.may_have_run or not self._never_started(rule, attempt)
        last = self._is_last(attempt)
        if rule.failure in _LOST and not last:
            was = yield from self.revive(attempt, error)
            return self._after_loss(rule, attempt, was)
        if rule.failure is Failure.UNREACHABLE and not last and (yield from self._local_server_is_another()):
            return self._after_loss(rule, attempt, (yield from self.revive(attempt, error, force=True)))
        if rule.failure is Failure.CONTEXT_GONE and attempt.kernel is not None and not last:
            self.kernel_lost(attempt.kernel, "its context was removed")
            attempt.kernel.stale = True
            return None
        if rule.failure is Failure.KERNEL_DIED and attempt.kernel is not None and not last:
            self.kernel_lost(attempt.kernel, "it had died before this code ran")
            return None
        if rule.failure in _WORTH_WAITING and self._never_started(rule, attempt) and not last:
            yield partial(self.face.sleep, self._pause(attempt.number))
            return None
        if rule.failure in _UNCLEAR:
            return (yield from self._look(rule, error, attempt))
        raise self.with_result(explained(rule.failure, str(error)), attempt) from error

    def _is_last(self, attempt: Attempt) -> bool:
        return attempt.number >= self.session.options.recovery.attempts or time.monotonic() > attempt.give_up

    def _pause(self, number: int) -> float:
        """Seconds before the next try: the policy's own waits."""
        from tenacity import RetryCallState, Retrying

        engine = Retrying(**self.session.options.recovery.arguments())
        state = RetryCallState(retry_object=engine, fn=None, args=(), kwargs={})
        state.attempt_number = number
        return float(engine.wait(state)) if callable(engine.wait) else 0.0

    @staticmethod
    def _never_started(rule: Rule, attempt: Attempt) -> bool:
        return not attempt.sent or (rule.never_started and not attempt.received.anything)

    def _after_loss(self, rule: Rule, attempt: Attempt, was: str) -> ExecutionResult | None:
        """None when the call may be made in the new sandbox; else the end of what it was."""
        if self._never_started(rule, attempt) or (attempt.result and self.session.options.rerun_on_loss):
            return None
        if attempt.result is None:
            how = "paused during this call and resumed" if was == "paused" else "lost during this call and replaced"
            raise self.with_result(SandboxLostError(f"the sandbox was {how}"), attempt)
        happened = "paused" if was == "paused" else "lost"
        words = f"the sandbox was {happened} while this code ran; it may have run in part, and was not run again"
        return attempt.result(error=ExecutionError(name=f"Sandbox{happened.title()}", value=words))

    def _look(self, rule: Rule, error: Exception, attempt: Attempt) -> Flow[ExecutionResult | None]:
        """No answer: ask the control plane. Gone is repaired; running is an error that says the code may have run."""
        where = yield from self.whereabouts()
        if where != "running" or self.session.options.recovery.on_unreachable == "recreate":
            yield from self.revive(attempt, error, force=where == "running")
            return self._after_loss(rule, attempt, where)
        message = f"the connection to the sandbox was lost ({type(error).__name__}: {error})"
        raise self.with_result(SandboxUnreachableError(message), attempt) from error

    def with_result(self, error: Exception, attempt: Attempt) -> Exception:
        """An error for the model that says whether anything ran, with everything received before it."""
        if not isinstance(error, SandboxError) or error.result is not None:
            return error
        if attempt.result is None:
            words = "; the call may have been carried out, and was not repeated" if attempt.may_have_run else ""
            return error if words in str(error) else type(error)(f"{error}{words}")
        ran = "the code may have run; it was not run again" if attempt.may_have_run else "nothing ran"
        told = type(error)(f"{error}; {ran}")
        told.result = attempt.result(error=ExecutionError(name=type(error).__name__, value=str(told)))
        if attempt.may_have_run:
            self.session.cache_result(attempt.tool_call_id, told.result)
        return told

    def whereabouts(self) -> Flow[str]:
        """`"running"`, `"paused"` or `"gone"`, from the control plane. Raises when that does not answer either."""
        if self.session.sandbox_id is None or (yield from self._local_server_is_another()):
            return "gone"
        look = self.face.sandbox_class().get_info
        try:
            info = yield from self.control(look, self.session.sandbox_id, **(yield from self.access()))
        except Exception as error:
            rule = classify(error)
            if rule is None:
                raise
            if rule.failure is Failure.GONE or (yield from self._local_server_is_another()):
                return "gone"
            raise explained(rule.failure, str(error)) from error
        self.session.template_id = self.session.template_id or info.template_id
        return str(getattr(info.state, "value", info.state))

    def _local_server_is_another(self) -> Flow[bool]:
        """True when the local server had died, and its sandboxes with it; a new one is then running."""
        session = self.session
        if session.backend != "local":
            return False
        connection = yield partial(self.face.blocking, local_connection)
        before, session.connection = session.connection, connection
        return before is not None and before != connection

    def revive(self, attempt: Attempt, error: Exception, *, force: bool = False) -> Flow[str]:
        """See to it that there is a running sandbox, once for all calls that lost the same one. What it was before."""

        def repair() -> Flow[str]:
            if self.session.generation != attempt.generation:
                return "gone"
            where = "gone" if force else (yield from self.whereabouts())
            if where == "gone":
                yield from self._replace(attempt, error, still_there=force)
            elif where == "paused":
                yield from self._resume()
            else:
                yield partial(self.face.sleep, self._pause(attempt.number))
            return where

        try:
            with span("recover", session=self.session.id, cause=type(error).__name__):
                return (yield from self.holding(repair))
        except Exception as failure:
            rule = classify(failure)
            if rule is not None and rule.failure in _LOST | _WORTH_WAITING and not self._is_last(attempt):
                yield partial(self.face.sleep, self._pause(attempt.number))
                return "gone"  # the new one went wrong too; the next attempt makes another
            ours = failure if rule is None else explained(rule.failure, str(failure))
            raise self.with_result(ours, attempt) from failure

    def _replace(self, attempt: Attempt, error: Exception, *, still_there: bool) -> Flow[None]:
        """A new sandbox in the lost one's place, furnished again as far as the options say."""
        session = self.session
        if session.options.on_sandbox_lost == "error" or not session.recreatable:
            handed_in = "it was handed in, so it is not replaced: owns=True would allow that"
            why = handed_in if not session.recreatable else 'on_sandbox_lost="error"'
            lost = SandboxLostError(f"the sandbox {session.sandbox_id} no longer exists ({why})")
            raise self.with_result(lost, attempt) from error
        yield partial(self.face.tell, attempt.on_output, status("restoring"))
        logger.warning("session %s: sandbox %s is gone; replacing it", session.id, session.sandbox_id)
        count_loss(session.backend)
        if still_there:
            yield from self.quietly(self.let_go("kill"))
        session.lost_sandbox = session.sandbox_id or session.lost_sandbox
        session.generation += 1
        session.detach()
        yield from self.settle()

    def settle(self) -> Flow[None]:
        """Make the session's sandbox, furnish it, and tell what a lost one took with it."""
        session = self.session
        try:
            yield from self.create()
            restored = yield from self._furnish()
        except GeneratorExit:
            raise
        except BaseException:
            yield from self._undo()
            raise
        if session.lost_sandbox is None:
            return
        session.kernel(None, None)
        for kernel in session.kernels.values():
            untold = [event for event in kernel.pending_events if event.type == "state_lost"]
            kernel.inherited = (*(name for event in untold for name in event.lost), *kernel.inherited)
            event = self._loss(kernel, restored)
            kernel.forget()
            kernel.stale = kernel.context is not None
            kernel.pending_events = [other for other in kernel.pending_events if other not in untold]
            kernel.pending_events += [event] if session.has_state else []
        told = self._loss(KernelState("python"), restored)
        session.pending_events = [
            event for event in session.kernel(None, None).pending_events if event.type == "state_lost"
        ]
        session.lost_sandbox = None
        yield from self._announce(told)

    def _undo(self) -> Flow[None]:
        """A sandbox that could not be furnished is of no use, and must not be taken for one that is."""
        try:
            if self.session.sandbox_id is not None:
                yield from self.shielded(lambda: self.quietly(self.let_go("kill")))
        finally:
            self.session.detach()

    def _announce(self, event: Any) -> Flow[None]:
        """Tell the application. What goes wrong there is its own, and no reason not to go on here."""
        callback: Any = self.session.options.on_replaced
        if callback is None:
            return
        try:
            yield partial(self.face.tell, callback, event)
        except Exception:
            logger.exception("session %s: on_replaced failed", self.session.id)

    def _loss(self, kernel: KernelState, restored: Restored) -> SandboxEvent:
        session = self.session
        lost = kernel.variables()
        if session.options.restore == "replay" and not any("run again" in words for words in restored.missing):
            back = set(names_made(kernel.replayable))
            lost = tuple(name for name in lost if name not in back)
        return SandboxEvent(
            type="state_lost",
            message=sentence(lost, restored.done, restored.missing),
            reason="the sandbox timed out, was killed or failed",
            old_sandbox_id=session.lost_sandbox,
            new_sandbox_id=session.sandbox_id,
            lost=lost,
            restored=tuple(restored.done),
            not_restored=tuple(restored.missing),
        )

    def _furnish(self) -> Flow[Restored]:
        """Packages, files and setup code. At first what fails is the programmer's error; after a loss it is told."""
        session, options, restored = self.session, self.session.options, Restored()
        again = session.lost_sandbox is not None
        if again and options.on_sandbox_lost == "recreate":
            restored.missing += [f"file {path}" for path in session.uploads]
            return restored
        if options.packages:
            failed = yield from install(self, options.packages)
            _note(restored, f"packages {', '.join(options.packages)}", failed, again=again)
        for upload in list(session.uploads.values()):
            if again:
                yield from restore_file(self, upload, restored)
            else:
                yield from send(self, upload)
        if options.setup_code:
            failed = yield from run_setup(self, options.setup_code, options.execution_timeout)
            _note(restored, "setup code", failed, again=again)
        if again and options.restore == "replay":
            yield from self._replay(restored)
        return restored

    def _replay(self, restored: Restored) -> Flow[None]:
        """Run again, in order, the cells of the default kernel that were marked as safe for it."""
        cells = self.session.kernel(None, None).replayable
        for number, code in enumerate(cells, 1):
            failed = yield from run_setup(self, code, self.session.options.execution_timeout)
            if failed is not None:
                restored.missing.append(f"cells {number} to {len(cells)} of those to be run again ({failed})")
                return
        if cells:
            names = names_made(cells)
            again = f"{len(cells)} earlier cell{'s' if len(cells) > 1 else ''} run again"
            restored.done.append(f"{listed(names)} ({again})" if names else again)

    def rejoin(self) -> Flow[None]:
        """The other face's handle, or another process's sandbox: it may have been paused meanwhile."""
        if (yield from self.whereabouts()) == "paused":
            yield from self._resume()
        else:
            yield from self.connect()

    def _resume(self) -> Flow[None]:
        """Wake a paused sandbox, and find out kernel by kernel whether its memory came along."""
        reboot: dict[str, Any] = {}
        self.session.suspend()
        try:
            yield from self.connect()
        except Exception as error:
            rule = classify(error)
            if rule is None or rule.failure is not Failure.GUEST_UNRESPONSIVE:
                raise
            reboot = {"on_resume": "reboot"}
            yield from self.connect(**reboot)
        for kernel in self.session.kernels.values():
            if kernel.count is None:
                continue
            if not reboot and (yield from self._is_same(kernel)):
                logger.info("session %s: resumed, nothing lost", self.session.id)
            else:
                self.kernel_lost(kernel, "the sandbox was paused and came back without its memory", "state_lost")

    def _is_same(self, kernel: KernelState) -> Flow[bool]:
        """Whether this kernel's process is the one that ran the earlier cells."""
        code = PROBE if kernel.language == "python" else ""
        where = {"context": kernel.context} if kernel.context else {"language": kernel.language}
        probe = partial(self.sandbox.run_code, code, **where, timeout=PROBE_SECONDS)
        execution = yield from self.retrying(partial(self.face.call, probe, timeout=PROBE_SECONDS))
        return not self.is_new_process(kernel, execution.execution_count)

    def kernel_lost(self, kernel: KernelState, why: str, kind: str = "context_restarted") -> None:
        """Its variables are gone; the next result says so."""
        lost = kernel.variables()
        kernel.forget()
        names = f"Gone: {listed(lost)}. " if lost else "Variables are gone. "
        which = "" if kernel.language == "python" else f"{kernel.language} "
        message = f"The {which}kernel was restarted: {why}. {names}Files are kept."
        kernel.pending_events.append(SandboxEvent(type=kind, message=message, reason=why, lost=lost))

    @staticmethod
    def is_new_process(kernel: KernelState, count: int | None) -> bool:
        """True when the count says that this kernel is not the one that ran the last cell."""
        if kernel.count is None or count is None or count > kernel.count:
            return False
        return count < kernel.count or not kernel.last_was_blank()

    def quietly(self, flow: Flow[Any]) -> Flow[bool]:
        """Whether `flow` succeeded, for steps that have a next best thing."""
        try:
            yield from flow
        except Exception as error:  # noqa: BLE001 - that is what this is for
            logger.debug("session %s: %s", self.session.id, error)
            return False
        return True


_LOST = {Failure.NOT_RUNNING, Failure.GONE, Failure.GUEST_UNRESPONSIVE}
_WORTH_WAITING = {Failure.UNREACHABLE, Failure.CUT, Failure.BUSY, Failure.PORT_CLOSED}
_UNCLEAR = {Failure.UNREACHABLE, Failure.CUT, Failure.SLOW}
