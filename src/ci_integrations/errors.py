"""Defines everything that this library raises.

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
    """Says that something happened to the sandbox. Safe to show to the model."""

    def __init__(self, message: str, result: ExecutionResult | None = None) -> None:
        super().__init__(message)
        self.result = result
        """Everything received before the failure, or None when no cell was under way."""


class SandboxLostError(SandboxError):
    """Says that the sandbox no longer exists and is not replaced.

    Either `on_sandbox_lost="error"` forbids it, or the sandbox was handed in.
    """


class SandboxUnreachableError(SandboxError):
    """Says that no answer came within the retry budget. The code may have run; it was not run again."""


class SandboxBusyError(SandboxError):
    """Says that the service is busy or limits our rate. Nothing ran."""


class QuotaError(SandboxError):
    """Says that the account's quota seems to be used up. Nothing ran.

    This is read from status and message: the SDK has no class for it.
    """


class SessionError(CodeInterpreterError):
    """Says that a session was used in a way that it cannot serve."""


class SessionClosedError(SessionError):
    """Says that the session was closed."""


class ForkedSessionError(SessionError):
    """Says that the process forked after the session was opened.

    Open a new session in the child, or start workers with spawn.
    """


class QueueTimeoutError(SessionError):
    """Says that other cells held this session for too long. Nothing ran."""
