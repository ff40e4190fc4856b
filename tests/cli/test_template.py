"""One definition in TOML, as E2B's builder calls and as a program; what is wrong in it is named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from e2b import Template
from e2b.exceptions import BuildException

DEFINITION = """
[tool.ci-integrations.templates.analysis]
packages = ["polars", "duckdb>=1"]
envs = { REGION = "eu" }
files = { "/home/user/lookup.csv" = "lookup.csv" }
setup = ["mkdir -p /home/user/out"]
cpu = 2
memory = 2048
"""


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    (tmp_path / "lookup.csv").write_text("a\n1\n")
    file = tmp_path / "pyproject.toml"
    file.write_text(DEFINITION)
    return file


def test_they_are_listed(cli: Callable[..., Any], definition: Path) -> None:
    assert cli("template", "-f", definition).out == "analysis\n"


def test_the_printed_program_makes_the_template_that_is_built(
    cli: Callable[..., Any], definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are copied from beside the definition, whatever the program's place."""
    from ci_integrations.cli._template_steps import apply, steps
    from ci_integrations.local.definition import load_definitions

    program = cli("template", "analysis", "-f", definition).out
    built: list[tuple[Any, str, dict[str, Any]]] = []
    monkeypatch.setattr(Template, "build", lambda made, name, **sizes: built.append((made, name, sizes)))
    with pytest.raises(AttributeError, match="template_id"):  # what the program prints last; nothing was built
        exec(program, {})
    made, name, sizes = built[0]
    assert (name, sizes) == ("analysis", {"cpu_count": 2, "memory_mb": 2048})
    ours = apply(Template(file_context_path=definition.parent), steps(load_definitions(definition)["analysis"]))
    assert json.loads(Template.to_json(made))["steps"] == json.loads(Template.to_json(ours))["steps"]


def test_a_debug_build_is_ready_after_a_minute_and_logs_to_the_journal(
    cli: Callable[..., Any], definition: Path, tmp_path: Path
) -> None:
    steps = cli("template", "analysis", "-f", definition, "--debug", "--json").json["steps"]
    assert (steps[-1]["method"], steps[-1]["args"]) == ("set_ready_cmd", ["sleep 60"])
    assert steps[-2]["options"] == {"user": "root"}
    command = steps[-2]["args"][0].replace("/etc/systemd", f"{tmp_path}/systemd")
    subprocess.run(["sh", "-c", command], check=True)
    for unit in ("jupyter", "code-interpreter"):
        written = (tmp_path / "systemd" / "system" / f"{unit}.service.d" / "journal.conf").read_text()
        assert written == "[Service]\nStandardOutput=journal\nStandardError=journal\n"


def test_building_needs_a_key(cli: Callable[..., Any], definition: Path) -> None:
    outcome = cli("template", "analysis", "-f", definition, "--build")
    assert outcome.code == 2
    assert "E2B_API_KEY" in outcome.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("packges = []", "no setting 'packges'"),
        ("packages = 'polars'", "packages must be a list"),
        ("packages = [1]", "something else than strings"),
        ("cpu = true", "cpu must be a int"),
        ("files = { 'a.csv' = 'a.csv' }", "whole path"),
        ("files = { '/a.csv' = 'nowhere.csv' }", "there is no file"),
        ("kernels = ['cobol']", "no kernel 'cobol'"),
        ("= 1", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(cli: Callable[..., Any], tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(f"[templates.x]\n{line}\n")
    outcome = cli("template", "x", "-f", file)
    assert outcome.code == 2
    assert words in outcome.err


def test_an_unknown_template_lists_the_known(cli: Callable[..., Any], definition: Path) -> None:
    assert "it defines: analysis" in cli("template", "other", "-f", definition).err


def test_a_build_streams_its_log_and_prints_the_id(
    cli: Callable[..., Any], definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key; the build itself is E2B's, so the SDK's method stands still here."""
    asked: dict[str, Any] = {}

    def build(made: Any, name: str, *, on_build_logs: Callable[[Any], None], **options: Any) -> Any:
        asked.update(options, name=name)
        on_build_logs(SimpleNamespace(message="Step 1: installing\n"))
        return SimpleNamespace(template_id="tpl1", build_id="bld1")

    monkeypatch.setenv("E2B_API_KEY", "e2b_" + "0" * 40)
    monkeypatch.setattr(Template, "build", build)
    outcome = cli("template", "analysis", "-f", definition, "--build", "--skip-cache", "--json")
    assert (outcome.code, outcome.err) == (0, "Step 1: installing\n")
    assert outcome.json == {"template_id": "tpl1", "build_id": "bld1", "name": "analysis"}
    assert asked == {"name": "analysis", "skip_cache": True, "cpu_count": 2, "memory_mb": 2048}
    assert 'template="tpl1"' in cli("template", "analysis", "-f", definition, "--build").out


def test_a_build_that_fails_is_exit_code_1(
    cli: Callable[..., Any], definition: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: Any, **__: Any) -> Any:
        raise BuildException("no package polarss")

    monkeypatch.setenv("E2B_API_KEY", "e2b_" + "0" * 40)
    monkeypatch.setattr(Template, "build", build)
    outcome = cli("template", "analysis", "-f", definition, "--build")
    assert outcome.code == 1
    assert "no package polarss" in outcome.err
