"""Everything that this library raises.

    CodeInterpreterError
    ├── ConfigurationError             for the programmer: fix the call or the environment
    │   ├── AuthenticationError        the key is missing or was refused
    │   ├── MissingDependencyError     an extra is not installed (also an ImportError)
    │   └── LocalSandboxUnavailable    no isolation level works here; says the one command that mends it
    ├── SandboxError                   for the model: carries `.result`, everything received before it happened
    │   ├── SandboxLostError           the sandbox is gone and the policy is not to replace it
    │   ├── SandboxUnreachableError    no answer; the code may have run
    │   ├── SandboxBusyError           rate limit or no capacity; nothing ran
    │   └── QuotaError                 the account's quota is used up; nothing ran
    ├── SessionError                   for the programmer
    │   ├── SessionClosedError         used after close()
    │   ├── ForkedSessionError         used in a forked child: the SDK's transport does not survive fork
    │   └── QueueTimeoutError          waited too long for this session's turn; nothing ran
    ├── QueryFailedError               a query engine with raise_on_error=True found no answer
    └── ArtifactError                  an artifact's bytes are missing or have changed

An error in the user's *code* is not raised at all: it is `ExecutionResult.error`. A cell that ran too long is a result
too (`error.name == "ExecutionTimeout"`, `incomplete=True`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci_integrations._errors import (
    ArtifactError,
    AuthenticationError,
    CodeInterpreterError,
    ConfigurationError,
    LocalSandboxUnavailable,
    MissingDependencyError,
    QueryFailedError,
)

if TYPE_CHECKING:
    from ci_integrations.results.result import ExecutionResult


__all__ = [
    "ArtifactError",
    "AuthenticationError",
    "CodeInterpreterError",
    "ConfigurationError",
    "ForkedSessionError",
    "LocalSandboxUnavailable",
    "MissingDependencyError",
    "QueryFailedError",
    "QueueTimeoutError",
    "QuotaError",
    "SandboxBusyError",
    "SandboxError",
    "SandboxLostError",
    "SandboxUnreachableError",
    "SessionClosedError",
    "SessionError",
]


class SandboxError(CodeInterpreterError):
    """Something happened to the sandbox. Safe to show to the model."""

    def __init__(self, message: str, result: ExecutionResult | None = None) -> None:
        super().__init__(message)
        self.result = result
        """Everything received before the failure, or None when no cell was under way."""


class SandboxLostError(SandboxError):
    """The sandbox no longer exists and `on_sandbox_lost="error"`, or it was handed in and cannot be replaced."""


class SandboxUnreachableError(SandboxError):
    """No answer within the retry budget. The code may or may not have run; it was not run again."""


class SandboxBusyError(SandboxError):
    """The service is busy or rate-limits us. Nothing ran."""


class QuotaError(SandboxError):
    """The account's quota seems to be used up (read from status and message: the SDK has no class for it)."""


class SessionError(CodeInterpreterError):
    """A session was used in a way it cannot serve."""


class SessionClosedError(SessionError):
    """The session was closed."""


class ForkedSessionError(SessionError):
    """The process forked after the session was opened; open a new one in the child, or start workers with spawn."""


class QueueTimeoutError(SessionError):
    """Other cells held this session for too long. Nothing ran."""
