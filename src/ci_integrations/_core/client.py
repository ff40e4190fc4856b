"""Makes the SDK's calls for one session, through one face, under the recovery policy and its deadline."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from functools import partial

from ci_integrations._core import service
from ci_integrations._core.conversation.naming import key_of, tags_of
from ci_integrations._core.faces import Face, SdkSandbox
from ci_integrations._core.failures import Failure, classify, explained
from ci_integrations._core.flow import AnyCall, Flow, MaybeAwaitable, Step, T
from ci_integrations._core.options import NO_MOUNTS
from ci_integrations._core.output import OutputHandler, status
from ci_integrations._core.state import SessionState
from ci_integrations._errors import ConfigurationError
from ci_integrations._telemetry import span

logger = logging.getLogger("ci_integrations")

TAG = "ci_integrations"
"""Metadata key that every sandbox of ours carries; `list_leftovers` looks for it."""

_SHORTEST = 0.1
"""Seconds that a call has at least, also when the deadline is near."""

_WHERE = {"e2b": "on E2B", "local": 'in the local sandbox (no E2B_API_KEY; backend="e2b" or a key changes that)'}

_CONNECT_OPTIONS = frozenset(
    {"request_timeout", "retries", "headers", "api_headers", "api_key", "domain"}
    | {"api_url", "debug", "proxy", "sandbox_url", "http_version"}
)
"""Options of `Sandbox.create` that say how to reach the service: calls about an existing sandbox take them too."""


def tags(session_id: str, at_exit: str = "kill") -> dict[str, str]:
    """Returns the metadata by which a sandbox of ours is found again: its session, its machine, its process.

    A sandbox that is to outlive that process also says how: `"keep"` or `"pause"`.
    """
    host = "unknown"
    with contextlib.suppress(OSError):
        host = socket.gethostname()
    kept = {} if at_exit == "kill" else {f"{TAG}_idle": at_exit}
    return {TAG: "1", f"{TAG}_session": session_id, f"{TAG}_host": host, f"{TAG}_pid": str(os.getpid()), **kept}


class SandboxClient:
    """Makes one session's calls through one face. The other parts yield few steps that are not made here."""

    def __init__(self, state: SessionState, face: Face) -> None:
        self.state, self.face = state, face

    @property
    def sandbox(self) -> SdkSandbox:
        """Returns the SDK's sandbox object of this face. Raises KeyError before the sandbox is open."""
        return self.state.handles[self.face.kind]

    @property
    def is_open(self) -> bool:
        """Returns True when this face has its object for the current sandbox."""
        return self.face.kind in self.state.handles

    def call(
        self, function: Callable[..., MaybeAwaitable[T]], /, *args: object, within: float | None = None, **known: object
    ) -> Flow[T]:
        """Makes one call of the SDK. Raises TimeoutError after `within` seconds."""
        value: T = yield partial(self.face.call, partial(function, *args, **known), within=within)
        return value

    def control(self, function: Callable[..., MaybeAwaitable[T]], /, *args: object, **known: object) -> Flow[T]:
        """Makes a call that does no harm when it is made twice: retried under the policy, within its deadline."""
        value: T = yield from self.retrying(self._in_time(partial(self.face.call, partial(function, *args, **known))))
        return value

    def retrying(self, step: Step) -> Flow[T]:
        """Does `step` as often as the policy says, and return its value or raise its last error.

        tenacity decides and never sleeps: it hands over the seconds, which this flow yields as a step of its own.
        """
        from tenacity import Retrying

        naps: list[float] = []
        for attempt in Retrying(**{**self.state.options.recovery.arguments(), "sleep": naps.append}):
            if naps:
                yield from self.sleep(naps.pop())
            # The context manager swallows every exception, GeneratorExit too; the loop raises what is not retried.
            with attempt:
                value: T = yield step
                return value
        raise AssertionError("tenacity ends with a value or an error")

    def _in_time(self, step: AnyCall) -> Step:
        """Returns a step that does `step(within=...)` with what is left of the policy's deadline at each try."""
        give_up = time.monotonic() + self.state.options.recovery.deadline
        return lambda: step(within=max(_SHORTEST, give_up - time.monotonic()))

    def sleep(self, seconds: float) -> Flow[None]:
        """Waits for so many seconds, and blocks nobody else."""
        yield partial(self.face.sleep, seconds)

    def tell(self, handler: OutputHandler | None, text: str) -> Flow[None]:
        """Tells the caller of a cell what it is waiting for."""
        yield partial(self.face.tell, handler, status(text))

    def quietly(self, flow: Flow[object]) -> Flow[bool]:
        """Returns whether `flow` succeeded, for steps that have a next best thing."""
        try:
            yield from flow
        except Exception as error:  # noqa: BLE001 - that is what this is for
            logger.debug("session %s: %s", self.state.id, error)
            return False
        return True

    def shielded(self, flow: Callable[[], Flow[T]]) -> Flow[T]:
        """Does `flow` to its end, also when the caller is cancelled again meanwhile."""
        driver: AnyCall = self.face.driver
        ended: T = yield partial(self.face.shielded, lambda: driver(flow()))
        return ended

    def connection(self) -> Flow[service.Connection]:
        """Returns the SDK options that say where the sandbox runs. Starts the local server if it runs there."""
        state, options = self.state, self.state.options
        if state.connection is None:
            backend = service.choose(options.backend, options.api_key, options.create_options)
            if options.mounts and backend == "e2b":
                raise ConfigurationError(NO_MOUNTS)
            if backend == "local":
                state.connection = yield from self._local_connection()
            else:
                state.connection = {"api_key": options.api_key} if options.api_key else {}
            state.backend = backend
            logger.info("session %s: code runs %s", state.id, _WHERE[backend])
        return state.connection

    def _local_connection(self) -> Flow[service.Connection]:
        connect = partial(service.local_connection, self.state.options.mounts)
        connection: service.Connection = yield partial(self.face.blocking, connect)
        return connection

    def local_server_is_another(self) -> Flow[bool]:
        """Returns True when the local server had died, and its sandboxes with it. A new one is then running."""
        if self.state.backend != "local":
            return False
        connection = yield from self._local_connection()
        before, self.state.connection = self.state.connection, connection
        return before is not None and before != connection

    def access(self) -> Flow[service.Connection]:
        """Returns the options for calls about a sandbox that exists."""
        given = self.state.options.create_options
        passed = {name: value for name, value in given.items() if name in _CONNECT_OPTIONS}
        return {**passed, **(yield from self.connection())}

    def create(self) -> Flow[None]:
        """Makes a sandbox for the session, within the policy's deadline.

        All attempts share one idempotency key, so that an answer that got lost makes no second sandbox.
        """
        state = self.state
        kwargs = self.create_arguments((yield from self.connection()))
        kwargs.setdefault("idempotency_key", f"ci-{uuid.uuid4()}")
        keep = partial(state.attach, kind=self.face.kind)
        create = self._in_time(partial(self.face.finish, self.face.sandbox_class().create, keep, kwargs))
        state.check_usable()
        state.check_quota()
        state.creating = True  # seen by the exit, which waits for a sandbox that is on its way
        try:
            with span(
                "create", session=state.id, backend=state.backend, template=state.template_id or state.options.template
            ):
                yield from self.retrying(create)
        except Exception as error:
            rule = classify(error)
            raise (error if rule is None else explained(rule.failure, str(error) or "no answer in time")) from error
        finally:
            state.creating = False
        if state.closed:  # while the sandbox was being made
            yield from self.dispose("kill")
            state.detach()
            state.check_usable()
        state.template_id = state.template_id or str(kwargs.get("template") or self._default_template())
        logger.info("session %s: sandbox %s started", state.id, state.sandbox_id)

    def _default_template(self) -> str:
        """Returns what the SDK's `Sandbox.create` takes when it is given no template."""
        sdk = self.face.sandbox_class()
        return sdk.default_mcp_template if self.state.options.create_options.get("mcp") else sdk.default_template

    def create_arguments(self, connection: service.Connection) -> dict[str, object]:
        """Returns what `Sandbox.create` is called with."""
        state, options = self.state, self.state.options
        envs = dict(options.envs or {})
        if state.backend == "local" and options.inject_extractor:
            envs.setdefault("CI_INTEGRATIONS_EXTRACT", "1")
        return {
            **options.create_options,
            **connection,
            "template": state.template_id or options.template,
            "timeout": options.sandbox_timeout,
            "envs": envs,
            # Ours last: what says whose the sandbox is must not come from anywhere else.
            "metadata": {**tags(state.id, state.at_exit), **(options.metadata or {}), **self.conversation_tags()},
        }

    @property
    def key(self) -> bytes:
        """Returns the key of this application's hashes. The connection has to be known."""
        return key_of(self.state.connection, self.state.options)

    def conversation_tags(self) -> dict[str, str]:
        """Returns the metadata by which other workers recognise the conversation's sandbox; none without a name."""
        return tags_of(self.state.memory.conversation, self.state.options, self.key)

    def connect(self, **options: object) -> Flow[None]:
        """Gets this face's object for the session's sandbox. Resumes a paused one; never shortens its lifetime."""
        state = self.state
        access = yield from self.access()
        lifetime = state.options.sandbox_timeout
        connect = self.face.sandbox_class().connect
        state.handles[self.face.kind] = yield from self.control(
            connect, state.sandbox_id, lifetime, **access, **options
        )
        # `connect` sets the lifetime anew but never shortens it; a lease that is not known stays so: it is asked for.
        state.born = state.born or time.monotonic()
        if state.lease_until is not None:
            state.lease_until = max(state.lease_until, time.monotonic() + lifetime)

    def whereabouts(self) -> Flow[str]:
        """Returns `"running"`, `"paused"` or `"gone"`, from the control plane. Raises when it gives no answer."""
        if self.state.sandbox_id is None or (yield from self.local_server_is_another()):
            return "gone"
        look = self.face.sandbox_class().get_info
        try:
            info = yield from self.control(look, self.state.sandbox_id, **(yield from self.access()))
        except Exception as error:
            rule = classify(error)
            if rule is None:
                raise
            # A local server that is another one may answer, or refuse our key: either way it has not our sandbox.
            if rule.failure is Failure.GONE or (yield from self.local_server_is_another()):
                return "gone"
            raise explained(rule.failure, str(error)) from error
        self.state.template_id = self.state.template_id or info.template_id
        return str(getattr(info.state, "value", info.state))  # an enum in some SDK versions, text in others

    def remaining(self) -> Flow[float]:
        """Returns the seconds that the sandbox still has."""
        info = yield from self.control(self.sandbox.get_info)
        self.state.template_id = self.state.template_id or info.template_id
        # The service's clock against ours, both in UTC: the monotonic clock has nothing to do with `end_at`.
        return float(info.end_at.timestamp() - time.time())

    def set_timeout(self, seconds: int) -> Flow[None]:
        """Lets the sandbox live for `seconds` from now. Raises ConfigurationError when the tier does not allow that."""
        try:
            yield from self.control(self.sandbox.set_timeout, seconds)
        except Exception as error:
            rule = classify(error)
            if rule is None or rule.failure is not Failure.LIMIT:
                raise
            raise explained(Failure.LIMIT, str(error)) from error

    def dispose(self, how: str) -> Flow[None]:
        """Does with the sandbox what `how` says: `"kill"`, `"pause"` or `"keep"`. One that is gone already is fine."""
        if how == "keep":
            return
        sdk, sandbox_id = self.face.sandbox_class(), self.state.sandbox_id
        try:
            yield from self.control(getattr(sdk, how), sandbox_id, **(yield from self.access()))
        except Exception as error:
            rule = classify(error)
            if rule is None:
                raise
            why = f"could not {how} sandbox {sandbox_id}, which ends with its lifetime: {error}"
            raise explained(rule.failure, why) from error
