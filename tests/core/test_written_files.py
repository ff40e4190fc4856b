"""Exactly the files that the code wrote are named; what came from elsewhere is named as such or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ci_integrations import CodeInterpreter
from ci_integrations.rendering import render_text
from ci_integrations.results import ExecutionResult


@pytest.fixture(scope="module")
def shared() -> Iterator[CodeInterpreter]:
    with CodeInterpreter(backend="local") as one:
        yield one


@pytest.fixture
def local(shared: CodeInterpreter) -> CodeInterpreter:
    shared.run("1")  # whatever the test before has left is told here
    return shared


def told(result: ExecutionResult) -> dict[str, str | None]:
    return {file.path.removeprefix("/home/user/"): file.note for file in result.files}


def test_an_upload_is_not_written_by_the_next_cell_unless_it_changes_it(local: CodeInterpreter) -> None:
    local.upload(b"a,b\n1,2\n", "/home/user/late.csv")
    assert told(local.run("2 + 2")) == {}
    local.upload(b"a,b\n1,3\n", "/home/user/late.csv")
    assert told(local.run("open('late.csv').read(); _ = open('late.csv', 'w').write('a,b\\n1,4\\n')")) == {
        "late.csv": None
    }


def test_neither_is_what_was_put_there_through_the_sdk(local: CodeInterpreter) -> None:
    local.sandbox.files.write("/home/user/sdk.csv", "1")
    assert told(local.run("2 + 2")) == {}


def test_what_a_command_wrote_is_named_as_a_commands(local: CodeInterpreter) -> None:
    local.run_command("echo 1 > by_command.txt")
    assert told(local.run("2 + 2")) == {"by_command.txt": "written between two cells, by a command"}
    assert told(local.run("2 + 2")) == {}


IN_A_THREAD = """
import os, threading, time
def work():
    while not os.path.exists("go"):
        time.sleep(0.02)
    open("late.txt", "w").write("1")
    stop.wait()
stop = threading.Event()
threading.Thread(target=work, daemon=True).start()
"""
IN_A_PROCESS = """
import subprocess
child = subprocess.Popen("while [ ! -e go ]; do sleep 0.02; done; echo 1 > late.txt; exec sleep 600", shell=True)
"""


@pytest.mark.parametrize("start", [IN_A_THREAD, IN_A_PROCESS])
def test_what_goes_on_in_the_background_is_named_as_such(local: CodeInterpreter, start: str) -> None:
    local.run_command("rm -f go late.txt")
    local.run("1")
    assert told(local.run(start)) == {}
    assert local.run_command("touch go; while [ ! -s late.txt ]; do sleep 0.02; done", timeout=60).ok
    note = told(local.run("2 + 2"))["late.txt"]
    assert note is not None
    assert "in the background" in note
    local.run("stop.set() if 'stop' in globals() else None")


def test_more_files_than_are_named_are_counted(local: CodeInterpreter) -> None:
    result = local.run("for n in range(250): open(f'part{n:03}.csv', 'w').write('x')")
    assert len(result.files) + result.truncated.files == 250
    text = render_text(result)
    named = sum("part" in line for line in text.splitlines())
    assert f"[and {250 - named} more files]" in text


def test_deep_folders_and_temporary_files_are_searched(local: CodeInterpreter) -> None:
    code = """
import os
os.makedirs('a/b/c/d/e/f/g')
for path in ('a/b/c/d/e/f/g/deep.txt', '/tmp/out.csv'): open(path, 'w').write('x')
"""
    assert set(told(local.run(code))) == {"a/b/c/d/e/f/g/deep.txt", "/tmp/out.csv"}


def test_folders_that_were_not_searched_are_told_once(local: CodeInterpreter) -> None:
    code = "import os\nos.makedirs('/'.join(['far'] + ['x'] * 40), exist_ok=True)"
    result = local.run(code)
    assert result.truncated.folders == 1
    assert "1 folder was not searched for new files" in render_text(result)
    assert local.run("1").truncated.folders == 0
    local.run_command("rm -r far")
