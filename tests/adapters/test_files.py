"""Attached files, pictures, and the workspace's flows: the rules that both adapters share."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from stand_ins import Blocking, output

from ci_integrations import ExecutionResult
from ci_integrations._adapters import workspace_tools
from ci_integrations._adapters.attachments import attachment, decoded, described, distinct, met, staged
from ci_integrations._adapters.images import after_answers, last_pictures, shows_images
from ci_integrations.errors import SandboxLostError
from ci_integrations.results.model import ImageArtifact


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("data.csv", "/home/user/data.csv"),
        ("../../etc/passwd", "/home/user/passwd"),
        ("C:\\Users\\me\\a b.txt", "/home/user/a b.txt"),
        ("$(rm).sh", "/home/user/__rm_.sh"),
    ],
)
def test_a_file_gets_a_name_that_no_shell_reads_and_no_folder(name, path):
    assert attachment(b"x", name).path == path


def test_a_file_without_a_name_is_named_by_its_content_and_type():
    assert attachment(b"x", mime="text/csv").path == "/home/user/attachment-2d711642.csv"
    assert attachment(b"") is None
    assert attachment(decoded("no base64!")) is None


def test_two_files_of_one_name_get_two_paths_and_one_file_twice_gets_one():
    files = [attachment(b"a", "x.txt"), attachment(b"b", "x.txt"), attachment(b"a", "x.txt")]
    assert len({file.path for file in distinct(files)}) == len(distinct(files)) == 2


def test_only_what_is_not_there_is_uploaded(done):
    session, old, new = Blocking(), attachment(b"old", "old.txt"), attachment(b"new", "new.txt")
    assert done(session, lambda it: staged(it, [old, new], [old.digest])) == ([old.digest, new.digest], {})
    assert session.files == {"/home/user/new.txt": b"new"}


def test_a_file_that_could_not_be_uploaded_is_named_with_the_reason(done):
    session, file = Blocking(), attachment(b"x", "x.txt")
    session.fails = SandboxLostError("the sandbox is gone")
    there, failures = done(session, lambda it: staged(it, [file], []))
    assert there == []
    assert "could not be put into the sandbox: the sandbox is gone" in described(file, failures[file.path])


@pytest.mark.parametrize("failure", [None, SandboxLostError("gone")])
def test_looking_for_a_sandbox_of_another_process_raises_nothing_that_the_upload_will_tell(done, failure):
    session = Blocking()
    session.fails = failure
    done(session, met)
    assert session.ran == ([] if failure else ["true"])


def drew(*names: str) -> ExecutionResult:
    drawn = io.BytesIO()
    Image.new("RGB", (1, 1)).save(drawn, "PNG")
    data = base64.b64encode(drawn.getvalue()).decode()
    pictures = [ImageArtifact(id=n, mime="image/png", data=data) for n in names]
    return ExecutionResult(artifacts=tuple(pictures))


def test_the_last_pictures_are_taken_and_older_answers_are_not_even_read():
    def answers():
        yield 5, drew("d", "e")
        yield 3, drew("a", "b", "c")
        raise AssertionError

    shown = last_pictures(answers(), last=3, max_px=100)
    assert {index: [one.artifact_id for one in images] for index, images in shown.items()} == {5: ["d", "e"], 3: ["c"]}


def test_pictures_follow_a_group_of_answers_and_do_not_break_it():
    messages = ["ask", "tool 1", "tool 2", "say", "tool 3"]
    shown = {1: ["p1"], 2: ["p2"], 4: ["p3"]}
    told = after_answers(messages, shown, is_answer=lambda one: one.startswith("tool"), message_of="+".join)
    assert list(told) == ["ask", "tool 1", "tool 2", "p1+p2", "say", "tool 3", "p3"]


def test_pictures_go_into_a_tool_message_where_the_provider_takes_them():
    assert shows_images("auto", "anthropic")
    assert shows_images("auto", "openai", is_responses_api=True)
    assert not shows_images("auto", "openai")
    assert not shows_images("auto", None)
    assert shows_images("always", None)


def test_a_text_file_is_read_with_its_size(done):
    session = Blocking(sed=output("6\none\n", "", 0))
    assert done(session, lambda it: workspace_tools.read_lines(it, "a.txt")).stdout.endswith(
        "[a.txt, 6 bytes, from line 1]"
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (output("", "", workspace_tools.NO_FILE), "FileNotFoundError"),
        (output("3\n\0\0\0", "", 0), "NotText"),
        (output("", "denied", 1), "CommandFailed"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_for_the_model(done, given, name):
    session = Blocking(sed=given)
    assert done(session, lambda it: workspace_tools.read_lines(it, "a.txt")).error.name == name


def test_what_is_no_package_name_reaches_no_shell(done):
    session = Blocking()
    result = done(session, lambda it: workspace_tools.install(it, ["numpy", "--index-url=x"]))
    assert result.error.value == "not a package name: '--index-url=x'"
    assert session.ran == []


def test_a_link_is_made_for_a_file_that_is_there(done):
    session = Blocking(wc=output("7\n", "", 0))
    result = done(session, lambda it: workspace_tools.download_link(it, "plot.png"))
    assert result.stdout == "https://x/home/user/plot.png"
    assert (result.files[0].size, result.files[0].mime, result.files[0].url) == (7, "image/png", result.stdout)
