"""Says what a failure means: a table from the SDK's exceptions to classes of failure. `repair.py` acts on it.

The SDK raises one `TimeoutException` for a slow cell, a slow request, and a killed, expired or paused sandbox. Inside
`run_code` no subclass tells them apart, so the message is read, and what stays unclear is probed. There is no exception
for a used-up quota either: `QUOTA` is a guess from status and words.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from ci_integrations._core import service
from ci_integrations._errors import CodeInterpreterError, ConfigurationError
from ci_integrations.errors import QuotaError, SandboxBusyError, SandboxLostError, SandboxUnreachableError


class Failure(StrEnum):
    """Names the classes of failure. The value says in words what each means."""

    SLOW = "the cell ran too long"
    NOT_RUNNING = "the sandbox is paused or gone; the control plane knows which"
    GONE = "the sandbox no longer exists"
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
    """One row of the table: an exception, what it means, and whether the code provably never started."""

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
    # Ours, for a stream that ends without saying why.
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
"""Names of errors that the server writes into a cell's output in the kernel's place.

None of them says whether the cell ran, not even where no execution count came before: at E2B a cell that was sent while
its kernel died is answered with ContextRestarting, and is run by the kernel's successor all the same.
"""


THE_CALLERS = frozenset({"FileNotFoundException", "CommandExitException", "InvalidArgumentException",
                         "NotEnoughSpaceException"})  # fmt: skip
"""The SDK's exceptions that say that a file's or a command's call itself was wrong: they reach the caller unchanged."""


class StreamEndedError(Exception):
    """Means that an answer ended, without an error, before it had begun."""


def classify(error: BaseException) -> Rule | None:
    """Returns the rule that fits. None: the error is not a sandbox's failure, and is to be raised as it is."""
    if isinstance(error, CodeInterpreterError):
        return None
    # By name: importing the SDK's and the transport's exceptions would load both for every `import`.
    names = {cls.__name__ for cls in type(error).__mro__}
    message = str(error)
    flags = re.IGNORECASE | re.DOTALL
    rule = next((r for r in TABLE if r.exception in names and re.search(r.words, message, flags)), None)
    if rule is not None and rule.failure is Failure.PORT_CLOSED and error.__cause__ is not None:
        return rule._replace(never_started=False)  # the SDK's health probe found that, after the request had failed
    return rule


def unanswered(error: BaseException) -> bool:
    """Returns True for an error that says that a call got no answer, which makes it worth another try.

    It is asked about calls that do no harm when they are made twice; a create has its idempotency key. Statuses (429,
    503 ...) are not in it: the SDK has retried those itself, honouring Retry-After.
    """
    rule = classify(error)
    return rule is not None and rule.failure in (Failure.UNREACHABLE, Failure.CUT, Failure.PORT_CLOSED)


_NO_PORT = (
    "the sandbox runs, but nothing answers on the code interpreter's port. Was its template built without the code "
    "interpreter's start command? Build it from code-interpreter-v1 ({})"
)

_EXPLAINED: dict[Failure, tuple[type[CodeInterpreterError], str]] = {
    Failure.QUOTA: (QuotaError, "the account's quota seems to be used up ({})"),
    Failure.BUSY: (SandboxBusyError, "the service is busy or limits our rate ({})"),
    Failure.LIMIT: (ConfigurationError, "the account's tier does not allow this sandbox lifetime: {}"),
    Failure.CALLER: (ConfigurationError, "the sandbox service refused the call: {}"),
    Failure.CONTEXT_GONE: (ConfigurationError, "the sandbox has no such context, or no longer ({})"),
    Failure.GONE: (SandboxLostError, "the sandbox no longer exists ({})"),
    Failure.NOT_RUNNING: (SandboxLostError, "the sandbox no longer exists ({})"),
    Failure.PORT_CLOSED: (SandboxUnreachableError, _NO_PORT),
}


def explained(failure: Failure, message: str) -> Exception:
    """Returns our error for a failure that cannot be repaired here. `message` is the SDK's."""
    if failure is Failure.REFUSED:
        return service.refused(message)
    error, words = _EXPLAINED.get(failure, (SandboxUnreachableError, "the sandbox could not be reached ({})"))
    return error(words.format(message))
