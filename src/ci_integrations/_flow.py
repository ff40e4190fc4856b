"""The rules of a session's life, written once: open, connect, keep alive, close. Generators that yield what is to be
done; `drive` does it blocking, `adrive` awaits it. No lock is held across a yield except by name (`holding`).
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

from ci_integrations import _backend
from ci_integrations._cell import OutputHandler, status
from ci_integrations._cleanup import watch
from ci_integrations._io import IO
from ci_integrations._session import Session
from ci_integrations._telemetry import span
from ci_integrations.errors import (
    ConfigurationError,
    QuotaError,
    SandboxBusyError,
    SandboxLostError,
    SandboxUnreachableError,
)
from ci_integrations.recovery import Failure, classify

logger = logging.getLogger("ci_integrations")

T = TypeVar("T")
Step = Callable[[], Any]
Flow = Generator[Step, Any, T]

TAG = "ci_integrations"
"""Metadata key that every sandbox of ours carries; `list_leftovers` looks for it."""
LEASE_MARGIN = 30
"""Seconds that a lease must outlive the cell's own limit."""


def drive(flow: Flow[T]) -> T:
    """Run a flow whose steps block."""
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            value, resume = step(), flow.send
        except BaseException as error:  # noqa: BLE001 - given to the flow, which decides
            value, resume = error, flow.throw


