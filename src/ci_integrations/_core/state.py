"""Holds what one session knows: its options, its sandbox, its kernels. Its sync and async interpreters share it.

It is data only. The rules are in the parts that `engine.py` puts together.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal, NamedTuple

from ci_integrations._core.conversation.memory import Memory
from ci_integrations._core.conversation.naming import note_made
from ci_integrations._core.exit import abandon
from ci_integrations._core.faces import SdkSandbox
from ci_integrations._core.locks import FairLock
from ci_integrations._core.options import InterpreterOptions
from ci_integrations._core.service import Connection
from ci_integrations._core.uploads import Upload, uploads_from
from ci_integrations._core.variables import Journal, is_blank
from ci_integrations._errors import ConfigurationError
from ci_integrations._names import language_name
from ci_integrations.errors import ForkedSessionError, SessionClosedError
from ci_integrations.results.memory import Kept
from ci_integrations.results.model import SandboxEvent
from ci_integrations.results.result import ExecutionResult

if TYPE_CHECKING:
    from e2b_code_interpreter import Context


MOST_RAN = 500
"""Cells of each kernel of which is known which message asked for them."""
UNNAMED = ""
"""The name of a result that no tool call has."""


class Doubt(Enum):
    """Names what is not known of a kernel. Before the next cell of the user's it is asked."""

    NONE = "it answered last"
    UNANSWERED = "a cell of it got no answer"
    STARTING = "it died or was restarted"


class Ran(NamedTuple):
    """Is a cell that was sent to a kernel: its number there, the message that asked for it (None: the application)."""

    number: int
    asked_by: str | None
    code: str


@dataclass(eq=False)
class KernelState:
    """Holds what is known of one kernel of the sandbox: the default one of a language, or that of a context."""

    language: str
    context: Context | None = None
    """The SDK's Context, or None for the default context."""
    lock: FairLock = field(default_factory=FairLock)
    prepared: int = -1
    """The generation in which our hidden first cell ran."""
    process: tuple[int, int] | None = None
    """Its process id and user id in the sandbox."""
    count: int | None = None
    """The last execution count seen."""
    last_code: str = ""
    journal: Journal = field(default_factory=Journal)
    """Cells that ran well, for the names of the variables they made."""
    replayable: list[str] = field(default_factory=list)
    """Cells that ran well and that the user marked as safe to run again."""
    pending_events: list[SandboxEvent] = field(default_factory=list)
    """Losses, restarts and interrupts that the kernel's next result must tell."""
    busy: bool = False
    stale: bool = False
    """True when the context was lost with its sandbox and is to be made again."""
    sandbox_id: str | None = None
    """The sandbox that the context was made in; None for a default one, which every sandbox has."""
    inherited: tuple[str, ...] = ()
    """Variables that another process made in it."""
    unnamed: int = 0
    """Further ones, of which only the count is known."""
    tables: dict[str, object] = field(default_factory=dict)
    """Tables of this process by the name of the kernel's variable: a new process of the kernel gets them again."""
    tables_arrived: dict[str, bool] = field(default_factory=dict)
    """Which of them have been in the kernel once."""
    equipped: bool = False
    """True once its present process has them."""
    doubt: Doubt = Doubt.NONE
    end_untold: bool = False
    """True when the model was told that it is not known what a stop has left of the variables."""
    holder: tuple[str, str, str] | None = None
    """Path, point and run of the agent that was given it last: see `placing/choosing.py`."""
    users: int = 0
    """Calls that were given it and have not ended."""
    ran: deque[Ran] = field(default_factory=lambda: deque(maxlen=MOST_RAN))
    """All cells that this process sent to it, also those that failed."""
    uncounted: int = 0
    """Cells sent since the last one whose number is known."""
    told_by: dict[str, None] = field(default_factory=dict)
    """Ids of the messages whose answers told of a loss, or of cells that the conversation did not know."""
    stands_in: bool = False
    """True when `context` was made in the place of the language's default one, which did not come back."""

    def variables(self) -> tuple[str, ...]:
        """Returns the names of the variables that the kernel has, as far as its cells tell."""
        if self.language != "python":
            return ()
        return tuple(dict.fromkeys((*self.inherited, *self.journal.names())))

    def last_was_blank(self) -> bool:
        """Returns True when the last cell had no statement: the kernel did not count it."""
        return is_blank(self.last_code)

    def forget(self) -> None:
        """Notes that the kernel's process is a new one, which has run nothing."""
        self.prepared, self.process, self.count, self.last_code = -1, None, None, ""
        self.doubt, self.end_untold, self.equipped = Doubt.NONE, False, False
        self.journal.clear()
        self.ran.clear()
        self.uncounted = 0
        self.inherited, self.unnamed = (), 0


