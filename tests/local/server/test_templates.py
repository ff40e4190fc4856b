"""Templates by name, from the user's TOML file."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from e2b import SandboxException
from e2b_code_interpreter import Sandbox

from ci_integrations.local.launcher import Endpoint, LocalServerError, local_endpoint

TOML = """
[templates.analysis]
files = { "/home/user/data/lookup.csv" = "lookup.csv" }
envs = { REGION = "eu" }
setup = ["mkdir -p /home/user/out", "echo $REGION > out/region.txt"]
memory = 300
preload = ["json", "colorsys"]

[templates.broken]
setup = ["echo here it is; exit 4"]

[templates.packaged]
packages = ["polars"]
"""


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    directory = tmp_path_factory.mktemp("templates")
    (directory / "lookup.csv").write_text("a,b\n1,2\n")
    file = directory / "templates.toml"
    file.write_text(TOML)
    return local_endpoint(templates=str(file))


def test_a_template_brings_its_files_variables_setup_and_limits(configured: Endpoint) -> None:
    with Sandbox.create("analysis", envs={"MINE": "too"}, **configured.sdk_options()) as sandbox:
        assert sandbox.files.read("data/lookup.csv") == "a,b\n1,2\n"
        assert sandbox.files.read("out/region.txt") == "eu\n"
        code = "import os, sys; os.environ['REGION'], os.environ['MINE'], os.environ['E2B_TEMPLATE_ID']"
        assert sandbox.run_code(code).text == str(("eu", "too", "analysis"))
        assert sandbox.run_code("'colorsys' in sys.modules, 'pandas' in sys.modules").text == "(True, False)"
        info = sandbox.get_info()
        assert (info.template_id, info.memory_mb) == ("analysis", 300)


def test_a_setup_that_fails_is_shown_and_leaves_nothing(configured: Endpoint) -> None:
    with pytest.raises(SandboxException, match=r"(?s)'echo here it is; exit 4' failed \(exit status 4\): here it is"):
        Sandbox.create("broken", **configured.sdk_options())
    assert "broken" not in [info.template_id for info in Sandbox.list(**configured.sdk_options()).next_items()]


def test_what_cannot_be_done_locally_says_so(configured: Endpoint) -> None:
    with pytest.raises(SandboxException, match=r"501.*packages"):
        Sandbox.create("packaged", **configured.sdk_options())


def test_unknown_names_list_the_known(configured: Endpoint) -> None:
    with pytest.raises(SandboxException, match=r"404.*analysis, base, broken, code-interpreter-v1, packaged"):
        Sandbox.create("nope", **configured.sdk_options())


def test_a_file_that_is_wrong_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[templates.x]\nsetup = 5\n")
    with pytest.raises(LocalServerError, match="setup must be a list"):
        local_endpoint(templates=str(file))


def test_prometheus_reads_what_happened(configured: Endpoint) -> None:
    with Sandbox.create("base", **configured.sdk_options()):
        text = httpx.get(configured.url + "/metrics").text
    assert 'ci_sandboxes{state="running"} 1.0' in text
    assert 'ci_sandbox_events_total{event="created"}' in text
