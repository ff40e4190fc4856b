"""Puts what a program gave into words: the model's, or the program's own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import AsyncGenerator, Generator
from functools import partial

from ci_integrations._core.flow import Flow
from ci_integrations.llamaindex.analysis.hosts import Host
from ci_integrations.llamaindex.analysis.state import Analysis, Answer, Attempt
from ci_integrations.llamaindex.output import Presentation
from ci_integrations.results.model import ExecutionError
from ci_integrations.results.result import ExecutionResult
from ci_integrations.results.text import render_text

Tokens = Generator[str, None, None] | AsyncGenerator[str, None]
"""The words of an answer that is streamed."""

# NumPy 2 shows its scalars as calls; older versions show the bare value.
_SCALAR = re.compile(r"np\.(?:(?:u?int|float)\d+\(([^()]+)\)|(True|False)_)")
_OF_NAMES = frozenset({
    "AttributeError", "ImportError", "IndentationError", "KeyError", "ModuleNotFoundError", "NameError", "NoCode",
    "NoOutput", "SyntaxError", "UnboundLocalError", "ExecutionTimeout", "ProgramEnded",
})  # fmt: skip
"""Errors whose words are about the program, not about values."""


def worded(host: Host, analysis: Analysis, answer: Answer) -> Flow[Tokens | None]:
    """Writes the answer's text, or returns its words while the model says them."""
    if not answer.ok:
        answer.text = failure_text(answer)
        return None
    if not analysis.synthesize_response:
        answer.text = output_text(answer.last.result, analysis.max_output_chars)
        return None
    result, code = answer.last.result, answer.last.code
    output = render_text(result, max_chars=analysis.max_output_chars)
    values = {
        "query_str": _question(analysis, answer), "code": code, "output": output,
        "pandas_instructions": code, "pandas_output": output,
    }  # fmt: skip
    images = Presentation(max_images=analysis.max_images).image_blocks(result)
    if analysis.streaming:
        tokens: Tokens = yield partial(host.stream, analysis.response_synthesis_prompt, images, **values)
        return tokens
    answer.text = yield partial(host.say, analysis.response_synthesis_prompt, images, **values)
    return None


def _question(analysis: Analysis, answer: Answer) -> str:
    """Returns the question, after the ones that it follows."""
    turns = analysis.conversation.turns if analysis.conversation is not None else []
    if not turns:
        return answer.question
    earlier = "; ".join(textwrap.shorten(turn.question, 300) for turn in turns)
    return f"{answer.question}\n(Asked before, oldest first: {earlier})"


def output_text(result: ExecutionResult, max_chars: int = 20_000) -> str:
    """Returns what the program itself said, for an answer without synthesis."""
    main = next((table.text() for table in result.tables if table.main), _value(result.text or ""))
    said = "\n".join(part for part in (result.stdout.strip(), main.strip()) if part)
    return said or render_text(result, max_chars=max_chars)


def _value(text: str) -> str:
    """Returns the value of a NumPy scalar's text: 3 for `np.int64(3)`."""
    scalar = _SCALAR.fullmatch(text)
    return (scalar[1] or scalar[2]) if scalar else text


def error_text(attempt: Attempt, *, values: bool = True) -> str:
    """Returns what the model is shown of a failure: the error with its traceback, and what was printed before.

    `values`: False leaves out what may hold a value of a cell: the output, and the words of most errors.
    """
    if not values:
        error = attempt.error
        return named(error) if error is None or error.name in _OF_NAMES else error.name
    if attempt.error == attempt.result.error:
        return render_text(attempt.result, max_chars=6000)
    return named(attempt.error)


def failure_text(answer: Answer) -> str:
    """Returns the answer to a question that could not be answered."""
    if answer.unworded is not None:
        output = output_text(answer.last.result)
        return f"The answer could not be put into words ({named(answer.unworded)}). The program's output:\n{output}"
    reason = named(answer.error) or "unknown"
    return textwrap.shorten(f"The question could not be answered by running code. {reason}", 1000)


def named(error: ExecutionError | None) -> str:
    """Returns an error's name and value; an empty text for None."""
    return f"{error.name}: {error.value}" if error else ""
