"""Cells and contexts give back what `run_code` of the reference gives back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest
from e2b import NotFoundException, TimeoutException
from e2b_code_interpreter import AsyncSandbox, Sandbox

from ci_integrations.testing.conformance import Options

PROBES = 5
"""How many cells may go unanswered after one that was interrupted."""


def test_the_value_of_the_last_expression_is_the_main_result(sandbox: Sandbox) -> None:
    run = sandbox.run_code("x = 41\nx + 1")
    assert (run.text, run.error, [r.is_main_result for r in run.results]) == ("42", None, [True])


def test_a_string_loses_one_pair_of_quotes(sandbox: Sandbox) -> None:
    """The reference's server strips them, so that a text does not read as Python source."""
    assert sandbox.run_code("'hello'").text == "hello"


def test_a_cell_without_a_value_has_no_result(sandbox: Sandbox) -> None:
    run = sandbox.run_code("y = 1")
    assert (run.text, run.results) == (None, [])


def test_state_persists_between_cells(sandbox: Sandbox) -> None:
    sandbox.run_code("kept = [1]")
    assert sandbox.run_code("kept.append(2); kept").text == "[1, 2]"


def test_executions_are_counted(sandbox: Sandbox) -> None:
    first = sandbox.run_code("1").execution_count
    assert first is not None
    assert sandbox.run_code("1").execution_count == first + 1


def test_stdout_and_stderr_are_apart_and_whole(sandbox: Sandbox) -> None:
    run = sandbox.run_code("import sys\nprint('out'); print('err', file=sys.stderr)")
    assert ("".join(run.logs.stdout), "".join(run.logs.stderr)) == ("out\n", "err\n")


def test_output_arrives_while_the_cell_runs(sandbox: Sandbox) -> None:
    """Output comes in a stream, not with the end of the cell."""
    seen: list[float] = []
    code = "import time\nfor n in range(3):\n    print(n, flush=True); time.sleep(0.5)"
    sandbox.run_code(code, on_stdout=lambda _: seen.append(time.monotonic()))
    assert seen[-1] - seen[0] > 0.6


@pytest.mark.parametrize("text", ["ä€😀", "\u2028\u2029\x85", "tab\there", "\"quotes' and \\ backslash"])
def test_any_text_comes_back_as_it_was(sandbox: Sandbox, text: str) -> None:
    run = sandbox.run_code(f"print({text!r})")
    assert "".join(run.logs.stdout) == f"{text}\n"


def test_an_error_has_name_value_and_traceback(sandbox: Sandbox) -> None:
    error = sandbox.run_code("def f():\n    return 1 / 0\nf()").error
    assert error is not None
    assert (error.name, error.value) == ("ZeroDivisionError", "division by zero")
    assert "line 2" in error.traceback or "1 / 0" in error.traceback


def test_an_error_leaves_state_and_earlier_output(sandbox: Sandbox) -> None:
    run = sandbox.run_code("before = 7\nprint('printed')\nraise ValueError('x')")
    assert "".join(run.logs.stdout) == "printed\n"
    assert sandbox.run_code("before").text == "7"


def test_input_fails_at_once(sandbox: Sandbox) -> None:
    """Nobody could type an answer: a cell that asks must not wait until its deadline."""
    error = sandbox.run_code("input('name? ')", timeout=20).error
    assert error is not None


def test_top_level_await(sandbox: Sandbox) -> None:
    assert sandbox.run_code("import asyncio\nawait asyncio.sleep(0.01)\n'woke'").text == "woke"


def test_shell_escapes_and_magics(sandbox: Sandbox) -> None:
    run = sandbox.run_code("!echo from the shell")
    assert "".join(run.logs.stdout).replace("\r\n", "\n") == "from the shell\n"


def test_a_dict_comes_as_json_too(sandbox: Sandbox) -> None:
    """Lists and dicts have `application/json` beside their text."""
    [result] = sandbox.run_code("{'a': 1, 'b': [1.5, None]}").results
    assert result.json == {"a": 1, "b": [1.5, None]}


def test_a_figure_is_a_picture_and_a_chart(sandbox: Sandbox) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2], [3, 4], label='a')\nplt.title('T')\nplt.show()"
    figures = [result for result in sandbox.run_code(code).results if result.png]
    assert len(figures) == 1
    assert figures[0].chart is not None
    assert figures[0].chart.title == "T"


def test_a_frame_is_html_and_data(sandbox: Sandbox) -> None:
    [result] = sandbox.run_code("import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})").results
    assert result.data == {"a": [1, 2], "b": ["x", "y"]}
    assert "<table" in (result.html or "")


