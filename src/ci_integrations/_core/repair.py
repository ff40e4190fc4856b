"""Turns a failure into the next try, a result or an error: the decisions of `failures.TABLE`, carried out.

The rule above all others: code that may have run is not run a second time, unless that was asked for.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.failures import THE_CALLERS, Failure, Rule, classify, explained
from ci_integrations._core.flow import Flow
from ci_integrations._core.kernels import Kernels
from ci_integrations._core.lifecycle import Lifecycle
from ci_integrations._core.notices import lost_while_running
from ci_integrations._core.output import CellOutput, OutputHandler
from ci_integrations._core.state import Doubt, KernelState, SessionState
from ci_integrations._telemetry import span
from ci_integrations.errors import SandboxError, SandboxLostError, SandboxUnreachableError
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult

_LOST = {Failure.NOT_RUNNING, Failure.GONE, Failure.GUEST_UNRESPONSIVE}
_WORTH_WAITING = {Failure.UNREACHABLE, Failure.CUT, Failure.BUSY, Failure.PORT_CLOSED}
_UNCLEAR = {Failure.UNREACHABLE, Failure.CUT, Failure.SLOW}


@dataclass(frozen=True, kw_only=True)
class CellCall:
    """Holds what repair has to know of a call that is a cell."""

    kernel: KernelState
    result: Callable[[CellOutput, ExecutionError], ExecutionResult]
    """Makes the result of a cell that ended with this error, from what it gave before."""
    tool_call_id: str | None = None
    on_output: OutputHandler | None = None


@dataclass(kw_only=True)
class Attempt:
    """Holds what is known of one try of one call."""

    number: int
    generation: int
    """The session's generation when the attempt began: a higher one means that another call repaired the loss."""
    received: CellOutput
    began: float
    """On the monotonic clock: when this call was made."""
    give_up: float
    """On the monotonic clock: when this call stops trying."""
    cell: CellCall | None
    """None for calls that are not cells."""
    sent: bool = False
    """True once the code itself was on its way, not only what prepares for it."""
    may_have_run: bool = False
    """True when it failed, now or in an earlier attempt, in a way that does not prove that it never started."""

    def never_started(self, rule: Rule) -> bool:
        """Returns True when it is certain that this call did nothing in the sandbox."""
        return not self.sent or (rule.never_started and not self.received.anything)