class SessionState:
    """Holds the state of one session. Its interpreters (sync, async) come and go; this stays."""

    lent: bool = False
    """True once somebody may use the sandbox without holding the session: see `exit.py`."""
    commanded: bool = False
    """True once a command ran after the last cell: files that are new then may be its."""
    at_end: Callable[[SessionState], Awaitable[None]] | None = None
    """Closes it when nobody holds it any more. Set with its first sandbox."""

    def __init__(self, options: InterpreterOptions) -> None:
        self.options = options
        self.id = uuid.uuid4().hex[:12]
        self.process: int | None = None
        """The process that used it first; the SDK's transport lives there."""
        self.lock = FairLock()
        """Held while the sandbox is opened, replaced or closed."""
        self.kernels: dict[str, KernelState] = {}
        self.handles: dict[str, SdkSandbox] = {}
        """The SDK's objects for the current sandbox, by `"sync"` and `"async"`."""
        self.sandbox_id: str | None = None
        self.template_id: str | None = None
        self.backend: Literal["e2b", "local"] | None = None
        self.connection: Connection | None = None
        self.owned = True
        self.at_exit: Literal["kill", "pause", "keep"] = "kill"
        """What `close` does with a sandbox of ours."""
        self.creating = False
        self.has_state = False
        """True once code or a command ran: a loss then has to be told."""
        self.recreatable = True
        self.generation = 0
        self.lease_until: float | None = None
        """On the monotonic clock; None when not known."""
        self.born = 0.0
        self.seconds_used = 0.0
        self.created = 0
        """Sandboxes made for this session."""
        self.answers = Kept()
        """Results of this session: those of tool calls, by their ids, and the last other one, under `UNNAMED`."""
        self.closed = False
        self.clock: Callable[[], float] = time.monotonic
        self.last_used = self.clock()
        self.under_way: set[object] = set()
        """One token for each call that uses the sandbox now."""
        self.check_quota: Callable[[], None] = lambda: None
        """Raises when no further sandbox may be made; see `SessionRegistry`."""
        self.uploads: dict[str, Upload] = {upload.path: upload for upload in uploads_from(options.files)}
        self.injected: str | None = None
        """The sandbox that has the extractor's files."""
        self.root_kernels: str | None = None
        """The sandbox of which a kernel has said that it runs as root."""
        self.lost_sandbox: str | None = None
        """The sandbox whose loss is still to be told."""
        self.memory: Memory[KernelState] = Memory()
        """What is known of the conversation that this session serves."""
        self.pending_events: list[SandboxEvent] = []
        """Losses that no cell has told yet: see `InterpreterBase.pending_events`."""

    def __del__(self) -> None:
        """Has its sandbox closed when nobody holds the session any more."""
        # Python allows a finalizer to keep what it finalizes: the session lives on until its sandbox is closed.
        if self.at_end is not None and self.sandbox_id is not None and self._is_to_be_ended():
            abandon(self, self.at_end)

    def _is_to_be_ended(self) -> bool:
        return self.owned and not self.closed and self.at_exit != "keep" and self.process == os.getpid()

    @property
    def exit_seconds(self) -> float:
        """How long the process's end may wait for this session, together with all others."""
        return self.options.recovery.exit_deadline

    @property
    def ends_with_process(self) -> bool:
        """True for a sandbox at this process's own local server."""
        return self.backend == "local"

    def is_over(self) -> bool:
        """Returns True when the sandbox's lease has run out, or there is none."""
        return self.sandbox_id is None or (self.lease_until is not None and self.lease_until < time.monotonic())

    def shrink(self) -> None:
        """Forgets what is not needed to close the session."""
        self.options = replace(self.options, files=None, dataframes=None, on_replaced=None)
        self.check_quota = lambda: None
        for held in (self.answers, self.kernels, self.uploads, self.pending_events):
            held.clear()

    def rest(self) -> None:
        """Forgets what takes much memory and can be done without: its sandbox was let go of."""
        self.answers.shorten_all()

    @property
    def last_result(self) -> ExecutionResult | None:
        """What the last cell gave; of an old one, when others have needed its memory, the ends."""
        return self.answers.newest()

    def check_usable(self) -> None:
        """Raises SessionClosedError for a closed session, ForkedSessionError for one that the parent process opened."""
        if self.closed:
            raise SessionClosedError("this session was closed; make a new CodeInterpreter")
        if self.process not in (None, os.getpid()):
            raise ForkedSessionError(
                "this session belongs to the parent process: the SDK's transport does not survive fork. Make a new "
                "one in the child, or start workers with the spawn method"
            )

    def kernel(self, language: str | None, context: Context | None) -> KernelState:
        """Returns the kernel that a cell with these arguments runs in, and knows it from now on."""
        if context is not None:
            if not (hasattr(context, "id") and hasattr(context, "language")):
                raise ConfigurationError("context= is what create_context() or list_contexts() gave")
            key = f"context {context.id}"
            # `setdefault` alone is atomic, for callers in several threads; `get` spares making what is there.
            return self.kernels.get(key) or self.kernels.setdefault(key, KernelState(context.language, context))
        key = language_name(language)
        tables = dict(self.options.dataframes or {}) if key == "python" else {}
        return self.kernels.get(key) or self.kernels.setdefault(key, KernelState(key, tables=tables))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Marks the sandbox as in use by a call: nobody parks it meanwhile."""
        token = object()  # a set of tokens, not a counter: adding and discarding are atomic without a lock
        self.under_way.add(token)
        try:
            yield
        finally:
            self.last_used = self.clock()
            self.under_way.discard(token)

    def attach(self, sandbox: SdkSandbox, kind: str) -> None:
        """Takes in a sandbox that was just made: it is the session's from here on."""
        self.handles = {kind: sandbox}
        self.sandbox_id = sandbox.sandbox_id
        note_made(sandbox.sandbox_id)
        self.created, self.creating = self.created + 1, False
        self.born = time.monotonic()
        self.lease_until = self.born + self.options.sandbox_timeout

    def suspend(self) -> None:
        """Drops the handles of a sandbox that still exists: the next use connects to it again."""
        if self.born:
            self.seconds_used += time.monotonic() - self.born
        self.handles, self.lease_until, self.born = {}, None, 0.0

    def detach(self) -> None:
        """Forgets the sandbox: it is gone, or somebody else's."""
        self.suspend()
        self.sandbox_id = None

    def cached_result(self, call_id: str | None, code: str) -> ExecutionResult | None:
        """Returns what that tool call gave before. None: it was not made, or with other code."""
        # Some models count their calls from 1 in every turn: an id with other code is another call.
        known = self.answers.get(call_id) if call_id else None
        return known if known is not None and known.code == code else None

    def cache_result(self, call_id: str | None, result: ExecutionResult) -> None:
        """Keeps the result of a cell, so that a replay of its tool call does not run the code again."""
        self.answers.keep(call_id or UNNAMED, result)
