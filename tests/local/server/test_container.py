"""Where this is not Linux the server runs in a container.

No engine is needed: the command lines are looked at, and a stand-in for `docker` starts the server as the container
would.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from e2b_code_interpreter import Sandbox

from ci_integrations.local import container, launcher
from ci_integrations.local.launcher import LocalServerError, local_endpoint


def test_only_where_it_is_needed_or_asked_for() -> None:
    assert not container.wanted({}, "linux")
    assert container.wanted({"isolation": "container"}, "linux")
    assert container.wanted({}, "darwin")
    assert container.wanted({}, "win32")


def test_docker_first_then_podman_and_a_refusal_that_says_what_to_do() -> None:
    assert container.find_engine(lambda name: f"/usr/bin/{name}") == "/usr/bin/docker"
    assert container.find_engine({"podman": "/opt/podman"}.get) == "/opt/podman"
    with pytest.raises(container.NoContainerError, match="Docker or Podman.*E2B_API_KEY"):
        container.find_engine(lambda _: None)


@pytest.mark.parametrize("program", ["/usr/local/bin/docker", "/opt/podman"])
def test_the_container_is_reached_from_this_machine_only_and_leaves_nothing(program: str) -> None:
    command = container.run_command(program, 4321)
    assert command[:2] == [program, "run"]
    assert command[command.index("--publish") + 1] == "127.0.0.1:4321:4321"
    assert {"--rm", "--interactive", "--init"} <= set(command)
    assert command[-2:] == [container.IMAGE, "--child"]
    assert "--privileged" not in command


def test_the_image_is_built_from_this_package_and_what_it_needs() -> None:
    needed = container.requirements(metadata.requires("ci-integrations") or ())
    names = {re.split(r"[<>=\[]", line)[0] for line in needed}
    assert {"e2b", "pydantic", "ipython", "uvicorn", "pandas"} <= names
    assert not names & {"langchain-core", "llama-index-core", "pytest"}
    command = container.build_command("docker", needed)
    containerfile = Path(command[command.index("--file") + 1])
    assert containerfile.is_file()
    assert Path(command[-1]) / "local" / "Containerfile" == containerfile


def test_without_an_engine_the_caller_hears_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LocalServerError, match="start Docker or Podman"):
        local_endpoint(isolation="container")


def test_an_engine_that_cannot_build_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(tmp_path, "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LocalServerError, match="could not build"):
        local_endpoint(isolation="container")


def test_the_way_through_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = f'exec "{sys.executable}" -m ci_integrations.local.server --child'
    stand_in(tmp_path, f'[ "$1" = image ] && exit 0\necho "$@" > "{tmp_path}/called"\n{server}')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(launcher, "_state", launcher._State())  # other tests of this process keep their servers
    endpoint = local_endpoint(isolation="container")
    try:
        with Sandbox.create(**endpoint.sdk_options()) as sandbox:
            assert sandbox.run_code("6 * 7").text == "42"
            port = endpoint.url.rpartition(":")[2]
            assert sandbox.get_host(80).endswith(f":{port}")
        assert f"127.0.0.1:{port}:{port}" in (tmp_path / "called").read_text()
    finally:
        launcher.stop_local_servers()


def stand_in(folder: Path, script: str) -> None:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
