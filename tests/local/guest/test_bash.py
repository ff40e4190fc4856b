"""A bash context: a shell whose state lives from cell to cell."""

from __future__ import annotations

import asyncio

import pytest


@pytest.fixture
def bash(opener, collect):
    context = None

    async def run(code, **options):
        nonlocal context
        context = context or await opener(language="bash")
        return await collect(context, code, **options)

    return run


async def test_variables_functions_and_the_directory_live_on(bash):
    await bash("x='a  b'; cd /tmp; greet() { echo \"hello $1\"; }; declare -A map=([k]=v)")
    cell = await bash('greet you; echo "$x"; pwd; echo ${map[k]}')
    assert (cell.stdout, cell.stderr, cell.error) == ("hello you\na  b\n/tmp\nv\n", "", None)
    assert [event["type"] for event in cell.events if event["type"] != "stdout"] == ["started", "done"]


async def test_both_streams_and_the_exit_status(bash):
    cell = await bash("echo out; echo err >&2; (exit 3)")
    assert (cell.stdout, cell.stderr, cell.error) == ("out\n", "err\n", ("ExitStatus", "3"))
    assert (await bash("true")).error is None


async def test_many_lines_quotes_heredocs_and_syntax_errors(bash):
    cell = await bash('for i in 1 2; do\n  echo "it\'s $i"\ndone\ncat <<\'END\'\n$raw "x" é\nEND\n')
    assert cell.stdout == "it's 1\nit's 2\n$raw \"x\" é\n"
    broken = await bash("if true; then")
    assert broken.error == ("ExitStatus", "2")
    assert "syntax error" in broken.stderr


async def test_nothing_can_be_read_from_standard_input(bash):
    assert (await bash('read -r line; echo "[$line]"; cat')).stdout == "[]\n"


async def test_an_interrupt_ends_the_whole_cell_and_the_state_lives(bash):
    await bash("kept=7")
    for code in ("while :; do :; done; echo no", "sleep 60; echo no", "f() { sleep 60; echo no; }; f; echo no"):
        cell = await bash(code, timeout=0.3)
        assert (cell.stdout, cell.error, cell.died) == ("", ("ExitStatus", "130"), None), code
    assert (await bash("echo $kept")).stdout == "7\n"


async def test_variables_of_one_call_are_gone_after_it(bash):
    await bash("export OURS=before")
    cell = await bash('echo "$OURS|$MINE"', envs={"OURS": 'it\'s\n"q" $HOME', "MINE": "m", "no-name": "x"})
    assert cell.stdout == 'it\'s\n"q" $HOME|m\n'
    assert (await bash('echo "$OURS|${MINE-unset}"; env | grep -c __ci_')).stdout == "before|unset\n0\n"


async def test_exit_ends_the_context(opener, collect):
    context = await opener(language="bash")
    cell = await collect(context, "sleep 30 & echo last; exit 3; echo no")
    assert cell.stdout.endswith("last\n")
    assert cell.events[-1]["type"] == "done"
    assert await asyncio.wait_for(asyncio.shield(context.died), 5)