class Repair:
    """Deals with the failures of one session's calls."""

    def __init__(self, state: SessionState, client: SandboxClient, lifecycle: Lifecycle, kernels: Kernels) -> None:
        self.state, self.client, self.lifecycle, self.kernels = state, client, lifecycle, kernels

    def attempts(
        self, output: Callable[[], CellOutput], *, limit: float | None = None, cell: CellCall | None = None
    ) -> Iterator[Attempt]:
        """Yields the attempts of one call without end: `recover` raises when one was the last.

        `output` makes what an attempt's output goes into. `limit`: the seconds that the code itself may take.
        """
        began = time.monotonic()
        may_have_run = False
        for number in itertools.count(1):
            attempt = Attempt(
                number=number,
                generation=self.state.generation,
                received=output(),
                began=began,
                give_up=began + (limit or 0.0) + self.state.options.recovery.deadline,
                cell=cell,
                may_have_run=may_have_run,
            )
            yield attempt
            may_have_run = attempt.may_have_run

    def recover(self, error: Exception, attempt: Attempt) -> Flow[ExecutionResult | None]:
        """Decides what comes after `error`. None: the next attempt. A result: the cell may have run, and ends with it.

        Raises `error` itself when it is no failure of a sandbox, and one of our errors when nothing more can be done.
        """
        rule = classify(error)
        if rule is None or (attempt.cell is None and type(error).__name__ in THE_CALLERS):
            raise self.with_result(error, attempt) from error.__cause__
        self.state.check_usable()  # closed meanwhile: that is why it is gone
        never_started = attempt.never_started(rule)
        attempt.may_have_run = attempt.may_have_run or not never_started
        # The code may still run in it; or E2B's server cuts every call to it, after a restart that went wrong there.
        if attempt.cell is not None and (not never_started or rule.failure is Failure.CUT):
            attempt.cell.kernel.doubt = Doubt.UNANSWERED
        if self._is_last(attempt, rule):
            next_try = False
        elif rule.failure in _LOST:
            was = yield from self.revive(error, attempt)
            return self._after_loss(rule, attempt, was)
        elif rule.failure is Failure.UNREACHABLE and (yield from self.client.local_server_is_another()):
            was = yield from self.revive(error, attempt, force=True)
            return self._after_loss(rule, attempt, was)
        else:
            next_try = yield from self._kernel_or_wait(rule, attempt)
        if next_try:
            return None
        if rule.failure in _UNCLEAR:
            return (yield from self._look(rule, error, attempt))
        raise self.with_result(self._explained(rule, str(error)), attempt) from error

    def _explained(self, rule: Rule, message: str) -> Exception:
        # Where cells have run, the template is not to blame for a port that is closed now.
        ran = any(kernel.prepared == self.state.generation for kernel in self.state.kernels.values())
        if rule.failure is Failure.PORT_CLOSED and ran:
            return SandboxUnreachableError(f"the sandbox runs; its code interpreter does not listen now ({message})")
        return explained(rule.failure, message)

    def _kernel_or_wait(self, rule: Rule, attempt: Attempt) -> Flow[bool]:
        """Returns True when the next attempt may do better: its kernel is made anew, or some time went by."""
        kernel = attempt.cell.kernel if attempt.cell is not None else None
        if rule.failure is Failure.CONTEXT_GONE and kernel is not None:
            self.kernels.lost(kernel, "its context was removed")
            kernel.stale = True
        elif rule.failure in _WORTH_WAITING and attempt.never_started(rule):
            yield from self._pause(attempt)
        else:
            return False
        return True

    def _is_last(self, attempt: Attempt, rule: Rule | None = None) -> bool:
        recovery, now = self.state.options.recovery, time.monotonic()
        if rule is not None and rule.failure is Failure.PORT_CLOSED:  # a service that restarts takes seconds
            return now > attempt.began + recovery.deadline
        return attempt.number >= recovery.attempts or now > attempt.give_up

    def _pause(self, attempt: Attempt) -> Flow[None]:
        yield from self.client.sleep(self.state.options.recovery.pause(attempt.number))

    def _after_loss(self, rule: Rule, attempt: Attempt, was: str) -> ExecutionResult | None:
        """Returns None when the call may be made in the new sandbox, otherwise the result that ends the cell.

        A call that is no cell has no such result: for it SandboxLostError is raised.
        """
        if attempt.never_started(rule) or (attempt.cell and self.state.options.rerun_on_loss):
            return None
        if attempt.cell is None:
            how = "paused during this call and resumed" if was == "paused" else "lost during this call and replaced"
            raise self.with_result(SandboxLostError(f"the sandbox was {how}"), attempt)
        return attempt.cell.result(attempt.received, lost_while_running("paused" if was == "paused" else "lost"))

    def _look(self, rule: Rule, error: Exception, attempt: Attempt) -> Flow[ExecutionResult | None]:
        """Asks the control plane after a call without an answer. A sandbox that is gone or paused is repaired.

        Raises SandboxUnreachableError, which says that the code may have run, when the sandbox runs.
        """
        where = yield from self.client.whereabouts()
        if where != "running" or self.state.options.recovery.on_unreachable == "recreate":
            yield from self.revive(error, attempt, force=where == "running")
            return self._after_loss(rule, attempt, where)
        message = f"the connection to the sandbox was lost ({type(error).__name__}: {error})"
        raise self.with_result(SandboxUnreachableError(message), attempt) from error

    def with_result(self, error: Exception, attempt: Attempt) -> Exception:
        """Returns an error for the model that says whether anything ran and carries everything received before it."""
        if not isinstance(error, SandboxError) or error.result is not None:
            return error
        cell = attempt.cell
        if cell is None:
            words = "; the call may have been carried out, and was not repeated" if attempt.may_have_run else ""
            return error if words in str(error) else type(error)(f"{error}{words}")
        ran = "the code may have run; it was not run again" if attempt.may_have_run else "nothing ran"
        told = type(error)(f"{error}; {ran}")
        told.result = cell.result(attempt.received, ExecutionError(name=type(error).__name__, value=str(told)))
        if attempt.may_have_run:
            self.state.cache_result(cell.tool_call_id, told.result)
        return told

    def revive(self, error: Exception, attempt: Attempt, *, force: bool = False) -> Flow[str]:
        """Makes sure that a sandbox runs, once for all calls that lost the same one. Returns what it was before.

        `force`: it is replaced, whatever the control plane says of it.
        """
        try:
            with span("recover", session=self.state.id, cause=type(error).__name__):
                return (yield from self.lifecycle.holding(partial(self._revive, attempt, force=force)))
        except Exception as failure:
            rule = classify(failure)
            if rule is not None and rule.failure in _LOST | _WORTH_WAITING and not self._is_last(attempt):
                yield from self._pause(attempt)
                return "gone"  # the new one went wrong too; the next attempt makes another
            ours = failure if rule is None else explained(rule.failure, str(failure))
            told = self.with_result(ours, attempt)
            if told is failure:
                raise
            raise told from failure

    def _revive(self, attempt: Attempt, *, force: bool) -> Flow[str]:
        if self.state.generation != attempt.generation:
            return "gone"  # another call of this session has repaired it while we waited for the lock
        where = "gone" if force else (yield from self.client.whereabouts())
        if where == "gone":
            on_output = attempt.cell.on_output if attempt.cell is not None else None
            yield from self.lifecycle.replace(on_output, still_there=force)
        elif where == "paused":
            yield from self.lifecycle.resume()
        else:  # it runs after all: the service was late to say so, or resumed it by itself
            yield from self._pause(attempt)
        return where
