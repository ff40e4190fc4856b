"""A user's mistake is one clear line and exit code 2, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CSVS = {
    "empty.csv": b"",
    "only-names.csv": b"a,b\n",
    "binary.csv": bytes(range(256)),
    "twice.csv": b"a,a\n1,2\n",
    "ragged.csv": b"a,b\n1,2,3\n",
    "nul.csv": b"a\0b,c\n1,2\n",
    "no-values.csv": b"a,b\n,\nNA,\n",
}


def one_clear_line(outcome: Any, *words: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


@pytest.mark.parametrize("command", [("run", "missing.py"), ("demo", "--data", "missing.csv")])
def test_a_missing_file(cli: Callable[..., Any], command: tuple[str, ...]) -> None:
    one_clear_line(cli(*command), "missing", "no such file")


def test_a_directory_in_a_files_place(cli: Callable[..., Any], tmp_path: Path) -> None:
    one_clear_line(cli("run", tmp_path), "is a directory")
    one_clear_line(cli("demo", "--data", tmp_path), "is not a file")


@pytest.mark.parametrize("name", CSVS)
def test_a_file_that_is_no_csv(cli: Callable[..., Any], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CSVS[name])
    one_clear_line(cli("demo", "--data", tmp_path / name, "-o", tmp_path / "out"), name)


@pytest.mark.parametrize("model", ["nonsense", "nosuchprovider:some-model", "openai:gpt-5"])
def test_a_model_that_cannot_be_had(cli: Callable[..., Any], tmp_path: Path, penguins: Path, model: str) -> None:
    """An unknown provider, a provider whose package is missing."""
    one_clear_line(cli("demo", "--model", model, "-o", tmp_path), f"--model {model}")


def test_a_model_that_does_not_answer(cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_anthropic")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    outcome = cli("demo", "--model", "anthropic:no-such-model", "-o", tmp_path)
    assert outcome.code == 2
    assert outcome.err.startswith("error: --model anthropic:no-such-model: ")
    assert "Connection error" in outcome.err
    assert "Traceback" not in outcome.err
    assert "sk-ant" not in outcome.out + outcome.err


def test_an_output_directory_that_cannot_be_made(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one_clear_line(cli("demo", "-o", tmp_path / "file" / "out"), "--output")


def test_a_script_that_is_no_text(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "x.py").write_bytes(b"\xff\xfe")
    one_clear_line(cli("run", tmp_path / "x.py"), "not UTF-8")


def test_a_backend_that_is_none(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("1")
    one_clear_line(cli("run", tmp_path / "x.py", "--backend", "clowd"), "auto, local or e2b")


def test_e2b_without_a_key(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("1")
    one_clear_line(cli("run", tmp_path / "x.py", "--backend", "e2b"), "E2B_API_KEY")
    one_clear_line(cli("reap"), "E2B_API_KEY")
    one_clear_line(cli("doctor", "--sandbox", "abc"), "E2B_API_KEY")


def test_an_unknown_option_or_command_teaches(cli: Callable[..., Any]) -> None:
    for words in (("run", "--nonsense"), ("nonsense",)):
        outcome = cli(*words)
        assert outcome.code == 2
        assert "Try 'ci-integrations" in outcome.err
        assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", ["demo", "run", "serve", "doctor", "reap", "template"])
def test_help_teaches_by_example(cli: Callable[..., Any], command: str) -> None:
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) > 10
    if command != "doctor":
        assert outcome.out.count(f"ci-integrations {command}") > 1  # in the usage line, and in an example


def test_help_is_wrapped_at_the_terminals_width(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.rstrip() for line in cli("reap", "--help").out.splitlines()]
    assert " Every sandbox that this library makes carries the machine and process that" in lines
    assert " made it. Without --kill nothing is touched:" in lines
    assert "     ci-integrations reap --kill" in lines


def test_help_shows_where_a_template_is_written(cli: Callable[..., Any]) -> None:
    assert "[tool.ci-integrations.templates.analysis]" in cli("template", "--help").out


def test_version(cli: Callable[..., Any]) -> None:
    from ci_integrations import __version__

    assert cli("--version").out.strip() == __version__


def test_without_the_extra_it_says_how_to_get_it() -> None:
    """Who embeds the library has no typer; the console script is there all the same."""
    code = "import sys; sys.modules['typer'] = None; from ci_integrations.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'error: the console script needs an extra: pip install "ci-integrations[cli]"\n'
    assert done.stdout == ""
