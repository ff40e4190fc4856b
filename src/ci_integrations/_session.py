"""What one session knows: its options, its sandbox, its kernels. Shared by a sync and an async interpreter.

Data only; the rules are in `_flow.py` and `_running.py`.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, Literal

from ci_integrations._json import text
from ci_integrations._locks import FairLock
from ci_integrations._names import is_blank, names_made
from ci_integrations._restore import Upload, uploads_from
from ci_integrations.errors import ConfigurationError, ForkedSessionError, SessionClosedError
from ci_integrations.recovery import RecoveryPolicy
from ci_integrations.results import ExecutionResult, SandboxEvent

REMEMBERED_CALLS = 256
"""Results kept per session for replayed tool calls."""
JOURNAL = 500
"""Cells kept per kernel, to know which variables it had."""


def are_seconds(value: Any) -> bool:
    """True for a positive, finite number."""
    return isinstance(value, Real) and 0 < float(value) < math.inf


def check_envs(envs: Mapping[str, str] | None) -> None:
    """Refuse what cannot be an environment, before anything runs. Values are never in the message."""
    for name, value in (envs or {}).items():
        fine = isinstance(name, str) and isinstance(value, str) and name and name + value == text(name + value)
        if not fine or "=" in name or "\0" in name + value:
            raise ConfigurationError(f"envs= maps names to text, without NUL: {name!r} or its value is not that")


@dataclass(frozen=True, kw_only=True)
class InterpreterOptions:
    """Everything that an interpreter is made from; see `CodeInterpreter` for what each means."""

    backend: str = "auto"
    """`"e2b"`, `"local"`, or `"auto"`: E2B when a key or an E2B endpoint is given, by argument or environment, else the
    local sandbox."""
    api_key: str | None = field(default=None, repr=False)
    """E2B's key; without it `E2B_API_KEY`. Never logged or shown."""
    template: str | None = None
    """Name or id of the template. None: the SDK's own, `code-interpreter-v1`."""
    sandbox_timeout: int = 300
    """Lifetime of the sandbox in seconds. Prolonged while cells run, never shortened."""
    execution_timeout: float | None = 60.0
    """Limit of one cell in seconds, kept exactly. None: no limit; the sandbox is kept alive while the cell runs."""
    queue_timeout: float | None = 600.0
    """Seconds that a cell waits for its turn in its kernel before `QueueTimeoutError`. None: for ever."""
    envs: Mapping[str, str] | None = field(default=None, repr=False)
    """Environment variables of every process in the sandbox."""
    metadata: Mapping[str, str] | None = None
    """Tags of the sandbox at the service, beside our own by which `ci-integrations reap` finds it."""
    packages: Sequence[str] = ()
    """Installed with pip in each new sandbox, within 300 seconds; restored after a loss."""
    files: Any = None
    """Uploaded to each new sandbox: `{path there: local path or bytes}`, or local paths, which land in `/home/user`."""
    setup_code: str | None = None
    """Python that is run first in each new sandbox; its variables are there for every cell."""
    on_sandbox_lost: Literal["restore", "recreate", "error"] = "restore"
    """`"restore"`: a new sandbox with packages, files and setup code. `"recreate"`: a bare one. `"error"`:
    `SandboxLostError`."""
    rerun_on_loss: bool = False
    """True: run code again that may already have run in part. Only for code without effects outside the sandbox."""
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    """How long to wait and when to give up."""
    inject_extractor: bool = True
    """True: figures and tables come back as data. In the cloud this costs one upload and one hidden cell."""
    on_replaced: Callable[[SandboxEvent], None] | None = None
    """Called when a lost sandbox was replaced."""
    restore: Literal["recipe", "replay"] = "recipe"
    """`"replay"`: also run again, in order, the cells that were run with `replayable=True`."""
    create_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Every other keyword goes to the SDK's `Sandbox.create` as it is (`lifecycle=`, `network=`, `request_timeout=`,
    `allow_internet_access=` ...); one that the SDK does not know is refused."""

    def __post_init__(self) -> None:
        if self.on_sandbox_lost not in ("restore", "recreate", "error"):
            raise ConfigurationError(
                f'on_sandbox_lost must be "restore", "recreate" or "error", not {self.on_sandbox_lost!r}'
            )
        if self.restore not in ("recipe", "replay"):
            raise ConfigurationError(f'restore must be "recipe" or "replay", not {self.restore!r}')
        if self.backend not in ("auto", "e2b", "local"):
            raise ConfigurationError(f'backend must be "auto", "e2b" or "local", not {self.backend!r}')
        if not are_seconds(self.sandbox_timeout):
            raise ConfigurationError("sandbox_timeout is the sandbox's lifetime in seconds and must be positive")
        if self.execution_timeout is not None and not are_seconds(self.execution_timeout):
            raise ConfigurationError("execution_timeout is a cell's limit in seconds: positive, or None for no limit")
        check_envs(self.envs)

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that make an interpreter with these options."""
        named = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "create_options"}
        return named | dict(self.create_options)