def test_envs_of_the_sandbox_are_there_and_those_of_a_call_go_again(sandbox: Sandbox) -> None:
    read = "import os; (os.environ.get('CONFORMANCE'), os.environ.get('CALL'))"
    assert sandbox.run_code(read, envs={"CALL": "one"}).text == "('global', 'one')"
    assert sandbox.run_code(read).text == "('global', None)"


def test_contexts_do_not_share_variables(sandbox: Sandbox) -> None:
    first, second = sandbox.create_code_context(), sandbox.create_code_context()
    sandbox.run_code("mine = 1", context=first)
    error = sandbox.run_code("mine", context=second).error
    assert error is not None
    assert error.name == "NameError"
    assert {first.id, second.id} <= {context.id for context in sandbox.list_code_contexts()}
    sandbox.remove_code_context(first)
    sandbox.remove_code_context(second)


def test_a_context_has_its_working_directory(sandbox: Sandbox) -> None:
    context = sandbox.create_code_context(cwd="/tmp")
    assert sandbox.run_code("import os; os.getcwd()", context=context).text == "/tmp"
    sandbox.remove_code_context(context)


def test_a_restarted_context_is_empty_and_keeps_its_id(sandbox: Sandbox) -> None:
    context = sandbox.create_code_context()
    sandbox.run_code("gone = 1", context=context)
    sandbox.restart_code_context(context)
    error = sandbox.run_code("gone", context=context).error
    assert error is not None
    sandbox.remove_code_context(context)


def test_an_unknown_context_is_not_found(sandbox: Sandbox) -> None:
    context = sandbox.create_code_context()
    sandbox.remove_code_context(context)
    with pytest.raises(NotFoundException):
        sandbox.run_code("1", context=context)


def test_context_and_language_together_are_refused(sandbox: Sandbox) -> None:
    context = sandbox.create_code_context()
    with pytest.raises(Exception, match=r"(?i)context.*language|language.*context"):
        sandbox.run_code("1", context=context, language="python")
    sandbox.remove_code_context(context)


def test_a_cell_that_runs_too_long_raises_and_the_kernel_answers_again(sandbox: Sandbox) -> None:
    """The kernel is asked with cells that may get no answer, and the next one must.

    E2B's server never answers a cell that came while the last one was interrupted: the kernel drops it.
    """
    with pytest.raises(TimeoutException):
        sandbox.run_code("import time\ntime.sleep(60)", timeout=1)
    for _ in range(PROBES):
        with contextlib.suppress(TimeoutException):
            sandbox.run_code("", timeout=1)
            break
    assert sandbox.run_code("1 + 1", timeout=30).text == "2"


def test_a_kernel_that_dies_says_so_and_its_context_works_again(sandbox: Sandbox) -> None:
    """The error's name is what `recovery` recognises a dead kernel by."""
    context = sandbox.create_code_context()
    error = sandbox.run_code("import os; os._exit(1)", context=context).error
    assert error is not None
    assert error.name == "ContextRestarting"
    answers = [sandbox.run_code("1 + 1", context=context) for _ in range(2)]
    assert answers[-1].text == "2"
    sandbox.remove_code_context(context)


def test_cells_of_one_context_wait_and_those_of_two_run_at_once(options: Options, sandbox: Sandbox) -> None:
    """Contexts are processes of their own; within one, cells stand in line."""

    async def both() -> tuple[float, float]:
        other = await AsyncSandbox.connect(sandbox.sandbox_id, **options)
        contexts = [await other.create_code_context() for _ in range(2)]
        code = "import time; time.sleep(0.6)"
        start = time.monotonic()
        await asyncio.gather(*(other.run_code(code, context=context) for context in contexts))
        apart = time.monotonic() - start
        start = time.monotonic()
        await asyncio.gather(*(other.run_code(code, context=contexts[0]) for _ in range(2)))
        return apart, time.monotonic() - start

    apart, together = asyncio.run(both())
    assert apart < together
    assert together >= 1.2


def test_the_async_sdk_streams_to_async_callbacks(options: Options, sandbox: Sandbox) -> None:
    seen: list[str] = []

    async def note(message: Any) -> None:
        seen.append(message.line)

    async def run() -> str:
        other = await AsyncSandbox.connect(sandbox.sandbox_id, **options)
        return str((await other.run_code("print('async'); 5", on_stdout=note)).text)

    assert asyncio.run(run()) == "5"
    assert "".join(seen) == "async\n"


def test_a_megabyte_of_output_is_whole(sandbox: Sandbox) -> None:
    run = sandbox.run_code("print('x' * 1_000_000)")
    assert len("".join(run.logs.stdout)) == 1_000_001


def test_numbers_that_json_does_not_know_are_null(sandbox: Sandbox) -> None:
    """NaN and infinities would make the whole line unreadable for a strict parser."""
    [result] = sandbox.run_code("[float('nan'), float('inf'), 1.0]").results
    assert json.loads(json.dumps(result.json)) == [None, None, 1.0]
