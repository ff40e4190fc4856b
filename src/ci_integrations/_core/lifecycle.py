"""The rules of a session's life, written once: open, connect, keep alive, close. Generators that yield what is to be
done; `drive` does it blocking, `adrive` awaits it. No lock is held across a yield except by name (`holding`).
"""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from ci_integrations._core import service
from ci_integrations._core.client import _CONNECT_OPTIONS, _SHORTEST, _WHERE, tags
from ci_integrations._core.exit import watch
from ci_integrations._core.faces import Face
from ci_integrations._core.failures import Failure, classify, explained
from ci_integrations._core.flow import Flow, Step, T, adrive, drive
from ci_integrations._core.output import OutputHandler, status
from ci_integrations._core.state import SessionState
from ci_integrations._telemetry import span
from ci_integrations.errors import SandboxBusyError

logger = logging.getLogger("ci_integrations")


LEASE_MARGIN = 30
"""Seconds that a lease must outlive the cell's own limit."""


class Life:
    """Opening, leasing and closing one session's sandbox, with one of the two ways of doing (`io`)."""

    def __init__(self, session: SessionState, face: Face) -> None:
        self.session, self.face = session, face

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Flow[Any]:
        """One step: an SDK call, through the face's `call`."""
        return (yield partial(self.face.call, function, *args, **kwargs))

    def holding(self, flow: Callable[[], Flow[T]]) -> Flow[T]:
        """`flow` with the session's lifecycle lock held."""
        lock = self.session.lock
        if not (yield partial(self.face.acquire, lock, self.session.options.queue_timeout)):
            raise SandboxBusyError("another call has been opening or replacing this sandbox for too long")
        try:
            return (yield from flow())
        finally:
            lock.release()

    @property
    def sandbox(self) -> Any:
        """The SDK's object for this face; only after `open`."""
        return self.session.handles[self.face.kind]

    def open(self, on_output: OutputHandler | None = None) -> Flow[Any]:
        """The SDK's sandbox object, made on first use. Calls that come together make one sandbox."""
        session = self.session
        session.check_usable()
        if self.face.kind not in session.handles:
            if session.sandbox_id is None:
                yield partial(self.face.tell, on_output, status("starting"))
            yield from self.holding(self._open)
        return session.handles[self.face.kind]

    def _open(self) -> Flow[None]:
        session = self.session
        session.check_usable()
        if session.sandbox_id is None:
            yield from self.settle()
        elif self.face.kind not in session.handles:
            yield from self.rejoin()

    def settle(self) -> Flow[None]:
        """Make the sandbox; `_recovering.py` adds what it is furnished with."""
        yield from self.create()

    def rejoin(self) -> Flow[None]:
        """A handle of this face on the session's sandbox; `_recovering.py` adds what a pause may have cost."""
        yield from self.connect()

    def connection(self) -> Flow[dict[str, Any]]:
        """The SDK options that say where the sandbox runs; starts the local server if that is where."""
        session, options = self.session, self.session.options
        if session.connection is None:
            backend = service.choose(options.backend, options.api_key, options.create_options)
            if backend == "local":
                session.connection = yield partial(self.face.blocking, service.local_connection)
            else:
                session.connection = {"api_key": options.api_key} if options.api_key else {}
            session.backend = backend
            logger.info("session %s: code runs %s", session.id, _WHERE[backend])
        return session.connection

    def access(self) -> Flow[dict[str, Any]]:
        """Options for calls about a sandbox that exists."""
        given = self.session.options.create_options
        passed = {name: value for name, value in given.items() if name in _CONNECT_OPTIONS}
        return {**passed, **(yield from self.connection())}

    def create(self) -> Flow[None]:
        """A new sandbox through the policy, within its deadline, with one idempotency key for all attempts."""
        session = self.session
        kwargs = self.create_arguments((yield from self.connection()))
        kwargs.setdefault("idempotency_key", f"ci-{uuid.uuid4()}")
        keep = partial(session.attach, kind=self.face.kind)
        create = self._in_time(partial(self.face.finish, self.face.sandbox_class().create, keep, kwargs))
        session.check_usable()
        session.check_quota()
        watch(session)
        session.creating = True
        try:
            with span("create", session=session.id, backend=session.backend, template=kwargs.get("template")):
                yield from self.retrying(create)
        except Exception as error:
            rule = classify(error)
            raise (error if rule is None else explained(rule.failure, str(error) or "no answer in time")) from error
        finally:
            session.creating = False
        if session.closed:  # while the sandbox was being made
            yield from self.let_go("kill")
            session.detach()
            session.check_usable()
        session.template_id = session.template_id or kwargs.get("template") or self._default_template()
        logger.info("session %s: sandbox %s started", session.id, session.sandbox_id)

    def _default_template(self) -> str:
        """What the SDK's `Sandbox.create` takes when it is told no template."""
        sdk = self.face.sandbox_class()
        return str(sdk.default_mcp_template if self.session.options.create_options.get("mcp") else sdk.default_template)

    def create_arguments(self, connection: dict[str, Any]) -> dict[str, Any]:
        """What `Sandbox.create` is called with."""
        session, options = self.session, self.session.options
        envs = dict(options.envs or {})
        if session.backend == "local" and options.inject_extractor:
            envs.setdefault("CI_INTEGRATIONS_EXTRACT", "1")
        return {
            **options.create_options,
            **connection,
            "template": session.template_id or options.template,
            "timeout": options.sandbox_timeout,
            "envs": envs,
            "metadata": {**tags(session.id, session.at_exit), **(options.metadata or {})},
        }

    def retrying(self, step: Step) -> Flow[Any]:
        """`step` under the policy: tenacity decides, we wait."""
        from tenacity import DoAttempt, DoSleep, RetryCallState, Retrying

        engine = Retrying(**self.session.options.recovery.arguments())
        engine.begin()
        state = RetryCallState(retry_object=engine, fn=None, args=(), kwargs={})
        while True:
            do = engine.iter(retry_state=state)
            if isinstance(do, DoAttempt):
                try:
                    state.set_result((yield step))
                except BaseException:  # noqa: BLE001 - tenacity raises it again
                    state.set_exception(sys.exc_info())  # type: ignore[arg-type]
            elif isinstance(do, DoSleep):
                state.prepare_for_next_attempt()
                yield partial(self.face.sleep, float(do))
            else:
                return do

    def connect(self, **options: Any) -> Flow[None]:
        """The SDK object of this face for the session's sandbox; resumes a paused one. Never shortens its life."""
        session = self.session
        watch(session)
        access = yield from self.access()
        connect = self.face.sandbox_class().connect
        sandbox = yield from self.control(
            connect, session.sandbox_id, session.options.sandbox_timeout, **access, **options
        )
        session.handles[self.face.kind] = sandbox
        session.born = session.born or time.monotonic()
        if session.lease_until is not None:
            session.lease_until = max(session.lease_until, time.monotonic() + session.options.sandbox_timeout)

    def control(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Flow[Any]:
        """A call that may be made twice, under the policy and its deadline."""
        return (yield from self.retrying(self._in_time(partial(self.face.call, function, *args, **kwargs))))

    def _in_time(self, step: Callable[..., Any]) -> Step:
        """`step(timeout=...)` with what is left of the policy's deadline, however often it is tried."""
        give_up = time.monotonic() + self.session.options.recovery.deadline
        return lambda: step(timeout=max(_SHORTEST, give_up - time.monotonic()))

    def renew_lease(self, needed: float | None) -> Flow[None]:
        """See to it that the sandbox outlives a cell of `needed` seconds; without a limit it is asked again and again.

        No call while the lease is long enough; and before it is set, the service says how long it really is, because
        the user may have made it longer.
        """
        session, now = self.session, time.monotonic()
        lifetime = session.options.sandbox_timeout
        wanted = max(lifetime / 2, needed + LEASE_MARGIN if needed else 0.0)
        if session.lease_until is not None and session.lease_until - now >= wanted:
            return
        session.lease_until = now + (yield from self._remaining())
        if session.lease_until - now >= wanted:
            return
        seconds = int(max(wanted, lifetime))
        yield from self._set_timeout(seconds)
        session.lease_until = now + seconds

    def _remaining(self) -> Flow[float]:
        """Seconds that the sandbox still has."""
        info = yield from self.control(self.sandbox.get_info)
        self.session.template_id = self.session.template_id or info.template_id
        return float(info.end_at.timestamp() - time.time())

    def _set_timeout(self, seconds: int) -> Flow[None]:
        try:
            yield from self.control(self.sandbox.set_timeout, seconds)
        except Exception as error:
            rule = classify(error)
            if rule is None or rule.failure is not Failure.LIMIT:
                raise
            raise explained(Failure.LIMIT, str(error)) from error

    def close(self) -> Flow[None]:
        """Let go of the sandbox: kill it (or as `at_exit` says) when it is ours. Safe to call twice."""
        session = self.session
        if session.closed or session.process not in (None, os.getpid()):
            session.closed = True
            return
        session.closed = True
        try:
            if session.sandbox_id is not None and session.owned:
                yield from self.let_go(session.at_exit)
        finally:
            session.detach()
            logger.info("session %s closed after %.0f sandbox-seconds", session.id, session.seconds_used)

    def let_go(self, how: str) -> Flow[None]:
        """`"kill"`, `"pause"` or `"keep"`. A sandbox that is gone already is fine."""
        if how != "keep":
            act, sandbox_id = getattr(self.face.sandbox_class(), how), self.session.sandbox_id
            try:
                yield from self.control(act, sandbox_id, **(yield from self.access()))
            except Exception as error:
                rule = classify(error)
                if rule is None:
                    raise
                why = f"could not {how} sandbox {sandbox_id}, which ends with its lifetime: {error}"
                raise explained(rule.failure, why) from error

    def shielded(self, flow: Callable[[], Flow[T]]) -> Flow[T]:
        """`flow` to its end, also when the caller is cancelled again meanwhile."""
        run: Callable[..., Any] = drive if self.face.kind == "sync" else adrive
        ended: T = yield partial(self.face.shielded, lambda: run(flow()))
        return ended

    def park(self, how: str) -> Flow[None]:
        """Let go of an idle session's sandbox, but not of the session: its next cell tells what is lost."""
        yield from self.holding(partial(self._park, how))

    def _park(self, how: str) -> Flow[None]:
        """Without its handles, a call that comes now waits for the end of this; one that came before is left alone."""
        session = self.session
        handles, session.handles = session.handles, {}
        if session.sandbox_id is None or not session.owned or session.under_way:
            session.handles = handles
            return
        yield from self.let_go(how)
        session.suspend()
        if how == "kill":
            session.lost_sandbox, session.sandbox_id = session.sandbox_id, None
            session.generation += 1
