"""Decides what becomes a message to the model and what is raised to the programmer: one rule for both frameworks.

`attempted` applies the rule to a whole tool call: whatever the session's work does, the answer is a result, or an
error that a programmer has to read.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.failures import Failure, classify
from ci_integrations._core.flow import Flow
from ci_integrations._errors import ConfigurationError
from ci_integrations.errors import QueueTimeoutError, SandboxError
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult

Work = Callable[[AnyInterpreter], Flow[ExecutionResult]]
"""What a tool does in a session, as steps."""
Asked = Callable[[], tuple[str, str]]
"""Returns (what was to be run, its language), for the result of a call that failed."""


def is_run_time_failure(error: Exception, session: AnyInterpreter | None = None) -> bool:
    """True for what becomes an error message for the model. Everything else is the programmer's and is raised.

    A call that the service refuses in a `session` that has its sandbox (a file that may not be written, a language
    without a kernel) is the model's to know; refused while the sandbox is made, it is configuration.
    """
    if isinstance(error, (SandboxError, QueueTimeoutError)):
        return True
    if isinstance(error, ConfigurationError) and session is not None and session.sandbox_id is not None:
        rule = classify(error.__cause__) if error.__cause__ is not None else None
        return rule is not None and rule.failure is Failure.CALLER
    rule = classify(error)  # such as the SDK's FileNotFoundException: what a file or a command itself went wrong with
    return rule is not None and rule.failure not in (Failure.REFUSED, Failure.LIMIT)


def failed(code: str, error: Exception, language: str = "python") -> ExecutionResult:
    """Returns what was received before `error`, a run-time failure, with the failure in it."""
    received: ExecutionResult = getattr(error, "result", None) or ExecutionResult(code=code, language=language)
    named = received.error or ExecutionError(name=type(error).__name__, value=str(error))
    return received.model_copy(update={"code": code, "language": language, "error": named, "incomplete": True})


def attempted(session_of: Callable[[], AnyInterpreter], work: Work, asked: Asked) -> Flow[ExecutionResult]:
    """Does `work` in a session and returns its result; a run-time failure is a result too.

    Raises what `is_run_time_failure` does not take for one, such as `ConfigurationError`.
    """
    session, began = None, time.monotonic()
    try:
        session = session_of()
        result = yield from work(session)
    except Exception as error:
        if not is_run_time_failure(error, session):
            raise
        code, language = asked()
        result = failed(code, error, language)
    return placed(result, session, began)


def placed(result: ExecutionResult, session: AnyInterpreter | None, began: float) -> ExecutionResult:
    """Gives the answer of a tool that ran no cell what a cell's has: the place, the duration, what was lost."""
    if session is None or result.sandbox_id is not None:
        return result
    return result.model_copy(
        update={
            "sandbox_id": session.sandbox_id,
            "backend": session.state.backend,
            "duration": time.monotonic() - began,
            "events": (*session.pending_events(), *result.events),
        }
    )


def cache_key(tool_call_id: str | None, code: str, turn: str = "") -> str | None:
    """Returns the name under which a cell's result is kept, so that a replayed workflow does not run the code again.

    `turn` names the model's message that made the call, because some models count their calls from `call_0` in every
    turn. None where the call has no id: then nothing is kept.
    """
    if tool_call_id is None:
        return None
    return f"{turn}/{tool_call_id}/{hashlib.sha256(code.encode('utf-8', 'replace')).hexdigest()[:16]}"
