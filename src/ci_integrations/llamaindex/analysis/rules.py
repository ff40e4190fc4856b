"""Decides how a question becomes an answer: prepare the data, write code, run it, repair it, put it into words.

Every rule is a flow of the core (see `_core/flow.py`). Its steps are calls to a `Host`, which blocks or awaits. The
query engine, the chat engine and the workflow use these rules.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TypeVar

from ci_integrations._adapters.outcome import is_run_time_failure
from ci_integrations._core.flow import Flow
from ci_integrations._errors import ConfigurationError
from ci_integrations.llamaindex.analysis import prompts, wording
from ci_integrations.llamaindex.analysis.conversation import Turn
from ci_integrations.llamaindex.analysis.extract import extract_code
from ci_integrations.llamaindex.analysis.hosts import Host
from ci_integrations.llamaindex.analysis.preparing import prepared
from ci_integrations.llamaindex.analysis.state import Analysis, Answer, Attempt
from ci_integrations.llamaindex.analysis.wording import Tokens, error_text, output_text
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult

_log = logging.getLogger(__name__)
T = TypeVar("T")

NO_CODE = ExecutionError(name="NoCode", value="there was no Python program in the answer")
NO_OUTPUT = ExecutionError(
    name="NoOutput", value="the program ran but showed nothing: end with an expression or print() what was asked for"
)


def analyse(host: Host, analysis: Analysis, question: str) -> Flow[tuple[Answer, Tokens | None]]:
    """Answers `question`; a question that could not be answered is an `Answer` too.

    Returns the answer's words beside it, where they are streamed.
    """
    answer = Answer(question=question)
    conversation = analysis.conversation
    if conversation is None:
        return answer, (yield from _analysed(host, analysis, answer))
    yield partial(host.acquire, conversation.lock)
    try:
        tokens = yield from _analysed(host, analysis, answer)
        conversation.add(turn(answer))
    finally:
        conversation.lock.release()
    return answer, tokens


def _analysed(host: Host, analysis: Analysis, answer: Answer) -> Flow[Tokens | None]:
    code = yield from first_code(host, analysis, answer)
    while (yield from attempted(host, analysis, answer, code)) and may_repair(analysis, answer):
        code = yield from repaired_code(host, analysis, answer)
    return (yield from worded(host, analysis, answer))


def turn(answer: Answer) -> Turn:
    """Returns what the next question is told of this one."""
    output = output_text(answer.last.result) if answer.ran else answer.text
    return Turn(answer.question, answer.last.code, output)


def first_code(host: Host, analysis: Analysis, answer: Answer) -> Flow[str | None]:
    """Loads and describes the data, then asks for a program. Returns None when that failed."""
    return (yield from _recorded(answer, _first_code(host, analysis, answer), None))


def _first_code(host: Host, analysis: Analysis, answer: Answer) -> Flow[str | None]:
    failure = yield from prepared(host, analysis, answer)
    if failure is not None:
        answer.attempts.append(Attempt(code=failure.code, error=failure.error, result=failure))
        return None
    said = yield partial(host.say, analysis.code_prompt, (), **_values(analysis, answer))
    return _code_in(answer, said)


def repaired_code(host: Host, analysis: Analysis, answer: Answer) -> Flow[str | None]:
    """Shows the model its last program and what happened, and asks again. Returns None when there was no program."""
    return (yield from _recorded(answer, _repaired_code(host, analysis, answer), None))


def _repaired_code(host: Host, analysis: Analysis, answer: Answer) -> Flow[str | None]:
    wrong = error_text(answer.last, values=analysis.dataset.sends_values)
    values = _values(analysis, answer) | {"code": answer.last.code, "error_str": wrong}
    return _code_in(answer, (yield partial(host.say, analysis.repair_prompt, (), **values)))


def attempted(host: Host, analysis: Analysis, answer: Answer, code: str | None) -> Flow[bool]:
    """Runs `code` on fresh data and records it; returns True when it failed. None: a failure that is recorded."""
    if code is None:
        return True
    return (yield from _recorded(answer, _attempted(host, analysis, answer, code), True))  # noqa: FBT003 - it failed


def _attempted(host: Host, analysis: Analysis, answer: Answer, code: str) -> Flow[bool]:
    failure = yield from prepared(host, analysis, answer)  # nothing to do, unless the sandbox was replaced meanwhile
    # A program without output has answered nothing, whatever it computed.
    result = failure or (yield partial(host.run, code))
    error = result.error or (None if _says_something(result) else NO_OUTPUT)
    answer.attempts.append(Attempt(code=code, error=error, result=result))
    return error is not None


def worded(host: Host, analysis: Analysis, answer: Answer) -> Flow[Tokens | None]:
    """Writes the answer's text: the model's words, or the program's own output. Returns words that are streamed."""
    try:
        return (yield from wording.worded(host, analysis, answer))
    except Exception as error:  # noqa: BLE001 - what is the programmer's is raised again
        answer.unworded = run_time_error(error)
        answer.text = wording.failure_text(answer)
        return None


