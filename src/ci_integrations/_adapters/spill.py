"""Puts output that is too long for the model into a file of the sandbox, which the model's next code can read."""

from __future__ import annotations

import hashlib
import sys
from functools import partial

from ci_integrations._adapters.outcome import is_run_time_failure
from ci_integrations._adapters.sessions import AnyInterpreter
from ci_integrations._core.flow import Flow
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import LEAST_CHARS, render_text

FOLDER = "/home/user/.ci"
"""The sandbox's folder for outputs that are too long to show, and for the logs of background commands."""


def spilled(session: AnyInterpreter, result: ExecutionResult, max_chars: int) -> Flow[str | None]:
    """Writes the whole text of `result` into a file when it is longer than `max_chars`; returns the file's path.

    Returns None when the text fits, and when the file could not be written: the model is then shown a part only.
    """
    text = render_text(result, max_chars=sys.maxsize)
    if len(text) <= max(max_chars, LEAST_CHARS):
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