async def adrive(flow: Flow[T]) -> T:
    """Run a flow whose steps may give awaitables."""
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    while True:
        try:
            step = resume(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            value, resume = step(), flow.send
            if inspect.isawaitable(value):
                value = await value
        except BaseException as error:  # noqa: BLE001 - given to the flow, which decides
            value, resume = error, flow.throw


class Life:
    """Opening, leasing and closing one session's sandbox, with one of the two ways of doing (`io`)."""

    def __init__(self, session: Session, io: IO) -> None:
        self.session, self.io = session, io

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Flow[Any]:
        """One step: an SDK call, through the face's `call`."""
        return (yield partial(self.io.call, function, *args, **kwargs))

    def holding(self, flow: Callable[[], Flow[T]]) -> Flow[T]:
        """`flow` with the session's lifecycle lock held."""
        lock = self.session.lock
        if not (yield partial(self.io.acquire, lock, self.session.options.queue_timeout)):
            raise SandboxBusyError("another call has been opening or replacing this sandbox for too long")
        try:
            return (yield from flow())
        finally:
            lock.release()

    @property
    def sandbox(self) -> Any:
        """The SDK's object for this face; only after `open`."""
        return self.session.handles[self.io.kind]

    def open(self, on_output: OutputHandler | None = None) -> Flow[Any]:
        """The SDK's sandbox object, made on first use. Calls that come together make one sandbox."""
        session = self.session
        session.check_usable()
        if self.io.kind not in session.handles:
            if session.sandbox_id is None:
                yield partial(self.io.tell, on_output, status("starting"))
            yield from self.holding(self._open)
        return session.handles[self.io.kind]

    def _open(self) -> Flow[None]:
        session = self.session
        session.check_usable()
        if session.sandbox_id is None:
            yield from self.settle()
        elif self.io.kind not in session.handles:
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
            backend = _backend.choose(options.backend, options.api_key, options.create_options)
            if backend == "local":
                session.connection = yield partial(self.io.blocking, _backend.local_connection)
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
        """A new sandbox through the policy, with one idempotency key for all attempts."""
        session = self.session
        kwargs = self.create_arguments((yield from self.connection()))
        kwargs.setdefault("idempotency_key", f"ci-{uuid.uuid4()}")
        keep = partial(session.moved_in, kind=self.io.kind)
        create = partial(self.io.finish, self.io.sandbox_class().create, keep, kwargs)
        session.check_usable()
        watch(session)
        session.creating = True
        try:
            with span("create", session=session.id, backend=session.backend, template=kwargs.get("template")):
                yield from self.retrying(create)
        except Exception as error:
            rule = classify(error)
            raise (error if rule is None else explained(rule.failure, str(error))) from error
        finally:
            session.creating = False
        if session.closed:  # while the sandbox was being made
            yield from self.let_go("kill")
            session.moved_out()
            session.check_usable()
        session.template_id = session.template_id or kwargs.get("template")
        logger.info("session %s: sandbox %s started", session.id, session.sandbox_id)

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
            "metadata": {**tags(session.id), **(options.metadata or {})},
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
                yield partial(self.io.sleep, float(do))
            else:
                return do

    def connect(self, **options: Any) -> Flow[None]:
        """The SDK object of this face for the session's sandbox; resumes a paused one. Never shortens its life."""
        session = self.session
        watch(session)
        access = yield from self.access()
        connect = self.io.sandbox_class().connect
        sandbox = yield from self.call(
            connect, session.sandbox_id, session.options.sandbox_timeout, **access, **options
        )
        session.handles[self.io.kind] = sandbox
        until = time.monotonic() + session.options.sandbox_timeout
        session.lease_until = max(until, session.lease_until or 0.0)

    def renew_lease(self, needed: float | None) -> Flow[None]:
        """See to it that the sandbox outlives a cell of `needed` seconds. No call while the lease is long enough."""
        session, now = self.session, time.monotonic()
        lifetime = session.options.sandbox_timeout
        wanted = (needed or lifetime) + LEASE_MARGIN
        if session.lease_until is None:
            session.lease_until = now + (yield from self._remaining())
        if session.lease_until - now >= max(wanted, lifetime / 2):
            return
        seconds = int(max(wanted, lifetime))
        if now + seconds <= session.lease_until:
            return
        yield from self._set_timeout(seconds)
        session.lease_until = now + seconds

    def _remaining(self) -> Flow[float]:
        """Seconds that a sandbox we did not make still has."""
        info = yield from self.call(self.sandbox.get_info)
        return float(info.end_at.timestamp() - time.time())

    def _set_timeout(self, seconds: int) -> Flow[None]:
        try:
            yield from self.call(self.sandbox.set_timeout, seconds)
        except Exception as error:
            rule = classify(error)
            if rule is None or rule.failure is not Failure.LIMIT:
                raise
            raise explained(Failure.LIMIT, str(error)) from error

    def close(self) -> Flow[None]:
        """Let go of the sandbox: kill it (or as `at_exit` says) when it is ours. Safe to call twice."""
        session = self.session
        if session.closed or session.process != os.getpid():
            session.closed = True
            return
        session.closed = True
        try:
            if session.sandbox_id is not None and session.owned:
                yield from self.let_go(session.at_exit)
        finally:
            session.moved_out()
            logger.info("session %s closed after %.0f sandbox-seconds", session.id, session.seconds_used)

    def let_go(self, how: str) -> Flow[None]:
        """`"kill"`, `"pause"` or `"keep"`. A sandbox that is gone already is fine."""
        if how != "keep":
            act = partial(getattr(self.io.sandbox_class(), how), self.session.sandbox_id, **(yield from self.access()))
            yield from self.retrying(partial(self.io.call, act))

    def park(self, how: str) -> Flow[None]:
        """Let go of an idle session's sandbox, but not of the session: its next cell tells what is lost."""
        yield from self.holding(partial(self._park, how))

    def _park(self, how: str) -> Flow[None]:
        session = self.session
        if session.sandbox_id is None or not session.owned or any(k.busy for k in session.kernels.values()):
            return
        yield from self.let_go(how)
        if how == "kill":
            session.lost_sandbox = session.sandbox_id
            session.generation += 1
            session.moved_out()


_WHERE = {"e2b": "on E2B", "local": 'in the local sandbox (no E2B_API_KEY; backend="e2b" or a key changes that)'}

_CONNECT_OPTIONS = frozenset(
    {"request_timeout", "retries", "headers", "api_headers", "api_key", "domain"}
    | {"api_url", "debug", "proxy", "sandbox_url", "http_version"}
)


def tags(session_id: str) -> dict[str, str]:
    """Metadata by which a sandbox of ours is found again: whose session, which machine, which process."""
    host = "unknown"
    with contextlib.suppress(OSError):
        host = socket.gethostname()
    return {TAG: "1", f"{TAG}_session": session_id, f"{TAG}_host": host, f"{TAG}_pid": str(os.getpid())}


def explained(failure: Failure, message: str) -> Exception:
    """Our error for a failure that cannot be mended here."""
    match failure:
        case Failure.REFUSED:
            return _backend.refused(message)
        case Failure.QUOTA:
            return QuotaError(f"the account's quota seems to be used up; nothing ran ({message})")
        case Failure.BUSY:
            return SandboxBusyError(f"the service is busy or limits our rate; nothing ran ({message})")
        case Failure.LIMIT:
            return ConfigurationError(f"the account's tier does not allow this sandbox lifetime: {message}")
        case Failure.CALLER:
            return ConfigurationError(f"the sandbox service refused the call: {message}")
        case Failure.GONE | Failure.NOT_RUNNING:
            return SandboxLostError(f"the sandbox no longer exists ({message})")
        case Failure.PORT_CLOSED:
            return SandboxUnreachableError(
                "the sandbox runs, but nothing answers on the code interpreter's port; nothing ran. Was its template "
                f"built without the code interpreter's start command? Build it from code-interpreter-v1 ({message})"
            )
        case _:
            return SandboxUnreachableError(f"the sandbox could not be reached ({message})")
