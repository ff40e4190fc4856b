"""Files and commands behave as envd serves them."""

from __future__ import annotations

import io
import time
import uuid

import pytest
from e2b import CommandExitException, FileType, NotFoundException, TimeoutException
from e2b_code_interpreter import Sandbox


@pytest.fixture
def folder(sandbox: Sandbox) -> str:
    """A fresh directory below home, absolute."""
    path = f"/home/user/{uuid.uuid4().hex}"
    sandbox.files.make_dir(path)
    return path


def test_text_and_bytes_come_back_as_written(sandbox: Sandbox, folder: str) -> None:
    sandbox.files.write(f"{folder}/t.txt", "ä€")
    sandbox.files.write(f"{folder}/b.bin", bytes(range(256)))
    sandbox.files.write(f"{folder}/s.bin", io.BytesIO(b"stream"))
    assert sandbox.files.read(f"{folder}/t.txt") == "ä€"
    assert bytes(sandbox.files.read(f"{folder}/b.bin", format="bytes")) == bytes(range(256))
    assert b"".join(sandbox.files.read(f"{folder}/s.bin", format="stream")) == b"stream"


def test_writing_makes_parents_and_replaces(sandbox: Sandbox, folder: str) -> None:
    """A shorter content leaves nothing of the longer one."""
    sandbox.files.write(f"{folder}/a/b/c.txt", "long text")
    sandbox.files.write(f"{folder}/a/b/c.txt", "short")
    assert sandbox.files.read(f"{folder}/a/b/c.txt") == "short"


def test_several_files_in_one_request(sandbox: Sandbox, folder: str) -> None:
    written = sandbox.files.write_files([{"path": f"{folder}/{n}/x", "data": str(n)} for n in range(3)])
    assert [entry.path for entry in written] == [f"{folder}/{n}/x" for n in range(3)]
    assert sandbox.files.read(f"{folder}/2/x") == "2"


def test_relative_paths_are_below_home(sandbox: Sandbox) -> None:
    name = uuid.uuid4().hex
    assert sandbox.files.write(name, "x").path == f"/home/user/{name}"
    sandbox.files.remove(f"/home/user/{name}")


def test_a_missing_file_is_not_found(sandbox: Sandbox, folder: str) -> None:
    with pytest.raises(NotFoundException):
        sandbox.files.read(f"{folder}/nowhere")
    assert sandbox.files.exists(f"{folder}/nowhere") is False


def test_listing_has_names_types_and_sizes(sandbox: Sandbox, folder: str) -> None:
    sandbox.files.write(f"{folder}/f", "12345")
    sandbox.files.make_dir(f"{folder}/d")
    entries = {entry.name: entry for entry in sandbox.files.list(folder)}
    assert (entries["f"].type, entries["f"].size, entries["d"].type) == (FileType.FILE, 5, FileType.DIR)


def test_listing_goes_as_deep_as_asked(sandbox: Sandbox, folder: str) -> None:
    sandbox.files.write(f"{folder}/a/b/c", "")
    assert {entry.name for entry in sandbox.files.list(folder)} == {"a"}
    assert {entry.name for entry in sandbox.files.list(folder, depth=3)} == {"a", "b", "c"}


def test_making_a_directory_twice_is_false(sandbox: Sandbox, folder: str) -> None:
    assert sandbox.files.make_dir(f"{folder}/new") is True
    assert sandbox.files.make_dir(f"{folder}/new") is False


def test_rename_and_remove(sandbox: Sandbox, folder: str) -> None:
    sandbox.files.write(f"{folder}/old", "x")
    assert sandbox.files.rename(f"{folder}/old", f"{folder}/new").path == f"{folder}/new"
    sandbox.files.remove(f"{folder}/new")
    sandbox.files.remove(f"{folder}/new")
    assert sandbox.files.exists(f"{folder}/new") is False


def test_a_watched_directory_tells_what_happened(sandbox: Sandbox, folder: str) -> None:
    watch = sandbox.files.watch_dir(folder)
    sandbox.files.write(f"{folder}/seen", "x")
    deadline, names = time.monotonic() + 5, set[str]()
    while "seen" not in names and time.monotonic() < deadline:
        names |= {event.name for event in watch.get_new_events()}
        time.sleep(0.05)
    watch.stop()
    assert "seen" in names


def test_cells_and_the_file_api_see_the_same_files(sandbox: Sandbox, folder: str) -> None:
    sandbox.run_code(f"open('{folder}/from-cell', 'w').write('hello')")
    assert sandbox.files.read(f"{folder}/from-cell") == "hello"


def test_a_command_gives_its_output_and_exit_code(sandbox: Sandbox) -> None:
    done = sandbox.commands.run("echo out; echo err >&2")
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 0)
    with pytest.raises(CommandExitException) as failure:
        sandbox.commands.run("echo before; exit 3")
    assert (failure.value.exit_code, failure.value.stdout) == (3, "before\n")


def test_a_command_has_its_directory_and_environment(sandbox: Sandbox, folder: str) -> None:
    done = sandbox.commands.run('echo "$PWD $MINE $CONFORMANCE $HOME"', cwd=folder, envs={"MINE": "it's"})
    assert done.stdout == f"{folder} it's global /home/user\n"


def test_a_background_command_takes_input_and_can_be_waited_for(sandbox: Sandbox) -> None:
    handle = sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
    assert handle.pid in {process.pid for process in sandbox.commands.list()}
    sandbox.commands.send_stdin(handle.pid, "hello\n")
    assert handle.wait().stdout == "got hello\n"


def test_a_command_can_be_killed_once(sandbox: Sandbox) -> None:
    """The SDK turns "no such process" into False."""
    handle = sandbox.commands.run("sleep 100", background=True)
    assert sandbox.commands.kill(handle.pid) is True
    assert sandbox.commands.kill(999_999) is False


def test_a_command_outlives_its_client_and_can_be_attached_to(sandbox: Sandbox) -> None:
    """Output that came while nobody listened is not lost."""
    handle = sandbox.commands.run("sleep 1; echo late", background=True)
    handle.disconnect()
    assert sandbox.commands.connect(handle.pid).wait().stdout == "late\n"


def test_a_command_beyond_its_time_is_killed(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutException):
        sandbox.commands.run("sleep 30 # beyond-its-time", timeout=1)
    time.sleep(0.5)
    assert "beyond-its-time" not in sandbox.commands.run("ps ax -o args || true").stdout.replace("ps ax", "")


def test_a_missing_working_directory_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(Exception, match="does not exist"):
        sandbox.commands.run("true", cwd="/nowhere")
