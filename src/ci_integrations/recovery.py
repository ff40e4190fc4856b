"""What a failure means and what to do about it: the table, as data, and the policy for waiting and giving up.

Pure: nothing here talks to a sandbox. `_running.py` carries the decisions out. Users come here for `RecoveryPolicy`.

The SDK raises one `TimeoutException` for a slow cell, a slow request, and a killed, expired or paused sandbox; inside
`run_code` there is no subclass to tell them apart, so the message is read, and what stays unclear is probed. There is
no exception for a used-up quota either: `QUOTA` is a guess from status and words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from ci_integrations.errors import CodeInterpreterError


class Failure(StrEnum):
    """The classes of failure."""

    SLOW = "the cell ran too long"
    NOT_RUNNING = "the sandbox is paused or gone; the control plane knows which"
    GONE = "the sandbox no longer exists"
    KERNEL_DIED = "the kernel died; the sandbox is fine"
    UNREACHABLE = "no answer; it is not known what happened"
    CUT = "the connection was cut in the middle"
    GUEST_UNRESPONSIVE = "the paused memory cannot be used; the disk can"
    PORT_CLOSED = "the sandbox runs, but its code interpreter does not listen"
    CONTEXT_GONE = "the sandbox runs, but this context is not there any more"
    BUSY = "the service is busy or limits our rate"
    QUOTA = "the account's quota is used up"
    REFUSED = "the credentials were refused"
    LIMIT = "the account's tier does not allow that lifetime"
    CALLER = "the call itself is wrong"


class Rule(NamedTuple):
    """One row: an exception, what it means, and whether the code provably never started."""

    exception: str
    """Its class's name, or a base's."""
    words: str
    failure: Failure
    never_started: bool = False


TABLE: tuple[Rule, ...] = (
    # Control plane and envd: the SDK's own classes.
    Rule("AuthenticationException", "", Failure.REFUSED, never_started=True),
    Rule("SandboxNotFoundException", "", Failure.GONE, never_started=True),
    Rule("GuestUnresponsiveException", "", Failure.GUEST_UNRESPONSIVE, never_started=True),
    Rule("SandboxNotRunningException", "in flight", Failure.NOT_RUNNING),
    Rule("SandboxNotRunningException", "", Failure.NOT_RUNNING, never_started=True),
    Rule("RateLimitException", r"quota|credit|billing|payment|spend", Failure.QUOTA, never_started=True),
    Rule("RateLimitException", "", Failure.BUSY, never_started=True),
    Rule("ServiceBusyException", "", Failure.BUSY, never_started=True),
    Rule("SandboxUnreachableException", "port is not open", Failure.PORT_CLOSED, never_started=True),
    Rule("SandboxUnreachableException", "", Failure.UNREACHABLE),
    # run_code and contexts: a plain TimeoutException, told apart by its words.
    Rule("TimeoutException", "was not found", Failure.NOT_RUNNING, never_started=True),
    Rule("TimeoutException", "was killed while", Failure.NOT_RUNNING),
    Rule("TimeoutException", "port is not open", Failure.PORT_CLOSED, never_started=True),
    Rule("TimeoutException", "Execution timed out", Failure.SLOW),
    Rule("TimeoutException", "", Failure.UNREACHABLE),
    Rule("FileNotFoundException", "", Failure.CALLER, never_started=True),
    Rule("InvalidArgumentException", "", Failure.CALLER, never_started=True),
    Rule("NotFoundException", r"Context .* not found", Failure.CONTEXT_GONE, never_started=True),
    # The rest of SandboxException carries a status: read it, and the words.
    Rule("SandboxException", r"\b40[023]\b.*(quota|credit|billing|payment|spend)", Failure.QUOTA, never_started=True),
    Rule("SandboxException", r"\b400\b.*(timeout|lifetime|hour|length)", Failure.LIMIT, never_started=True),
    Rule("SandboxException", r"\b409\b.*paused", Failure.NOT_RUNNING, never_started=True),
    Rule("SandboxException", "Failed to create context", Failure.CALLER, never_started=True),
    Rule("SandboxException", r"\b(429|503)\b", Failure.BUSY, never_started=True),
    Rule("SandboxException", r"\b(500|502|504)\b", Failure.UNREACHABLE),
    Rule("SandboxException", "", Failure.CALLER),
    # Ours, for streams that end without saying why.
    Rule("KernelWasDeadError", "", Failure.KERNEL_DIED, never_started=True),
    Rule("StreamEndedError", "", Failure.CUT),
    # Transport errors that the SDK lets through. A connect error comes before the request was written.
    Rule("ConnectError", "", Failure.UNREACHABLE, never_started=True),
    Rule("ConnectTimeout", "", Failure.UNREACHABLE, never_started=True),
    Rule("TransportError", "", Failure.CUT),
    Rule("JSONDecodeError", "", Failure.CUT),
    Rule("TimeoutError", "", Failure.UNREACHABLE),
)
"""First match wins."""

KERNEL_DEATH = frozenset({"ContextRestarting", "WebSocketError", "UnexpectedEndOfExecution", "ExecutionAborted"})
"""Names of errors that the server writes into a cell's output in the kernel's place."""


BEFORE_THE_START = frozenset({"ContextRestarting", "ExecutionAborted"})
"""Those of them that mean, when no execution count came before them, that the kernel never took the cell."""


class KernelWasDeadError(Exception):
    """The kernel had died before the cell came to it."""


class StreamEndedError(Exception):
    """An answer ended, without an error, before it had begun."""


def classify(error: BaseException) -> Rule | None:
    """The rule that fits, or None: not a failure of a sandbox, to be raised as it is."""
    if isinstance(error, CodeInterpreterError):
        return None
    names = {cls.__name__ for cls in type(error).__mro__}
    message = str(error)
    flags = re.IGNORECASE | re.DOTALL
    rule = next((r for r in TABLE if r.exception in names and re.search(r.words, message, flags)), None)
    if rule is not None and rule.failure is Failure.PORT_CLOSED and error.__cause__ is not None:
        return rule._replace(never_started=False)  # the SDK's health probe found that, after the request had failed
    return rule


def unanswered(error: BaseException) -> bool:
    """True for a call that changes nothing twice (a create has its idempotency key) and got no answer: try again.

    Statuses (429, 503 ...) are not in it: the SDK has retried those itself, honouring Retry-After.
    """
    rule = classify(error)
    return rule is not None and rule.failure in (Failure.UNREACHABLE, Failure.CUT, Failure.PORT_CLOSED)


@dataclass(frozen=True, kw_only=True)
class RecoveryPolicy:
    """How long to wait and when to give up.

    `arguments()` gives tenacity's own, for `Retrying` and `AsyncRetrying` alike; override it to replace the engine's
    rules. Waits are jittered; `deadline` bounds all attempts together.
    """

    attempts: int = 4
    """Tries of one call, the first included."""
    deadline: float = 30.0
    """Seconds that a create or a reconnect may take, retries included."""
    first_wait: float = 0.2
    """Seconds before the second try, at most; it doubles from try to try, and each wait is random below that."""
    longest_wait: float = 5.0
    """Seconds; no wait is longer."""
    on_unreachable: Literal["error", "recreate"] = "error"
    """What to do when no answer comes although the control plane says that the sandbox is running."""
    retry: Callable[[BaseException], bool] = field(default=unanswered)
    """Which failure of a call that changes nothing twice is worth another try."""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for `tenacity.Retrying` and `tenacity.AsyncRetrying`."""
        from tenacity import retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

        return {
            "stop": stop_after_attempt(self.attempts) | stop_after_delay(self.deadline),
            "wait": wait_random_exponential(multiplier=self.first_wait, max=self.longest_wait),
            "retry": retry_if_exception(self.retry),
            "reraise": True,
        }


def sentence(lost: tuple[str, ...], restored: list[str], missing: list[str]) -> str:
    """What the model reads about a replaced sandbox."""
    parts = ["The sandbox was lost and a new one was started."]
    parts.append(_gone(lost))
    parts.append("Files that earlier code wrote are gone too.")
    if restored:
        parts.append(f"Restored: {', '.join(restored)}.")
    if missing:
        parts.append(f"Not restored: {', '.join(missing)}.")
    return " ".join(parts)


def said_again(lost: tuple[str, ...]) -> str:
    """The same for the first cell after another tool has told it. Files may have been written meanwhile."""
    return f"The sandbox was lost earlier, as was said then. {_gone(lost)}"


def _gone(lost: tuple[str, ...]) -> str:
    return f"Gone: {listed(lost)}." if lost else "Nothing that earlier code defined is there any more."


def listed(names: tuple[str, ...], most: int = 30) -> str:
    """`the variables a, b and 3 more`."""
    shown = ", ".join(names[:most])
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the variable{'s' if len(names) > 1 else ''} {shown}{more}"
