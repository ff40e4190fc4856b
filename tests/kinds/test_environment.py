"""Environment variables hold what they were given, in every cell and in no other, whatever is in them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from e2b_code_interpreter import Context
from sandbox_kinds import Kind

from ci_integrations import CodeInterpreter
from ci_integrations.errors import ConfigurationError
from ci_integrations.rendering import render_text

from .conftest import Session

ODD = {
    "quote": "it's",
    "quotes": "'''\"\"\"",
    "lines": "one\ntwo\r\n\tthree",
    "backslashes": "C:\\new\\",
    "dollar": "$HOME `id` $(id) ${X}",
    "unicode": "ä 中 \U0001f600 \u2028",
    "braces": "{0} {name} %s %%",
    "code": "'; raise SystemExit; '",
    "empty": "",
}
AWAITS = "import asyncio; await asyncio.sleep(60)"


@pytest.fixture(scope="module")
def odd(kind: Kind) -> Iterator[CodeInterpreter]:
    """A sandbox whose own variables are odd, also while its setup code runs."""
    setup = "import os\nat_setup = {name: os.environ.get(name) for name in os.environ if name.startswith('ODD_')}"
    envs = {f"ODD_{name}": value for name, value in ODD.items()}
    with CodeInterpreter(**kind.options, sandbox_timeout=1800, envs=envs, setup_code=setup) as made:
        yield made


def seen(interpreter: CodeInterpreter, prefix: str, source: str = "os.environ", **options: object) -> object:
    code = f"import os, json\nprint(json.dumps({{k: v for k, v in {source}.items() if k.startswith({prefix!r})}}))"
    result = interpreter.run(code, **options)  # type: ignore[arg-type]
    assert result.error is None, result.error
    return json.loads(result.stdout)


@pytest.mark.dangerous
def test_a_sandboxes_variables_are_what_they_were_given(odd: CodeInterpreter) -> None:
    given = {f"ODD_{name}": value for name, value in ODD.items()}
    assert seen(odd, "ODD_", "at_setup") == given
    assert seen(odd, "ODD_") == given
    assert odd.run_command('printf %s "$ODD_lines"').stdout == ODD["lines"]


def test_a_new_kernel_has_them_too_and_a_cell_may_change_them(odd: CodeInterpreter) -> None:
    odd.run("os.environ['ODD_quote'] = 'mine'; kept = 1")
    assert odd.run("os.environ['ODD_quote']").text == "mine"
    odd.restart_context()
    assert seen(odd, "ODD_") == {f"ODD_{name}": value for name, value in ODD.items()}
    assert seen(odd, "ODD_", context=odd.create_context()) == {f"ODD_{name}": value for name, value in ODD.items()}


@pytest.mark.dangerous
def test_a_calls_variables_are_what_they_were_given_and_are_gone_after_it(session: Session) -> None:
    given = {f"CALL_{name}": value for name, value in ODD.items()}
    assert seen(session.it, "CALL_", envs=given) == given
    assert seen(session.it, "CALL_") == {}
    session.it.run("os.environ['CALL_quote'] = 'of a cell'")
    assert seen(session.it, "CALL_", envs=given) == given
    assert seen(session.it, "CALL_") == {"CALL_quote": "of a cell"}
    session.it.run("del os.environ['CALL_quote']")


@pytest.mark.parametrize(
    "code", ["1/0", "while True: pass", "raise SystemExit", "def", "import asyncio; await asyncio.sleep(60)"]
)
def test_they_are_gone_also_after_a_cell_that_did_not_end_well(session: Session, code: str) -> None:
    assert session.it.run(code, envs={"CALL_bad": "it's"}, timeout=1).error is not None
    assert seen(session.it, "CALL_") == {}


def test_code_that_a_cell_runs_does_not_end_them(session: Session) -> None:
    code = "get_ipython().run_cell('None')\nimport os; os.environ['CALL_inner']"
    assert session.it.run(code, envs={"CALL_inner": "there"}).text == "there"


def test_a_cell_magic_has_them_and_stays_a_cell_magic(session: Session) -> None:
    assert session.it.run('%%bash\nprintf %s "$CALL_shell"', envs={"CALL_shell": "it's $HOME"}).stdout == "it's $HOME"
    timed = session.it.run("%%time\nimport os; print(os.environ['CALL_t'])", envs={"CALL_t": "\\"})
    assert timed.stdout.startswith("\\")


@pytest.mark.dangerous
def test_nothing_of_them_is_in_a_traceback_or_in_the_history_and_the_lines_are_the_cells_own(session: Session) -> None:
    number = session.it.run("1").execution_count
    failed = session.it.run("a = 1\n1/0", envs={"CALL_secret": "hunter2"})
    assert failed.error is not None
    assert "----> 2 1/0" in failed.error.traceback
    assert "hunter2" not in failed.model_dump_json()
    assert "hunter2" not in render_text(session.it.run("In[-5:], _i, _ii, _iii"))
    assert number is not None
    assert failed.execution_count == number + 1


def test_a_value_that_the_server_cannot_set_in_another_language_is_refused(session: Session) -> None:
    if session.kind == "own":
        pytest.skip("our own server sets them without a cell")
    other = Context("nowhere", "bash", "/home/user")
    with pytest.raises(ConfigurationError, match="CALL_quote") as refused:
        session.it.run("echo", context=other, envs={"CALL_quote": "it's a secret"})
    assert "secret" not in str(refused.value)