def may_repair(analysis: Analysis, answer: Answer) -> bool:
    """Returns whether the model may try again: after a program that failed, not after a sandbox that failed."""
    if not answer.profile or _is_sandbox_failure(answer.last):
        return False
    return len(answer.attempts) <= analysis.max_repairs


def unanswered(question: str, error: Exception) -> Answer:
    """Returns the answer to a question that `error` kept from being asked. Raises it, when it is the programmer's."""
    answer = Answer(question=question)
    _fail(answer, error)
    answer.text = wording.failure_text(answer)
    return answer


def _recorded(answer: Answer, steps: Flow[T], otherwise: T) -> Flow[T]:
    """Does `steps`; a run-time failure is recorded as an attempt, and `otherwise` returned."""
    try:
        return (yield from steps)
    except Exception as error:  # noqa: BLE001 - what is the programmer's is raised again
        _fail(answer, error)
        return otherwise


def _fail(answer: Answer, error: Exception) -> None:
    named = run_time_error(error)
    answer.attempts.append(Attempt(code="", error=named, result=ExecutionResult(error=named, incomplete=True)))


def run_time_error(error: Exception) -> ExecutionError:
    """Returns what went wrong. Raises `error` when the programmer has to read it: wrong configuration, a test."""
    if isinstance(error, AssertionError) or (isinstance(error, ConfigurationError) and not is_run_time_failure(error)):
        raise error
    _log.warning("a question could not be answered: %s", type(error).__name__, exc_info=error)
    return ExecutionError(name=type(error).__name__, value=str(error)[:2000])


def _code_in(answer: Answer, said: str) -> str | None:
    code = extract_code(str(said))
    if code is None:
        answer.attempts.append(Attempt(code=str(said)[:2000], error=NO_CODE, result=ExecutionResult(error=NO_CODE)))
    return code


def _values(analysis: Analysis, answer: Answer) -> dict[str, str]:
    unread = prompts.READ_YOURSELF.format(paths=", ".join(answer.unread)) if answer.unread else ""
    turns = analysis.conversation.told(values=analysis.dataset.sends_values) if analysis.conversation else ""
    earlier = prompts.EARLIER.format(turns=turns) if turns else ""
    return {
        "query_str": answer.question, "df_str": answer.profile + earlier,
        "instruction_str": analysis.instruction_str + unread,
    }  # fmt: skip


def _says_something(result: ExecutionResult) -> bool:
    return bool(result.stdout.strip() or result.text or result.artifacts)


def _is_sandbox_failure(attempt: Attempt) -> bool:
    """Returns whether the cell was cut off by something other than its own time limit."""
    return attempt.result.incomplete and (attempt.error is None or attempt.error.name != "ExecutionTimeout")
