"""Cells and commands change each other's files: at E2B they are two users, root and `user`."""

from __future__ import annotations

import pytest

from ci_integrations import CodeInterpreter

from .conftest import Session

MAKE = """
import os, shutil, sqlite3, tempfile
shutil.rmtree("of_cells", ignore_errors=True)
os.makedirs("of_cells/deep")
open("of_cells/text", "w").write("from a cell\\n")
sqlite3.connect("of_cells/data.db").execute("create table t(a)")
os.replace(tempfile.mkstemp(dir="of_cells")[1], "of_cells/temporary")
"""


@pytest.mark.dangerous
def test_a_command_changes_what_a_cell_made(session: Session) -> None:
    assert session.cell(MAKE).result.error is None
    insert = "import sqlite3; db = sqlite3.connect('data.db'); db.execute('insert into t values (1)'); db.commit()"
    shell = "echo more >> text && echo new > temporary && mkdir deep/er && mv text deep/er/moved"
    done = session.it.run_command(f'cd of_cells && {shell} && python3 -c "{insert}"')
    assert (done.exit_code, done.stderr) == (0, "")
    rows = "sqlite3.connect('of_cells/data.db').execute('select * from t').fetchall()"
    code = f"open('of_cells/deep/er/moved').read(), {rows}"
    assert session.cell(code).result.text == "('from a cell\\nmore\\n', [(1,)])"


def test_a_command_that_goes_on_in_the_background_does_too(session: Session) -> None:
    session.cell(MAKE)
    session.it.run_command("echo later >> of_cells/text", background=True).wait()
    assert session.cell("open('of_cells/text').read()").result.text == "from a cell\\nlater\\n"


def test_a_cell_changes_what_commands_and_uploads_made(session: Session) -> None:
    session.cell(MAKE)
    session.it.run_command("mkdir -p of_commands && echo a > of_commands/text")
    for path in ("of_cells/text", "of_cells/deep/new/file", "of_commands/up"):
        session.it.upload(b"up", path)
    files = ["of_commands/text", "of_commands/up", "of_cells/text", "of_cells/deep/new/file"]
    assert session.cell(f"[open(path, 'a').write('!') for path in {files}]").result.error is None
    assert session.it.run_command("rm -r of_commands of_cells/deep").ok
    assert session.it.download("of_cells/text") == b"up!"


def test_home_and_folder_of_a_command_are_the_same_before_and_after_the_first_cell(session: Session) -> None:
    where = "pwd; echo $HOME; echo ~; pwd -P; (cd && pwd)"
    with CodeInterpreter.connect(session.it.sandbox_id or "", **session.options) as before:
        first = before.run_command(where).stdout
        before.run("1")
        assert before.run_command(where).stdout == first
        assert before.run_command("pwd; echo $HOME", cwd="/tmp", envs={"HOME": "/x"}).stdout == "/tmp\n/x\n"


def test_a_user_that_is_named_is_the_one(session: Session) -> None:
    session.cell("1")
    assert session.it.run_command("id -un", user="user").stdout.strip() == "user"


def test_another_process_of_the_session_does_the_same(session: Session) -> None:
    session.cell(MAKE)
    there = CodeInterpreter.from_identity(session.it.identity(), owns=False, **session.options)
    assert there.run_command("echo more >> of_cells/text").ok
    there.close()


def test_a_dead_kernel_changes_nothing(session: Session) -> None:
    session.cell(MAKE)
    session.cell("os._exit(1)")
    assert session.it.run_command("echo more >> of_cells/text").ok
