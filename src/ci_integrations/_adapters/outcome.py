"""Decides what becomes a message to the model and what is raised to the programmer: one rule for both frameworks."""

from typing import Any

from ci_integrations._core.failures import Failure, classify
from ci_integrations._errors import ConfigurationError
from ci_integrations.errors import QueueTimeoutError, SandboxError
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult


def is_run_time_failure(error: Exception, session: Any = None) -> bool:
    """What becomes an error message for the model. Everything else is the programmer's and is raised.

    A call that the service refuses in a `session` that has its sandbox (a file that may not be written, a language
    without a kernel) is the model's to know; refused while the sandbox is made, it is configuration.
    """
    if isinstance(error, (SandboxError, QueueTimeoutError)):
        return True
    if isinstance(error, ConfigurationError) and getattr(session, "sandbox_id", None) is not None:
        rule = classify(error.__cause__) if error.__cause__ is not None else None
        return rule is not None and rule.failure is Failure.CALLER
    rule = classify(error)  # such as the SDK's FileNotFoundException: what a file or a command itself went wrong with
    return rule is not None and rule.failure not in (Failure.REFUSED, Failure.LIMIT)


def failed(code: str, error: Exception, language: str = "python") -> ExecutionResult:
    """What was received before a run-time failure of ours, with the failure in it."""
    received: ExecutionResult = getattr(error, "result", None) or ExecutionResult(code=code, language=language)
    named = received.error or ExecutionError(name=type(error).__name__, value=str(error))
    return received.model_copy(update={"code": code, "language": language, "error": named, "incomplete": True})
