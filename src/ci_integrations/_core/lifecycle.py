"""Leads a session's sandbox from its first use to its end: open, lease, resume, replace, park, close.

A session outlives its sandbox. What a lost or paused sandbox took with it is noted here, kernel by kernel, for the next
result to tell.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial

from ci_integrations._core.client import SandboxClient
from ci_integrations._core.exit import watch
from ci_integrations._core.faces import AsyncFace, SdkSandbox
from ci_integrations._core.failures import Failure, classify
from ci_integrations._core.flow import Flow, T, adrive
from ci_integrations._core.furnish import Furnisher, Restored
from ci_integrations._core.identity import find, take_kernels, whose
from ci_integrations._core.kernels import Kernels
from ci_integrations._core.notices import FOREIGN, sentence
from ci_integrations._core.output import OutputHandler
from ci_integrations._core.state import KernelState, SessionState
from ci_integrations._core.variables import names_made
from ci_integrations._telemetry import count_loss
from ci_integrations.errors import SandboxBusyError, SandboxLostError
from ci_integrations.results.model import SandboxEvent

logger = logging.getLogger("ci_integrations")

LEASE_MARGIN = 30
"""Seconds that a lease must outlive the cell's own limit."""


class Lifecycle:
    """Opens, leases, replaces and closes one session's sandbox."""

    def __init__(self, state: SessionState, client: SandboxClient, kernels: Kernels, furnisher: Furnisher) -> None:
        self.state, self.client, self.kernels, self.furnisher = state, client, kernels, furnisher

    def holding(self, flow: Callable[[], Flow[T]]) -> Flow[T]:
        """Does `flow` with the session's lifecycle lock held. Raises SandboxBusyError when it cannot be had in time."""
        lock = self.state.lock
        if not (yield partial(self.client.face.acquire, lock, self.state.options.queue_timeout)):
            raise SandboxBusyError("another call has been opening or replacing this sandbox for too long")
        try:
            return (yield from flow())
        finally:
            lock.release()

    def open(self, on_output: OutputHandler | None = None) -> Flow[SdkSandbox]:
        """Returns the SDK's sandbox object, made on first use. Calls that come together make one sandbox."""
        self.state.check_usable()
        if not self.client.is_open or self.state.memory.named is not None:
            if self.state.sandbox_id is None:
                yield from self.client.tell(on_output, "starting")
            yield from self.holding(self._open)
        return self.client.sandbox

    def _open(self) -> Flow[None]:
        # Asked again, now that the lock is held: another call may have opened, closed or replaced it meanwhile.
        self.state.check_usable()
        if self.state.memory.named is not None:
            yield from self._enter(self.state.memory.named)
        if self.state.sandbox_id is None:
            yield from self.settle()
        elif not self.client.is_open:
            yield from self.rejoin()

    def _enter(self, named: Mapping[str, object]) -> Flow[None]:
        """Goes on in the sandbox that the conversation names, if it is this conversation's own.

        The newest identity wins over what this process remembers: another worker has replaced a lost sandbox.
        """
        state, memory = self.state, self.state.memory
        memory.named = None
        if not memory.name(named, state.sandbox_id):  # another call has been here while this one waited for the lock
            return
        memory.named, sandbox_id = None, str(named["sandbox_id"])
        found = yield from whose(self.client, sandbox_id)
        if found == "ours" or (found == "gone" and state.sandbox_id is None):
            yield from self._move(sandbox_id, named)
            return
        state.memory.part_with(sandbox_id)
        if found == "foreign" and state.sandbox_id is None:
            state.memory.refused = sandbox_id

    def _move(self, sandbox_id: str, named: Mapping[str, object]) -> Flow[None]:
        """Leaves this session's own sandbox, if it has one, for another of the conversation."""
        state = self.state
        if state.sandbox_id is not None:
            logger.info("session %s: another worker has replaced the sandbox; going on there", state.id)
            if state.owned and len(state.under_way) <= 1:  # nobody else is using it
                yield from self.client.quietly(self.client.dispose("kill"))
            state.memory.part_with(state.sandbox_id)
            state.generation += 1
        state.detach()
        for kernel in state.kernels.values():
            kernel.forget()
            kernel.stale = kernel.context is not None and kernel.sandbox_id != sandbox_id
        state.sandbox_id, state.has_state, state.born = sandbox_id, True, time.monotonic()
        state.memory.joined = True
        take_kernels(state, named)

    def watch(self) -> None:
        """Has the session closed when the process ends, or when nobody holds it any more."""
        watch(self.state, _close_unheld)
        self.state.at_end = _close_unheld

    def settle(self) -> Flow[None]:
        """Makes the session's sandbox, furnish it, and note what a lost one took with it.

        A sandbox that could not be furnished is killed: nobody may take it for one that was.
        """
        self.watch()
        if (yield from self._join()):
            return
        try:
            yield from self.client.create()
            if (yield from self._give_way()):
                return
            restored = yield from self.furnisher.furnish()
        except GeneratorExit:  # the driver is gone: no step can be done any more
            raise
        except BaseException:
            yield from self._undo()
            raise
        if self.state.memory.refused is not None:
            self.state.lost_sandbox, self.state.has_state = self.state.memory.refused, True
        if self.state.lost_sandbox is not None:
            yield from self._announce(self._note_loss(restored))

    def _join(self) -> Flow[bool]:
        """Goes on in a sandbox of this conversation that another process has made. False when there is none."""
        state = self.state
        found = yield from find(self.client)
        if found is None:
            return False
        logger.info("session %s: goes on in sandbox %s of its conversation", state.id, found)
        state.sandbox_id, state.born, lost = found, time.monotonic(), state.lost_sandbox is not None
        yield from self.rejoin()
        if lost:
            yield from self._announce(self._note_loss(Restored()))
        state.has_state = state.memory.joined = True
        return True

    def _give_way(self) -> Flow[bool]:
        """Ends the new sandbox where another worker made one for this conversation a little earlier."""
        state = self.state
        eldest = yield from find(self.client)
        if eldest in (None, state.sandbox_id):
            return False
        yield from self.client.quietly(self.client.dispose("kill"))
        state.memory.part_with(state.sandbox_id)
        state.detach()
        return (yield from self._join())

    def _undo(self) -> Flow[None]:
        try:
            if self.state.sandbox_id is not None:
                yield from self.client.shielded(lambda: self.client.quietly(self.client.dispose("kill")))
        finally:
            self.state.detach()

    def _note_loss(self, restored: Restored) -> SandboxEvent:
        """Leaves in each kernel the event that its next result tells. Returns the event for `on_replaced`."""
        state = self.state
        state.kernel(None, None)  # the default kernel is told of the loss, even if it has run nothing yet
        for kernel in state.kernels.values():
            earlier = [event for event in kernel.pending_events if event.type == "state_lost"]
            # A loss that nobody has read of yet becomes part of this one: its names are still gone.
            kernel.inherited = (*(name for event in earlier for name in event.lost), *kernel.inherited)
            event = self._loss(kernel, restored)
            kernel.forget()
            if kernel.stands_in:  # the new sandbox has a default context again
                kernel.context, kernel.stands_in = None, False
            kernel.stale = kernel.context is not None  # the new sandbox does not know that context's id
            kernel.pending_events = [other for other in kernel.pending_events if other not in earlier]
            kernel.pending_events += [event] if state.has_state else []
        announced = self._loss(KernelState("python"), restored)
        pending = state.kernel(None, None).pending_events
        state.pending_events = [event for event in pending if event.type == "state_lost"]
        state.lost_sandbox = state.memory.refused = None
        return announced

    def _loss(self, kernel: KernelState, restored: Restored) -> SandboxEvent:
        state = self.state
        lost = kernel.variables()
        if state.options.restore == "replay" and not any("run again" in words for words in restored.missing):
            back = set(names_made(kernel.replayable))
            lost = tuple(name for name in lost if name not in back)
        return SandboxEvent(
            type="state_lost",
            message=sentence(
                lost, restored.done, restored.missing, kernel.unnamed, refused=state.memory.refused is not None
            ),
            reason=FOREIGN if state.memory.refused is not None else "the sandbox timed out, was killed or failed",
            old_sandbox_id=state.lost_sandbox,
            new_sandbox_id=state.sandbox_id,
            lost=lost,
            restored=tuple(restored.done),
            not_restored=tuple(restored.missing),
        )

    def _announce(self, event: SandboxEvent) -> Flow[None]:
        """Calls the application's `on_replaced`. An error in it is logged: it is no reason not to go on here."""
        callback = self.state.options.on_replaced
        if callback is None:
            return
        try:
            yield partial(self.client.face.tell, callback, event)
        except Exception:
            logger.exception("session %s: on_replaced failed", self.state.id)

    def rejoin(self) -> Flow[None]:
        """Gets this face's object for a sandbox that exists. It may have been paused meanwhile."""
        self.watch()
        if (yield from self.client.whereabouts()) == "paused":
            yield from self.resume()
        else:
            yield from self.client.connect()

    def resume(self) -> Flow[None]:
        """Wakes a paused sandbox, and find out kernel by kernel whether its memory came along."""
        rebooted = False
        self.state.suspend()
        try:
            yield from self.client.connect()
        except Exception as error:
            rule = classify(error)
            if rule is None or rule.failure is not Failure.GUEST_UNRESPONSIVE:
                raise
            rebooted = True  # the snapshot of its memory is unusable; its disk is not
            yield from self.client.connect(on_resume="reboot")
        for kernel in self.state.kernels.values():
            if kernel.count is None:
                continue
            same = not rebooted and (yield from self.kernels.is_same(kernel))
            if not (same or rebooted) and self.state.backend == "local":  # a pause keeps processes: code may lie
                same = not (yield from self.kernels.has_ended(kernel))
            if same:
                logger.info("session %s: resumed, nothing lost", self.state.id)
            else:
                self.kernels.lost(kernel, "the sandbox was paused and came back without its memory", "state_lost")

    def replace(self, on_output: OutputHandler | None, *, still_there: bool) -> Flow[None]:
        """Puts a new sandbox in the lost one's place, furnished as far as the options say.

        `still_there`: the old one runs but gives no answer, so it is killed. Raises SandboxLostError when the options
        forbid it, or the sandbox was handed in.
        """
        state = self.state
        if state.options.on_sandbox_lost == "error" or not state.recreatable:
            handed_in = "it was handed in, so it is not replaced: owns=True would allow that"
            why = handed_in if not state.recreatable else 'on_sandbox_lost="error"'
            raise SandboxLostError(f"the sandbox {state.sandbox_id} no longer exists ({why})")
        yield from self.client.tell(on_output, "restoring")
        logger.warning("session %s: sandbox %s is gone; replacing it", state.id, state.sandbox_id)
        count_loss(state.backend)
        if still_there:
            yield from self.client.quietly(self.client.dispose("kill"))
        state.lost_sandbox = state.sandbox_id or state.lost_sandbox
        state.memory.part_with(state.lost_sandbox)
        state.generation += 1
        state.detach()
        yield from self.settle()

    def renew_lease(self, needed: float | None) -> Flow[None]:
        """Makes sure that the sandbox outlives a cell of `needed` seconds. Without a limit it is asked again and again.

        No call is made while the lease is long enough. Before it is set, the service says how long it really is,
        because the user may have made it longer.
        """
        state, now = self.state, time.monotonic()
        lifetime = state.options.sandbox_timeout
        wanted = max(lifetime / 2, needed + LEASE_MARGIN if needed else 0.0)
        if state.lease_until is not None and state.lease_until - now >= wanted:
            return
        # `now` from before the call: a lease is rather taken for a little shorter than for longer than it is.
        state.lease_until = now + (yield from self.client.remaining())
        if state.lease_until - now >= wanted:
            return
        seconds = int(max(wanted, lifetime))
        yield from self.client.set_timeout(seconds)
        state.lease_until = now + seconds

    def park(self, how: str) -> Flow[None]:
        """Pauses or kill an idle session's sandbox, as `how` says. The session stays: its next cell tells what is lost.

        A sandbox that is in use, or that is not ours, is left alone.
        """
        yield from self.holding(partial(self._park, how))

    def _park(self, how: str) -> Flow[None]:
        state = self.state
        # Without handles, a call that comes now waits for the lock; one that came before shows in `under_way`.
        handles, state.handles = state.handles, {}
        if state.sandbox_id is None or not state.owned or state.under_way:
            state.handles = handles
            return
        yield from self.client.dispose(how)
        state.suspend()
        if how == "kill":
            state.memory.part_with(state.sandbox_id)
            state.lost_sandbox, state.sandbox_id = state.sandbox_id, None
            state.generation += 1

    def close(self) -> Flow[None]:
        """Ends the session. A sandbox of ours is killed, or what `at_exit` says. Safe to call twice."""
        return close(self.client)


def close(client: SandboxClient) -> Flow[None]:
    """Ends the session that `client` serves. Takes no lock, because it may run in a signal handler."""
    state = client.state
    # A forked child has a copy of the session; the sandbox is its parent's.
    if state.closed or state.process not in (None, os.getpid()):
        state.closed = True
        return
    state.closed = True
    try:
        if state.sandbox_id is not None and state.owned:
            yield from client.dispose(state.at_exit)
    finally:
        state.detach()
        logger.info("session %s closed after %.0f sandbox-seconds", state.id, state.seconds_used)


async def _close_unheld(state: SessionState) -> None:
    await adrive(close(SandboxClient(state, AsyncFace())))
