"""Puts output that is too long for the model into a file of the sandbox, which the model's next code can read."""

from __future__ import annotations

import hashlib
import sys
from functools import partial

from ci_integrations._adapters.outcome import is_run_time_failure
from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow
from ci_integrations._names import OWN_FOLDER as FOLDER
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import LEAST_CHARS, render_text

_OWN_WORDS = 2000
"""Characters that headings, hints and notes may add to what a cell gave."""


def spilled(session: AnyInterpreter, result: ExecutionResult, max_chars: int) -> Flow[str | None]:
    """Writes the whole text of `result` into a file when it is longer than `max_chars`; returns the file's path.

    Returns None when the text fits, and when the file could not be written: the model is then shown a part only.
    """
    budget = max(max_chars, LEAST_CHARS)
    if _is_short(result, budget) or len(text := render_text(result, max_chars=sys.maxsize)) <= budget:
        return None
    data = text.encode("utf-8", "replace")
    path = f"{FOLDER}/output-{hashlib.sha256(data).hexdigest()[:8]}.txt"
    try:
        sandbox = yield session.open
        yield partial(sandbox.files.write, path, data)
    except Exception as error:
        if not is_run_time_failure(error, session):
            raise
        return None
    return path


def _is_short(result: ExecutionResult, budget: int) -> bool:
    """True for a result that surely fits, told without rendering it. Rendering only takes away from these texts."""
    error = result.error
    texts = [result.stdout, result.stderr, result.text or "", *(event.message for event in result.events)]
    if error is not None:
        texts += [error.name, error.value, error.traceback]
    return not result.artifacts and sum(map(len, texts)) + _OWN_WORDS <= budget