@dataclass(eq=False)
class Kernel:
    """One kernel of the sandbox: the default one of a language, or that of a context."""

    language: str
    context: Any = None
    """The SDK's Context, or None for the default context."""
    lock: FairLock = field(default_factory=FairLock)
    prepared: int = -1
    """The generation in which our hidden first cell ran."""
    process: tuple[int, int] | None = None
    """Its process id and user id in the sandbox."""
    count: int | None = None
    """The last execution count seen."""
    last_code: str = ""
    journal: deque[str] = field(default_factory=lambda: deque(maxlen=JOURNAL))
    """Cells that ran well, for the names of the variables they made."""
    replayable: list[str] = field(default_factory=list)
    """Cells that ran well and that the user marked as safe to run again."""
    news: list[SandboxEvent] = field(default_factory=list)
    """What the next result must tell."""
    busy: bool = False
    stale: bool = False
    """Its context was lost with its sandbox; to be made again."""
    inherited: tuple[str, ...] = ()
    """Variables that another process made in it."""

    def variables(self) -> tuple[str, ...]:
        """Names of the variables that it had, as far as its cells tell."""
        if self.language != "python":
            return ()
        return tuple(dict.fromkeys((*self.inherited, *names_made(self.journal))))

    def last_was_blank(self) -> bool:
        """True when the last cell had no statement: the kernel did not count it."""
        return is_blank(self.last_code)

    def forget(self) -> None:
        """Its process is a new one."""
        self.prepared, self.process, self.count, self.last_code = -1, None, None, ""
        self.journal.clear()
        self.inherited = ()


_ALIASES = {"js": "javascript", "ts": "typescript"}


class Session:
    """State of one session. Its interpreters (sync, async) come and go; this stays."""

    def __init__(self, options: InterpreterOptions) -> None:
        self.options = options
        self.id = uuid.uuid4().hex[:12]
        self.process: int | None = None
        """The process that used it first; the SDK's transport lives there."""
        self.lock = FairLock()
        """Held while the sandbox is opened, replaced or closed."""
        self.kernels: dict[str, Kernel] = {}
        self.handles: dict[str, Any] = {}
        """The SDK's objects for the current sandbox, by `"sync"` and `"async"`."""
        self.sandbox_id: str | None = None
        self.template_id: str | None = None
        self.backend: Literal["e2b", "local"] | None = None
        self.connection: dict[str, Any] | None = None
        self.owned = True
        self.at_exit: Literal["kill", "pause", "keep"] = "kill"
        """What `close` does with a sandbox of ours."""
        self.creating = False
        self.touched = False
        """True once code or a command ran: a loss then has to be told."""
        self.recreatable = True
        self.generation = 0
        self.lease_until: float | None = None
        """On the monotonic clock; None when not known."""
        self.born = 0.0
        self.seconds_used = 0.0
        self.created = 0
        """Sandboxes made for this session."""
        self.remembered: OrderedDict[str, ExecutionResult] = OrderedDict()
        self.last_result: ExecutionResult | None = None
        self.closed = False
        self.clock: Callable[[], float] = time.monotonic
        self.last_used = self.clock()
        self.under_way: set[object] = set()
        """One token for each call that uses the sandbox now."""
        self.admit: Callable[[], None] = lambda: None
        """Raises when no further sandbox may be made; see `SessionRegistry`."""
        self.uploads: dict[str, Upload] = {upload.path: upload for upload in uploads_from(options.files)}
        self.injected: str | None = None
        """The sandbox that has the extractor's files."""
        self.lost_sandbox: str | None = None
        """The sandbox whose loss is still to be told."""
        self.untold: list[SandboxEvent] = []
        """Losses that no cell has told yet: see `Interpreter.untold`."""

    def check_usable(self) -> None:
        """Raise when this session was closed, or was opened before this process forked."""
        if self.closed:
            raise SessionClosedError("this session was closed; make a new CodeInterpreter")
        if self.process not in (None, os.getpid()):
            raise ForkedSessionError(
                "this session belongs to the parent process: the SDK's transport does not survive fork. Make a new "
                "one in the child, or start workers with the spawn method"
            )

    def kernel(self, language: str | None, context: Any) -> Kernel:
        """The kernel that a cell with these arguments runs in."""
        if context is not None:
            if not (hasattr(context, "id") and hasattr(context, "language")):
                raise ConfigurationError("context= is what create_context() or list_contexts() gave")
            key = f"context {context.id}"
            return self.kernels.get(key) or self.kernels.setdefault(key, Kernel(context.language, context))
        key = _ALIASES.get(name := (language or "python").strip().lower() or "python", name)
        return self.kernels.get(key) or self.kernels.setdefault(key, Kernel(key))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While a call uses the sandbox: nobody puts it to rest meanwhile."""
        token = object()
        self.under_way.add(token)
        try:
            yield
        finally:
            self.last_used = self.clock()
            self.under_way.discard(token)

    def moved_in(self, sandbox: Any, kind: str) -> None:
        """A new sandbox was made: it is ours from here on."""
        self.handles = {kind: sandbox}
        self.sandbox_id = sandbox.sandbox_id
        self.created, self.creating = self.created + 1, False
        self.born = time.monotonic()
        self.lease_until = self.born + self.options.sandbox_timeout

    def rests(self) -> None:
        """The sandbox was let go of, but is there: the next use connects to it again."""
        if self.born:
            self.seconds_used += time.monotonic() - self.born
        self.handles, self.lease_until, self.born = {}, None, 0.0

    def moved_out(self) -> None:
        """The sandbox is gone or let go."""
        self.rests()
        self.sandbox_id = None

    def answered(self, call_id: str | None, code: str) -> ExecutionResult | None:
        """What that tool call gave before. Models count their calls anew: an id with other code is another call."""
        known = self.remembered.get(call_id or "")
        return known if known is not None and known.code == code else None

    def remember(self, call_id: str | None, result: ExecutionResult) -> None:
        """Keep the result of a tool call, so that a replay of it does not run the code again."""
        if not call_id:
            return
        self.remembered[call_id] = result
        while len(self.remembered) > REMEMBERED_CALLS:
            self.remembered.popitem(last=False)
