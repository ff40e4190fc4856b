"""The server at the level that isolates nothing, where home lies elsewhere: the same answers."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations import CodeInterpreter
from ci_integrations.local.launcher import Endpoint, local_endpoint


@pytest.fixture(scope="module")
def bare() -> Iterator[tuple[Endpoint, Sandbox]]:
    endpoint = local_endpoint(isolation="none")
    with Sandbox.create(**endpoint.sdk_options()) as sandbox:
        yield endpoint, sandbox


def test_the_level_is_told(bare: tuple[Endpoint, Sandbox]) -> None:
    assert bare[0].level == "none"
    assert httpx.get(bare[0].url + "/health").json()["level"] == "none"
    assert bare[1].get_info().metadata == {"isolation": "none"}


def test_a_session_of_the_library_tells_its_level() -> None:
    with CodeInterpreter(backend="local", metadata={"mine": "1"}) as interpreter:
        interpreter.run("1")
        told = interpreter.sandbox.get_info().metadata
        assert (told["isolation"], told["mine"]) == (local_endpoint().level, "1")


@pytest.mark.parametrize("path", ["x.txt", "~/x.txt", "/home/user/x.txt"])
def test_home_is_home(bare: tuple[Endpoint, Sandbox], path: str) -> None:
    sandbox = bare[1]
    sandbox.files.write(path, path)
    assert sandbox.files.read("x.txt") == path
    assert sandbox.run_code("open('x.txt').read()").text == path
    assert sandbox.commands.run("cat x.txt", cwd="/home/user").stdout == path
    assert sandbox.commands.run("cat ~/x.txt").stdout == path


def test_pause_and_metrics(bare: tuple[Endpoint, Sandbox]) -> None:
    sandbox = bare[1]
    sandbox.run_code("x = 1")
    sandbox.pause()
    sandbox.connect()
    assert sandbox.run_code("x").text == "1"
    assert sandbox.get_metrics()[0].mem_used > 0


@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_working_directory_of_a_context_is_below_home(bare: tuple[Endpoint, Sandbox], language: str) -> None:
    sandbox = bare[1]
    sandbox.files.make_dir("/home/user/deep")
    context = sandbox.create_code_context(cwd="/home/user/deep", language=language)
    code = {"python": "import os; print(os.getcwd())", "bash": "pwd"}[language]
    printed = "".join(sandbox.run_code(code, context=context).logs.stdout)
    assert printed.strip() == sandbox.files.get_info("deep").path
