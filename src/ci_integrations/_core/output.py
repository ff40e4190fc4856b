"""Collects what one running cell has given so far.

The SDK's callbacks fill it, because the SDK drops its own Execution when it raises: here everything that was received
is kept, however the cell ends.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ci_integrations._json import plain
from ci_integrations.results.from_e2b import Display, Fields, Given
from ci_integrations.results.model import Artifact
from ci_integrations.results.result import ExecutionResult, read_result, shown_artifacts

if TYPE_CHECKING:
    from e2b_code_interpreter import ExecutionError

EventKind = Literal["stdout", "stderr", "result", "error", "status"]

SdkItem = Any
"""What the SDK hands to a callback: an OutputMessage, a Result (once taken, a Display) or an ExecutionError, as the
event's kind says."""

MAX_OUTPUT = 16 * 1024 * 1024
"""Characters of each stream that are kept of one cell or command."""
ADDRESS_SECONDS = 3600
"""How long the download address of a file artifact works."""


@dataclass(frozen=True, kw_only=True)
class OutputEvent:
    """Holds one thing that a running cell gave, as it came."""

    kind: EventKind
    text: str
    """The output; for a result its text form; for an error `"Name: value"`; for a status `"starting"`,
    `"restoring"` or `"interrupted"`."""
    timestamp: float
    """Seconds since the epoch."""
    artifacts: tuple[Artifact, ...] = ()


OutputHandler = Callable[[OutputEvent], Awaitable[None] | None]
"""Called with each event in order. The sync interpreter calls it in the thread that called `run`, and waits for what an
async callable does."""


class BoundedText:
    """Keeps the first and the last part of a stream, up to `limit` characters together."""

    def __init__(self, limit: int = MAX_OUTPUT) -> None:
        self._head: list[str] = []
        self._room = limit // 2
        self._tail: deque[str] = deque()
        self._tail_room = limit - limit // 2
        self.lost = 0
        """Characters that are not kept."""

    def __bool__(self) -> bool:
        return bool(self._head)

    def append(self, text: str) -> None:
        """Takes the stream's next piece."""
        head, rest = text[: self._room], text[self._room :]
        if head:
            self._head.append(head)
            self._room -= len(head)
        if rest:
            self._tail.append(rest)
            self._tail_room -= len(rest)
        # The tail forgets from its front, piece by piece: its memory is bounded, and no piece is copied twice.
        while self._tail_room < 0:
            oldest = self._tail.popleft()
            gone = min(len(oldest), -self._tail_room)
            self.lost += gone
            self._tail_room += gone
            if oldest[gone:]:
                self._tail.appendleft(oldest[gone:])

    def text(self) -> str:
        """Returns both parts, and between them how much is missing."""
        notice = f"\n[... {self.lost:,} characters are lost ...]\n" if self.lost else ""
        return f"{''.join(self._head)}{notice}{''.join(self._tail)}"


@dataclass
class CellOutput:
    """Holds what came out of a cell until now."""

    results: list[Display] = field(default_factory=list)
    stdout: BoundedText = field(default_factory=BoundedText)
    stderr: BoundedText = field(default_factory=BoundedText)
    error: ExecutionError | None = None
    execution_count: int | None = None
    began: float | None = None
    """When `run` was called, on the monotonic clock; None leaves the result without a duration."""

    @property
    def anything(self) -> bool:
        """Returns True when the cell gave a sign of life: it has certainly started."""
        return bool(self.output or self.error)

    @property
    def output(self) -> bool:
        """Returns True when the code itself gave something."""
        return bool(self.results or self.stdout or self.stderr)

    def take(self, kind: EventKind, item: SdkItem) -> SdkItem:
        """Keeps what one callback brought, and returns it as `output_event` takes it."""
        if kind == "result":
            display = Display(item, len(self.results))
            self.results.append(display)
            return display
        if kind == "error":
            self.error = item
        elif kind in ("stdout", "stderr"):
            getattr(self, kind).append(item.line)
        return item

    def result(
        self,
        address: Callable[[str], str | None] | None = None,
        origin: Callable[[Fields], str | None] | None = None,
        **known: object,
    ) -> ExecutionResult:
        """Returns all of it as a result; `known` are the fields that the SDK does not give.

        `address` gives the download address of a file in the sandbox, `origin` where one came from: see `Given`.
        """
        given = Given(
            displays=self.results,
            stdout=self.stdout.text(),
            stderr=self.stderr.text(),
            error=known.pop("error", self.error),
            lost={"stdout": self.stdout.lost, "stderr": self.stderr.lost},
            address=address,
            origin=origin,
        )
        duration = None if self.began is None else time.monotonic() - self.began
        ours = {"execution_count": plain(self.execution_count), "duration": duration}
        return read_result(ExecutionResult, given, ours | known)


class Downloads(Protocol):
    """Describes a sandbox whose files have addresses."""

    def download_url(self, path: str, *, use_signature_expiration: int) -> str: ...


def signed_address(sandbox: Downloads, path: str) -> str | None:
    """Returns a download address that is good for `ADDRESS_SECONDS`.

    A sandbox that signs nothing gives no address: it would be open to everybody for ever.
    """
    from e2b import InvalidArgumentException

    try:
        return sandbox.download_url(path, use_signature_expiration=ADDRESS_SECONDS)
    except InvalidArgumentException:
        return None


def output_event(kind: EventKind, item: SdkItem) -> OutputEvent:
    """Returns the event for what the SDK handed to a callback."""
    if kind == "result":
        return OutputEvent(kind=kind, text=item.text or "", timestamp=time.time(), artifacts=shown_artifacts(item))
    if kind == "error":
        return OutputEvent(kind=kind, text=f"{item.name}: {item.value}", timestamp=time.time())
    return OutputEvent(kind=kind, text=item.line, timestamp=_seconds(item.timestamp))


def status(text: str) -> OutputEvent:
    """Returns an event of our own, which says what the caller is waiting for."""
    return OutputEvent(kind="status", text=text, timestamp=time.time())


def _seconds(stamp: object) -> float:
    """Returns the wire's time stamp in seconds. Servers send ISO 8601 text although the SDK calls it an integer."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except (TypeError, ValueError):
        return time.time()
